"""An expression as Python code that a person could have written: named parts, tidy spaces, lines of 100 characters."""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from typing import ClassVar

import sympy
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.str import StrPrinter

from actsearch.derivative import folded
from actsearch.expression import X

WIDTH = 100

_ADDITIVE = (ast.Add, ast.Sub)
_MULTIPLICATIVE = (ast.Mult, ast.Div)


class CodePrinter(StrPrinter):
    """sympy's text with an array library's calls, and numbers as Python's floats."""

    calls: ClassVar[Mapping[str, str]] = {}
    """The library's call for each function by sympy's class name, and for sqrt, relu, maximum and minimum."""

    number_sqrt: ClassVar[str] = "math.sqrt"

    def code(self, expr: sympy.Expr) -> str:
        """The expression as tidy code on one line."""
        return tidy(self.doprint(expr))

    def constant(self, number: sympy.Expr) -> str:
        """A number as an argument of maximum or minimum."""
        return str(self._print(number))

    def number(self, text: str) -> str:
        """A fraction, as `0.5` or `1/3`."""
        return text

    def _print_Function(self, expr: sympy.Expr) -> str:
        if expr.is_number:
            return repr(float(expr.evalf(30)))
        return f"{self.calls[type(expr).__name__]}({self._print(expr.args[0])})"  # Heaviside's second is always 1/2

    _print_Abs = _print_Heaviside = _print_sinc = _print_Function

    def _print_Max(self, expr: sympy.Max) -> str:
        return reduce(lambda a, b: self._relu(a) if b == "0" else self._pair("maximum", a, b), self._folded(expr))

    def _print_Min(self, expr: sympy.Min) -> str:
        fold = self._folded(expr)
        return reduce(lambda a, b: f"(-{self._relu(f'-({a})')})" if b == "0" else self._pair("minimum", a, b), fold)

    def _relu(self, code: str) -> str:
        return f"{self.calls['relu']}({code})"

    def _pair(self, name: str, a: str, b: str) -> str:
        return f"{self.calls[name]}({a}, {b})"

    def _folded(self, expr: sympy.Expr) -> list[str]:
        return [self.constant(a) if a.is_number and a != 0 else str(self._print(a)) for a in folded(expr)]

    def _print_Pow(self, expr: sympy.Pow, rational: bool = False) -> str:
        base, exponent = expr.base, expr.exp
        if exponent == sympy.Rational(1, 2):
            return f"{self.number_sqrt if base.is_number else self.calls['sqrt']}({self._print(base)})"
        if exponent.is_number and exponent.is_negative:
            return f"1/{self.parenthesize(base**-exponent, PRECEDENCE['Mul'])}"
        power = PRECEDENCE["Pow"]
        return f"{self.parenthesize(base, power)}**{self.parenthesize(exponent, power)}"

    def _print_Mul(self, expr: sympy.Mul) -> str:
        number, rest = expr.as_coeff_Mul()
        if number.is_Rational and not number.is_Integer and abs(number.p) != 1 and (text := _decimal(abs(number))):
            sign = "-" if number < 0 else ""
            return f"{sign}{self.number(text)}*{self.parenthesize(rest, PRECEDENCE['Mul'], strict=True)}"
        return str(super()._print_Mul(expr))

    def _print_Rational(self, expr: sympy.Rational) -> str:
        text = _decimal(expr) or f"{expr.p}/{expr.q}"
        return self.number(text)

    def _print_Integer(self, expr: sympy.Integer) -> str:
        return str(expr.p) if abs(expr.p) < 2**53 else repr(float(expr))

    def _print_Half(self, expr: sympy.Rational) -> str:
        return self.number("0.5")

    def _print_Pi(self, expr: sympy.Expr) -> str:
        return "math.pi"

    def _print_Exp1(self, expr: sympy.Expr) -> str:
        return "math.e"


def _decimal(number: sympy.Rational) -> str:
    """The rational as a short decimal, or nothing where it has none."""
    text = repr(float(number))
    return text if sympy.Rational(text) == number and len(text) < 12 else ""


def tidy(code: str) -> str:
    """The code with spaces around operators, `x**2` and `1e-5`, and no needless parentheses."""
    text = ast.unparse(_Signs().visit(ast.parse(code, mode="eval")))
    text = re.sub(r"(?<![\w.)\]])([A-Za-z_][\w.]*|\d[\d.]*) \*\* (-?[\w.]+)(?![\w.(]| \*\*)", r"\1**\2", text)
    return re.sub(r"(?<=\d)e-0(?=\d)", "e-", text).replace("'", '"')


class _Signs(ast.NodeTransformer):
    """--u is u, a - -u is a + u, a + -u is a - u."""

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        self.generic_visit(node)
        inner = _negated(node.operand)
        return inner if inner is not None and isinstance(node.op, ast.USub) else node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        inner = _negated(node.right)
        if inner is None or not isinstance(node.op, _ADDITIVE):
            return node
        return ast.BinOp(node.left, ast.Sub() if isinstance(node.op, ast.Add) else ast.Add(), inner)


def _negated(node: ast.expr) -> ast.expr | None:
    """u of -u."""
    return node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else None


def parts(expr: sympy.Expr) -> tuple[list[tuple[str, sympy.Expr]], sympy.Expr]:
    """The expression with its repeated parts named, where a name saves work.

    Returns:
        names and what they stand for, in order, and the expression in terms of them. A part that is one sum, product
        or power of plain symbols stays where it is.
    """
    shared, (result,) = sympy.cse(expr, symbols=sympy.numbered_symbols("cse", real=True))
    inlined: dict[sympy.Symbol, sympy.Expr] = {}
    kept: list[tuple[sympy.Symbol, sympy.Expr]] = []
    for symbol, value in shared:
        whole = value.xreplace(inlined)
        if value.has(sympy.Function) or sympy.count_ops(whole) > 1:
            kept.append((symbol, whole))
        else:
            inlined[symbol] = whole
    names: dict[sympy.Symbol, sympy.Symbol] = {}
    for symbol, value in kept:
        names[symbol] = sympy.Symbol(_part_name(value, len(names) + 1), real=True)
    named = [(names[symbol].name, value.xreplace(names)) for symbol, value in kept]
    return named, result.xreplace(inlined).xreplace(names)


def _part_name(value: sympy.Expr, count: int) -> str:
    """`exp_x` for exp(x), else u1, u2, …"""
    if isinstance(value, sympy.Function) and value.args == (X,):
        return f"{type(value).__name__.lower()}_x"
    return f"u{count}"


def statement(prefix: str, code: str, indent: int = 4) -> list[str]:
    """Lines of `prefix` and the code, broken at operators and arguments where one line is too long."""
    tree = ast.parse(code, mode="eval")
    return list(_broken(prefix, tree.body, "", indent))


def _broken(prefix: str, node: ast.expr, suffix: str, indent: int, *, grouped: bool = False) -> Iterator[str]:
    text = tidy(ast.unparse(node))
    line = " " * indent + prefix + (f"({text})" if grouped else text) + suffix
    if len(line) <= WIDTH or not isinstance(node, ast.BinOp | ast.Call):
        yield line
    elif isinstance(node, ast.Call):
        yield " " * indent + prefix + ast.unparse(node.func) + "("
        for arg in node.args:
            yield from _broken("", arg, ",", indent + 4)
        yield " " * indent + ")" + suffix
    else:
        yield " " * indent + prefix + "("
        for operator, term, needs_group in _terms(node):
            yield from _broken(operator, term, "", indent + 4, grouped=needs_group)
        yield " " * indent + ")" + suffix


def _terms(node: ast.BinOp) -> list[tuple[str, ast.expr, bool]]:
    """The operands of a chain of + and - or of * and /, each with its operator and whether it needs parentheses."""
    level = next((kind for kind in (_ADDITIVE, _MULTIPLICATIVE) if isinstance(node.op, kind)), None)
    symbol = {ast.Add: "+ ", ast.Sub: "- ", ast.Mult: "* ", ast.Div: "/ ", ast.Pow: "** "}[type(node.op)]
    if level and isinstance(node.left, ast.BinOp) and isinstance(node.left.op, level):
        first = _terms(node.left)
    else:
        first = [("", node.left, _binds_less(node.left, level, right=False))]
    return [*first, (symbol, node.right, _binds_less(node.right, level, right=True))]


def _binds_less(operand: ast.expr, level: tuple[type[ast.operator], ...] | None, *, right: bool) -> bool:
    """Whether an operand of a chain must stand in parentheses."""
    if level is None:
        return isinstance(operand, ast.BinOp | ast.UnaryOp)
    if not isinstance(operand, ast.BinOp):
        return False
    same = isinstance(operand.op, level)
    return (same and right) or (level is _MULTIPLICATIVE and isinstance(operand.op, _ADDITIVE))


def used(name: str, lines: Iterable[str]) -> bool:
    """Whether code calls or reads a name that is not an attribute of another: `sinc(` but not `torch.sinc(`."""
    return any(re.search(rf"(?<![\w.]){re.escape(name)}", line) for line in lines)
