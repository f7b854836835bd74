"""The files beside the page: a CSV of every table, a PNG and an SVG of every figure."""

import base64
import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from actsearch_reports.figures.style import NARROW, WIDE, render

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class Picture:
    """A figure as the page holds it: SVG data for a desk and for a phone, and a text for who sees neither."""

    name: str
    alt: str
    wide: str
    narrow: str


def write_picture(folder: Path, name: str, alt: str, draw: Callable[[float], Figure]) -> Picture:
    """Draws a figure for both widths, writes the wide one as `name.svg` and `name.png`, and returns it for the page."""
    svg, png = render(draw, WIDE, "svg", "png")
    (folder / f"{name}.svg").write_bytes(svg)
    (folder / f"{name}.png").write_bytes(png)
    (narrow,) = render(draw, NARROW, "svg")
    return Picture(name, alt, _data_uri(svg), _data_uri(narrow))


def _data_uri(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode('ascii')}"


def write_csv(path: Path, kind: "type[DataclassInstance]", rows: Sequence["DataclassInstance"]) -> None:
    """One line a row under the fields' names; numbers in full, what is not known empty.

    Args:
        path: the file, replaced if it is there.
        kind: the rows' dataclass, which names the columns of an empty table too.
        rows: instances of it.
    """
    columns = [field.name for field in fields(kind)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(getattr(row, column)) for column in columns] for row in rows)


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case StrEnum():
            return value.value
        case Mapping():
            return " ".join(f"{key}={number!r}" for key, number in value.items())
        case tuple():
            return "; ".join(map(str, value))
    return str(value)
