"""`actsearch worker`: one worker process."""

import os
from pathlib import Path
from typing import Annotated

import typer

from actsearch_cli.options import AllowUserCode, Device, LogFormat, RedisPasswordFile, RedisUrl, WaitRedis, data_dir

NAME = "worker"


def command(
    redis_url: RedisUrl = None,
    redis_password_file: RedisPasswordFile = None,
    device: Device = "auto",
    name: Annotated[
        str | None, typer.Option("--name", help="Its name, unique on the server.", show_default="host-pid")
    ] = None,
    data_root: Annotated[
        list[Path] | None,
        typer.Option(
            "--data-root",
            help="Folder that runs may use as imagefolder:PATH, or folders below it; several times for several. "
            "Those in ACTSEARCH_DATA they may use always.",
            show_default="none",
        ),
    ] = None,
    allow_user_code: AllowUserCode = False,
    wait_redis: WaitRedis = 10,
    grace: Annotated[
        float, typer.Option("--grace", help="Seconds for the child at hand when told to end; then it is handed back.")
    ] = 25,
    log_format: LogFormat = "text",
    burst: Annotated[bool, typer.Option("--burst", help="End when the queue is empty.")] = False,
) -> None:
    """Serve the runs of a Redis-compatible server: take jobs, train children, report.

    Start one per CPU core or one per GPU, on as many machines as you like, before or after the controller. SIGTERM and
    Ctrl-C let it finish the child at hand, if that ends within --grace; else the job is handed back and runs
    elsewhere. A second signal does not wait. It trains for runs whose environment it has, and idles for others.
    """
    from actsearch.errors import ConfigError
    from actsearch_workers.connection import find_address
    from actsearch_workers.serving import serve

    address = find_address(redis_url, redis_password_file, os.environ)
    if address is None:
        raise ConfigError("a worker needs a server: give --redis-url redis://HOST:6379/0 or set ACTSEARCH_REDIS_URL")
    serve(
        address,
        data_dir=data_dir(),
        data_roots=data_root or (),
        device=device,
        name=name,
        allow_user_code=allow_user_code,
        burst=burst,
        wait_seconds=wait_redis,
        grace_seconds=grace,
        log_format=log_format or "text",
    )
