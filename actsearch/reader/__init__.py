"""The safe reader: plain mathematics from outside becomes an expression, and nothing in it is ever evaluated.

It walks Python's own syntax tree and knows a short list of nodes, names and calls (sympy's own parsers run code that
a text contains). `syntax` checks a text, `building` makes the expression. The search takes formulas of its space;
`show`, `export` and `swap` take any expression.
"""

import ast
import math

import sympy

from actsearch.errors import ExpressionError
from actsearch.expression import Expression
from actsearch.reader.building import Builder
from actsearch.reader.syntax import BETA_NAME, CALLS, MAX_TEXT, check_length, parse, short

__all__ = ["CALLS", "MAX_TEXT", "parse", "read"]

_MAX_BETA = 1e6


def read(text: str) -> Expression:
    """The expression of a text such as `x*sigmoid(beta*x)`, optionally with β's initial values: `; beta=0.5`.

    Reading what an expression prints gives that expression: `read(e.full_text) == e`.

    Raises:
        ExpressionError: anything but numbers, x, pi, beta, beta2, …, + - * / **, and the calls in `CALLS`; a text
            beyond the bounds above; an initial value for a β that the text does not hold.
    """
    check_length(text)
    body, _, suffix = text.partition(";")
    tree = parse(body)
    betas = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and BETA_NAME.fullmatch(node.id)}
    initial = _read_initial(suffix, betas)
    return Expression(_stable(body.strip(), tree), initial)


def _stable(text: str, tree: ast.expr) -> sympy.Expr:
    """What a text means, in the form that its own text means again: sympy finds some simplifications only then."""
    try:
        expr = Builder(text).build(tree)
        for _ in range(8):
            printed = Expression(expr).text
            again = Builder(printed).build(parse(printed))
            if again == expr:
                return expr
            expr = again
    except ExpressionError:
        raise
    except (ValueError, TypeError, ArithmeticError, RecursionError) as err:  # sympy's, for max(log(-1), 0) and the like
        raise ExpressionError(f"{short(text)!r} is not a real function: {short(str(err))}") from err
    raise ExpressionError(f"{short(text)!r} has no simplest form: write it shorter")


def _read_initial(text: str, betas: set[str]) -> dict[str, float]:
    initial: dict[str, float] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, value = (s.strip() for s in part.partition("="))
        try:
            number = float(value) if part.isascii() else math.nan
        except ValueError:
            number = math.nan
        if not BETA_NAME.fullmatch(name) or not abs(number) <= _MAX_BETA:
            raise ExpressionError(
                f"an initial value reads beta=0.5 or beta2=0, at most {_MAX_BETA:g}; got {short(part)!r}"
            )
        if name in initial:
            raise ExpressionError(f"an initial value is given once, got two for {name}")
        if name not in betas:
            known = ", ".join(sorted(betas)) or "no β"
            raise ExpressionError(f"an initial value for {name}, but the expression holds {known}")
        initial[name] = number + 0.0  # no negative zero
    return initial
