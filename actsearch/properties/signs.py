"""Where a function is positive, negative, zero and undefined, on the whole real line.

Signs are those of float64 where its rounding cannot have changed them, and else of the exact value. Between two points
of the grid a function may do what no point shows: two zeros closer than 0.01 are missed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt
import sympy

from actsearch import exact
from actsearch.errors import NumericError, UndefinedError
from actsearch.exact.conditioning import conditioning
from actsearch.expression import Expression, X
from actsearch.functions import sinc, sinc_slope

WINDOW = 20.0
"""Within [-20, 20] every 0.01 is looked at."""

_FAR = np.geomspace(WINDOW, 1e6, 200)[1:]
_NEAR = np.geomspace(1e-8, 1e-2, 60)
_MOST_FAR_CHANGES = 3
"""A function that changes sign more often beyond the window is taken to go on like that, and not followed there."""

_LOST = 1e-150
"""A function that comes as near to 0 as this, and is then 0 as far as can be computed, is taken never to reach it."""

UNDEFINED = 2
_UNKNOWN = 3

_Run = tuple[float, float, int]
"""The first and last point of neighbours that share a sign, and the sign."""


@dataclass(frozen=True)
class Piece:
    """An interval on which the function keeps one sign; one point where start is end.

    Attributes:
        start: the left end, -inf where it has none.
        end: the right end.
        sign: -1, 0, 1, or `UNDEFINED` where the function has no real value.
    """

    start: float
    end: float
    sign: int


def pieces(expression: Expression, breaks: Sequence[float] = ()) -> list[Piece]:
    """The real line from left to right, cut where the function's sign changes and at each of `breaks`.

    Ends are good to about 1e-12, relative beyond 1. A function that keeps changing its sign beyond the window is
    followed to its `reach` only. β have their initial values.
    """
    left, right = reach(expression)
    breaks = [b for b in breaks if left <= b <= right]
    grid = np.unique(np.concatenate([_grid(left, right), *(_around(b) for b in breaks)]))
    points, signs = _resolved(expression, grid)
    points, signs, ends = _within(points, signs, left, right)
    runs = [
        (points[group[0]], points[group[-1]], int(signs[group[0]]))
        for group in (
            list(g) for _, g in groupby(range(len(points)), key=lambda i: (signs[i], _side(float(points[i]), breaks)))
        )
    ]
    runs = _without_lost_tails(expression, runs)
    borders = _borders(expression, runs, breaks)
    found = []
    for (low, high, sign), left, right in zip(runs, [ends[0], *borders], [*borders, ends[1]], strict=True):
        if sign == 0 and low == high and np.isfinite(left) and np.isfinite(right):
            left = right = low
        found.append(Piece(float(left), float(right), sign))
    return _meeting(found)


def reach(expression: Expression) -> tuple[float, float]:
    """How far to the left and to the right the function is followed: ±`WINDOW`, or less where it turns too fast.

    2,000 points to each side must take every sin and cos through less than half a radian a step.
    """
    x = np.linspace(WINDOW / 2000, WINDOW, 2000)
    ends = []
    for side in (-1, 1):
        slow = np.ones(x.shape, dtype=bool)
        for call in expression.expr.atoms(sympy.sin, sympy.cos, sinc, sinc_slope):
            if X in call.free_symbols:
                phase = Expression(call.args[0], expression.initial)
                slow &= ~(np.abs(phase.derivative().values(side * x)) * x / 2000 > 0.5 + 1e-9)
        ends.append(side * (WINDOW if slow.all() else float(x[max(int(np.argmin(slow)) - 1, 0)])))
    return ends[0], ends[1]


def _grid(left: float, right: float) -> npt.NDArray[np.float64]:
    near = [-_NEAR[-left >= _NEAR], _NEAR[right >= _NEAR]]
    far = [-_FAR] * (left == -WINDOW) + [_FAR] * (right == WINDOW)
    return np.concatenate([np.linspace(left, 0, 2001), np.linspace(0, right, 2001), *near, *far])


def _around(point: float) -> npt.NDArray[np.float64]:
    step = 1e-10 * max(1.0, abs(point))
    return np.array([point - step, point, point + step])


def _side(point: float, breaks: Sequence[float]) -> float:
    return sum(point > b for b in breaks) + 0.5 * (point in breaks)


def exact_sign(expression: Expression, x: float) -> int:
    """-1, 0 or 1; `UNDEFINED` where there is no real value, `_UNKNOWN` where no arithmetic holds it."""
    try:
        value = exact.value(expression, float(x), digits=15)
    except UndefinedError:
        return UNDEFINED
    except NumericError:
        return _UNKNOWN
    return int(value > 0) - int(value < 0)


def _resolved(
    expression: Expression, grid: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int_]]:
    """Points with their signs; of a stretch that float64 leaves open at most 24 are kept, and those exactly."""
    values = expression.values(grid)
    with np.errstate(all="ignore"):
        certain = np.abs(values) > np.asarray(conditioning(expression, grid).room, dtype=np.float64)
    signs = np.where(certain, np.sign(values), 0).astype(int)
    keep = certain.copy()
    for is_certain, group in groupby(range(len(grid)), key=lambda i: bool(certain[i])):
        if not is_certain:
            stretch = list(group)
            for i in {stretch[round(k)] for k in np.linspace(0, len(stretch) - 1, min(len(stretch), 24))}:
                signs[i] = exact_sign(expression, grid[i])
                keep[i] = signs[i] != _UNKNOWN
    points, signs = grid[keep], signs[keep]
    alone = (signs[:-2] == UNDEFINED) & (signs[2:] == UNDEFINED)  # x**x has values at -1, -2, … alone
    signs[1:-1][alone] = UNDEFINED
    return points, signs


def _within(
    points: npt.NDArray[np.float64], signs: npt.NDArray[np.int_], start: float, end: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int_], tuple[float, float]]:
    """The points that are followed, and the ends of the line: infinite, or the window's."""
    changes = np.diff(signs) != 0
    left = start > -WINDOW or np.count_nonzero(changes & (points[:-1] < -WINDOW)) > _MOST_FAR_CHANGES
    right = end < WINDOW or np.count_nonzero(changes & (points[1:] > WINDOW)) > _MOST_FAR_CHANGES
    keep = ~((points < -WINDOW) & left) & ~((points > WINDOW) & right)
    return points[keep], signs[keep], (start if left else -np.inf, end if right else np.inf)


def _without_lost_tails(expression: Expression, runs: list[_Run]) -> list[_Run]:
    """The runs; zeros at an end, next to values too small for any arithmetic, take their neighbour's sign."""
    for end, inner in ((0, 1), (-1, -2)):
        if len(runs) < 2 or runs[end][2] != 0:
            continue
        low, high, sign = runs[inner]
        kept, lost = (high, runs[end][0]) if end == -1 else (low, runs[end][1])
        for _ in range(10):
            middle = (kept + lost) / 2
            kept, lost = (middle, lost) if exact_sign(expression, middle) == sign else (kept, middle)
        if abs(kept) > 5 and sign in (-1, 1) and abs(exact.value(expression, kept, digits=15)) < _LOST:
            runs[inner] = (runs[end][0], high, sign) if end == 0 else (low, runs[end][1], sign)
            del runs[end]
    return runs


def _borders(expression: Expression, runs: Sequence[_Run], breaks: Sequence[float]) -> list[float]:
    """Where each run gives way to the next one."""
    low = np.array([run[1] for run in runs[:-1]])
    high = np.array([run[0] for run in runs[1:]])
    signs = np.array([run[2] for run in runs[:-1]])
    if not low.size:
        return []
    left, right = low.copy(), high.copy()
    for _ in range(70):
        middle = (left + right) / 2
        values = np.sign(expression.values(middle))
        same = np.where(signs == UNDEFINED, np.isnan(values), values == signs)
        left, right = np.where(same, middle, left), np.where(same, right, middle)
    return [_settled(expression, *border, breaks) for border in zip(low, high, signs, left, strict=True)]


def _settled(
    expression: Expression, low: float, high: float, sign: int, found: float, breaks: Sequence[float]
) -> float:
    """The border that bisection in float64 found, or the exact one where rounding misled it."""
    for b in breaks:
        if low <= b <= high:
            return b
    for neat in (0.0, round(found, 9)):
        if abs(found - neat) < 1e-7 and low <= neat <= high and _is_border(expression, neat):
            return neat
    step = 1e-12 * max(1.0, abs(found))
    if exact_sign(expression, max(low, found - step)) == sign != exact_sign(expression, min(high, found + step)):
        return float(found)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if exact_sign(expression, middle) == sign else (low, middle)
    return float(high) if abs(high) > 1e-14 else 0.0


def _is_border(expression: Expression, x: float) -> bool:
    """Whether the function is 0 at x, or undefined but has a value right beside it."""
    here = exact_sign(expression, x)
    step = 1e-12 * max(1.0, abs(x))
    beside = (exact_sign(expression, x + s) for s in (-step, step))
    return here == 0 or (here == UNDEFINED and any(sign != UNDEFINED for sign in beside))


def _meeting(found: Sequence[Piece]) -> list[Piece]:
    """The pieces without those of no length that a single zero point left, except where it is a zero of its own."""
    return list(_joined(p for p in found if p.start < p.end or p.sign == 0))


def _joined(found: Iterator[Piece]) -> Iterator[Piece]:
    last: Piece | None = None
    for piece in found:
        if last is not None and piece.start > last.end:
            piece = Piece(last.end, piece.end, piece.sign)
        elif last is not None and last.end > piece.start:
            piece = Piece(last.end, max(piece.end, last.end), piece.sign)
        if last is not None:
            yield last
        last = piece
    if last is not None:
        yield last
