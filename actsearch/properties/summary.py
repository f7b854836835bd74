"""A function's properties at β's initial values, each with where it is.

Everything is found numerically and refined; what shows no clear pattern is said to be undetermined.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
import sympy

from actsearch import exact
from actsearch.errors import NumericError
from actsearch.exact import conditioning
from actsearch.expression import Expression, X
from actsearch.properties.asymptotes import Asymptote, asymptote
from actsearch.properties.gain import Gain, gain
from actsearch.properties.signs import UNDEFINED, WINDOW, Piece, pieces, reach

Interval = tuple[float, float]
"""Start and end, equal for a point, infinite where it has no end."""

_H = 1e-9
_MOST_POINTS = 40
"""Kinks and singular points looked at, the nearest to 0 first."""


@dataclass(frozen=True)
class Extremum:
    """The least or greatest value.

    Attributes:
        kind: "attained", "approached" towards an end of the line, "unbounded", or "window": only within ±`WINDOW`.
        value: the value; ±inf where unbounded.
        where: points and intervals where it is attained, the nearest to 0 first, or the one place where it is
            approached: a jump, or (±inf, ±inf). (±inf, ±inf) also says: attained again and again beyond ±`WINDOW`.
        open_ends: ends of intervals of `where` that do not belong to them: sign(x) is -1 for x < 0.
    """

    kind: Literal["attained", "approached", "unbounded", "window"]
    value: float
    where: tuple[Interval, ...] = ()
    open_ends: tuple[float, ...] = ()


@dataclass(frozen=True)
class Kink:
    """A point where a derivative jumps or is infinite.

    Attributes:
        x: where.
        order: the least order of a derivative that is not continuous there; 0: the function itself jumps.
        infinite: whether that derivative is unbounded there.
    """

    x: float
    order: int
    infinite: bool


@dataclass(frozen=True)
class Properties:
    """A function's properties.

    Attributes:
        limits: towards -∞ and ∞.
        zeros: points and intervals, from left to right.
        slopes: the pieces on which the derivative keeps its sign.
        minimum: the least value.
        maximum: the greatest value.
        lipschitz: sup |f′|; inf where there is no bound, NaN where none is known.
        steepest: where |f′| is that large, ±inf where it is approached there.
        kinks: in the window, from left to right.
        poles: points near which the function has no bound.
        undefined: intervals without a real value.
        gain: scale for standard normal input.
        defined_ends: ends of `undefined` that have a value after all: sqrt(x) is undefined for x < 0.
    """

    limits: tuple[Asymptote, Asymptote]
    zeros: tuple[Interval, ...]
    slopes: tuple[Piece, ...]
    minimum: Extremum
    maximum: Extremum
    lipschitz: float
    steepest: float
    kinks: tuple[Kink, ...]
    poles: tuple[float, ...]
    undefined: tuple[Interval, ...]
    gain: Gain
    defined_ends: tuple[float, ...] = ()


def properties(expression: Expression) -> Properties:
    """The properties of a function; about 0.3 s for a short formula.

    Args:
        expression: best the canonical form, at whose initial β everything holds.
    """
    slope = expression.derivative()
    special = _special_points(expression)
    poles = tuple(p for p in special if _grows(expression, p, 1) or _grows(expression, p, -1))
    kinks = _kinks(expression, [p for p in special if p not in poles])
    breaks = (*poles, *(k.x for k in kinks if k.order == 0))
    signs = pieces(expression, breaks)
    undefined = [(p.start, p.end) for p in signs if p.sign == UNDEFINED and p.start < p.end]
    slopes = [p for p in pieces(slope, breaks) if p.sign != UNDEFINED and (p.start < p.end or p.sign)]
    slopes = [p for p in slopes if not any(a <= p.start and p.end <= b for a, b in undefined)]
    limits = (asymptote(expression, -1), asymptote(expression, 1))
    steepest, lipschitz = _lipschitz(slope, slopes, kinks, poles, limits)
    return Properties(
        limits=limits,
        zeros=tuple(_zeros(expression, signs, slopes, poles)),
        slopes=tuple(_merged(slopes, breaks)),
        minimum=_extremum(expression, -1, slopes, kinks, poles, limits),
        maximum=_extremum(expression, 1, slopes, kinks, poles, limits),
        lipschitz=lipschitz,
        steepest=steepest,
        kinks=kinks,
        poles=poles,
        undefined=tuple(undefined),
        gain=gain(expression, slope, {p: _order(expression, p) for p in poles}),
        defined_ends=tuple(e for i in undefined for e in i if np.isfinite(e) and _is_defined(expression, e)),
    )


def _special_points(expression: Expression) -> list[float]:
    """Where a piece switches, or what is divided by, rooted or logged is 0: kinks and poles are among them."""
    points = set(conditioning.kinks(expression, bound=WINDOW))
    for power in expression.expr.atoms(sympy.Pow):
        if not power.exp.is_nonnegative or not power.exp.is_integer:
            points.update(_roots(Expression(power.base, expression.initial)))
    for log in expression.expr.atoms(sympy.log):
        points.update(_roots(Expression(log.args[0], expression.initial)))
    left, right = reach(expression)
    return sorted(sorted((p for p in points if left <= p <= right), key=abs)[:_MOST_POINTS])


def _roots(expression: Expression) -> Iterable[float]:
    if X not in expression.expr.free_symbols or expression.expr.is_positive:
        return []
    found = pieces(expression)
    return [p.end for p in found[:-1] if abs(p.end) <= WINDOW]


def _value(expression: Expression, x: float) -> float | None:
    try:
        return float(exact.value(expression, x, digits=20))
    except NumericError:
        return None


def _near(expression: Expression, x: float, step: float) -> list[float] | None:
    """Values at three points ever nearer to x, from one side; None where one is missing."""
    values = [_value(expression, x + step * max(1.0, abs(x)) * f) for f in (1, 0.1, 0.01)]
    return None if any(v is None for v in values) else [v for v in values if v is not None]


def _grows(expression: Expression, x: float, side: int) -> int:
    """1 or -1 where the function grows without bound towards x from that side, up or down; else 0."""
    step = _H if abs(x) > 1e-3 or x == 0 else 1e-4 * abs(x)
    values = _near(expression, x, side * step)
    if values is None:
        return 0
    a, b, c = map(abs, values)
    is_power = c > 2 * b > 4 * a > 0  # however small: beside eps, x**3/(x + eps) begins with 1e-6
    is_slow = c > b > a and c - b > 0.9 * (b - a) and c > 1.02 * a and c > 5
    return int(np.sign(values[2])) if is_power or is_slow else 0


def _order(expression: Expression, pole: float) -> float:
    """k where the function grows like |x - pole|**-k; 0 for a logarithm."""
    step = _H if abs(pole) > 1e-3 or pole == 0 else 1e-4 * abs(pole)
    found = [_near(expression, pole, side * step) for side in (-1, 1)]
    ratios = [abs(values[2] / values[1]) for values in found if values is not None and values[1]]
    return float(np.log10(max(ratios, default=1.0)))


def _is_defined(expression: Expression, x: float) -> bool:
    """Whether the function has a value at x; where x is rounded, whether it has a limit from one side."""
    if x == round(x, 9):
        return _value(expression, x) is not None
    return any(_near(expression, x, side * _H) and not _grows(expression, x, side) for side in (-1, 1))


def _kinks(expression: Expression, points: Sequence[float]) -> tuple[Kink, ...]:
    derivatives = [expression]
    for _ in range(3):
        if sympy.count_ops(derivatives[-1].expr) < 300:
            derivatives.append(derivatives[-1].derivative())
    found = []
    for x in points:
        for order, derivative in enumerate(derivatives):
            infinite = bool(order and (_grows(derivative, x, 1) or _grows(derivative, x, -1)))
            if infinite or _jumps(derivative, x):
                found.append(Kink(x, order, infinite))
                break
    return tuple(found)


def _jumps(expression: Expression, x: float) -> bool:
    right, left = _near(expression, x, _H), _near(expression, x, -_H)
    if right is None or left is None:
        return False
    gaps = [abs(a - b) for a, b in zip(right, left, strict=True)]
    return gaps[2] > 1e-9 * (1 + abs(right[2])) and gaps[2] > 0.5 * gaps[0]


def _zeros(
    expression: Expression, signs: Sequence[Piece], slopes: Sequence[Piece], poles: Sequence[float]
) -> list[Interval]:
    found = {(p.start, p.end) for p in signs if p.sign == 0}
    edges = {a.end for a, b in pairwise(signs) if a.sign * b.sign == -1}
    edges |= {p.end for p in slopes[:-1]}
    for x in edges - set(poles):
        inside = any(a <= x <= b for a, b in found)
        if np.isfinite(x) and not inside and _is_zero(expression, x):
            found.add((x, x))
    return sorted(found)


def _is_zero(expression: Expression, x: float) -> bool:
    step = 1e-7 * max(1.0, abs(x))
    here, left, right = np.abs(expression.values([x, x - step, x + step]))
    return bool(here <= 1e-5 * min(left, right) or here == 0 or _value(expression, x) == 0)


def _merged(slopes: Sequence[Piece], breaks: Sequence[float]) -> list[Piece]:
    """Neighbours of one sign as one piece: x³ rises through its level point."""
    merged: list[Piece] = []
    for piece in slopes:
        last = merged[-1] if merged else None
        if last and last.sign == piece.sign and last.end == piece.start and last.end not in breaks:
            merged[-1] = Piece(last.start, piece.end, piece.sign)
        else:
            merged.append(piece)
    return merged


def _extremum(
    expression: Expression,
    sign: int,
    slopes: Sequence[Piece],
    kinks: Sequence[Kink],
    poles: Sequence[float],
    limits: tuple[Asymptote, Asymptote],
) -> Extremum:
    """The greatest value (sign 1) or the least (-1)."""
    ends = [sign * (end.high if sign > 0 else end.low) for end in limits]
    if np.inf in ends or any(_grows(expression, p, side) == sign for p in poles for side in (1, -1)):
        return Extremum("unbounded", sign * np.inf)
    edges = {e for p in slopes for e in (p.start, p.end)} | {k.x for k in kinks}
    edges = {e for e in edges if np.isfinite(e)}
    x = np.array([*edges, *np.linspace(*reach(expression), 2001), 0.0])
    values = sign * expression.values(x)
    x, values = x[np.isfinite(values)], values[np.isfinite(values)]
    best = float(values.max()) if values.size else -np.inf
    room = 1e-12 * max(1.0, abs(best))
    jumps = [(sign * v, k.x) for k in kinks if k.order == 0 for v in _one_sided(expression, k.x)]
    highest, at = max(jumps, default=(-np.inf, 0.0))
    if highest > best + 1e-9 * max(1.0, abs(best)) and highest >= max(e for e in (*ends, -np.inf) if not np.isnan(e)):
        return Extremum("approached", sign * highest + 0.0, ((at, at),))
    for side, end, limit in zip((-1, 1), ends, limits, strict=True):
        if end > best + room and limit.kind in ("converges", "oscillates"):
            kind: Literal["approached", "attained"] = "approached" if limit.kind == "converges" else "attained"
            return Extremum(kind, sign * end + 0.0, ((side * np.inf, side * np.inf),))
    # A function that only approaches its limit may equal it in float64.
    level = [(p.start, p.end) for p in slopes if p.sign == 0]
    for side, end in zip((-1, 1), ends, strict=True):
        if abs(end - best) <= room and not any(abs(sign * v - best) <= room for v in _at(expression, edges, level)):
            return Extremum("approached", sign * end + 0.0, ((side * np.inf, side * np.inf),))
    known = all(limit.kind not in ("undetermined", "unbounded") for limit in limits)
    best_x = x[values >= best - room]
    turning = best_x[np.isin(best_x, list(edges))]
    where = _where(expression, sign, best, room, turning if turning.size else best_x[:1], level)
    ends_of_where = {e for i in where if i[0] < i[1] for e in i if np.isfinite(e)}
    open_ends = tuple(
        k.x
        for k in kinks
        if k.order == 0 and k.x in ends_of_where and abs(sign * float(expression.values(k.x)) - best) > room
    )
    return Extremum("attained" if known else "window", sign * best + 0.0, where, open_ends)


def _one_sided(expression: Expression, x: float) -> list[float]:
    """The limits from the left and the right, where they exist."""
    return [values[2] for step in (-_H, _H) if (values := _near(expression, x, step)) is not None]


def _at(expression: Expression, edges: Iterable[float], level: Sequence[Interval]) -> npt.NDArray[np.float64]:
    return expression.values([*edges, *map(_inside, level)])


def _inside(interval: Interval) -> float:
    """A point in the interior: where one piece gives way to another, the function may have a value of its own."""
    start, end = max(interval[0], -1e3), min(interval[1], 1e3)
    return (start + end) / 2


def _where(
    expression: Expression,
    sign: int,
    best: float,
    room: float,
    points: npt.NDArray[np.float64],
    level: Sequence[Interval],
) -> tuple[Interval, ...]:
    """Level intervals of that value, and points outside of them; of neighbours the one that counts is the best."""
    found = [(a, b) for a, b in level if abs(sign * expression.values(_inside((a, b))) - best) <= room]
    for x in sorted(map(float, points), key=abs):
        if not any(a - 1e-6 <= x <= b + 1e-6 for a, b in found):
            found.append((x, x))
    return tuple(sorted(found, key=lambda i: min(abs(i[0]), abs(i[1]))))


def _lipschitz(
    slope: Expression,
    slopes: Sequence[Piece],
    kinks: Sequence[Kink],
    poles: Sequence[float],
    limits: tuple[Asymptote, Asymptote],
) -> tuple[float, float]:
    """Where |f′| is largest, and its supremum there."""
    for k in kinks:
        if k.order == 0 or (k.order == 1 and k.infinite):
            return k.x, np.inf
    if poles:
        return poles[0], np.inf
    found = [_steepest(slope, kinks)]
    for side, limit in zip((-1, 1), limits, strict=True):
        if limit.kind == "undefined":
            continue
        end = asymptote(slope, side)
        if end.kind == "undetermined":
            return np.nan, np.nan
        size = np.inf if end.kind == "unbounded" else max(abs(end.low), abs(end.high))
        if np.isinf(size) or size > found[-1][1] * (1 + 1e-9):
            found.append((side * np.inf, size))
    return max(found, key=lambda pair: pair[1])


def _steepest(slope: Expression, kinks: Sequence[Kink]) -> tuple[float, float]:
    """The largest |f′| on a grid and beside each kink, refined between the grid's points."""
    near = np.geomspace(1e-8, WINDOW, 400)
    beside = [k.x + s * 1e-12 * max(1.0, abs(k.x)) for k in kinks for s in (-1, 1)]
    left, right = reach(slope)
    x = np.unique(np.concatenate([-near, np.linspace(-WINDOW, WINDOW, 4001), near, beside]))
    x = x[(left <= x) & (x <= right)]
    sizes = np.abs(slope.values(x))
    sizes = np.where(np.isfinite(sizes), sizes, 0)
    ties = np.flatnonzero(sizes >= sizes.max() * (1 - 1e-13))
    i = int(ties[np.argmin(np.abs(x[ties]))])
    low, high = x[max(i - 1, 0)], x[min(i + 1, len(x) - 1)]
    for _ in range(5):
        inner = np.linspace(low, high, 201)
        values = np.abs(slope.values(inner))
        values = np.where(np.isfinite(values), values, 0)
        j = int(np.argmax(values))
        low, high = inner[max(j - 1, 0)], inner[min(j + 1, 200)]
    return (float(inner[j]), float(values[j])) if values[j] > sizes[i] else (float(x[i]), float(sizes[i]))
