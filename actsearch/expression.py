"""Any formula as plain mathematics: a sympy expression of x and β, read safely from text and printed back.

The reader walks Python's own syntax tree and knows a short list of nodes, names and calls; nothing in a text is
ever evaluated (sympy's own parsers run code that a text contains). The search takes formulas of its space;
`show`, `export` and `swap` take any expression.
"""

import ast
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import sympy
from sympy.printing.latex import LatexPrinter
from sympy.printing.str import StrPrinter

from actsearch.errors import ExpressionError
from actsearch.formula import Formula
from actsearch.functions import (
    numpy_sigmoid,
    numpy_sinc_slope,
    numpy_softplus,
    sigmoid,
    sinc,
    sinc_slope,
    softplus,
)
from actsearch.primitives import EPS

X = sympy.Symbol("x", real=True)
"""The pre-activation. Real, or |x| would have no derivative."""

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


def beta_symbol(name: str) -> sympy.Symbol:
    """The real symbol of a trainable β: `beta`, `beta2`, …"""
    return sympy.Symbol(name, real=True)


def beta_name(index: int) -> str:
    """The name of the β with that index: beta, beta2, beta3, …"""
    return "beta" if index == 0 else f"beta{index + 1}"


def beta_index(name: str) -> int:
    """The inverse of `beta_name`."""
    return int(name.removeprefix("beta") or 1) - 1


@dataclass(frozen=True)
class Expression:
    """A function of x with trainable β: the sympy expression and β's initial values.

    Attributes:
        expr: an expression of `X` and of the β symbols.
        initial: β's initial values by name, for exactly the β that `expr` holds.
    """

    expr: sympy.Expr
    initial: Mapping[str, float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        used = sorted((s.name for s in self.expr.free_symbols - {X}), key=beta_index)
        object.__setattr__(self, "initial", MappingProxyType({name: self.initial.get(name, 1.0) for name in used}))

    def __reduce__(self) -> tuple[type["Expression"], tuple[sympy.Expr, dict[str, float]]]:
        return Expression, (self.expr, dict(self.initial))  # a compiled function is not copied with it

    @cached_property
    def text(self) -> str:
        """Plain mathematics, the inverse of `read` but for β's initial values."""
        return str(_TextPrinter().doprint(self.expr))

    @cached_property
    def full_text(self) -> str:
        """The text, and β's initial values where they are not 1: `beta + x; beta=0`."""
        initial = ", ".join(f"{name}={_shortest(value)}" for name, value in self.initial.items() if value != 1)
        return f"{self.text}; {initial}" if initial else self.text

    @cached_property
    def latex(self) -> str:
        """LaTeX of the expression, without delimiters."""
        return str(_LatexPrinter().doprint(self.expr))

    def derivative(self, name: str = "x") -> "Expression":
        """The derivative by x, or by the β of that name, where there is one: jumps of `sign` and `step` count as 0."""
        slope = self.expr.diff(X if name == "x" else beta_symbol(name))
        return Expression(slope.replace(sympy.DiracDelta, lambda *_: sympy.S.Zero), self.initial)

    def values(self, x: npt.ArrayLike, **betas: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The function in float64.

        Args:
            x: any shape.
            betas: values of β by name, broadcast against x; those not given take their initial value.

        Returns:
            f(x), the broadcast shape; infinite or NaN where float64 cannot hold an intermediate.
        """
        inputs = [np.asarray(x, dtype=np.float64)]
        inputs += [np.asarray(betas.get(name, value), dtype=np.float64) for name, value in self.initial.items()]
        # One shape for all: numpy's select, as sympy prints step(x - beta), takes no mixture of scalars and arrays.
        inputs = list(np.broadcast_arrays(*inputs))
        with np.errstate(all="ignore"):
            result = self._numpy(*inputs)
        return np.array(np.broadcast_to(np.asarray(result, dtype=np.float64), inputs[0].shape))

    @cached_property
    def _numpy(self) -> Callable[..., Any]:
        symbols = [X, *(beta_symbol(name) for name in self.initial)]
        function: Callable[..., Any] = sympy.lambdify(symbols, self.expr, modules=[_NUMPY, "numpy"], cse=True)
        return function

    def __str__(self) -> str:
        return self.full_text


# sinc is missing here on purpose: sympy prints it as numpy's own sinc(x/π)
_NUMPY = {
    "sigmoid": numpy_sigmoid,
    "softplus": numpy_softplus,
    "sinc_slope": numpy_sinc_slope,
    "erf": np.vectorize(math.erf, otypes=[np.float64]),
}


def expression_of(formula: Formula) -> Expression:
    """The function of a formula; each β token is its own parameter, numbered from left to right."""
    outputs: dict[int, sympy.Expr] = {}
    initial: dict[str, float] = {}

    def beta(value: float | None) -> sympy.Expr | None:
        if value is None:
            return None
        name = beta_name(len(initial))
        initial[name] = value
        return beta_symbol(name)

    def output(index: int) -> sympy.Expr:
        if index == 0:
            return X
        if index not in outputs:
            unit = formula.units[index - 1]
            unary1, unary2, binary = unit.primitives
            x1 = unary1.form(output(unit.input1), beta(unary1.beta))
            x2 = unary2.form(output(unit.input2), beta(unary2.beta))
            outputs[index] = binary.form(x1, x2, beta(binary.beta))
        return outputs[index]

    return Expression(sympy.sympify(output(len(formula.units))), initial)


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


def _shortest(value: float) -> str:
    """The shortest text that reads back as the same number."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"


def numbers_last(args: Iterable[sympy.Expr]) -> list[sympy.Expr]:
    """max(x, 0), not max(0, x)."""
    return sorted(args, key=lambda a: (a.is_number, a.sort_key()))


class _TextPrinter(StrPrinter):
    """sympy's text in the reader's own words: lower-case calls, numbers last in max and min, eps as 1e-5."""

    def _print_call(self, name: str, expr: sympy.Expr) -> str:
        return f"{name}({', '.join(map(self._print, numbers_last(expr.args)))})"

    def _print_Max(self, expr: sympy.Expr) -> str:
        return self._print_call("max", expr)

    def _print_Min(self, expr: sympy.Expr) -> str:
        return self._print_call("min", expr)

    def _print_Abs(self, expr: sympy.Expr) -> str:
        return self._print_call("abs", expr)

    def _print_Heaviside(self, expr: sympy.Expr) -> str:
        return f"step({self._print(expr.args[0])})"

    def _print_Exp1(self, expr: sympy.Expr) -> str:
        return "exp(1)"

    def _print_Rational(self, expr: sympy.Rational) -> str:
        return "1e-5" if expr == EPS else str(super()._print_Rational(expr))


class _LatexPrinter(LatexPrinter):
    """σ for sigmoid, β with an index, eps as a power of ten."""

    def _print_Symbol(self, expr: sympy.Symbol, style: str = "plain") -> str:
        name = expr.name
        return name if name == "x" else r"\beta" + (f"_{{{name[4:]}}}" if name[4:] else "")

    def _print_sigmoid(self, expr: sympy.Expr, exp: str | None = None) -> str:
        return rf"\sigma{'' if exp is None else f'^{{{exp}}}'}\left({self._print(expr.args[0])}\right)"

    def _hprint_variadic_function(self, expr: sympy.Expr, exp: str | None = None) -> str:
        args = ", ".join(map(self._print, numbers_last(expr.args)))
        return rf"\{type(expr).__name__.lower()}{'' if exp is None else f'^{{{exp}}}'}\left({args}\right)"

    _print_Max = _print_Min = _hprint_variadic_function

    def _print_named(self, name: str, expr: sympy.Expr, exp: str | None) -> str:
        power = "" if exp is None else f"^{{{exp}}}"
        return rf"\operatorname{{{name}}}{power}\left({self._print(expr.args[0])}\right)"

    def _print_softplus(self, expr: sympy.Expr, exp: str | None = None) -> str:
        return self._print_named("softplus", expr, exp)

    def _print_sinc(self, expr: sympy.Expr, exp: str | None = None) -> str:
        return self._print_named("sinc", expr, exp)

    def _print_sinc_slope(self, expr: sympy.Expr, exp: str | None = None) -> str:
        return self._print_named("sinc'", expr, exp)

    def _print_Rational(self, expr: sympy.Rational) -> str:
        return "10^{-5}" if expr == EPS else str(super()._print_Rational(expr))
