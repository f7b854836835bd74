"""The safe reader: plain mathematics from outside becomes an expression, and nothing in it is ever evaluated.

It walks Python's own syntax tree and knows a short list of nodes, names and calls (sympy's own parsers run code that
a text contains). The search takes formulas of its space; `show`, `export` and `swap` take any expression.
"""

import ast
import math
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import sympy

from actsearch.errors import ExpressionError
from actsearch.expression import Expression, X, beta_symbol
from actsearch.functions import sigmoid, sinc, sinc_slope, softplus

MAX_TEXT = 2_000
MAX_NODES = 400
MAX_DEPTH = 40
MAX_EXPONENT = 64
MAX_NUMBER = 1e6
"""Bounds of a text from outside: characters, syntax nodes, nesting, exponents, magnitude of a number."""

_BETA_NAME = re.compile(r"beta([2-9]|[1-9][0-9])?")

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


def read(text: str) -> Expression:
    """The expression of a text such as `x*sigmoid(beta*x)`, optionally with β's initial values: `; beta=0.5`.

    Raises:
        ExpressionError: anything but numbers, x, pi, beta, beta2, …, + - * / **, and the calls in `CALLS`, or a
            text beyond the bounds above.
    """
    body, _, suffix = text.partition(";")
    try:
        expr = _build(parse(body))
    except ExpressionError:
        raise
    except (ValueError, TypeError, ArithmeticError) as err:  # sympy's words for max(log(-1), 0) and the like
        raise ExpressionError(f"{_short(body)!r} is not a real function: {_short(str(err))}") from err
    if expr.has(sympy.nan, sympy.zoo, sympy.oo, -sympy.oo, sympy.I):
        raise ExpressionError(f"{_short(body)!r} is not a finite real function")
    return Expression(expr, _read_initial(suffix))


def parse(text: str) -> ast.expr:
    """The syntax tree of a text that holds only what `read` allows; `ExpressionError` otherwise."""
    text = text.strip()
    if not text:
        raise ExpressionError("an empty text is no expression; an example: x*sigmoid(beta*x)")
    if len(text) > MAX_TEXT:
        raise ExpressionError(f"an expression has at most {MAX_TEXT} characters, got {len(text)}")
    if not text.isascii():
        odd = next(c for c in text if not c.isascii())
        raise ExpressionError(f"an expression is plain ASCII, got {odd!r}; write beta, sigmoid, * and **")
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as err:
        raise ExpressionError(f"{_short(text)!r} is not an expression; an example: x*sigmoid(beta*x)") from err
    for count, (node, depth) in enumerate(_walk(tree)):
        if count >= MAX_NODES or depth > MAX_DEPTH:
            raise ExpressionError(f"an expression has at most {MAX_NODES} terms nested {MAX_DEPTH} deep")
        _check(node)
    return tree


def _walk(tree: ast.expr) -> Iterator[tuple[ast.expr, int]]:
    todo = [(tree, 1)]
    while todo:
        node, depth = todo.pop()
        yield node, depth
        children = (c for c in ast.iter_child_nodes(node) if isinstance(c, ast.expr))
        todo += [(c, depth + 1) for c in children if not (isinstance(node, ast.Call) and c is node.func)]


def _check(node: ast.expr) -> None:
    """Refuses a node that no plain mathematics needs."""
    match node:
        case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() | ast.Pow()):
            return
        case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
            return
        case ast.Constant(value=value) if isinstance(value, int | float) and not isinstance(value, bool):
            if not abs(value) <= MAX_NUMBER:
                raise ExpressionError(f"a number is at most {MAX_NUMBER:g}, got {_short(ast.unparse(node))}")
            return
        case ast.Name(id=name):
            if name not in ("x", "pi") and not _BETA_NAME.fullmatch(name):
                raise ExpressionError(f"no variable named {_short(name)!r}; known: x, beta, beta2, …, beta99, pi")
            return
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            if name not in CALLS:
                raise ExpressionError(f"no function named {_short(name)!r}; known: {', '.join(CALLS)}")
            arity = CALLS[name][0]
            if len(args) != arity and not (name in ("max", "min") and len(args) >= arity):
                raise ExpressionError(f"{name} takes {arity} argument{'s' * (arity > 1)}, got {len(args)}")
            return
    raise ExpressionError(f"{_short(ast.unparse(node))!r} is not plain mathematics of x and beta")


_OPERATORS: Mapping[type[ast.operator], Callable[[sympy.Expr, sympy.Expr], sympy.Expr]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
}


def _build(node: ast.expr) -> sympy.Expr:
    """The sympy expression of a checked syntax tree."""
    match node:
        case ast.Constant(value=value):
            return sympy.Rational(repr(value))
        case ast.Name(id="x"):
            return X
        case ast.Name(id="pi"):
            return sympy.pi
        case ast.Name(id=name):
            return beta_symbol(name)
        case ast.UnaryOp(op=op, operand=operand):
            value = _build(operand)
            return -value if isinstance(op, ast.USub) else value
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_build(left), _build(right))
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _build(left), _build(right)
            if isinstance(op, ast.Div) and b.is_zero:
                raise ExpressionError(f"{_short(ast.unparse(node))!r} divides by zero")
            return _bounded(_OPERATORS[type(op)](a, b))
        case ast.Call(func=ast.Name(id=name), args=args):
            return CALLS[name][1](*(_bounded(_build(a)) for a in args))
    raise AssertionError(f"unchecked node {ast.dump(node)}")


def _power(base: sympy.Expr, exponent: sympy.Expr) -> sympy.Expr:
    if exponent.is_number and not abs(exponent) <= MAX_EXPONENT:
        raise ExpressionError(f"an exponent is at most {MAX_EXPONENT}, got {_short(str(exponent))}")
    return _bounded(base**exponent)


def _bounded(value: sympy.Expr) -> sympy.Expr:
    """The value; refuses numbers that would grow without bound where functions of numbers nest."""
    if value.is_number and value.is_finite is not False and not abs(value.evalf(15)) <= 1e100:
        raise ExpressionError(f"a number in an expression is at most 1e100, got {_short(str(value))}")
    return value


def _read_initial(text: str) -> dict[str, float]:
    initial = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, value = (s.strip() for s in part.partition("="))
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not _BETA_NAME.fullmatch(name) or not abs(number) <= MAX_NUMBER:
            raise ExpressionError(f"an initial value reads beta=0.5 or beta2=0, got {_short(part)!r}")
        initial[name] = number
    return initial


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"
