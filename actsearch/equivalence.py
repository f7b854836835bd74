"""The coarser class of a function: f ~ a·f(b·x), which the affine layers around an activation absorb."""

from collections.abc import Iterator
from functools import lru_cache

import sympy

from actsearch.canonical import canonical
from actsearch.expression import Expression, X
from actsearch.rules import cheapest, cost, substituted

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
    """The canonical form without the factors that do not hold x; of f and -f the cheaper."""
    expr = _without_factor(canonical(Expression(expr)).expr)
    return cheapest(expr, -expr)


def _without_factor(expr: sympy.Expr) -> sympy.Expr:
    if expr.is_Add:
        expr = sympy.factor_terms(expr)
    inner = expr.as_independent(X, as_Add=False)[1]
    return inner if inner.has(X) else expr


def _moved(expr: sympy.Expr) -> Iterator[sympy.Expr]:
    """The function with x stretched or mirrored so that a factor of x disappears, and with β counted otherwise."""
    for factor in sorted(_factors_of_x(expr), key=cost):
        yield _without_factor(substituted(expr, {X: X / factor}))
    yield substituted(expr, {X: -X})
    for symbol in sorted(expr.free_symbols - {X}, key=str):
        for other in (-symbol, 1 - symbol, symbol - 1, 1 + symbol):
            yield substituted(expr, {symbol: other})


def _factors_of_x(expr: sympy.Expr) -> set[sympy.Expr]:
    """Every c of a product c·x, or c·|x| and the like, in the expression."""
    products = (e.as_independent(X, as_Add=False)[0] for e in expr.atoms(sympy.Mul) if e.has(X))
    return {c for c in products if c not in (1, -1)}
