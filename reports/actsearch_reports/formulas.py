"""How a formula is shown: the expression that was trained, and its MathML for the page.

Shown is the canonical form, not the spelling proposed: it is what the child trained, and trained β are its parameters.
"""

from functools import lru_cache
from html import escape

import sympy
from sympy.printing.mathml import MathMLPresentationPrinter

from actsearch.expression import Expression, expression_of
from actsearch.formula import Formula
from actsearch.identity import canonical
from actsearch.primitives import EPS
from actsearch.printers import numbers_last


@lru_cache(maxsize=4096)
def trained_expression(tokens: tuple[str, ...]) -> Expression:
    """The canonical expression of a token sequence, which is the one that a child compiles."""
    return canonical(expression_of(Formula.from_tokens(tokens)))


def mathml(expression: Expression) -> str:
    """A `<math>` element that browsers lay out by themselves, with the plain text for those who cannot see it."""
    text = escape(expression.text, quote=True)
    # sympy writes minus as a hyphen, which browsers draw as one.
    tree = _Printer().doprint(expression.expr).replace("<mo>-</mo>", "<mo>\N{MINUS SIGN}</mo>")
    return f'<math alttext="{text}" aria-label="{text}">{tree}</math>'


class _Printer(MathMLPresentationPrinter):
    """sympy's presentation markup in the project's words: σ, asinh, a plain e, eps as a power of ten, x before 0.

    sympy looks its methods up by class name, hence their capitals.
    """

    def _call(self, name: str, *args: sympy.Expr) -> object:
        inner = self.dom.createElement("mrow")
        inner.appendChild(self._leaf("mo", "("))
        for place, arg in enumerate(args):
            if place:
                inner.appendChild(self._leaf("mo", ","))
            inner.appendChild(self._print(arg))
        inner.appendChild(self._leaf("mo", ")"))
        row = self.dom.createElement("mrow")
        row.appendChild(self._leaf("mi", name))
        row.appendChild(self._leaf("mo", "\N{FUNCTION APPLICATION}"))
        row.appendChild(inner)
        return row

    def _leaf(self, tag: str, text: str) -> object:
        leaf = self.dom.createElement(tag)
        leaf.appendChild(self.dom.createTextNode(text))
        return leaf

    def _print_sigmoid(self, expr: sympy.Expr) -> object:
        return self._call("σ", expr.args[0])

    def _print_sinc_slope(self, expr: sympy.Expr) -> object:
        return self._call("sinc′", expr.args[0])

    def _print_asinh(self, expr: sympy.Expr) -> object:
        return self._call("asinh", expr.args[0])

    def _print_atan(self, expr: sympy.Expr) -> object:
        return self._call("atan", expr.args[0])

    def _print_Max(self, expr: sympy.Expr) -> object:  # noqa: N802
        return self._call("max", *numbers_last(expr.args))

    def _print_Min(self, expr: sympy.Expr) -> object:  # noqa: N802
        return self._call("min", *numbers_last(expr.args))

    def _print_Heaviside(self, expr: sympy.Expr) -> object:  # noqa: N802
        return self._call("step", expr.args[0])

    def _print_Exp1(self, expr: sympy.Expr) -> object:  # noqa: N802
        return self._leaf("mi", "e")

    def _print_exp(self, expr: sympy.Expr) -> object:
        power = self.dom.createElement("msup")
        power.appendChild(self._leaf("mi", "e"))
        power.appendChild(self._print(expr.args[0]))
        return power

    def _print_Rational(self, expr: sympy.Rational) -> object:  # noqa: N802
        if expr != EPS:
            return super()._print_Rational(expr)
        power = self.dom.createElement("msup")
        power.appendChild(self._leaf("mn", "10"))
        exponent = self.dom.createElement("mrow")
        exponent.appendChild(self._leaf("mo", "\N{MINUS SIGN}"))
        exponent.appendChild(self._leaf("mn", "5"))
        power.appendChild(exponent)
        return power
