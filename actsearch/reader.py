"""The safe reader: plain mathematics from outside becomes an expression, and nothing in it is ever evaluated.

It walks Python's own syntax tree and knows a short list of nodes, names and calls (sympy's own parsers run code that
a text contains). The search takes formulas of its space; `show`, `export` and `swap` take any expression.

sympy simplifies while it builds, and some of what it tries costs seconds: comparing the arguments of a max, working
out constants, growing sin(atan(u)) into more and more copies of u. So everything is bounded before or while it is
built, so that a text of any length is read or refused in about a tenth of a second.
"""

import ast
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from types import MappingProxyType

import sympy

from actsearch.errors import ExpressionError
from actsearch.expression import Expression, X, beta_symbol
from actsearch.functions import sigmoid, sinc, sinc_slope, softplus

MAX_TEXT = 2_000
MAX_NODES = 400
MAX_DEPTH = 40
"""Bounds of a text from outside: characters, syntax nodes, nesting (the terms of a sum are on one level)."""

MAX_SIZE = 500
"""Nodes of the expression that a text may become: silu(u) holds u twice, sin(atan(u)) too."""

MAX_NUMBER = 10**60
MAX_EXPONENT = 64
MAX_CONSTANTS = 6
"""Bounds of what is built: numerator and denominator of a number, a power's exponent, constants such as exp(1) or
sqrt(2)."""

_MAX_COMPARED = 260
"""Work of comparing the arguments of max and min, two at a time: 10 plus the nodes of both. A unit takes sympy about
0.1 ms. Six arguments such as sin(x) fit, or 18 terms max(x - 1, 0), or two formulas of 120 nodes."""

_MAX_BETA = 1e6
_BETA_NAME = re.compile(r"beta([2-9]|[1-9][0-9])?")
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


def read(text: str) -> Expression:
    """The expression of a text such as `x*sigmoid(beta*x)`, optionally with β's initial values: `; beta=0.5`.

    Reading what an expression prints gives that expression: `read(e.full_text) == e`.

    Raises:
        ExpressionError: anything but numbers, x, pi, beta, beta2, …, + - * / **, and the calls in `CALLS`; a text
            beyond the bounds above; an initial value for a β that the text does not hold.
    """
    _check_length(text)
    body, _, suffix = text.partition(";")
    tree = parse(body)
    betas = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and _BETA_NAME.fullmatch(node.id)}
    initial = _read_initial(suffix, betas)
    return Expression(_stable(body.strip(), tree), initial)


def _stable(text: str, tree: ast.expr) -> sympy.Expr:
    """What a text means, in the form that its own text means again: sympy finds some simplifications only then."""
    try:
        expr = _Builder(text).build(tree)
        for _ in range(8):
            printed = Expression(expr).text
            again = _Builder(printed).build(parse(printed))
            if again == expr:
                return expr
            expr = again
    except ExpressionError:
        raise
    except (ValueError, TypeError, ArithmeticError, RecursionError) as err:  # sympy's, for max(log(-1), 0) and the like
        raise ExpressionError(f"{_short(text)!r} is not a real function: {_short(str(err))}") from err
    raise ExpressionError(f"{_short(text)!r} has no simplest form: write it shorter")


def parse(text: str) -> ast.expr:
    """The syntax tree of a text that holds only what `read` allows; `ExpressionError` otherwise."""
    _check_length(text)
    text = text.strip()
    if not text:
        raise ExpressionError(f"an empty text is no expression; {_EXAMPLE}")
    if not text.isascii():
        odd = next(c for c in text if not c.isascii())
        raise ExpressionError(f"an expression is plain ASCII, got {odd!r}; write beta, sigmoid, * and **")
    if "#" in text:
        raise ExpressionError(f"{_short(text)!r} holds '#': an expression has no comments")
    try:
        with warnings.catch_warnings(action="ignore", category=SyntaxWarning):  # Python's advice on 1(x) and the like
            tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as err:
        raise ExpressionError(f"{_short(text)!r} is not an expression; {_EXAMPLE}") from err
    for count, (node, depth) in enumerate(_walk(tree)):
        if count >= MAX_NODES or depth > MAX_DEPTH:
            raise ExpressionError(f"an expression has at most {MAX_NODES} terms nested {MAX_DEPTH} deep")
        _check(node, text)
    return tree


def _check_length(text: str) -> None:
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
                    f"a number is 0 or between {1 / MAX_NUMBER:g} and {MAX_NUMBER:g}, got {_source(node, text)}"
                )
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
    hint = "; a power is written **" if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitXor) else ""
    raise ExpressionError(f"{_source(node, text)!r} is not plain mathematics of x and beta{hint}")


def _is_nonzero(number: str) -> bool:
    """Whether a decimal number has a digit other than 0 before its exponent: 1e-400 is 0 in float64 alone."""
    return any(digit in "123456789" for digit in number.lower().partition("e")[0])


class _Builder:
    """Makes the sympy expression of one checked syntax tree, within the bounds.

    A sum or product is built at once from all its terms: adding them one by one would take quadratic time, and
    2*(x + 1)*y would multiply out, which 2*y*(x + 1) does not.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._built: dict[str, sympy.Expr] = {}
        self._sizes: dict[sympy.Basic, int] = {}
        self._constants = 0
        self._compared = 0

    def build(self, node: ast.expr) -> sympy.Expr:
        """The expression of a node; equal texts within the whole are built once."""
        key = self._text[node.col_offset : node.end_col_offset]
        if key not in self._built:
            value = self._make(node)
            self._measure(value)
            self._built[key] = value
        return self._built[key]

    def _make(self, node: ast.expr) -> sympy.Expr:
        match node:
            case ast.Constant(value=value):
                return sympy.Rational(repr(value))
            case ast.Name(id=name):
                return X if name == "x" else sympy.pi if name == "pi" else beta_symbol(name)
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                return self._power(self.build(left), self.build(right))
            case ast.BinOp(op=ast.Mult() | ast.Div()):
                return self._product(node)
            case ast.BinOp() | ast.UnaryOp():
                return sympy.Add(*(sign * self.build(term) for term, sign in _terms(node)))
            case ast.Call(func=ast.Name(id=name), args=args):
                return self._call(name, [self.build(a) for a in args])
        raise AssertionError(f"unchecked node {ast.dump(node)}")

    def _product(self, node: ast.expr) -> sympy.Expr:
        factors = []
        for factor, exponent in _factors(node):
            value = self.build(factor) if isinstance(factor, ast.expr) else sympy.Integer(factor)
            if exponent < 0 and value.is_zero:
                raise ExpressionError(f"{_source(node, self._text)!r} divides by zero")
            factors.append(value if exponent > 0 else 1 / value)
        return sympy.Mul(*factors)

    def _power(self, base: sympy.Expr, exponent: sympy.Expr) -> sympy.Expr:
        _check_exponent(exponent)
        if base.is_zero and exponent.is_negative:
            raise ExpressionError(f"{_short(f'{base}**({exponent})')!r} divides by zero")
        _check_power(base, exponent)
        return base**exponent

    def _call(self, name: str, args: list[sympy.Expr]) -> sympy.Expr:
        kind = {"max": sympy.Max, "min": sympy.Min}.get(name)
        if kind:
            args = list({part for a in args for part in (a.args if isinstance(a, kind) else (a,))})
            self._compare(args)
        elif name == "relu":
            self._compare([*args, sympy.S.Zero])
        elif name in ("sinh", "cosh", "tanh"):
            self._check_hyperbolic(*args)
        return CALLS[name][1](*args)

    def _compare(self, args: list[sympy.Expr]) -> None:
        """Counts the work of comparing each argument with each other."""
        self._compared += sum(10 + self._measure(a) + self._measure(b) for a, b in combinations(args, 2))
        if self._compared > _MAX_COMPARED:
            raise ExpressionError("max and min hold too many or too long arguments to compare: write fewer of them")

    def _check_hyperbolic(self, arg: sympy.Expr) -> None:
        """Refuses what sympy would split into real and imaginary part, which grows without bound."""
        long = self._measure(arg) > 6 or any(p.exp.is_number and abs(p.exp) > 4 for p in arg.atoms(sympy.Pow))
        if long and not arg.is_extended_real:
            raise ExpressionError(
                f"sinh, cosh and tanh take what is real for every x, got {_short(str(arg))!r}; "
                "inside, write log(abs(u) + 1e-5), sqrt(abs(u) + 1e-5) and abs(u)**p"
            )

    def _measure(self, expr: sympy.Expr) -> int:
        """The number of nodes of an expression; refuses one that is too large, or holds what is out of bounds."""
        if expr not in self._sizes:
            size = 1 + sum(self._measure(a) for a in expr.args)
            if size > MAX_SIZE:
                raise ExpressionError(f"an expression of more than {MAX_SIZE} nodes when built: write it shorter")
            if expr.is_number:
                self._check_number(expr)
            if expr.is_Pow:
                _check_exponent(expr.exp)
                _check_power(expr.base, expr.exp)
            self._sizes[expr] = size
        return self._sizes[expr]

    def _check_number(self, value: sympy.Expr) -> None:
        if value.is_Rational:
            if max(abs(value.p), value.q) > MAX_NUMBER:
                raise ExpressionError(
                    f"a number is a fraction of whole numbers up to {MAX_NUMBER:g}, got {_short(str(value))}"
                )
            return
        self._constants += not value.is_Atom
        if self._constants > MAX_CONSTANTS:
            raise ExpressionError(f"an expression has at most {MAX_CONSTANTS} constants such as exp(1) or sqrt(2)")
        number = value.evalf(15)
        if not number.is_Float or not abs(number) <= 1e100:
            raise ExpressionError(f"a constant is real and at most 1e100, got {_short(str(value))}")


def _check_exponent(exponent: sympy.Expr) -> None:
    if exponent.is_number and not abs(exponent) <= MAX_EXPONENT:
        raise ExpressionError(f"an exponent is at most {MAX_EXPONENT}, got {_short(str(exponent))}")


def _check_power(base: sympy.Expr, exponent: sympy.Expr) -> None:
    """Refuses 0**x and (-8)**x, which have no real value for most x."""
    if (
        base.is_number
        and not base.is_positive
        and not exponent.is_Integer
        and not (base.is_zero and exponent.is_positive)
    ):
        power = _short(str(sympy.Pow(base, exponent, evaluate=False)))
        raise ExpressionError(f"{power!r}: a number that is not positive takes a whole number as its exponent")


def _terms(node: ast.expr) -> list[tuple[ast.expr, int]]:
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


def _factors(node: ast.expr) -> list[tuple[ast.expr | int, int]]:
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


def _read_initial(text: str, betas: set[str]) -> dict[str, float]:
    initial: dict[str, float] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, value = (s.strip() for s in part.partition("="))
        try:
            number = float(value) if part.isascii() else math.nan
        except ValueError:
            number = math.nan
        if not _BETA_NAME.fullmatch(name) or not abs(number) <= _MAX_BETA:
            raise ExpressionError(
                f"an initial value reads beta=0.5 or beta2=0, at most {_MAX_BETA:g}; got {_short(part)!r}"
            )
        if name in initial:
            raise ExpressionError(f"an initial value is given once, got two for {name}")
        if name not in betas:
            known = ", ".join(sorted(betas)) or "no β"
            raise ExpressionError(f"an initial value for {name}, but the expression holds {known}")
        initial[name] = number + 0.0  # no negative zero
    return initial


def _source(node: ast.expr, text: str) -> str:
    return _short(text[node.col_offset : node.end_col_offset])


def _short(text: str) -> str:
    text = " ".join(text[:200].split())
    return text if len(text) <= 60 else text[:57] + "…"
