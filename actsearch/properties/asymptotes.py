"""What a function does towards ±∞, from exact values at points ever further out.

No algebra: the points lie in groups up to 1e256, and what they show is taken for what follows. A function that does
something else further out is misjudged; one whose values fit no pattern is said to be undetermined.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import mpmath
import numpy as np

from actsearch import exact
from actsearch.errors import NumericError, UndefinedError
from actsearch.expression import Expression

_SCALES = (1.0, 2.5, 5.0, 12.0, 30.0, 100.0, 300.0, 1e3, 1e4, 1e6, 1e8, 1e16, 1e32, 1e64, 1e128, 1e256)
_OFFSETS = (1.0, 1.138, 1.291, 1.414, 1.577, 1.732, 1.893)
"""Points of a group, as multiples of its scale: irregular, so that no period meets them all alike."""

Kind = Literal["converges", "to infinity", "oscillates", "unbounded", "undefined", "undetermined"]


@dataclass(frozen=True)
class Asymptote:
    """What a function does towards one end of the line.

    Attributes:
        kind: "to infinity" has a sign, "oscillates" stays between two values, "unbounded" oscillates without bound.
        low: the limit, ±inf, or the lower bound of what oscillates; NaN where there is none.
        high: the same as `low`, or the upper bound.
    """

    kind: Kind
    low: float = float("nan")
    high: float = float("nan")


def asymptote(expression: Expression, side: int) -> Asymptote:
    """The behaviour for x → side·∞, side being 1 or -1, at β's initial values."""
    groups, undefined = _groups(expression, side)
    if undefined:
        return Asymptote("undefined")
    if len(groups) < 3:
        return Asymptote("undetermined")
    low, high = [min(g) for g in groups], [max(g) for g in groups]
    bottom, top = _trend(low), _trend(high)
    if bottom is not None and top is not None and _close(bottom, top):
        return Asymptote("to infinity" if np.isinf(bottom) else "converges", bottom, bottom)
    return _oscillation(expression, side, groups)


def _groups(expression: Expression, side: int) -> tuple[list[list[mpmath.mpf]], bool]:
    """Values of each group that has all of them, and whether the function has no real values out there."""
    groups: list[list[mpmath.mpf]] = []
    for scale in _SCALES:
        values = []
        for offset in _OFFSETS:
            try:
                values.append(exact.value(expression, side * scale * offset, digits=20))
            except UndefinedError:
                return groups, not groups
            except NumericError:
                return groups, False
        groups.append(values)
    return groups, False


def _trend(values: Sequence[mpmath.mpf]) -> float | None:
    """The limit of a sequence, ±inf where it grows for good, None where neither shows."""
    last = values[-1]
    if all(v == last for v in values[-3:]):
        return float(last)
    steps = [b - a for a, b in pairwise(values[-4:])]
    sizes = [abs(s) for s in steps]
    settled = 1e-13 * max(abs(last), mpmath.mpf("1e-30"))
    if max(sizes[-2:]) <= settled:
        return _rounded(last)
    if all(s > 0 for s in steps) or all(s < 0 for s in steps):
        if all(b >= 0.98 * a for a, b in pairwise(sizes)) and abs(last) > abs(values[0]):
            return float("inf") if steps[-1] > 0 else float("-inf")
        if all(b <= 0.7 * a for a, b in pairwise(sizes)):
            ratio = sizes[-1] / sizes[-2]
            return _rounded(last + steps[-1] * ratio / (1 - ratio), error=sizes[-1])
    if all(abs(b) <= 0.7 * abs(a) for a, b in pairwise(values[-4:])):
        return 0.0
    return None


def _rounded(value: mpmath.mpf, error: mpmath.mpf | float = 0.0) -> float:
    """The value as a float, 0 where it is below its own error or next to nothing."""
    return 0.0 if abs(value) <= max(float(error), 1e-13) else float(value)


def _close(a: float, b: float) -> bool:
    return a == b or (np.isfinite(a) and abs(a - b) <= 1e-9 * max(1.0, abs(a)))


def _oscillation(expression: Expression, side: int, groups: Sequence[Sequence[mpmath.mpf]]) -> Asymptote:
    """What turns up and down out there: bounded, or growing with x."""
    sizes = [max(abs(v) for v in group) for group in groups]
    turns = any(sign > 0 for group in groups[-3:] for sign in _turns(group))
    if not turns:
        return Asymptote("undetermined")
    if sizes[-1] > 2 * sizes[-2] > 4 * sizes[-3]:
        falls, rises = min(groups[-1]) < 2 * min(groups[-2]) < 0, max(groups[-1]) > 2 * max(groups[-2]) > 0
        return Asymptote("unbounded", -np.inf if falls else np.nan, np.inf if rises else np.nan)
    values = expression.values(side * np.linspace(1e6, 1.01e6, 400_001))
    size = np.abs(values)
    if not np.isfinite(values).all() or max(sizes[-3:]) > 1.01 * float(size.max()) + 1e-9:
        return Asymptote("undetermined")
    if size.max() > 100 * np.quantile(size, 0.9):
        return Asymptote("unbounded", -np.inf if -values.min() > size.max() / 10 else np.nan, np.inf)
    return Asymptote("oscillates", _neat(float(values.min())), _neat(float(values.max())))


def _turns(values: Sequence[mpmath.mpf]) -> list[int]:
    steps = [b - a for a, b in pairwise(values)]
    return [int(a * b < 0) for a, b in pairwise(steps)]


def _neat(value: float) -> float:
    """The extremes of a dense sample lie a little inside: within 5e-6 of a number of four digits, that is meant."""
    return round(value, 4) + 0.0 if abs(value - round(value, 4)) < 5e-6 else value
