"""A landscape on disk: a folder of landscape.json, functions.csv.gz and evaluations.csv.gz (docs/landscape.md)."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from actsearch.errors import ConfigError, LandscapeError, UnknownNameError
from actsearch.evaluation import Outcome
from actsearch.landscape.description import FORMAT, Description
from actsearch.landscape.table import Landscape, LandscapeFunction, Measurement

PACKAGED: tuple[str, ...] = ("one_unit", "prototype")
"""Landscapes that come with the package."""

_FOLDER = Path(__file__).parent / "packaged"
_DESCRIPTION, _FUNCTIONS, _EVALUATIONS = "landscape.json", "functions.csv.gz", "evaluations.csv.gz"

_FUNCTION_COLUMNS = ("function", "canonical", "constant", "finite", "swish", "spellings")
_EVALUATION_COLUMNS = (
    "protocol", "function", "replicate", "seed", "outcome", "reward", "val_accuracy", "val_loss", "gain", "steps",
    "seconds",
)  # fmt: skip
_CURVE = "val_accuracy_at_"
"""Prefix of the columns after those, one a step of the learning curve."""


def load(name_or_folder: str | Path) -> Landscape:
    """A packaged landscape by its name, or one in a folder.

    Raises:
        UnknownNameError: neither.
        LandscapeError: a file that is missing, damaged or of another format, or rows of another protocol.
    """
    folder = _FOLDER / str(name_or_folder) if str(name_or_folder) in PACKAGED else Path(name_or_folder)
    if not (folder / _DESCRIPTION).is_file():
        raise UnknownNameError("landscape", str(name_or_folder), [*PACKAGED, f"or a folder with {_DESCRIPTION}"])
    description = _description(folder / _DESCRIPTION)
    return Landscape(
        description,
        [_function(row) for row in _rows(folder / _FUNCTIONS, _FUNCTION_COLUMNS)],
        list(_measurements(folder / _EVALUATIONS, description)),
    )


def save(landscape: Landscape, folder: Path) -> None:
    """Writes a landscape to a folder, made where it is missing; equal landscapes give equal bytes.

    Raises:
        LandscapeError: the folder holds a landscape of another name or protocol.
    """
    description = landscape.description
    path = folder / _DESCRIPTION
    if path.is_file():
        old = _description(path)
        if (old.name, old.protocol) != (description.name, description.protocol):
            raise LandscapeError(f"{folder} holds landscape {old.name!r} of another protocol or name; choose another")
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(description.model_dump(mode="json"), indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    _write(folder / _FUNCTIONS, _FUNCTION_COLUMNS, map(_function_cells, landscape.functions.values()))
    steps = sorted({step for m in landscape.measurements for step in m.curve})
    _write(
        folder / _EVALUATIONS,
        [*_EVALUATION_COLUMNS, *(f"{_CURVE}{step}" for step in steps)],
        (_measurement_cells(m, description.protocol.digest, steps) for m in landscape.measurements),
    )


def _description(path: Path) -> Description:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as err:
        raise LandscapeError(f"{path} is not JSON: {err}") from err
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise LandscapeError(f"{path} is no landscape of format {FORMAT}, which is what this actsearch reads")
    try:
        return Description.parse(document)
    except ConfigError as err:
        raise LandscapeError(f"{path}: {err}") from err


def _rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """The rows of a compressed table whose first columns are these."""
    try:
        text = gzip.decompress(path.read_bytes()).decode()
    except (OSError, EOFError, ValueError, zlib.error) as err:
        raise LandscapeError(f"cannot read {path}: {err}") from err
    reader = csv.reader(io.StringIO(text))
    header = next(reader, [])
    if tuple(header[: len(columns)]) != tuple(columns):
        raise LandscapeError(f"{path} has columns {', '.join(header[:20])}; right would be {', '.join(columns)}")
    for line in reader:
        if len(line) != len(header):
            raise LandscapeError(f"{path}, line {reader.line_num}: {len(line)} cells for {len(header)} columns")
        yield dict(zip(header, line, strict=True))


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    path.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


def _function(row: Mapping[str, str]) -> LandscapeFunction:
    if row["swish"] not in ("", "family", "strict") or not row["spellings"]:
        raise LandscapeError(f"function {row['function']!r}: swish is empty, family or strict, and it has a spelling")
    return LandscapeFunction(
        id=row["function"],
        canonical=row["canonical"],
        constant=row["constant"] == "1",
        finite=row["finite"] == "1",
        swish=row["swish"],  # type: ignore[arg-type]  # checked above
        spellings=tuple(tuple(spelling.split()) for spelling in row["spellings"].split(";")),
    )


def _function_cells(function: LandscapeFunction) -> Sequence[object]:
    spellings = ";".join(" ".join(tokens) for tokens in function.spellings)
    flags = int(function.constant), int(function.finite), function.swish
    return function.id, function.canonical, *flags, spellings


def _measurements(path: Path, description: Description) -> Iterator[Measurement]:
    digest = description.protocol.digest
    for row in _rows(path, _EVALUATION_COLUMNS):
        if row["protocol"] != digest:
            raise LandscapeError(
                f"{path} holds rows of protocol {row['protocol']!r}, landscape {description.name!r} has {digest!r}: "
                "rows of different protocols are never merged"
            )
        try:
            yield _measurement(row)
        except ValueError as err:
            raise LandscapeError(f"{path}: evaluation of {row['function']!r}: {err}") from err


def _measurement(row: Mapping[str, str]) -> Measurement:
    reward = float(row["reward"])
    if not 0 <= reward <= 1:
        raise ValueError(f"a reward lies in [0, 1], got {reward}")
    return Measurement(
        function=row["function"],
        replicate=int(row["replicate"]),
        seed=int(row["seed"]) if row["seed"] else None,
        outcome=Outcome(row["outcome"]),
        reward=reward,
        val_accuracy=float(row["val_accuracy"]) if row["val_accuracy"] else None,
        val_loss=float(row["val_loss"]) if row["val_loss"] else None,
        gain=float(row["gain"]),
        steps=int(row["steps"]) if row["steps"] else None,
        seconds=float(row["seconds"]),
        curve={int(key.removeprefix(_CURVE)): float(v) for key, v in row.items() if v and key.startswith(_CURVE)},
    )


def _measurement_cells(m: Measurement, digest: str, steps: Sequence[int]) -> Sequence[object]:
    fields = (m.function, m.replicate, m.seed, m.outcome.value, m.reward, m.val_accuracy, m.val_loss, m.gain, m.steps)
    return digest, *fields, m.seconds, *(m.curve.get(step) for step in steps)
