"""`actsearch search`: a whole search on one machine."""

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Annotated

import typer

from actsearch_cli import options as opt

NAME = "search"


def command(
    context: typer.Context,
    config: opt.ConfigFile = None,
    run: opt.NewRun = None,
    resume: opt.Resume = None,
    runs_dir: opt.RunsDir = opt.RUNS_DIR,
    evaluations: opt.Evaluations = None,
    minutes: opt.Minutes = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", help="Worker processes.", min=1, show_default="one a GPU, else one a core"),
    ] = None,
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
    preset: opt.Preset = None,
    device: opt.Device = "auto",
    redis_url: opt.RedisUrl = None,
    redis_password_file: opt.RedisPasswordFile = None,
    allow_user_code: opt.AllowUserCode = False,
    as_json: opt.Json = False,
) -> None:
    """Search on this machine: start a server, workers and the controller; show how it goes; write the report.

    Everything the run has is in RUNS_DIR/NAME. Ctrl-C stops and keeps it; `actsearch search --resume NAME` goes on.
    The same seed gives the same search, whatever the number of workers.
    """
    from actsearch_cli.session import drive
    from actsearch_cli.start import raise_budget, run_to_drive
    from actsearch_workers.connection import connect, environment_of, find_address
    from actsearch_workers.environment import PROCESS_ENVIRONMENT
    from actsearch_workers.pool import LocalWorkers
    from actsearch_workers.server import LocalServer, find_program

    os.environ.update(PROCESS_ENVIRONMENT)
    devices = _devices(device, workers)
    address = find_address(redis_url, redis_password_file, os.environ)
    if address is None:
        find_program()  # before a run is made that no server could serve
    else:
        connect(address).close()
    folder = run_to_drive(context.params, dataset_here=True)
    with ExitStack() as stack:
        stack.enter_context(folder.lock())
        raise_budget(folder, context.params)
        watched: list[Callable[[], None]] = []
        if address is None:
            server = stack.enter_context(LocalServer(folder.redis))
            address = server.address
            watched.append(server.check)
        worker = [sys.executable, "-m", "actsearch_cli.main", "worker"]
        worker += ["--allow-user-code"] if allow_user_code else []
        commands = [[*worker, "--device", chosen] for chosen in devices]
        pool = stack.enter_context(LocalWorkers(commands, folder.logs, environment_of(address)))
        watched.append(pool.check)

        def watch() -> None:
            for check in watched:
                check()

        code = drive(folder, connect(address), watch=watch, as_json=as_json)
    raise typer.Exit(code)


def _devices(wanted: str, workers: int | None) -> list[str]:
    """The device of each worker: one a GPU where there are GPUs and they are wanted, else one a core for our use."""
    from actsearch_workers.environment import check_device

    gpus = check_device(wanted)
    if wanted == "auto" and gpus:
        return [f"cuda:{k % gpus}" for k in range(workers or gpus)]
    return ["cpu" if wanted == "auto" else wanted] * (workers or len(os.sched_getaffinity(0)))
