"""A function as a plain sympy expression, in a file that needs sympy alone."""

from collections.abc import Iterator
from types import MappingProxyType
from typing import ClassVar

import sympy

from actsearch.export.code import CodePrinter, statement, used
from actsearch.export.document import gain_line, head, scaled
from actsearch.export.function import ExportedFunction
from actsearch.export.reference import table, value_rows
from actsearch.printers import numbers_last


class SympyFilePrinter(CodePrinter):
    """Plain sympy: numbers stay exact, max and min take all their arguments."""

    calls: ClassVar = MappingProxyType(
        {name: f"sympy.{name}" for name in ("Abs", "Heaviside", "sign", "sqrt", "exp", "log", "erf", "sinc")}
        | {name: f"sympy.{name}" for name in ("asinh", "atan", "cos", "cosh", "sin", "sinh", "tanh")}
        | {name: name for name in ("sigmoid", "softplus", "sinc_slope")}
    )
    number_sqrt = "sympy.sqrt"

    def _print_Function(self, expr: sympy.Expr) -> str:
        return f"{self.calls[type(expr).__name__]}({self._print(expr.args[0])})"

    _print_Abs = _print_Heaviside = _print_sinc = _print_Function

    def _print_Max(self, expr: sympy.Max) -> str:
        return f"sympy.{type(expr).__name__}({', '.join(self._print(a) for a in numbers_last(expr.args))})"

    _print_Min = _print_Max

    def number(self, text: str) -> str:
        return f"sympy.Rational({text!r})"

    def _print_Integer(self, expr: sympy.Integer) -> str:
        return str(expr.p)

    def _print_Pi(self, expr: sympy.Expr) -> str:
        return "sympy.pi"

    def _print_Exp1(self, expr: sympy.Expr) -> str:
        return "sympy.E"


_HELPERS = MappingProxyType({
    "sigmoid": '''
def sigmoid(u):
    return 1 / (1 + sympy.exp(-u))
''',
    "softplus": '''
def softplus(u):
    return sympy.log(1 + sympy.exp(u))
''',
    "sinc_slope": '''
def sinc_slope(u):
    """The derivative of sin(u)/u."""
    return sympy.Piecewise((sympy.cos(u) / u - sympy.sin(u) / u**2, sympy.Ne(u, 0)), (0, True))
''',
})  # fmt: skip


def sympy_file(function: ExportedFunction) -> str:
    """The text of a Python file that builds the expression as `f`, and of a check that `python FILE` runs."""
    body = list(_definition(function))
    lines = [*head(function, "Needs sympy alone. `python FILE` checks it against exact values."), ""]
    lines += ["import sys", "", "import sympy"]
    for helper, text in _HELPERS.items():
        if used(f"{helper}(", body):
            lines += ["", *text.rstrip().split("\n")]
    lines += ["", *([""] if used("def ", lines) else []), *body, "", *_check(function)]
    return "\n".join(lines) + "\n"


def _definition(function: ExportedFunction) -> Iterator[str]:
    yield from gain_line(function)
    for name in ("x", *function.betas):
        yield f'{name} = sympy.Symbol("{name}", real=True)'
    code = SympyFilePrinter().code(scaled(function.expression.expr, function))
    yield from statement("f = ", f"sympy.sympify({code})" if function.expression.expr.is_number else code, 0)
    if function.betas:
        starts = ", ".join(f"{name}: {start!r}" for name, start in function.betas.items())
        yield f"START = {{{starts}}}  # f.subs(START) is the function that training starts from"


def _check(function: ExportedFunction) -> Iterator[str]:
    symbols = ["x", *function.betas]
    yield f"# Exact values: {', '.join([*symbols, 'f'])}"
    yield from ("REFERENCE = (", *table(value_rows(function)), ")", "", "")
    yield "def check():"
    yield '    """The largest |found - expected| / (|expected| + 0.001) over REFERENCE."""'
    yield "    errors = []"
    yield "    for *inputs, expected in REFERENCE:"
    yield f"        point = zip([{', '.join(symbols)}], map(sympy.Rational, inputs))"
    yield "        found = f.subs(dict(point)).evalf(20)"
    yield "        errors.append(abs(found - expected) / (abs(expected) + 1e-3))"
    yield "    return max(errors)"
    yield from ("", "", 'if __name__ == "__main__":', "    error = check()", "    if not error < 1e-9:")
    yield '        sys.exit(f"wrong: f is off by {float(error):.1e} from exact values")'
    yield '    print(f"ok: f matches {len(REFERENCE)} exact values, within {float(error):.0e}")'
