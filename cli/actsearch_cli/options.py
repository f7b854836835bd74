"""Options that several commands share, each described once."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from actsearch.runs import RunFolder

RunsDir = Annotated[Path, typer.Option("--runs-dir", help="Folder that holds the runs.", envvar="ACTSEARCH_RUNS")]
Run = Annotated[str, typer.Argument(help="A run's name under --runs-dir, or its folder.", show_default=False)]
Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="PostgreSQL database that holds the runs, postgresql://USER@HOST/DATABASE, without a password. Also "
        "ACTSEARCH_STORE_URL.",
        show_default="store.sqlite in the run's folder",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
RedisUrl = Annotated[
    str | None,
    typer.Option(
        "--redis-url",
        help="Redis-compatible server, redis://HOST:6379/0, without a password. Also ACTSEARCH_REDIS_URL.",
        show_default=False,
    ),
]
RedisPasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--redis-password-file",
        help="File that holds the server's password. Also ACTSEARCH_REDIS_PASSWORD_FILE.",
        show_default=False,
    ),
]
WaitRedis = Annotated[
    float, typer.Option("--wait-redis", help="Seconds to wait for the server to answer at the start.", min=0)
]
Environment = Annotated[
    str | None,
    typer.Option(
        "--environment",
        help="Workers that will do, by the 8 hex digits that a worker logs; `first`: those like the first that comes.",
        show_default="the run's own, else first",
    ),
]
LogFormat = Annotated[
    str | None,
    typer.Option("--log-format", help="Lines on stderr: text, or json with run and worker ids.", show_default="none"),
]
MetricsAt = Annotated[
    str | None,
    typer.Option(
        "--metrics",
        metavar="[HOST:]PORT",
        help="Serve Prometheus metrics there; without a host to this machine alone.",
        show_default="none",
    ),
]
AllowUserCode = Annotated[
    bool, typer.Option("--allow-user-code", help="Import `module:function` names of your own (never somebody else's).")
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", help="Worker processes.", min=1, show_default="one per GPU, else one per core"),
]
Device = Annotated[str, typer.Option("--device", help="auto (a GPU if there is one), cpu, or cuda:N.")]

RUNS_DIR = Path("runs")


def data_dir() -> Path:
    """Where downloaded data sets are: ACTSEARCH_DATA, else a folder of the user's."""
    return Path(os.environ.get("ACTSEARCH_DATA") or Path.home() / ".local" / "share" / "actsearch").expanduser()


def listed(names: str | None) -> list[str] | None:
    """The names of an option that takes several, with commas between; None where it was not given."""
    return None if names is None else [name.strip() for name in names.split(",") if name.strip()]


def shared_store(store: str | None) -> "URL | None":
    """The database that --store or ACTSEARCH_STORE_URL names; None: each run's own folder holds it."""
    from actsearch.store.address import find_store

    return find_store(store, os.environ)


def existing_run(runs_dir: Path, run: str, store: str | None) -> "RunFolder":
    """The folder of the run that a command line names; `RunError` where there is none."""
    from actsearch.runs import find_run

    return find_run(runs_dir, run, database=shared_store(store))


def existing_runs(runs_dir: Path, store: str | None) -> "list[RunFolder]":
    """Every run's folder, oldest first: under `runs_dir`, or of a shared database where one is named."""
    from actsearch.runs import run_folders

    return run_folders(runs_dir, database=shared_store(store))


ConfigFile = Annotated[
    Path | None,
    typer.Argument(metavar="CONFIG.toml", help="A run's settings; flags override them.", show_default=False),
]
NewRun = Annotated[
    str | None, typer.Option("--run", help="Name of the new run.", show_default="run1, run2, …, the first free")
]
Resume = Annotated[
    str | None,
    typer.Option("--resume", metavar="RUN", help="Go on with a run; --evaluations and --minutes may be raised."),
]
Evaluations = Annotated[
    int | None,
    typer.Option(
        "--evaluations",
        help="Children to train; what is known already is free.",
        show_default="60; rediscover: what its minutes hold",
    ),
]
Minutes = Annotated[
    float | None, typer.Option("--minutes", help="Stop proposing after so many minutes.", show_default="no limit")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Same seed, same search.", show_default="0")]
Controller = Annotated[
    str | None,
    typer.Option(
        "--controller",
        help="Who proposes: ppo, ppo_plain, random, random_new, exhaustive, evolution, local, reinforce, pqt, tpe.",
        show_default="ppo",
    ),
]
Units = Annotated[int | None, typer.Option("--units", help="Core units of a formula, 1 to 8.", show_default="1")]
Steps = Annotated[
    int | None, typer.Option("--steps", help="Training steps of a child.", show_default="the child's own")
]
Batch = Annotated[
    int | None, typer.Option("--batch", help="Proposals per update of the controller.", show_default="5 (quick), 10")
]
Lag = Annotated[int | None, typer.Option("--lag", help="Batches in flight: lag times batch jobs.", show_default="2")]
Repeats = Annotated[
    int | None,
    typer.Option(
        "--repeats",
        help="Trainings of one function at most, with seeds of their own; then it is free.",
        show_default="10 for ppo, else 1",
    ),
]
EarlyStopping = Annotated[
    bool,
    typer.Option("--early-stopping", help="End the training of children that fall behind (table early_stopping)."),
]
Child = Annotated[
    str | None,
    typer.Option(
        "--child",
        help="Network that tries the functions: nf_resnet8, nf_resnet20, resnet8/20/56/110, efficientnet_tiny, "
        "resnet18, efficientnet_b0 to b7, or your module:function.",
        show_default="nf_resnet8",
    ),
]
Gain = Annotated[
    str | None,
    typer.Option("--gain", help="unit: functions scaled to mean square 1; as_is.", show_default="unit"),
]
Dataset = Annotated[
    str | None,
    typer.Option("--dataset", help="See `actsearch data list`; or your module:function.", show_default="fashion-mini"),
]
Finals = Annotated[
    int | None,
    typer.Option(
        "--finals",
        metavar="K",
        help="When the search is done, train its best again with fresh paired seeds and compare the K best of those: "
        "see `actsearch finals --help`.",
        show_default="no finals",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        help="quick: a search of about three minutes. rediscover: 40 minutes by the clock, then finals, planned for 50 "
        "more on two cores; how many children that makes depends on the machine, --evaluations N with --minutes high "
        "enough repeats a run of N. Flags override a preset.",
        show_default="quick",
    ),
]
