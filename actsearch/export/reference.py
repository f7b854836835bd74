"""Exact numbers that an exported file carries to check itself by."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from actsearch.errors import ExpressionError, NumericError
from actsearch.exact import values
from actsearch.export.function import ExportedFunction
from actsearch.expression import Expression

POINTS = (-10.0, -6.0, -3.0, -1.5, -0.75, -0.125, 0.0, 0.25, 1.0, 2.0, 4.5, 10.0)
"""Where the file checks itself: whole eighths, the same number in every dtype.

At 10 a library's own σ·(1 - σ) still has nine digits."""

_STEPS = (0.0, 0.25, -0.5, 0.5, -0.25)
"""β at those points in turn: its start, rounded to an eighth, plus these."""

_LARGEST = 1e12
_HELD = 1e-10
"""A point is left out where a number is larger, or where plain float64 misses it by more than this."""


def value_rows(function: ExportedFunction) -> list[tuple[float, ...]]:
    """Rows of x, each β, gain · f."""
    return _rows(function, [function.expression])


@lru_cache(maxsize=16)
def gradient_rows(function: ExportedFunction) -> list[tuple[float, ...]]:
    """Rows of x, each β, gain · f, its derivative by x and by each β; at kinks as `actsearch.derivative` says.

    Raises:
        ExpressionError: no point is left.
    """
    expression = function.expression
    return _rows(function, [expression, *(expression.derivative(name) for name in ("x", *function.betas))])


def _rows(function: ExportedFunction, expressions: Sequence[Expression]) -> list[tuple[float, ...]]:
    rows = []
    for index, x in enumerate(POINTS):
        starts = enumerate(function.betas.items(), start=index)
        betas = {name: round(start * 8) / 8 + _STEPS[k % len(_STEPS)] for k, (name, start) in starts}
        numbers = _numbers(function.gain, expressions, x, betas)
        if numbers is not None:
            rows.append((x, *betas.values(), *numbers))
    if not rows:
        raise ExpressionError(
            f"{function.text[:60]!r} cannot be checked, so is not exported: at none of {len(POINTS)} points from "
            f"{POINTS[0]:g} to {POINTS[-1]:g} are its value and slopes at most {_LARGEST:.0e} and right to ten digits "
            "when computed in float64"
        )
    return rows


def _numbers(gain: float, expressions: Sequence[Expression], x: float, betas: dict[str, float]) -> list[float] | None:
    """Each expression times the gain; None where one is too large or float64 misses it."""
    numbers = []
    for expression, exact in zip(expressions, values(expressions, x, betas), strict=True):
        if isinstance(exact, NumericError) or abs(exact) > _LARGEST:
            return None
        plain = float(expression.values(x, **{name: v for name, v in betas.items() if name in expression.initial}))
        if not np.isclose(plain, float(exact), rtol=_HELD, atol=_HELD / 1000):
            return None
        numbers.append(float(exact * gain))
    return numbers


def table(rows: Sequence[tuple[float, ...]]) -> list[str]:
    """The rows as lines of a Python tuple of tuples: twelve digits, three of what is all but 0."""
    return [f"    ({', '.join(map(_number, row))})," for row in rows]


def _number(value: float) -> str:
    return f"{value + 0.0:.12g}" if abs(value) > 1e-15 or value == 0 else f"{value:.3g}"
