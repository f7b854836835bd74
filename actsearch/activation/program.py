"""A function and its gradient as straight-line programs of x and of per-channel coefficients.

What depends on β alone (1 - β, exp(β), …) is a coefficient: it is computed once a channel, never once an element.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import sympy

from actsearch.expression import Expression, X


@dataclass(frozen=True, eq=False)  # equal only to itself: hashing sympy expressions at every call costs time
class Program:
    """What one pass over x computes.

    Attributes:
        betas: names of the β, in order.
        coefficients: expressions of β alone, one value a channel each.
        symbols: their symbols in `outputs`, one a coefficient.
        outputs: expressions of `X` and of `symbols`.
    """

    betas: tuple[str, ...]
    coefficients: tuple[sympy.Expr, ...]
    symbols: tuple[sympy.Symbol, ...]
    outputs: tuple[sympy.Expr, ...]


@lru_cache(maxsize=1024)
def forward_program(expression: Expression) -> Program:
    """The program of f."""
    return _program(expression, [expression.expr])


@lru_cache(maxsize=1024)
def backward_program(expression: Expression) -> Program:
    """The program of ∂f/∂x and of ∂f/∂β for every β, in this order."""
    return _program(expression, [expression.derivative(name).expr for name in ("x", *expression.initial)])


def _program(expression: Expression, exprs: Iterable[sympy.Expr]) -> Program:
    found: dict[sympy.Expr, sympy.Symbol] = {}
    outputs = tuple(_split(expr, found) for expr in exprs)
    return Program(tuple(expression.initial), tuple(found), tuple(found.values()), outputs)


def _split(expr: sympy.Expr, found: dict[sympy.Expr, sympy.Symbol]) -> sympy.Expr:
    """The expression with a symbol in place of every largest part that holds β and no x."""
    if expr.is_number or expr == X:
        return expr
    if X not in expr.free_symbols:
        return found.setdefault(expr, sympy.Symbol(f"c{len(found)}", real=True))
    if isinstance(expr, sympy.Add | sympy.Mul):
        alone = [a for a in expr.args if a.free_symbols and X not in a.free_symbols]
        if len(alone) > 1:
            rest = [a for a in expr.args if a not in alone]
            return expr.func(_split(expr.func(*alone), found), *(_split(a, found) for a in rest))
    args = [_split(a, found) for a in expr.args]
    return expr if tuple(args) == expr.args else expr.func(*args)
