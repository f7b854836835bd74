"""`actsearch export`: a run's evaluations for other programs, and functions as files that stand alone."""

import csv
import io
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actsearch.errors import ConfigError, ExpressionError, RunError
from actsearch_cli.counting import counted
from actsearch_cli.options import RUNS_DIR, RunsDir, Store, existing_run, existing_runs

if TYPE_CHECKING:
    from actsearch.export import ExportedFunction
    from actsearch.runs import RunFolder

NAME = "export"

_ONE_FUNCTION = "--format torch, onnx, latex, sympy or jax"
_RUN = ("csv", "json", "landscape")
"""Formats that hold a whole run."""


class Format(StrEnum):
    """What `export` writes."""

    TORCH = "torch"
    ONNX = "onnx"
    LATEX = "latex"
    SYMPY = "sympy"
    JAX = "jax"
    CSV = "csv"
    JSON = "json"
    LANDSCAPE = "landscape"


class Beta(StrEnum):
    """The β that a function starts from."""

    INIT = "init"
    MEAN = "mean"


def command(
    target: Annotated[
        str, typer.Argument(help="A run (name under --runs-dir, or folder), or a function of x.", show_default=False)
    ],
    format: Annotated[  # noqa: A002
        Format,
        typer.Option("--format", help="csv, json, landscape: every evaluation of a run; the others: one function."),
    ] = Format.JSON,
    rank: Annotated[
        int | None,
        typer.Option(
            "--rank",
            min=1,
            help="Which of a run's functions: 1 is the best by its finals, without them by its search.",
            show_default="1",
        ),
    ] = None,
    beta: Annotated[
        Beta | None,
        typer.Option(
            "--beta",
            help="β as the search starts it, or the mean of those trained in the function's first child.",
            show_default="init",
        ),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(
            "--shape",
            help="onnx: the input's dimensions; a number is the channels, one β each.",
            show_default="N,C,H,W",
        ),
    ] = None,
    runs_dir: RunsDir = RUNS_DIR,
    store: Store = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="File to write to; landscape: folder.", show_default="standard output"),
    ] = None,
) -> None:
    """Write a run's evaluations, or its best function, or any function, for other programs.

    json and csv: every finished evaluation of a run, in the order asked. landscape: the same as a table over the whole
    space, for `actsearch bench`; of a run that is not finished too. torch, jax and sympy: a readable Python file
    that stands alone and checks itself against exact values when run. latex: the formula. onnx: a model. A run's
    function carries the constant that the search gave it; an expression such as 'x*sigmoid(beta*x)' is taken as is.
    """
    _check_options(format, rank, beta, shape, output)
    data: str | bytes
    folder = _run_folder(runs_dir, target, store)
    if format is Format.LANDSCAPE and output is not None:
        _write_landscape(_existing(folder, runs_dir, target, store, format), output)
        return
    if format in _RUN:
        data = _evaluations(_existing(folder, runs_dir, target, store, format), format)
    else:
        data = _function_file(_function(folder, runs_dir, target, store, rank, beta), format, shape)
    _write(data, output)


def _check_options(
    format: Format,  # noqa: A002
    rank: int | None,
    beta: Beta | None,
    shape: str | None,
    output: Path | None,
) -> None:
    """Refuses options that the format has no use for, and asks for one that it needs."""
    if format is Format.LANDSCAPE and output is None:
        raise ConfigError("--format landscape writes a folder; add --output FOLDER")
    if format in _RUN and (rank or beta):
        flag = "--rank" if rank else "--beta"
        raise ConfigError(f"{flag} goes with one function: {_ONE_FUNCTION}, not {format}")
    if shape is not None and format is not Format.ONNX:
        raise ConfigError(f"--shape goes with --format onnx, not {format}")


def _run_folder(runs_dir: Path, target: str, store: str | None) -> "RunFolder | None":
    """The run that the target names, or None."""
    try:
        return existing_run(runs_dir, target, store)
    except (RunError, OSError):  # a long expression is no possible file name
        return None


def _existing(
    folder: "RunFolder | None",
    runs_dir: Path,
    target: str,
    store: str | None,
    format: Format,  # noqa: A002
) -> "RunFolder":
    from actsearch.reader import read

    if folder is not None:
        return folder
    try:
        read(target)
    except ExpressionError:
        return existing_run(runs_dir, target[:100], store)  # names the runs that exist
    raise ConfigError(f"--format {format} writes a run's evaluations; one function goes with {_ONE_FUNCTION}")


def _function(
    folder: "RunFolder | None", runs_dir: Path, target: str, store: str | None, rank: int | None, beta: Beta | None
) -> "ExportedFunction":
    """The run's function, or the expression's."""
    from actsearch.export import ExportedFunction, winner

    if folder is not None:
        with folder.open() as (opened, name):
            return winner(opened, name, rank=rank or 1, beta="mean" if beta is Beta.MEAN else "init")
    try:
        function = ExportedFunction.of_text(target)
    except ExpressionError as err:
        known = ", ".join(folder.name for folder in existing_runs(runs_dir, store)) or "none yet"
        raise ConfigError(
            f"{target[:60]!r} is neither a run in {runs_dir} (known: {known}) nor an expression: {err}"
        ) from err
    if rank or beta is Beta.MEAN:
        raise ConfigError(f"{'--rank' if rank else '--beta mean'} goes with a run; {target[:60]!r} is an expression")
    return function


def _function_file(function: "ExportedFunction", format: Format, shape: str | None) -> str | bytes:  # noqa: A002
    from actsearch.export import TEXTS, onnx_model

    if format is not Format.ONNX:
        return TEXTS[format](function)
    return onnx_model(function, _dimensions(shape)) if shape else onnx_model(function)


def _dimensions(shape: str) -> list[str | int]:
    """`N,64,H,W` as names and numbers."""
    parts = [part.strip() for part in shape.split(",")]
    for part in parts:
        if not (part.isidentifier() or (part.isdecimal() and int(part) > 0)):
            raise ConfigError(f"--shape is names and at most one number such as N,64,H,W, got {shape[:60]!r}")
    if len(set(parts)) < len(parts):
        raise ConfigError(f"--shape names each dimension once, got {shape[:60]!r}")
    return [int(part) if part.isdecimal() else part for part in parts]


def _write(data: str | bytes, output: Path | None) -> None:
    if output is not None:
        output.write_bytes(data if isinstance(data, bytes) else data.encode())
    elif isinstance(data, str):
        print(data, end="")
    elif sys.stdout.isatty():
        raise ConfigError("an ONNX model is binary; add --output FILE, or pipe it")
    else:
        sys.stdout.buffer.write(data)


def _write_landscape(folder: "RunFolder", output: Path) -> None:
    from actsearch.landscape import save
    from actsearch.landscape.measured import from_store

    with folder.open() as (store, name):
        landscape = from_store(store, name, watch=counted)
    save(landscape, output)
    print(landscape)


def _evaluations(folder: "RunFolder", format: Format) -> str:  # noqa: A002
    with folder.open() as (store, name):
        rows = [_row(record) for record in store.evaluations(name, layers=False) if record.evaluation]
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n" if format is Format.JSON else _csv(rows)


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
