"""The coarser class of a function: f ~ a·f(b·x), which the affine layers around an activation absorb."""

from collections.abc import Iterator
from functools import lru_cache

import sympy

from actsearch.expression import Expression, X
from actsearch.identity.canonical_form import canonical
from actsearch.identity.rules import build, cheapest, cost, substituted

MAX_PASSES = 6


@lru_cache(maxsize=4096)
def equivalence_class(expression: Expression) -> str:
    """The text of the plainest function of the class; equal texts are equal classes.

    A class holds a·f(b·x) for all a and b that are ±1, a number or free of x (a trainable β, 1 - β …): what a trainable
    scale absorbs, the weights before and after absorb too, numbers included, so x·σ(1.702·x) stands with x·σ(x).
    β that run over the same values, β and -β or β and 1 - β, are one too, and initial values do not count. So all 15
    spellings of the Swish family in the one-unit space are `x*sigmoid(x)`. Forms that the rules of the canonical form
    leave apart may stay apart here: two texts do not prove two classes.
    """
    expr = canonical(expression).expr
    for _ in range(MAX_PASSES):
        simpler = min((_settled(e) for e in (expr, *_moved(expr))), key=cost)
        if simpler == expr:
            break
        expr = simpler
    return canonical(Expression(expr)).text


def _settled(expr: sympy.Expr) -> sympy.Expr:
    """The canonical form without the factors that do not hold x; of f and -f the cheapest spelling."""
    expr = _without_factor(canonical(Expression(expr)).expr)
    return cheapest(expr, *(canonical(Expression(other)).expr for other in (-expr, _negated(expr))))


def _negated(expr: sympy.Expr) -> sympy.Expr:
    """-f with the sign inside: of every term, of one factor, and -max(u, v) as min(-u, -v).

    So max(x, tanh(x)), mirrored at x = 0 and negated, is min(x, tanh(x)).
    """
    if expr.is_Add:
        return build(sympy.Add, [_negated(term) for term in expr.args])
    if isinstance(expr, sympy.Max | sympy.Min):
        return build(sympy.Min if isinstance(expr, sympy.Max) else sympy.Max, [-argument for argument in expr.args])
    if expr.is_Mul and (
        factor := next((f for f in expr.args if f.is_Add or isinstance(f, sympy.Max | sympy.Min)), None)
    ):
        return build(sympy.Mul, [_negated(f) if f is factor else f for f in expr.args])
    return -expr


def _without_factor(expr: sympy.Expr) -> sympy.Expr:
    if expr.is_Add:
        expr = sympy.factor_terms(expr)
    inner = expr.as_independent(X, as_Add=False)[1]
    return inner if inner.has(X) else expr


def _moved(expr: sympy.Expr) -> Iterator[sympy.Expr]:
    """The function with x stretched or mirrored so that a factor of x disappears, and with β counted otherwise."""
    for factor in sorted(_factors_of_x(expr), key=cost):
        yield _without_factor(substituted(expr, {X: X / factor}))
    betas = sorted(expr.free_symbols - {X}, key=str)
    for mirrored in dict.fromkeys(((), *((symbol,) for symbol in betas), tuple(betas))):
        yield substituted(expr, {X: -X, **{symbol: -symbol for symbol in mirrored}})
    for symbol in betas:
        for other in (-symbol, 1 - symbol, symbol - 1, 1 + symbol):
            yield substituted(expr, {symbol: other})


def _factors_of_x(expr: sympy.Expr) -> set[sympy.Expr]:
    """Every c of a product c·x, or c·|x| and the like, in the expression."""
    products = (e.as_independent(X, as_Add=False)[0] for e in expr.atoms(sympy.Mul) if e.has(X))
    return {c for c in products if c not in (1, -1)}
