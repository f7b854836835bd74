"""`actsearch report`: the page, pictures and tables of a run."""

from pathlib import Path
from typing import Annotated

import typer

from actsearch_cli.options import RUNS_DIR, Run, RunsDir, Store, existing_run

NAME = "report"


def command(
    run: Run,
    runs_dir: RunsDir = RUNS_DIR,
    store: Store = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="Folder to write to.", show_default="RUN/report")
    ] = None,
) -> None:
    """Write a run's report: one self-contained HTML page, PNG, SVG and CSV beside it.

    Works while the run goes on and after it ended.
    """
    from actsearch_reports.page import write_report

    folder = existing_run(runs_dir, run, store)
    with folder.open() as (opened, name):
        print(write_report(opened, name, output or folder.shown / "report"))
