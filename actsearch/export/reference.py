"""Exact numbers that an exported file carries to check itself by."""

from collections.abc import Callable, Sequence
from functools import cached_property

import mpmath
import numpy as np

from actsearch.errors import ExpressionError, NumericError
from actsearch.exact import values
from actsearch.export.function import ExportedFunction
from actsearch.expression import Expression

POINTS = (-20.0, -6.0, -3.0, -1.5, -0.75, -0.125, 0.0, 0.25, 1.0, 2.0, 4.5, 20.0)
"""Where the file checks itself: whole eighths, the same number in every dtype."""

_STEPS = (0.0, 0.25, -0.5, 0.5, -0.25)
"""β at those points in turn: its start, rounded to an eighth, plus these."""

_LARGEST = 1e12
_HELD = 1e-10
"""A point is left out where a number is larger, or where plain float64 misses it by more than this."""


class Reference:
    """f, f′ and the derivatives by β at a dozen points, computed by arithmetic of growing precision."""

    def __init__(self, function: ExportedFunction) -> None:
        self.function = function
        self.betas = tuple(function.betas)

    @cached_property
    def value_rows(self) -> list[tuple[float, ...]]:
        """Rows of x, each β, gain · f."""
        return self._rows([self.function.expression])

    @cached_property
    def gradient_rows(self) -> list[tuple[float, ...]]:
        """Rows of x, each β, gain · f, its derivative by x and by each β; kinks as `actsearch.derivative` says."""
        expression = self.function.expression
        return self._rows([expression, *(expression.derivative(name) for name in ("x", *self.betas))])

    def _rows(self, expressions: Sequence[Expression]) -> list[tuple[float, ...]]:
        rows = []
        for index, x in enumerate(POINTS):
            betas = {name: self._beta(name, index + k) for k, name in enumerate(self.betas)}
            numbers = self._numbers(expressions, x, betas)
            if numbers is not None:
                rows.append((x, *betas.values(), *numbers))
        if not rows:
            raise ExpressionError(
                f"{self.function.text[:60]!r} has no finite value and slope that float64 holds at any of "
                f"{len(POINTS)} points from {POINTS[0]:g} to {POINTS[-1]:g}; nothing to export"
            )
        return rows

    def _beta(self, name: str, index: int) -> float:
        return round(self.function.betas[name] * 8) / 8 + _STEPS[index % len(_STEPS)]

    def _numbers(self, expressions: Sequence[Expression], x: float, betas: dict[str, float]) -> list[float] | None:
        numbers = []
        gain = mpmath.mpf(self.function.gain)
        for expression, exact in zip(expressions, values(expressions, x, betas), strict=True):
            if isinstance(exact, NumericError) or abs(exact) > _LARGEST:
                return None
            plain = float(expression.values(x, **{n: v for n, v in betas.items() if n in expression.initial}))
            if not np.isclose(plain, float(exact), rtol=_HELD, atol=_HELD / 1000):
                return None
            numbers.append(float(gain * exact))
        return numbers


def table(rows: Sequence[tuple[float, ...]], number: Callable[[float], str] = "{:.12g}".format) -> list[str]:
    """The rows as lines of a Python tuple of tuples: inputs as they are, results to twelve digits."""
    return [f"    ({', '.join(number(v + 0.0) for v in row)})," for row in rows]
