"""From a checked syntax tree to a sympy expression, with everything bounded before or while it is built.

sympy simplifies while it builds, and some of what it tries costs seconds: comparing the arguments of a max, working
out constants, growing sin(atan(u)) into more and more copies of u. So a text of any length is built or refused in
about a tenth of a second.
"""

import ast
from itertools import combinations

import sympy

from actsearch.errors import ExpressionError
from actsearch.expression import X, beta_symbol
from actsearch.reader.syntax import CALLS, MAX_NUMBER, factors_of, short, source_of, terms_of

MAX_SIZE = 500
"""Nodes of the expression that a text may become: silu(u) holds u twice, sin(atan(u)) too."""

MAX_EXPONENT = 64
MAX_CONSTANTS = 6
"""Bounds of what is built: a power's exponent, constants such as exp(1) or sqrt(2)."""

_MAX_COMPARED = 260
"""Work of comparing the arguments of max and min, two at a time: 10 plus the nodes of both. A unit takes sympy about
0.1 ms. Six arguments such as sin(x) fit, or 18 terms max(x - 1, 0), or two formulas of 120 nodes."""


class Builder:
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
                return sympy.Add(*(sign * self.build(term) for term, sign in terms_of(node)))
            case ast.Call(func=ast.Name(id=name), args=args):
                return self._call(name, [self.build(a) for a in args])
        raise AssertionError(f"unchecked node {ast.dump(node)}")

    def _product(self, node: ast.expr) -> sympy.Expr:
        factors = []
        for factor, exponent in factors_of(node):
            value = self.build(factor) if isinstance(factor, ast.expr) else sympy.Integer(factor)
            if exponent < 0 and value.is_zero:
                raise ExpressionError(f"{source_of(node, self._text)!r} divides by zero")
            factors.append(value if exponent > 0 else 1 / value)
        return sympy.Mul(*factors)

    def _power(self, base: sympy.Expr, exponent: sympy.Expr) -> sympy.Expr:
        _check_exponent(exponent)
        if base.is_zero and exponent.is_negative:
            raise ExpressionError(f"{short(f'{base}**({exponent})')!r} divides by zero")
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
                f"sinh, cosh and tanh take what is real for every x, got {short(str(arg))!r}; "
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
                    f"a number is a fraction of whole numbers up to {MAX_NUMBER:g}, got {short(str(value))}"
                )
            return
        self._constants += not value.is_Atom
        if self._constants > MAX_CONSTANTS:
            raise ExpressionError(f"an expression has at most {MAX_CONSTANTS} constants such as exp(1) or sqrt(2)")
        number = value.evalf(15)
        if not number.is_Float or not abs(number) <= 1e100:
            raise ExpressionError(f"a constant is real and at most 1e100, got {short(str(value))}")


def _check_exponent(exponent: sympy.Expr) -> None:
    if exponent.is_number and not abs(exponent) <= MAX_EXPONENT:
        raise ExpressionError(f"an exponent is at most {MAX_EXPONENT}, got {short(str(exponent))}")


def _check_power(base: sympy.Expr, exponent: sympy.Expr) -> None:
    """Refuses 0**x and (-8)**x, which have no real value for most x."""
    if (
        base.is_number
        and not base.is_positive
        and not exponent.is_Integer
        and not (base.is_zero and exponent.is_positive)
    ):
        power = short(str(sympy.Pow(base, exponent, evaluate=False)))
        raise ExpressionError(f"{power!r}: a number that is not positive takes a whole number as its exponent")
