"""The canonical form: one expression for the many spellings of a function, and the one that is compiled and shown.

sympy merges commuted and collected terms on construction; `rules` and `kinks` add what activation functions need, from
the leaves up and until nothing moves; then β is numbered. No rule merges two functions. Where the rules leave two
spellings of one function apart, its fingerprint (actsearch.identity) still meets.
"""

from collections import defaultdict
from functools import lru_cache
from itertools import chain, islice, permutations, product

import sympy

from actsearch.expression import Expression, X, beta_name, beta_symbol
from actsearch.identity.kinks import settle
from actsearch.identity.rules import build, positive_base, substituted, text_of

MAX_PASSES = 12
MAX_ORDERS = 24
"""Bounds on the passes of the rules, and on the numberings of interchangeable β that are compared."""


@lru_cache(maxsize=4096)
def canonical(expression: Expression) -> Expression:
    """The canonical form; idempotent, equal to the expression at every x and β where that has a value.

    It has no more operations than needed, is finite where some spelling is (max(x, 0)/(x + eps) at x = -eps), and
    prefers spellings that neither cancel nor overflow (exp(x) - sigmoid(x) is exp(x)*sigmoid(x)).
    """
    seen = [expression]
    for _ in range(MAX_PASSES):
        settled = settle(seen[-1].expr, X)
        if settled == seen[-1].expr and len(seen) > 1:
            return seen[-1]  # its β are numbered already
        simpler = _number_betas(Expression(settled, seen[-1].initial))
        if simpler in seen:
            return min(seen[seen.index(simpler) :], key=lambda e: e.full_text)
        seen.append(simpler)
    return seen[-1]


def canonical_text(expression: Expression) -> str:
    """The canonical form as text, with β's initial values where they are not 1."""
    return canonical(expression).full_text


def _number_betas(expression: Expression) -> Expression:
    """Renames β to beta, beta2, … in an order that does not depend on their old names, so that swapped spellings meet.

    β sort by the text in which one of them stands out from all others; those that tie there take every order, and the
    text that sorts first wins.
    """
    if not expression.initial:
        return expression
    tied: dict[tuple[str, float], list[str]] = defaultdict(list)
    for name, value in expression.initial.items():
        tied[_standing_out(expression, name), value].append(name)
    groups = [permutations(tied[key]) for key in sorted(tied)]
    orders = [list(chain(*order)) for order in islice(product(*groups), MAX_ORDERS)]
    renamed = [_renamed(expression, {old: beta_name(i) for i, old in enumerate(order)}) for order in orders]
    return renamed[0] if len(renamed) == 1 else min(renamed, key=lambda e: (e.full_text, text_of(e.expr)))


def _standing_out(expression: Expression, name: str) -> str:
    others = dict.fromkeys(expression.initial, beta_name(1))
    return text_of(_renamed(expression, {**others, name: beta_name(0)}).expr) if len(others) > 1 else ""


def _renamed(expression: Expression, new: dict[str, str]) -> Expression:
    expr = expression.expr
    if any(old != name for old, name in new.items()):
        expr = substituted(expr, {beta_symbol(old): beta_symbol(name) for old, name in new.items()})
    return Expression(_signed(expr), {new[name]: value for name, value in expression.initial.items()})


def _signed(expr: sympy.Expr) -> sympy.Expr:
    """Chooses signs inside even powers and |·| anew, since they hang on β's names."""
    if not expr.args:
        return expr
    args = [_signed(a) for a in expr.args]
    return positive_base(expr if args == list(expr.args) else build(expr.func, args))
