"""The fingerprint: a function's identity, from its exact values.

Two spellings are the same function when they agree at every x and β, up to another numbering of β with equal initial
values, and up to single points where one of them is 0/0. Values at generic points tell: two functions of the search
space that agree at all of them are the same, since each is analytic between its kinks. What no finite number of
points can show is a number from outside that makes two functions part only where no point lies: 0 and
max(0, 1 - 1e9*(x - 0.1)**2) share a fingerprint. And a spelling that cancels beyond 400 digits at the far points,
cosh(x)**2 - sinh(x)**2 for 1, has a fingerprint of its own unless a rule knows it.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, cycle, islice, permutations, product

import sympy
from mpmath import libmp

from actsearch.canonical import canonical
from actsearch.errors import NumericError
from actsearch.exact import value
from actsearch.expression import Expression, X, beta_symbol, expression_of
from actsearch.formula import Formula
from actsearch.grid import parting
from actsearch.rules import build, substituted, text_of

DIGITS = 40
"""Right digits of a value: arithmetic starts at 60 and doubles, so that 1 + exp(x) does not lose exp(x) at x = -167."""

BITS = 40
"""Bits of a value that count, 12 digits: so far below those computed that rounding never decides."""

FLOOR = -330
"""Values below 2 to this power count as 0, so that two spellings need not agree on what is lost in rounding."""

CEILING = 2**16
"""Values of 2 to this power and above count as none, as those that exact arithmetic refuses: where that ends hangs on
the spelling, exp(x)² or exp(2·x)."""

MAX_ORDERS = 24
"""At most so many numberings of β that tie are compared."""

_X = (
    1.6643, -2.1931, 2.2477, 0.8719, -1.2203, 3.6131, 0.3671, -0.6127, 1.2894, -1.8361, 2.7193, -3.3127,
    0.0431, -0.0577, 5.7319, -8.9137, 17.317, -28.871,
    3.1e-6, -3.3e-6, 131.57, -167.31, 1.3e6, -1.2e6,
)  # fmt: skip
_BETA = (1.3717, -0.7313, 0.4139, 2.2371, -1.6173, 0.8291, 7.1393, -0.2719, 31.173, -5.4191, 1.1213, 0.0913, -0.1319)
"""Generic points: small, moderate and large, and between -eps and eps. β move on by one from point to point."""


@lru_cache(maxsize=4096)
def fingerprint(expression: Expression) -> str:
    """16 hex digits that two expressions share exactly when they are the same function.

    This is the identity: what was seen is looked up by it, and seeds derive from it. The canonical form is what is
    compiled and shown; where its rules leave two spellings apart, they still have one fingerprint. A function of
    exact values at fixed points and of β's initial values, hence the same on every machine. Initial values count:
    x + β from 0 and from 1 train differently.
    """
    form = canonical(expression)
    form = _without_idle(form)
    names = _order(form)
    values = [_rounded(form, x, dict(zip(names, _betas(k), strict=False))) for k, x in enumerate(_X)]
    parts = [repr(form.initial[name]) for name in names] + values + _seldom(form, names, values)
    return hashlib.sha256(";".join(parts).encode()).hexdigest()[:16]


@lru_cache(maxsize=2**14)
def formula_fingerprint(formula: Formula) -> str:
    """The fingerprint of a formula's function; about 4 ms for one unit where it is not known yet.

    Remembered by formula, since building its expression alone takes sympy up to 10 ms, and random draws repeat.
    """
    return fingerprint(expression_of(formula))


def _without_idle(expression: Expression) -> Expression:
    """The expression with 1 for each β that changes no value at any point, as in min(cosh(beta*x), sinc(x))."""
    for name in expression.initial:
        ones = dict.fromkeys(expression.initial, 0.8467)
        if all(
            _rounded(expression, x, {**ones, name: b}) == _rounded(expression, x, {**ones, name: b + 0.5})
            for x, b in zip(_X, cycle(_BETA), strict=False)
        ):
            fixed = Expression(substituted(expression.expr, {beta_symbol(name): sympy.S.One}), expression.initial)
            if not parting(expression.expr, fixed.expr, X, [beta_symbol(n) for n in expression.initial]):
                return _without_idle(fixed)
    return expression


def _seldom(expression: Expression, names: Sequence[str], values: Sequence[str]) -> list[str]:
    """Where an argument of a max or min, or a side of |u|, shows at none of the points: a point where it does.

    Such as min((beta + x + sigmoid(x))**2, erf(x)), which is erf(x) but for a narrow strip.
    """
    found = []
    for node in sorted(expression.expr.atoms(sympy.Max, sympy.Min, sympy.Abs), key=text_of):
        for rest in _without_one(node):
            other = substituted(expression.expr, {node: rest})
            if _shows(Expression(other), names, values):
                continue
            if point := parting(expression.expr, other, X, [beta_symbol(name) for name in names]):
                x, betas = point
                found.append(f"{x!r} {betas} {_rounded(expression, x, dict(zip(names, betas, strict=True)))}")
    return sorted(found)


def _without_one(node: sympy.Expr) -> list[sympy.Expr]:
    if isinstance(node, sympy.Abs):
        return [node.args[0], -node.args[0]]
    return [build(node.func, [a for a in node.args if a != left_out]) for left_out in node.args]


def _shows(other: Expression, names: Sequence[str], values: Sequence[str]) -> bool:
    """Whether the other expression has another value at some point."""
    return any(_rounded(other, x, dict(zip(names, _betas(k), strict=False))) != values[k] for k, x in enumerate(_X))


def agrees_everywhere(expression: Expression) -> bool:
    """Whether all points have one value, β being the same at all of them: whether the function is a constant."""
    betas = dict(zip(expression.initial, _betas(0), strict=False))
    first = _rounded(expression, _X[0], betas)
    return all(_rounded(expression, x, betas) == first for x in _X[1:])


def probe(expression: Expression) -> tuple[str, ...]:
    """Values at two points, every β being the same: what spellings of one function share, at a twelfth of the cost.

    Other functions may share it too; those whose probes differ are never the same, whatever β's initial values.
    """
    form = canonical(expression)
    return tuple(_rounded(form, _X[k], dict.fromkeys(form.initial, _BETA[k])) for k in range(2))


@lru_cache(maxsize=256)
def _betas(point: int) -> tuple[float, ...]:
    """One generic value for each β at a point; those beyond the thirteenth start over, moved a little."""
    turned = _BETA[point % len(_BETA) :] + _BETA[: point % len(_BETA)]
    return tuple(b + 0.0137 * turn for turn in range(9) for b in turned)


def _rounded(expression: Expression, x: float, betas: dict[str, float]) -> str:
    """The value's sign, mantissa and exponent; empty where it has none or too large a one."""
    try:
        sign, mantissa, exponent, _ = libmp.mpf_pos(value(expression, x, betas, DIGITS)._mpf_, BITS, "n")
    except NumericError:
        return ""
    size = exponent + mantissa.bit_length()
    if size > CEILING:
        return ""
    return f"{'-' if sign else ''}{mantissa}e{exponent}" if mantissa and size > FLOOR else "0"


def _order(expression: Expression) -> Sequence[str]:
    """β in an order that depends on the function alone: by initial value, then by the values where one β differs.

    Those that tie there, as in β·β2·x, take the order whose values sort first.
    """
    if len(expression.initial) < 2:
        return tuple(expression.initial)
    tied: dict[tuple[float, str], list[str]] = defaultdict(list)
    for name, initial in expression.initial.items():
        betas = {**dict.fromkeys(expression.initial, 0.8467), name: 1.2139}
        tied[initial, ";".join(_rounded(expression, x, betas) for x in _X[1:3])].append(name)
    groups = [permutations(tied[key]) for key in sorted(tied)]
    orders = [tuple(chain(*order)) for order in islice(product(*groups), MAX_ORDERS)]
    return min(orders, key=lambda order: tuple(_probes(expression, order))) if len(orders) > 1 else orders[0]


def _probes(expression: Expression, names: Sequence[str]) -> Iterator[str]:
    return (_rounded(expression, _X[k], dict(zip(names, _betas(k), strict=False))) for k in (1, 2, 3))
