"""`actsearch controller`: the search loop by itself, for workers on other machines."""

import os
from pathlib import Path
from typing import Annotated

import typer

from actsearch_cli import options as opt

NAME = "controller"


def command(
    context: typer.Context,
    config: opt.ConfigFile = None,
    run: opt.NewRun = None,
    resume: opt.Resume = None,
    or_resume: Annotated[
        bool, typer.Option("--or-resume", help="Go on with --run NAME if it exists: for supervisors that restart.")
    ] = False,
    runs_dir: opt.RunsDir = opt.RUNS_DIR,
    store: opt.Store = None,
    evaluations: opt.Evaluations = None,
    minutes: opt.Minutes = None,
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
    redis_url: opt.RedisUrl = None,
    redis_password_file: opt.RedisPasswordFile = None,
    wait_redis: opt.WaitRedis = 10,
    environment: opt.Environment = None,
    allow_user_code: opt.AllowUserCode = False,
    log_format: opt.LogFormat = None,
    metrics: opt.MetricsAt = None,
    as_json: opt.Json = False,
) -> None:
    """Drive a search on the workers of a Redis-compatible server; start those with `actsearch worker`.

    Exits 0 when the search is done. Killed at any moment, it goes on with --resume RUN and loses nothing.
    """
    from actsearch.errors import ConfigError
    from actsearch_cli.link import Link, check_environment, serve_metrics
    from actsearch_cli.session import drive
    from actsearch_cli.start import change_settings, run_to_drive
    from actsearch_workers import logs
    from actsearch_workers.connection import connect, find_address
    from actsearch_workers.environment import PROCESS_ENVIRONMENT

    check_environment(environment)
    if log_format is not None:
        logs.set_up(log_format, {})
    os.environ.update(PROCESS_ENVIRONMENT)
    address = find_address(redis_url, redis_password_file, os.environ)
    if address is None:
        raise ConfigError(
            "a controller needs a server: give --redis-url redis://HOST:6379/0 or set ACTSEARCH_REDIS_URL; "
            "`actsearch search` brings its own"
        )
    link = Link(
        address=address,
        connection=connect(address, timeout_seconds=wait_redis, patient=False),
        environment=environment,
        metrics=serve_metrics(metrics),
    )
    parameters = context.params
    if or_resume and run is not None and _is_there(runs_dir, run, store):
        parameters = dict.fromkeys(parameters) | {
            "runs_dir": runs_dir,
            "store": store,
            "resume": run,
            "evaluations": evaluations,
            "minutes": minutes,
            "finals": finals,
            "allow_user_code": allow_user_code,
        }
    folder = run_to_drive(parameters, dataset_here=False)
    with folder.open() as (opened, name):
        logs.current["run"] = opened.run(name).id
    with folder.lock():
        change_settings(folder, parameters)
        code = drive(folder, link, as_json=as_json)
    raise typer.Exit(code)


def _is_there(runs_dir: Path, run: str, store: str | None) -> bool:
    """Whether the run exists, with what was stored of it."""
    from actsearch.errors import RunError

    try:
        folder = opt.existing_run(runs_dir, run, store)
    except RunError:
        return False
    return folder.database is not None or folder.store.is_file()
