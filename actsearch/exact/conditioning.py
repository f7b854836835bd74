"""How far rounding can move a computed value: first-order bounds over the nodes of its computation.

Every operation rounds its result, and the error reaches the end result through the derivative by that node. So
C = Σ |∂g/∂node · node| bounds the relative roundings and A = Σ |∂g/∂node| what falls below the smallest normal number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import sympy

from actsearch.exact.node_rules import Array, evaluate, rule, switches
from actsearch.expression import Expression
from actsearch.functions import sinc, sinc_slope
from actsearch.graph import Node, graph

LARGEST_PHASE = MappingProxyType({"float64": 1e15, "float32": 2e6})
"""sin and cos of a larger argument are ill-conditioned: the dtype keeps less than a digit of its phase."""

ACCURACY = MappingProxyType({"float64": 1e-12, "float32": 1e-5})
"""The relative accuracy that is asked of every operation."""

GRID = (0.0, 1e-8, -1e-8, 1.0, -1.0, 20.0, -20.0, 100.0, -100.0)
"""Inputs that every formula is judged on, besides its kinks."""


@dataclass(frozen=True)
class Conditioning:
    """Bounds of one quantity at some points; all arrays have the points' shape.

    Attributes:
        relative: C, to be multiplied by a relative accuracy.
        absolute: A, at least 1, to be multiplied by the smallest normal number.
        room: the error that they allow, `ACCURACY` · C + tiny · A.
        overflows: where an intermediate leaves the dtype's range.
        ill_conditioned: where sin or cos get an argument above `LARGEST_PHASE`.
    """

    relative: Array
    absolute: Array
    room: Array
    overflows: npt.NDArray[np.bool_]
    ill_conditioned: npt.NDArray[np.bool_]


def conditioning(
    expression: Expression,
    x: npt.ArrayLike,
    betas: Mapping[str, npt.ArrayLike] = MappingProxyType({}),
    *,
    dtype: npt.DTypeLike = np.float64,
    known: Mapping[sympy.Expr, Array] | None = None,
) -> Conditioning:
    """The bounds of f at x; of a gradient where f is `Expression.derivative`.

    The nodes are the distinct subexpressions that are computed: inputs and numbers have no error of their own. A sum
    counts with Σ |term| and a product with every factor beyond 1, as their partial results may, in whatever order.
    A sum that cancels to less than its own rounding error is also tried at the size of that error, or what follows
    it, its square say, would seem exact.

    Args:
        expression: the quantity.
        x: points, any shape.
        betas: β by name, broadcast against x; those not given take their initial value.
        dtype: whose range and accuracy count, float32 or float64.
        known: exact values of every subexpression, where those of extended precision will not do.

    Returns:
        Bounds in extended precision; infinite or NaN where even that overflows.
    """
    nodes = _nodes(expression.expr)
    inputs = _inputs(expression, x, betas, np.longdouble)
    nothing = np.zeros(inputs["x"].shape, np.longdouble)
    line = evaluate(nodes, inputs) if known is None else [known[node.expr] for node in nodes]
    dtype = np.dtype(dtype)
    with np.errstate(all="ignore"):
        bounds = _bounds(nodes, line, nothing)
        blurred = _blurred(nodes, line, ACCURACY[dtype.name])
        if any(a is not b for a, b in zip(line, blurred, strict=True)):
            bounds = np.fmax(bounds, _bounds(nodes, blurred, nothing))
        args = [[line[i] for i in node.args] for node in nodes]
        sizes = [size(*each) for each in zip(nodes, line, args, strict=True) for size in (_size, _reach)]
        phases = [_phase(*each) for each in zip(nodes, line, args, strict=True)]
        largest = np.max(np.broadcast_arrays(nothing, *sizes), axis=0)
        overflows = ~(largest <= np.finfo(dtype).max) | _escapes(nodes, _inputs(expression, x, betas, dtype))
        ill = np.max(np.broadcast_arrays(nothing, *phases), axis=0) > LARGEST_PHASE[dtype.name]
    absolute = np.fmax(1, bounds[1])
    room = ACCURACY[dtype.name] * bounds[0] + np.finfo(dtype).tiny * absolute
    return Conditioning(bounds[0], absolute, room, overflows, ill)


def flags(expression: Expression, dtype: npt.DTypeLike = np.float64) -> tuple[str, ...]:
    """What goes wrong with the function or a first derivative of it somewhere on `GRID` and at its kinks.

    Returns:
        "overflows" where an intermediate leaves the dtype's range, "ill-conditioned" where sin or cos get an argument
        above `LARGEST_PHASE`; at β's initial values. Underflow is neither.
    """
    x = np.array([*GRID, *kinks(expression)])
    quantities = [expression, *(expression.derivative(name) for name in ("x", *expression.initial))]
    found = [conditioning(quantity, x, expression.initial, dtype=dtype) for quantity in quantities]
    overflows = any(c.overflows.any() for c in found)
    ill = any(c.ill_conditioned.any() for c in found)
    return ("overflows",) * overflows + ("ill-conditioned",) * ill


def kinks(
    expression: Expression, betas: Mapping[str, npt.ArrayLike] = MappingProxyType({}), *, bound: float = 100.0
) -> tuple[float, ...]:
    """Where the expression switches pieces in [-bound, bound], rising: zeros of `switches` to float64's last bit.

    Found by sign changes between 2,001 points and by zeros at points, of which neighbours count once, as the one
    nearest to 0. Two zeros between two points are missed.
    """
    halves = np.concatenate([np.geomspace(1e-8, bound, 500), np.linspace(0, bound, 501)[1:]])
    points = np.unique(np.concatenate([-halves, [0], halves]))
    roots: set[float] = set()
    for switch in switches(expression.expr):
        roots.update(_roots(Expression(switch, expression.initial), betas, points))
    return tuple(sorted(roots))


def _roots(switch: Expression, betas: Mapping[str, npt.ArrayLike], points: Array) -> list[float]:
    nodes = _nodes(switch.expr)

    def value(x: Array) -> Array:
        return np.broadcast_to(evaluate(nodes, _inputs(switch, x, betas, np.float64))[-1], x.shape)

    values = value(points)
    signs = np.sign(values)
    changes = np.flatnonzero(signs[:-1] * signs[1:] < 0)
    low, high = points[changes], points[changes + 1]
    for _ in range(80):
        middle = (low + high) / 2
        left = np.sign(value(middle)) == signs[changes]
        low, high = np.where(left, middle, low), np.where(left, high, middle)
    # a change of sign through infinity is no zero
    crossed = low[np.abs(value(low)) <= np.maximum(np.abs(values[changes]), np.abs(values[changes + 1]))]
    zeros = np.flatnonzero(signs == 0)
    runs = np.split(points[zeros], np.flatnonzero(np.diff(zeros) > 1) + 1) if zeros.size else []
    return [*map(float, crossed), *(float(run[np.argmin(np.abs(run))]) for run in runs)]


@lru_cache(maxsize=1024)
def _nodes(expr: sympy.Expr) -> list[Node]:
    return graph([expr])[0]


def _inputs(
    expression: Expression, x: npt.ArrayLike, betas: Mapping[str, npt.ArrayLike], dtype: npt.DTypeLike
) -> dict[str, Array]:
    given = {name: betas.get(name, value) for name, value in expression.initial.items()}
    names = ["x", *given]
    arrays = np.broadcast_arrays(*(np.asarray(value, dtype=dtype) for value in [x, *given.values()]))
    return dict(zip(names, arrays, strict=True))


def _bounds(nodes: Sequence[Node], line: Sequence[Array], nothing: Array) -> Array:
    """C and A: ``(2, *shape)``."""
    slopes = [np.abs(slope) for slope in _adjoints(nodes, line, nothing.shape)]
    total = np.stack([nothing, nothing])
    for node, slope, value in zip(nodes, slopes, line, strict=True):
        if node.args:
            args = [line[i] for i in node.args]
            total += [_times(slope, _size(node, value, args)), _times(slope, _reach(node, value, args))]
    return total


def _blurred(nodes: Sequence[Node], line: Sequence[Array], accuracy: float) -> list[Array]:
    """The values, but sums that cancel below their own rounding error are as large as that."""
    blurred = []
    for node, value in zip(nodes, line, strict=True):
        if node.expr.is_Add:
            error = accuracy * _size(node, value, [line[i] for i in node.args])
            lost = np.abs(value) < error
            value = np.where(lost, np.copysign(error, value), value) if lost.any() else value
        blurred.append(value)
    return blurred


def _adjoints(nodes: Sequence[Node], line: Sequence[Array], shape: tuple[int, ...]) -> list[Array]:
    """The derivative of the last node by each node."""
    slopes = [np.zeros(shape, np.longdouble) for _ in nodes]
    slopes[-1] += 1
    for node, slope, value in zip(reversed(nodes), reversed(slopes), reversed(line), strict=True):
        if not node.args:
            continue
        for i, partial in zip(node.args, rule(node).partials([line[i] for i in node.args], value), strict=True):
            slopes[i] += _times(slope, partial)
    return slopes


def _times(slope: Array, factor: Array) -> Array:
    """Their product; 0 where the slope is 0, however large the factor."""
    return np.where(slope == 0, 0, slope * factor)


def _escapes(nodes: Sequence[Node], inputs: Mapping[str, Array]) -> npt.NDArray[np.bool_]:
    """Where the inputs' own arithmetic leaves its range: a difference that rounds to 0 in a denominator, say."""
    finite = [np.isfinite(value) for value in evaluate(nodes, inputs)]
    return np.asarray(~np.all(np.broadcast_arrays(np.isfinite(inputs["x"]), *finite), axis=0))


@lru_cache(maxsize=4096)
def _is_exact(expr: sympy.Expr) -> bool:
    """Whether it takes a few small values alone, such as 1 - step(u), and so is never rounded."""
    if isinstance(expr, sympy.Heaviside | sympy.sign) or expr.is_Integer:
        return True
    return isinstance(expr, sympy.Add | sympy.Mul | sympy.Max | sympy.Min) and all(map(_is_exact, expr.args))


def _size(node: Node, value: Array, args: Sequence[Array]) -> Array:
    """The largest value that a sum passes through; any other node's own."""
    if _is_exact(node.expr):
        return np.zeros_like(value)
    return np.asarray(sum(np.abs(a) for a in args)) if node.expr.is_Add else np.abs(value)


def _reach(node: Node, value: Array, args: Sequence[Array]) -> Array:
    """What a product may still be multiplied by once one of its partial products has lost its last digits; else 1."""
    if not node.expr.is_Mul:
        return np.ones((), np.longdouble)
    return np.asarray(np.prod([np.fmax(1, np.abs(a)) for a in np.broadcast_arrays(*args)], axis=0))


def _phase(node: Node, value: Array, args: Sequence[Array]) -> Array:
    periodic = isinstance(node.expr, sympy.sin | sympy.cos | sinc | sinc_slope)
    return np.abs(args[0]) if periodic and args else np.zeros((), np.longdouble)
