"""`actsearch finals`: the best functions of a run trained again with fresh paired seeds, and compared."""

from typing import Annotated

import typer

from actsearch_cli import options as opt

NAME = "finals"


def command(
    run: opt.Run,
    runs_dir: opt.RunsDir = opt.RUNS_DIR,
    store: opt.Store = None,
    workers: opt.Workers = None,
    classes: Annotated[
        int | None,
        typer.Option("--classes", help="Classes f ~ a*f(b*x) of functions to screen.", show_default="64"),
    ] = None,
    screen_seeds: Annotated[
        int | None, typer.Option("--screen-seeds", help="Fresh seeds per function in the screening.", show_default="2")
    ] = None,
    screen_steps: Annotated[
        int | None,
        typer.Option("--screen-steps", help="Steps of a screening.", show_default="twice the search's"),
    ] = None,
    finalists: Annotated[
        int | None, typer.Option("--finalists", help="Functions that the screening promotes.", show_default="12")
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", help="Paired seeds of finalists and controls in every child.", show_default="10"),
    ] = None,
    children: Annotated[
        str | None,
        typer.Option(
            "--children",
            help="The panel: names with commas between.",
            show_default="nf_resnet8,resnet20,efficientnet_tiny",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            help="Steps in every child of the panel.",
            show_default="each child's own, at least a screening's",
        ),
    ] = None,
    device: opt.Device = "auto",
    redis_url: opt.RedisUrl = None,
    redis_password_file: opt.RedisPasswordFile = None,
    environment: opt.Environment = None,
    allow_user_code: opt.AllowUserCode = False,
    as_json: opt.Json = False,
) -> None:
    """Train the best functions of a search again, with fresh seeds, and say which are better than ReLU.

    A search's leaderboard is a table of luck: one training each, the best of many. Finals screen its best classes of
    functions, then train the best of those with paired seeds (same initial weights and batches for every function) in
    a panel of children, with ReLU and SiLU as controls. What comes of it: mean difference from ReLU with interval, a
    one-sided paired t-test after Holm, the group tied with the best, and test accuracy, measured once.

    Ctrl-C stops and keeps everything; the same command goes on. A run has one finals: called again, it prints them.

    actsearch finals run1 --finalists 6 --seeds 10 --steps 300
    """
    from rich.console import Console

    from actsearch_cli import finals_session, session
    from actsearch_cli.link import check_environment
    from actsearch_cli.machine import Machine

    check_environment(environment)
    folder = opt.existing_run(runs_dir, run, store)
    console = Console(stderr=as_json, quiet=as_json)
    changes = {
        "classes": classes,
        "screen_seeds": screen_seeds,
        "screen_steps": screen_steps,
        "finalists": finalists,
        "seeds": seeds,
        "children": opt.listed(children),
        "steps": steps,
    }
    code = 0
    # What cannot train refuses before finals are begun, for a run begins them once; to print them needs no machine.
    machine = None
    if not finals_session.is_done(folder):
        machine = Machine.of(
            device=device,
            workers=workers,
            redis_url=redis_url,
            redis_password_file=redis_password_file,
            allow_user_code=allow_user_code,
        )
    if machine is not None or any(value is not None for value in changes.values()):
        with folder.lock():
            finals_session.begin(
                folder,
                changes,
                allow_user_code=allow_user_code,
                dataset_here=machine is not None,
                console=console,
            )
            if machine is not None:
                with machine.started(folder, environment) as link:
                    code = finals_session.drive(folder, link, console=console)
    session.conclude_finals(folder, console, as_json, is_new=machine is not None)
    raise typer.Exit(code)
