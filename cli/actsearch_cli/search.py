"""`actsearch search`: a whole search on one machine."""

import typer

from actsearch_cli import options as opt

NAME = "search"


def command(
    context: typer.Context,
    config: opt.ConfigFile = None,
    run: opt.NewRun = None,
    resume: opt.Resume = None,
    runs_dir: opt.RunsDir = opt.RUNS_DIR,
    store: opt.Store = None,
    evaluations: opt.Evaluations = None,
    minutes: opt.Minutes = None,
    workers: opt.Workers = None,
    seed: opt.Seed = None,
    controller: opt.Controller = None,
    units: opt.Units = None,
    child: opt.Child = None,
    dataset: opt.Dataset = None,
    steps: opt.Steps = None,
    gain: opt.Gain = None,
    batch: opt.Batch = None,
    lag: opt.Lag = None,
    repeats: opt.Repeats = None,
    early_stopping: opt.EarlyStopping = False,
    finals: opt.Finals = None,
    preset: opt.Preset = None,
    device: opt.Device = "auto",
    redis_url: opt.RedisUrl = None,
    redis_password_file: opt.RedisPasswordFile = None,
    environment: opt.Environment = None,
    allow_user_code: opt.AllowUserCode = False,
    as_json: opt.Json = False,
) -> None:
    """Search on this machine: start a server, workers and the controller; show how it goes; write the report.

    Everything the run has is in RUNS_DIR/NAME. Ctrl-C stops and keeps it; `actsearch search --resume NAME` goes on.
    The same seed gives the same search, whatever the number of workers.
    """
    from actsearch_cli.link import check_environment
    from actsearch_cli.machine import Machine
    from actsearch_cli.session import drive
    from actsearch_cli.start import change_settings, run_to_drive

    check_environment(environment)
    machine = Machine.of(
        device=device,
        workers=workers,
        redis_url=redis_url,
        redis_password_file=redis_password_file,
        allow_user_code=allow_user_code,
    )
    folder = run_to_drive(context.params, dataset_here=True)
    with folder.lock():
        change_settings(folder, context.params)
        with machine.started(folder, environment) as link:
            code = drive(folder, link, as_json=as_json)
    raise typer.Exit(code)
