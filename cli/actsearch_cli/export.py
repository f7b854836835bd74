"""`actsearch export`: a run's evaluations for other programs."""

import csv
import io
import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from actsearch_cli.options import RUNS_DIR, Run, RunsDir

NAME = "export"


class Format(StrEnum):
    """What `export` writes."""

    JSON = "json"
    CSV = "csv"


def command(
    run: Run,
    format: Annotated[Format, typer.Option("--format", help="json or csv: every evaluation.")] = Format.JSON,  # noqa: A002
    runs_dir: RunsDir = RUNS_DIR,
    output: Annotated[
        Path | None, typer.Option("--output", help="File to write to.", show_default="standard output")
    ] = None,
) -> None:
    """Write every finished evaluation of a run, in the order asked."""
    from actsearch.runs import find_run

    folder = find_run(runs_dir, run)
    with folder.open() as (store, name):
        rows = [_row(record) for record in store.evaluations(name, layers=False) if record.evaluation]
    text = json.dumps(rows, indent=1, ensure_ascii=False) + "\n" if format is Format.JSON else _csv(rows)
    if output is None:
        print(text, end="")
    else:
        output.write_text(text, encoding="utf-8")


def _row(record: Any) -> dict[str, Any]:
    done = record.evaluation
    return {
        "evaluation": record.key,
        "formula": record.formula,
        "tokens": list(record.tokens),
        "canonical": record.canonical,
        "names": list(record.names),
        "outcome": done.outcome.value,
        "reason": done.reason,
        "reward": done.reward,
        "val_accuracy": done.val_accuracy,
        "seed": record.seed,
        "steps": done.steps,
        "seconds": done.seconds,
    }


def _csv(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if rows:
        writer.writerow(rows[0])
    for row in rows:
        writer.writerow([" ".join(v) if isinstance(v, list) else "" if v is None else v for v in row.values()])
    return out.getvalue()
