"""The look that all figures share, and the way from a drawing to the bytes of an image.

Colours are Okabe and Ito's, told apart with any colour vision. Equal rows give equal bytes: matplotlib's bundled
font, its defaults in place of the user's matplotlibrc, no date, and a fixed salt for ids.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal

import matplotlib
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.textpath import text_to_path

BLUE = "#0072B2"
VERMILION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#AA4499"
ORANGE = "#E69F00"
SKY = "#56B4E9"
BROWN = "#8C5A2B"
INK = "#1a1a1a"
GREY = "#6b6b6b"
PALE = "#c9d8e6"
GRID = "#e4e4e4"

WIDE = 9.5
"""Inches: the text column of the page on a desk, and of a printed page."""
NARROW = 3.9
"""Inches: a phone of 390 pixels."""
TEXT = 9.0
SMALL = 8.0
"""Points. An inch is 96 pixels on the page, so that these are 12 and 11 pixels there."""

_FONT = "DejaVu Sans"

_STYLE: dict[Any, object] = {
    "font.family": _FONT,
    "font.size": TEXT,
    "mathtext.fontset": "dejavusans",
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.labelsize": TEXT,
    "axes.titlesize": TEXT,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "lines.linewidth": 1.6,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "actsearch",
    "svg.fonttype": "path",
}

MAX_VECTOR_POINTS = 2000
"""Scatters of more points become a picture inside the SVG, or a long run's page would weigh many megabytes."""


@contextmanager
def styled() -> Iterator[None]:
    """Within it, figures are made and saved in the shared style, whatever the user's own settings."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


Format = Literal["svg", "png", "pdf"]


def render(draw: Callable[[float], Figure], width: float, *formats: Format) -> list[bytes]:
    """The figure that `draw` makes at a width in inches, as the bytes of an image in each format."""
    with styled():
        figure = draw(width)
        lay_out(figure)
        return [_save(figure, name) for name in formats]


def lay_out(figure: Figure) -> None:
    """Gives every text of a figure its room.

    Done once and by hand: a figure with a layout engine of its own is laid out and drawn twice for every format.
    """
    ConstrainedLayoutEngine().execute(figure)


_METADATA: dict[Format, dict[str, None]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def _save(figure: Figure, name: Format) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=name, dpi=160, metadata=_METADATA[name])
    return buffer.getvalue()


def text_width(text: str, size: float, *, math: bool = False) -> float:
    """The width of one line of text in points at a font size in points."""
    return _extent(text, size, math)[0]


def text_height(text: str, size: float, *, math: bool = False) -> float:
    """The height of one line in points, from its lowest to its highest ink."""
    return _extent(text, size, math)[1]


def _extent(text: str, size: float, math: bool) -> tuple[float, float]:
    prop = FontProperties(family=_FONT, size=size)
    width, height, _ = text_to_path.get_text_width_height_descent(text, prop, ismath=math)
    return float(width), float(height)


def fit(text: str, points: float, size: float = TEXT, *, keep: Literal["start", "ends"] = "start") -> str:
    """The text as far as it fits a width in points, with an ellipsis for what does not.

    Args:
        text: any one line; characters that the font lacks are shown as `□`.
        points: the width available.
        size: font size in points.
        keep: what stays. A formula says most at its start, a module's path at both ends.
    """
    text = "".join(c if ord(c) in _glyphs() else "□" for c in text.replace("\n", " "))
    if text_width(text, size) <= points:
        return text
    for length in range(len(text) - 1, 0, -1):
        tail = length // 2 if keep == "ends" else 0
        shorter = f"{text[: length - tail]}…{text[len(text) - tail :]}"
        if text_width(shorter, size) <= points:
            return shorter
    return "…"


@cache
def _glyphs() -> frozenset[int]:
    path = font_manager.findfont(FontProperties(family=_FONT))
    return frozenset(FT2Font(path).get_charmap())


def fit_formula(latex: str, text: str, points: float, size: float = TEXT) -> tuple[str, bool]:
    """A formula for a line of that width: as mathematics where it fits, else its plain text, cut with an ellipsis.

    Returns:
        What to draw, and whether it is to be read as mathematics.
    """
    # mathtext draws bars that grow with their content smaller than the content.
    bars = latex.replace(r"\left|", "|").replace(r"\right|", "|")
    math = f"${bars}$"
    if text_width(math, size, math=True) <= points:
        return math, True
    return fit(text, points, size), False
