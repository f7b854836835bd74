"""From a text to Python's own syntax tree, of which only plain mathematics is let through."""

import ast
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import sympy

from actsearch.errors import ExpressionError
from actsearch.functions import sigmoid, sinc, sinc_slope, softplus

MAX_TEXT = 2_000
MAX_NODES = 400
MAX_DEPTH = 40
"""Bounds of a text from outside: characters, syntax nodes, nesting (the terms of a sum are on one level)."""

MAX_NUMBER = 10**60
"""Bound of a number: of its absolute value, and of numerator and denominator."""

BETA_NAME = re.compile(r"beta([2-9]|[1-9][0-9])?")
_EXAMPLE = "an example: x*sigmoid(beta*x)"

CALLS: Mapping[str, tuple[int, Callable[..., sympy.Expr]]] = MappingProxyType({
    "abs": (1, sympy.Abs),
    "asinh": (1, sympy.asinh),
    "atan": (1, sympy.atan),
    "cos": (1, sympy.cos),
    "cosh": (1, sympy.cosh),
    "erf": (1, sympy.erf),
    "exp": (1, sympy.exp),
    "log": (1, sympy.log),
    "max": (2, sympy.Max),
    "min": (2, sympy.Min),
    "relu": (1, lambda u: sympy.Max(u, 0)),
    "sigmoid": (1, sigmoid),
    "sign": (1, sympy.sign),
    "silu": (1, lambda u: u * sigmoid(u)),
    "sin": (1, sympy.sin),
    "sinc": (1, sinc),
    "sinc_slope": (1, sinc_slope),
    "sinh": (1, sympy.sinh),
    "softplus": (1, softplus),
    "sqrt": (1, sympy.sqrt),
    "step": (1, sympy.Heaviside),
    "tanh": (1, sympy.tanh),
})  # fmt: skip
"""Calls that a text may contain: number of arguments (max and min: at least that many) and meaning."""


def parse(text: str) -> ast.expr:
    """The syntax tree of a text that holds only what `read` allows; `ExpressionError` otherwise."""
    check_length(text)
    text = text.strip()
    if not text:
        raise ExpressionError(f"an empty text is no expression; {_EXAMPLE}")
    if not text.isascii():
        odd = next(c for c in text if not c.isascii())
        raise ExpressionError(f"an expression is plain ASCII, got {odd!r}; write beta, sigmoid, * and **")
    if "#" in text:
        raise ExpressionError(f"{short(text)!r} holds '#': an expression has no comments")
    try:
        with warnings.catch_warnings(action="ignore", category=SyntaxWarning):  # Python's advice on 1(x) and the like
            tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as err:
        raise ExpressionError(f"{short(text)!r} is not an expression; {_EXAMPLE}") from err
    for count, (node, depth) in enumerate(_walk(tree)):
        if count >= MAX_NODES or depth > MAX_DEPTH:
            raise ExpressionError(f"an expression has at most {MAX_NODES} terms nested {MAX_DEPTH} deep")
        _check(node, text)
    return tree


def check_length(text: str) -> None:
    if len(text) > MAX_TEXT:
        raise ExpressionError(f"an expression has at most {MAX_TEXT} characters, got {len(text)}")


def _walk(tree: ast.expr) -> Iterator[tuple[ast.expr, int]]:
    """Every node and its nesting; a sum or product of any length is one level."""
    todo = [(tree, 1)]
    while todo:
        node, depth = todo.pop()
        yield node, depth
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr) and not (isinstance(node, ast.Call) and child is node.func):
                same = (_is_sum(node) and _is_sum(child)) or (_is_product(node) and _is_product(child))
                todo.append((child, depth + (not same)))


def _is_sum(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp) or (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub))


def _is_product(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div)


def _check(node: ast.expr, text: str) -> None:
    """Refuses a node that no plain mathematics needs."""
    match node:
        case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() | ast.Pow()):
            return
        case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
            return
        case ast.Constant(value=value) if isinstance(value, int | float) and not isinstance(value, bool):
            lost = not value and _is_nonzero(text[node.col_offset : node.end_col_offset])
            if lost or (value and not 1 / MAX_NUMBER <= abs(value) <= MAX_NUMBER):
                raise ExpressionError(
                    f"a number is 0 or between {1 / MAX_NUMBER:g} and {MAX_NUMBER:g}, got {source_of(node, text)}"
                )
            return
        case ast.Name(id=name):
            if name not in ("x", "pi") and not BETA_NAME.fullmatch(name):
                raise ExpressionError(f"no variable named {short(name)!r}; known: x, beta, beta2, …, beta99, pi")
            return
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            if name not in CALLS:
                raise ExpressionError(f"no function named {short(name)!r}; known: {', '.join(CALLS)}")
            arity = CALLS[name][0]
            if len(args) != arity and not (name in ("max", "min") and len(args) >= arity):
                raise ExpressionError(f"{name} takes {arity} argument{'s' * (arity > 1)}, got {len(args)}")
            return
    hint = "; a power is written **" if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitXor) else ""
    raise ExpressionError(f"{source_of(node, text)!r} is not plain mathematics of x and beta{hint}")


def _is_nonzero(number: str) -> bool:
    """Whether a decimal number has a digit other than 0 before its exponent: 1e-400 is 0 in float64 alone."""
    return any(digit in "123456789" for digit in number.lower().partition("e")[0])


def terms_of(node: ast.expr) -> list[tuple[ast.expr, int]]:
    """The terms of a sum, from left to right, each with its sign."""
    terms, todo = [], [(node, 1)]
    while todo:
        node, sign = todo.pop()
        match node:
            case ast.UnaryOp(op=op, operand=operand):
                todo.append((operand, -sign if isinstance(op, ast.USub) else sign))
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
                todo += [(right, sign if isinstance(op, ast.Add) else -sign), (left, sign)]
            case _:
                terms.append((node, sign))
    return terms


def factors_of(node: ast.expr) -> list[tuple[ast.expr | int, int]]:
    """The factors of a product, from left to right, each with its exponent 1 or -1; a minus is a factor of -1."""
    factors: list[tuple[ast.expr | int, int]] = []
    todo = [(node, 1)]
    while todo:
        node, exponent = todo.pop()
        match node:
            case ast.UnaryOp(op=op, operand=operand):
                factors += [(-1, 1)] * isinstance(op, ast.USub)
                todo.append((operand, exponent))
            case ast.BinOp(left=left, op=ast.Mult() | ast.Div() as op, right=right):
                todo += [(right, exponent if isinstance(op, ast.Mult) else -exponent), (left, exponent)]
            case _:
                factors.append((node, exponent))
    return factors


def source_of(node: ast.expr, text: str) -> str:
    return short(text[node.col_offset : node.end_col_offset])


def short(text: str) -> str:
    text = " ".join(text[:200].split())
    return text if len(text) <= 60 else text[:57] + "…"
