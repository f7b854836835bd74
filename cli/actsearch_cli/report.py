"""`actsearch report`: the page, pictures and tables of a run."""

from pathlib import Path
from typing import Annotated

import typer

from actsearch_cli.options import RUNS_DIR, Run, RunsDir

NAME = "report"


def command(
    run: Run,
    runs_dir: RunsDir = RUNS_DIR,
    output: Annotated[
        Path | None, typer.Option("--output", help="Folder to write to.", show_default="RUN/report")
    ] = None,
) -> None:
    """Write a run's report: one self-contained HTML page, PNG, SVG and CSV beside it.

    Works while the run goes on and after it ended.
    """
    from actsearch.runs import find_run
    from actsearch_reports.page import write_report

    folder = find_run(runs_dir, run)
    with folder.open() as (store, name):
        print(write_report(store, name, output or folder.shown / "report"))
