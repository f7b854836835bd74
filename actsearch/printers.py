"""A sympy expression as text: in the reader's own words, and as LaTeX."""

from collections.abc import Iterable

import sympy
from sympy.printing.latex import LatexPrinter
from sympy.printing.str import StrPrinter

from actsearch.primitives import EPS


def numbers_last(args: Iterable[sympy.Expr]) -> list[sympy.Expr]:
    """max(x, 0), not max(0, x)."""
    return sorted(args, key=lambda a: (a.is_number, a.sort_key()))


class TextPrinter(StrPrinter):
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


class FormulaLatexPrinter(LatexPrinter):
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
