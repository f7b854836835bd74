"""`actsearch verify`: the finalists of a run in other children and on other data."""

from typing import Annotated

import typer

from actsearch_cli import options as opt

NAME = "verify"


def command(
    run: opt.Run,
    runs_dir: opt.RunsDir = opt.RUNS_DIR,
    store: opt.Store = None,
    workers: opt.Workers = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="Data sets: names with commas between.",
            show_default="the run's, digits; fashion-mnist and cifar10 where fetched",
        ),
    ] = None,
    children: Annotated[
        str | None,
        typer.Option("--children", help="Networks: names with commas between.", show_default="nf_resnet20,resnet8"),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", help="Paired seeds of every function in each child and data set.", show_default="5"),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Training steps.", show_default="each child's own")
    ] = None,
    device: opt.Device = "auto",
    redis_url: opt.RedisUrl = None,
    redis_password_file: opt.RedisPasswordFile = None,
    environment: opt.Environment = None,
    allow_user_code: opt.AllowUserCode = False,
    as_json: opt.Json = False,
) -> None:
    """Train the functions of a run's finals in other children and on other data, and compare the orders.

    What comes of it: mean validation accuracy, difference from ReLU with interval, and the rank correlation with the
    finals, with interval. It describes and claims nothing; the test images are not touched. How long the defaults
    take is in docs/verify.md.

    Ctrl-C stops and keeps everything. Without options the newest verification of the run goes on, or is printed; with
    options the one begun with the same, else a new one.

    actsearch verify run1 --data digits --children resnet8,efficientnet_tiny --seeds 5 --steps 300
    """
    from rich.console import Console

    from actsearch_cli import session, verify_session
    from actsearch_cli.link import check_environment
    from actsearch_cli.machine import Machine

    check_environment(environment)
    folder = opt.existing_run(runs_dir, run, store)
    console = Console(stderr=as_json, quiet=as_json)
    given = {"data": opt.listed(data), "children": opt.listed(children), "seeds": seeds, "steps": steps}
    settings = verify_session.settings_of(folder, given, allow_user_code=allow_user_code)
    code, is_new = 0, not verify_session.is_done(folder, settings)
    if is_new:
        machine = Machine.of(
            device=device,
            workers=workers,
            redis_url=redis_url,
            redis_password_file=redis_password_file,
            allow_user_code=allow_user_code,
        )
        with folder.lock():
            record = verify_session.begin(folder, settings, allow_user_code=allow_user_code)
            with machine.started(folder, environment, settings.data) as link:
                code = verify_session.drive(folder, link, record, console=console)
    number = verify_session.number_of(folder, settings)
    session.conclude_verification(folder, number, console, as_json, is_new=is_new)
    raise typer.Exit(code)
