"""Whether a backend's values and gradients are as exact as rounding allows, against actsearch.exact.

The criterion: |error| <= tol·C + tiny·A (actsearch.exact.conditioning). Where a kink's side is within rounding, a result may
be that of either side. Where an intermediate leaves the dtype's range or a phase is lost, the formula's properties say
so, and nothing else is asked.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt
import sympy
import torch

from actsearch import exact
from actsearch.activation.eager import torch_function
from actsearch.activation.native import native
from actsearch.activation.symbolic import apply_symbolic
from actsearch.errors import InexactError, NumericError
from actsearch.exact.conditioning import ACCURACY, GRID, Conditioning, conditioning, flags, kinks
from actsearch.exact.node_rules import evaluate, rule, switches
from actsearch.expression import Expression
from actsearch.graph import graph

Array = npt.NDArray[np.floating[Any]]
Flags = npt.NDArray[np.bool_]
Truth = Sequence[mpmath.mpf | NumericError]
Backend = Callable[[Expression, Array, Mapping[str, Array]], tuple[Array, Mapping[str, Array]]]
"""f at x and at β of x's shape, in x's dtype, and its gradient by x and by every β, each of x's shape."""

DTYPES: tuple[type[Any], ...] = (np.float64, np.float32)
BETAS = (None, 0.7, 1.3)
"""Every β at its initial value, or all at this."""

MOST_KINKS = 12
"""So many of a formula's kinks, those nearest to 0, join the grid."""

MOST_LOOSE = 4
"""So many kinks of one point that are within rounding are tried on both sides."""


def eager(expression: Expression, x: Array, betas: Mapping[str, Array]) -> tuple[Array, Mapping[str, Array]]:
    """Autograd through the printed torch code, with a β for every element."""
    return autograd(torch_function(expression), x, betas)


def autograd(function: Callable[..., Any], x: Array, betas: Mapping[str, Array]) -> tuple[Array, Mapping[str, Array]]:
    """The value and gradients of a torch function of x and β in order."""
    inputs = {"x": torch.from_numpy(x.copy()), **{n: torch.from_numpy(b.copy()) for n, b in betas.items()}}
    leaves = [t.requires_grad_() for t in inputs.values()]
    value = function(*leaves)
    if not isinstance(value, torch.Tensor) or not value.requires_grad:
        return np.full_like(x, float(value)), {name: np.zeros_like(x) for name in inputs}
    grads = torch.autograd.grad(value.expand(x.shape).sum(), leaves, allow_unused=True, materialize_grads=True)
    by_name = {name: g.numpy() for name, g in zip(inputs, grads, strict=True)}
    return value.detach().expand(x.shape).numpy(), by_name


def symbolic(expression: Expression, x: Array, betas: Mapping[str, Array]) -> tuple[Array, Mapping[str, Array]]:
    """The backend whose gradient is sympy's derivative; every point is a channel, so that each has its own β."""

    def function(x: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        return apply_symbolic(expression, x[None], values, 1.0, 1)[0]

    return autograd(function, x, betas)


def torchs_own(expression: Expression, x: Array, betas: Mapping[str, Array]) -> tuple[Array, Mapping[str, Array]]:
    """Torch's function of a canonical form, for those that have one."""
    function = native(expression)
    assert function is not None
    return autograd(function, x, betas)


def in_numpy(expression: Expression, x: Array, betas: Mapping[str, Array]) -> tuple[Array, Mapping[str, Array]]:
    """`Expression.values` of f and of its derivatives; float64 alone."""
    grads = {name: derivative(expression, name).values(x, **betas) for name in ("x", *betas)}
    return expression.values(x, **betas), grads


@lru_cache(maxsize=64)
def derivative(expression: Expression, name: str) -> Expression:
    """`Expression.derivative`, compiled once."""
    return expression.derivative(name)


BACKENDS: dict[str, Backend] = {"eager": eager, "symbolic": symbolic, "numpy": in_numpy}

BY_PATHS = ("eager",)
"""Backends whose gradient is the chain rule's sum over all paths, whatever terms of it cancel on paper."""

FLOAT64_ALONE = ("numpy",)


@dataclass
class Findings:
    """What a check found.

    Attributes:
        faults: one line for every value or gradient that is not as exact as it must be.
        counts: points of a quantity by what could be asked of them.
    """

    faults: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def check(
    expression: Expression,
    backends: dict[str, Backend],
    *,
    dtypes: Sequence[type[Any]] = DTYPES,
    betas: Sequence[float | None] = BETAS,
    most_kinks: int = MOST_KINKS,
) -> Findings:
    """Compares every backend with the exact values and gradients on the grid; references are computed once.

    Where torch has a function of its own that is compared too.
    """
    findings = Findings()
    for dtype in dtypes:
        reference = Reference(expression, dtype, betas if expression.initial else betas[:1], most_kinks)
        findings.counts += reference.counts()
        lines = [f"{name}: {fault}" for name in reference.quantities for fault in reference.unexplained(name)]
        own = {"native": torchs_own} if native(expression) is not None else {}
        for label, backend in (backends | own).items():
            if dtype is np.float64 or label not in FLOAT64_ALONE:
                value, grads = backend(expression, reference.x, reference.betas)
                for name, actual in {"f": value, **grads}.items():
                    faults = reference.compare(name, actual, by_paths=label in BY_PATHS)
                    lines += [f"{label} {name}: {fault}" for fault in faults]
        findings.faults += [f"{expression} [{dtype.__name__}] {line}" for line in lines]
    return findings


class Solution:
    """Exact values of some expressions and of all their nodes at some points, and the bounds that follow."""

    def __init__(self, roots: Iterable[sympy.Expr], x: Array, betas: Mapping[str, Array]) -> None:
        self.x, self.betas = x, betas
        nodes, _ = graph(roots)
        exprs = [Expression(node.expr) for node in nodes]
        extrema = [node.expr for node in nodes if isinstance(node.expr, sympy.Max | sympy.Min)]
        pairs = [(a, b) for e in extrema for a, b in itertools.permutations(e.args, 2) if a.args or b.args]
        self.pairs = {a - b: [(a, b)] for a, b in pairs}
        dtype = x.dtype.type

        def rounded(number: mpmath.mpf) -> float:  # as torch has it: a Python float, then the dtype
            return float(dtype(float(number)))

        points = [{"x": float(x[i]), **{n: float(b[i]) for n, b in betas.items()}} for i in range(len(x))]
        rows = [exact.values(exprs, p["x"], p, 22, rounding=rounded) for p in points]
        self.truth: dict[sympy.Expr, Truth] = dict(zip((e.expr for e in exprs), zip(*rows, strict=True), strict=True))
        rough = evaluate(nodes, {n: v.astype(np.longdouble) for n, v in {"x": x, **betas}.items()})
        self.known = {
            node.expr: np.array([_extended(v, r) for v, r in zip(self.truth[node.expr], np.broadcast_to(row, x.shape), strict=True)])
            for node, row in zip(nodes, rough, strict=True)
        }  # fmt: skip

    def conditioning(self, expr: sympy.Expr) -> Conditioning:
        return conditioning(Expression(expr), self.x, self.betas, dtype=self.x.dtype, known=self.known)

    def apart(self, difference: sympy.Expr) -> Array:
        """What the two sides of a max or min are rounded by before they meet, though their difference cancels on paper."""
        room = np.zeros(self.x.shape, np.longdouble)
        for a, b in self.pairs.get(difference, ()):
            if {a, b} <= set(difference.args) | {-t for t in difference.args}:
                continue  # nothing has cancelled: the difference's own nodes are these
            size = np.abs(self.known[a]) + np.abs(self.known[b])
            room = room + self.conditioning(a).room + self.conditioning(b).room + ACCURACY[self.x.dtype.name] * size
        return room

    def paths(self, expr: sympy.Expr, name: str) -> Array:
        """The sum of every path's |derivative| by an input: the terms that automatic differentiation adds up."""
        nodes, _ = graph([expr])
        sums = [np.zeros(self.x.shape, np.longdouble) for _ in nodes]
        sums[-1] += 1
        with np.errstate(all="ignore"):
            for node, through in zip(reversed(nodes), reversed(sums), strict=True):
                args = [self.known[nodes[i].expr] for i in node.args]
                partials = rule(node).partials(args, self.known[node.expr]) if args else ()
                for i, partial in zip(node.args, partials, strict=True):
                    sums[i] += np.where(through == 0, 0, through * np.abs(partial))
        found = [s for n, s in zip(nodes, sums, strict=True) if n.expr.is_Symbol and n.expr.name == name]
        return found[0] if found else np.zeros(self.x.shape, np.longdouble)


@dataclass
class Quantity:
    """f or one derivative at all points: the exact result, between both sides of a kink within rounding."""

    expr: sympy.Expr
    truth: Truth
    low: Array
    high: Array
    room: Array
    room_by_paths: Array
    excused: Flags


class Reference:
    """What f and its first derivatives must be, in one dtype, at the grid and the kinks for each choice of β.

    Attributes:
        x: the points, ``(points,)``.
        betas: β by name at every point, ``(points,)`` each.
        quantities: "f", "x" for the derivative by x, and every β's name.
    """

    def __init__(
        self, expression: Expression, dtype: type[Any], choices: Sequence[float | None], most_kinks: int
    ) -> None:
        self.expression = expression
        points = [_points(expression, dtype, choice, most_kinks) for choice in choices]
        self.x = np.concatenate([x for x, _ in points])
        self.betas = {n: np.concatenate([b[n] for _, b in points]) for n in expression.initial}
        self.at_initial = np.concatenate(
            [np.full(x.shape, c is None) for (x, _), c in zip(points, choices, strict=True)]
        )
        self.exprs = {"f": expression.expr}
        self.exprs |= {name: derivative(expression, name).expr for name in ("x", *expression.initial)}
        splits = list(dict.fromkeys(u for e in self.exprs.values() for u in switches(e)))
        solution = Solution([*self.exprs.values(), *splits], self.x, self.betas)
        self.bounds = {name: solution.conditioning(e) for name, e in self.exprs.items()}
        self.quantities = {name: self._quantity(name, solution) for name in self.exprs}
        self.either_side = np.zeros(self.x.shape, bool)
        for loose, where in _by_point(splits, solution).items():
            self.either_side[where] = True
            self._widen(loose, where)

    def _quantity(self, name: str, solution: Solution) -> Quantity:
        expr, bounds, own = self.exprs[name], self.bounds[name], self.bounds["f"]
        values = solution.known[expr]
        excused = bounds.overflows | own.overflows | bounds.ill_conditioned | own.ill_conditioned
        paths = self._room_of_paths(solution, self.exprs["f"], name)
        return Quantity(
            expr, solution.truth[expr], values.copy(), values.copy(), bounds.room, bounds.room + paths, excused
        )

    def _room_of_paths(self, solution: Solution, function: sympy.Expr, name: str) -> Array:
        if name == "f":
            return np.zeros(solution.x.shape, np.longdouble)
        return np.asarray(ACCURACY[self.x.dtype.name] * solution.paths(function, name))

    def _widen(self, loose: Sequence[sympy.Expr], where: Sequence[int]) -> None:
        """At points where these kinks are within rounding: the results, and the room, of every side."""
        for side in itertools.product((-1, 1), repeat=len(loose)):
            sides = dict(zip(loose, side, strict=True))
            sides |= {-u: -s for u, s in sides.items()}
            exprs = {name: one_sided(e, sides) for name, e in self.exprs.items()}
            solution = Solution(exprs.values(), self.x[where], {n: b[where] for n, b in self.betas.items()})
            for name, quantity in self.quantities.items():
                value, bounds = solution.known[exprs[name]], solution.conditioning(exprs[name])
                by_paths = bounds.room + self._room_of_paths(solution, exprs["f"], name)
                quantity.excused[where] |= bounds.overflows | bounds.ill_conditioned
                quantity.low[where] = np.fmin(quantity.low[where], value)
                quantity.high[where] = np.fmax(quantity.high[where], value)
                quantity.room[where] = np.fmax(quantity.room[where], bounds.room)
                quantity.room_by_paths[where] = np.fmax(quantity.room_by_paths[where], by_paths)

    def counts(self) -> Counter[str]:
        """Points of all quantities by what could be asked of them."""
        counts: Counter[str] = Counter()
        for q in self.quantities.values():
            unknown = ~q.excused & np.array([isinstance(t, InexactError) for t in q.truth])
            rest = ~q.excused & ~unknown
            either = rest & self.either_side
            counts.update(excused=int(q.excused.sum()), unknown=int(unknown.sum()))
            counts.update(either_side=int(either.sum()), compared=int((rest & ~either).sum()))
        return counts

    def unexplained(self, name: str) -> list[str]:
        """Points that have no reference or bound though no flag says why, and flags that the properties do not tell."""
        quantity, bounds = self.quantities[name], self.bounds[name]
        found = []
        for i in map(int, np.flatnonzero(~quantity.excused)):
            truth = quantity.truth[i]
            if isinstance(truth, NumericError) and not isinstance(truth, InexactError):
                found.append(f"x = {self.x[i]!r}: {truth!r}, and no flag")
            elif not np.isfinite(quantity.room[i]):
                found.append(f"x = {self.x[i]!r}: no bound, and no flag")
        reported = _flags(self.expression, self.x.dtype.name) if self.at_initial.any() else ()
        for flag, where in {"overflows": bounds.overflows, "ill-conditioned": bounds.ill_conditioned}.items():
            if (where & self.at_initial).any() and flag not in reported:
                found.append(f"x = {self.x[where & self.at_initial]}: {flag}, and not reported")
        return found

    def compare(self, name: str, actual: Array, *, by_paths: bool) -> list[str]:
        """One line for every point where a backend is wrong; `by_paths`: its gradients are autograd's sums."""
        q = self.quantities[name]
        room = q.room_by_paths if by_paths else q.room
        with np.errstate(all="ignore"):
            wide = actual.astype(np.longdouble)
            right = (wide >= q.low - room) & (wide <= q.high + room)
        asked = ~q.excused & np.array([not isinstance(t, InexactError) for t in q.truth])
        return [
            f"x = {self.x[i]!r}, beta = {[float(b[i]) for b in self.betas.values()]}: {actual[i]!r}, exact {float(q.low[i])!r}"
            + (f" to {float(q.high[i])!r}" if q.high[i] != q.low[i] else "") + f" ± {float(room[i]):.2g}"
            for i in np.flatnonzero(asked & ~right)
        ]  # fmt: skip


def _points(
    expression: Expression, dtype: type[Any], choice: float | None, most_kinks: int
) -> tuple[Array, dict[str, Array]]:
    betas = {n: dtype(b if choice is None else choice) for n, b in expression.initial.items()}
    x = np.unique(np.array([*GRID, *_kinks(expression, choice)[:most_kinks]], dtype=dtype))
    return x, {n: np.full_like(x, b) for n, b in betas.items()}


@lru_cache(maxsize=64)
def _kinks(expression: Expression, choice: float | None) -> list[float]:
    betas = {n: b if choice is None else choice for n, b in expression.initial.items()}
    return sorted(kinks(expression, betas), key=abs)


@lru_cache(maxsize=64)
def _flags(expression: Expression, dtype: str) -> tuple[str, ...]:
    return flags(expression, dtype)


def _by_point(splits: Sequence[sympy.Expr], solution: Solution) -> dict[tuple[sympy.Expr, ...], list[int]]:
    """Points grouped by the kinks whose side rounding may change there, of u and -u one.

    An exact tie is decided, unless another kink of the same point is not.
    """
    loose: dict[int, list[sympy.Expr]] = defaultdict(list)
    ties: dict[int, list[sympy.Expr]] = defaultdict(list)
    for u in splits:
        room = solution.conditioning(u).room + solution.apart(u)
        for i, (value, r) in enumerate(zip(solution.truth[u], room, strict=True)):
            if isinstance(value, NumericError) or abs(value) > mpmath.mpf(float(r)):
                continue
            group = loose if value != 0 else ties
            if -u not in group[i]:
                group[i].append(u)
    groups: dict[tuple[sympy.Expr, ...], list[int]] = defaultdict(list)
    for i, each in loose.items():
        if each:
            groups[tuple([*each, *ties[i]][:MOST_LOOSE])].append(i)
    return groups


def one_sided(expr: sympy.Expr, sides: Mapping[sympy.Expr, int]) -> sympy.Expr:
    """The expression with the kinks at the zeros of some subexpressions replaced by one of their sides."""
    if not expr.args:
        return expr
    if isinstance(expr, sympy.Max | sympy.Min):
        sign = 1 if isinstance(expr, sympy.Max) else -1
        loses = [any(sides.get(a - b, 0) * sign < 0 for b in expr.args if b != a) for a in expr.args]
        kept = [a for a, lost in zip(expr.args, loses, strict=True) if not lost] or expr.args
        return expr.func(*(one_sided(a, sides) for a in kept))
    side = sides.get(expr.args[0])
    if side is not None and isinstance(expr, sympy.Abs):
        return side * one_sided(expr.args[0], sides)
    if side is not None and isinstance(expr, sympy.sign):
        return sympy.Integer(side)
    if side is not None and isinstance(expr, sympy.Heaviside):
        return sympy.Rational(side + 1, 2)
    return expr.func(*(one_sided(a, sides) for a in expr.args))


def _extended(value: mpmath.mpf | NumericError, rough: Any) -> Any:
    """An exact value in extended precision; where there is none its size as numpy has it."""
    if isinstance(value, NumericError):
        return rough
    sign, mantissa, exponent, bits = value._mpf_
    extra = max(0, bits - 64)
    top = np.ldexp(np.longdouble(mantissa >> extra >> 32), 32) + np.longdouble((mantissa >> extra) & 0xFFFFFFFF)
    with np.errstate(over="ignore", under="ignore"):
        return (-1) ** sign * np.ldexp(top, int(np.clip(exponent + extra, -40_000, 40_000)))
