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

from actsearch.expression import Expression, X, beta_symbol, expression_of
from actsearch.formula import Formula
from actsearch.grid import parting
from actsearch.identity.canonical_form import canonical
from actsearch.identity.points import BETA, POINTS, Look, betas_at, rounded
from actsearch.identity.rules import build, substituted

MAX_ORDERS = 24
"""At most so many numberings of β that tie are compared."""


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
    look = Look(form.expr, names)
    values = look.exact(form)
    parts = [repr(form.initial[name]) for name in names] + values + _seldom(form, names, values, look)
    return hashlib.sha256(";".join(parts).encode()).hexdigest()[:16]


@lru_cache(maxsize=2**14)
def formula_fingerprint(formula: Formula) -> str:
    """The fingerprint of a formula's function; about 4 ms for one unit where it is not known yet.

    Remembered by formula, since building its expression alone takes sympy up to 10 ms, and random draws repeat.
    """
    return fingerprint(expression_of(formula))


def _without_idle(expression: Expression) -> Expression:
    """The expression with 1 for each β that changes no value at any point, as in min(cosh(beta*x), sinc(x))."""
    names = tuple(expression.initial)
    look = Look(expression.expr, names)
    for name in names:
        if look.shows_beta(name):
            continue
        ones = dict.fromkeys(names, 0.8467)
        if all(
            rounded(expression, x, {**ones, name: b}) == rounded(expression, x, {**ones, name: b + 0.5})
            for x, b in zip(POINTS, cycle(BETA), strict=False)
        ):
            fixed = Expression(substituted(expression.expr, {beta_symbol(name): sympy.S.One}), expression.initial)
            if not parting(expression.expr, fixed.expr, X, [beta_symbol(n) for n in names]):
                return _without_idle(fixed)
    return expression


def _seldom(expression: Expression, names: Sequence[str], values: Sequence[str], look: Look) -> list[str]:
    """Where an argument of a max or min, or a side of |u|, shows at none of the points: a point where it does.

    Such as min((beta + x + sigmoid(x))**2, erf(x)), which is erf(x) but for a narrow strip.
    """
    found = []
    for node in expression.expr.atoms(sympy.Max, sympy.Min, sympy.Abs):
        for rest, clearly_shows in zip(_without_one(node), look.shows_arguments(node), strict=True):
            if clearly_shows:
                continue
            other = substituted(expression.expr, {node: rest})
            if _shows(Expression(other), names, values):
                continue
            if point := parting(expression.expr, other, X, [beta_symbol(name) for name in names]):
                x, betas = point
                found.append(f"{x!r} {betas} {rounded(expression, x, dict(zip(names, betas, strict=True)))}")
    return sorted(found)


def _without_one(node: sympy.Expr) -> list[sympy.Expr]:
    if isinstance(node, sympy.Abs):
        return [node.args[0], -node.args[0]]
    return [build(node.func, [a for a in node.args if a != left_out]) for left_out in node.args]


def _shows(other: Expression, names: Sequence[str], values: Sequence[str]) -> bool:
    """Whether the other expression has another value at some point."""
    return any(
        rounded(other, x, dict(zip(names, betas_at(k), strict=False))) != values[k] for k, x in enumerate(POINTS)
    )


def agrees_everywhere(expression: Expression) -> bool:
    """Whether all points have one value, β being the same at all of them: whether the function is a constant."""
    betas = dict(zip(expression.initial, betas_at(0), strict=False))
    first = rounded(expression, POINTS[0], betas)
    return all(rounded(expression, x, betas) == first for x in POINTS[1:])


def probe(expression: Expression) -> tuple[str, ...]:
    """Values at two points, every β being the same: what spellings of one function share, at a twelfth of the cost.

    Other functions may share it too; those whose probes differ are never the same, whatever β's initial values.
    """
    form = canonical(expression)
    return tuple(rounded(form, POINTS[k], dict.fromkeys(form.initial, BETA[k])) for k in range(2))


def _order(expression: Expression) -> Sequence[str]:
    """β in an order that depends on the function alone: by initial value, then by the values where one β differs.

    Those that tie there, as in β·β2·x, take the order whose values sort first.
    """
    if len(expression.initial) < 2:
        return tuple(expression.initial)
    tied: dict[tuple[float, str], list[str]] = defaultdict(list)
    for name, initial in expression.initial.items():
        betas = {**dict.fromkeys(expression.initial, 0.8467), name: 1.2139}
        tied[initial, ";".join(rounded(expression, x, betas) for x in POINTS[1:3])].append(name)
    groups = [permutations(tied[key]) for key in sorted(tied)]
    orders = [tuple(chain(*order)) for order in islice(product(*groups), MAX_ORDERS)]
    return min(orders, key=lambda order: tuple(_probes(expression, order))) if len(orders) > 1 else orders[0]


def _probes(expression: Expression, names: Sequence[str]) -> Iterator[str]:
    return (rounded(expression, POINTS[k], dict(zip(names, betas_at(k), strict=False))) for k in (1, 2, 3))
