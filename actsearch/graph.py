"""Expressions as one graph of their distinct subexpressions, each after those that it needs."""

from collections.abc import Iterable
from dataclasses import dataclass

import sympy


@dataclass(frozen=True, slots=True)
class Node:
    """One distinct subexpression.

    Attributes:
        expr: the subexpression.
        args: positions of its arguments in the graph; none for symbols and for numbers, however those are written.
            A power with a numeric exponent has its base alone.
    """

    expr: sympy.Expr
    args: tuple[int, ...]


def graph(roots: Iterable[sympy.Expr]) -> tuple[list[Node], list[int]]:
    """The nodes that the roots are computed from, arguments first and shared ones once; where each root stands."""
    nodes: list[Node] = []
    position: dict[sympy.Expr, int] = {}
    roots = list(roots)
    todo = list(reversed(roots))
    while todo:
        expr = todo[-1]
        children = () if expr in position else _children(expr)
        missing = [child for child in children if child not in position]
        if missing:
            todo += reversed(missing)
            continue
        todo.pop()
        if expr not in position:
            position[expr] = len(nodes)
            nodes.append(Node(expr, tuple(position[child] for child in children)))
    return nodes, [position[root] for root in roots]


def _children(expr: sympy.Expr) -> tuple[sympy.Expr, ...]:
    if expr.is_number or expr.is_Symbol:
        return ()
    if expr.is_Pow and expr.exp.is_number:
        return (expr.base,)
    if isinstance(expr, sympy.Heaviside):
        return (expr.args[0],)  # the second is its value at 0, always 1/2 here
    children: tuple[sympy.Expr, ...] = expr.args
    return children
