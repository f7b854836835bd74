"""A sympy expression as text: in the reader's own words, as LaTeX and as numpy code."""

from collections.abc import Iterable
from decimal import Decimal

import sympy
from sympy.printing.latex import LatexPrinter
from sympy.printing.numpy import NumPyPrinter
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.str import StrPrinter


def decimal(value: sympy.Rational) -> str | None:
    """A fraction as decimal digits, where they are exact, read back as the same number and are shorter: 1.702, 1e-5.

    None for a whole number and for one that is better as a fraction, such as 1/2 or 1/3.
    """
    digits = Decimal(repr(float(value))).normalize()
    if value.q == 1 or sympy.Rational(str(digits)) != value:
        return None
    text = min(f"{digits:f}", f"{digits:e}", key=len)
    return text if len(text) < len(f"{value.p}/{value.q}") else None


def numbers_last(args: Iterable[sympy.Expr]) -> list[sympy.Expr]:
    """max(x, 0), not max(0, x)."""
    return sorted(args, key=lambda a: (a.is_number, a.sort_key()))


class TextPrinter(StrPrinter):
    """sympy's text in the reader's own words: lower-case calls, numbers last in max and min, decimals where shorter."""

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
        return decimal(expr) or str(super()._print_Rational(expr))

    def _print_Mul(self, expr: sympy.Mul) -> str:
        number, rest = expr.as_coeff_Mul()
        text = decimal(abs(number)) if number.is_Rational else None
        if text is None:
            return str(super()._print_Mul(expr))
        others = self.parenthesize(rest, PRECEDENCE["Mul"], strict=True)
        sign = "-" if number < 0 else ""
        return f"{sign}{text}{others[1:] if others.startswith('1/') else '*' + others}"


class FormulaLatexPrinter(LatexPrinter):
    """σ for sigmoid, β with an index, decimals as `TextPrinter` has them."""

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

    def _print_Heaviside(self, expr: sympy.Expr, exp: str | None = None) -> str:
        return self._print_named("step", expr, exp)

    def _print_sinc_slope(self, expr: sympy.Expr, exp: str | None = None) -> str:
        return self._print_named("sinc'", expr, exp)

    def _print_Rational(self, expr: sympy.Rational) -> str:
        text = decimal(expr)
        if text is None:
            return str(super()._print_Rational(expr))
        digits, _, power = text.partition("e")
        return f"10^{{{power}}}" if digits == "1" else digits + (rf" \cdot 10^{{{power}}}" if power else "")

    def _print_Mul(self, expr: sympy.Mul) -> str:
        number, rest = expr.as_coeff_Mul()
        if not number.is_Rational or decimal(abs(number)) is None:
            return str(super()._print_Mul(expr))
        above, below = sympy.fraction(rest, exact=True)
        text = self._print(abs(number))
        if above != 1:
            others = self.parenthesize(above, PRECEDENCE["Mul"], strict=True)
            text += (r" \cdot " if others[0].isdigit() else " ") + others
        sign = "- " if number < 0 else ""
        return sign + (text if below == 1 else rf"\frac{{{text}}}{{{self._print(below)}}}")


class NumPyFormulaPrinter(NumPyPrinter):
    """Prints sinc and the step by their own names, for functions of ours.

    numpy's sinc is sin(πx)/(πx). sympy's numpy code for a step decides its side case by case of what is inside, and
    overflows on the way; were it written as (sign + 1)/2, sympy would multiply it out, and the sum cancel.
    """

    def _print_sinc(self, expr: sympy.Expr) -> str:
        return f"sinc({self._print(expr.args[0])})"

    def _print_Heaviside(self, expr: sympy.Expr) -> str:
        return f"step({self._print(expr.args[0])})"
