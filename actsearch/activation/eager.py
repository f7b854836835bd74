"""From a sympy expression to a torch function: printed as Python, with shared subexpressions computed once.

The printed code calls only torch and `actsearch.activation.kernels`; every number is a Python float, so that the
input's dtype holds.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, reduce
from types import MappingProxyType
from typing import Any

import sympy
import torch
import torch.nn.functional as F  # noqa: N812
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.pycode import PythonCodePrinter
from torch import Tensor

from actsearch.activation import kernels
from actsearch.derivative import folded
from actsearch.expression import Expression

_CALLS = MappingProxyType({
    "Abs": "torch.abs",
    "Heaviside": "kernels.step",
    "asinh": "kernels.asinh",
    "atan": "torch.atan",
    "cos": "torch.cos",
    "cosh": "kernels.cosh",
    "erf": "torch.erf",
    "exp": "torch.exp",
    "log": "torch.log",
    "sigmoid": "kernels.sigmoid",
    "sign": "kernels.sign",
    "sin": "torch.sin",
    "sinc": "kernels.sinc",
    "sinc_slope": "kernels.sinc_slope",
    "sinh": "kernels.sinh",
    "softplus": "kernels.softplus",
    "tanh": "torch.tanh",
})  # fmt: skip


class TorchPrinter(PythonCodePrinter):
    """Prints an expression as torch code."""

    def _print_Function(self, expr: sympy.Expr) -> str:
        if expr.is_number:
            return self._number(expr)
        return f"{_CALLS[type(expr).__name__]}({self._print(expr.args[0])})"

    def emptyPrinter(self, expr: Any) -> str:
        raise TypeError(f"no torch form for {type(expr).__name__}")

    def doprint(self, expr: sympy.Expr, assign_to: Any = None) -> str:
        return str(super().doprint(expr, assign_to))

    def _print(self, expr: Any, **kwargs: Any) -> str:
        if isinstance(expr, sympy.Expr) and expr.is_number:
            return self._number(expr)
        if isinstance(expr, sympy.Function) and type(expr).__name__ in _CALLS:
            return self._print_Function(expr)
        return str(super()._print(expr, **kwargs))

    def _number(self, expr: sympy.Expr) -> str:
        exact = expr.is_Integer and abs(expr) < 2**53
        text = str(int(expr)) if exact else repr(float(expr.evalf(30)))
        return f"({text})" if text.startswith("-") else text

    def _print_Pow(self, expr: sympy.Pow, rational: bool = False) -> str:
        base, exponent = expr.as_base_exp()
        if exponent == sympy.Rational(1, 2):
            return f"torch.sqrt({self._print(base)})"
        if exponent == -sympy.Rational(1, 2):
            return f"torch.rsqrt({self._print(base)})"
        if exponent == -1:
            return f"1/{self.parenthesize(base, PRECEDENCE['Pow'])}"
        if base.is_number:
            return f"torch.pow({self._print(base)}, {self._print(exponent)})"
        power = self._print(exponent) if exponent.is_number else self.parenthesize(exponent, PRECEDENCE["Pow"])
        return f"{self.parenthesize(base, PRECEDENCE['Pow'])}**{power}"

    def _print_Max(self, expr: sympy.Max) -> str:
        return reduce(lambda a, b: f"F.relu({a})" if b == "0" else f"kernels.maximum({a}, {b})", self._folded(expr))

    def _print_Min(self, expr: sympy.Min) -> str:
        return reduce(
            lambda a, b: f"(-F.relu(-({a})))" if b == "0" else f"kernels.minimum({a}, {b})", self._folded(expr)
        )

    def _folded(self, expr: sympy.Expr) -> list[str]:
        return [self._print(arg) for arg in folded(expr)]


@lru_cache(maxsize=1024)
def torch_function(expression: Expression) -> Callable[..., Tensor | float]:
    """The function of `x, beta, beta2, …`, on tensors that broadcast; a number where nothing depends on an input.

    Gradients are autograd's. The same expression is compiled once a process.
    """
    several = torch_functions((expression.expr,), ("x", *expression.initial))

    def activation(*args: Tensor) -> Tensor | float:
        return several(*args)[0]

    return activation


def _is_constant_part(expr: sympy.Basic) -> bool:
    """Such as cosh(1/2): were it a shared subexpression, a function of it would get a number for a tensor."""
    return bool(expr.args) and isinstance(expr, sympy.Expr) and bool(expr.is_number)


@lru_cache(maxsize=1024)
def torch_functions(
    exprs: tuple[sympy.Expr, ...], arguments: tuple[str, ...]
) -> Callable[..., Sequence[Tensor | float]]:
    """Several expressions of the arguments as one function, with their shared subexpressions computed once."""
    exprs = tuple(expr.replace(_is_constant_part, lambda part: part.evalf(30)) for expr in exprs)
    shared, results = sympy.cse(exprs, symbols=sympy.numbered_symbols("s", real=True))
    printer = TorchPrinter({"fully_qualified_modules": False})
    lines = [f"def functions({', '.join(arguments)}):"]
    lines += [f"    {name} = {printer.doprint(value)}" for name, value in shared]
    lines += [f"    return [{', '.join(printer.doprint(result) for result in results)}]"]
    namespace: dict[str, Any] = {"torch": torch, "F": F, "kernels": kernels}
    exec("\n".join(lines), namespace)  # noqa: S102  (our own printer's output: calls from a fixed table, floats, symbols we named)
    functions: Callable[..., Sequence[Tensor | float]] = namespace["functions"]
    return functions


def apply_eager(expression: Expression, x: Tensor, betas: Sequence[Tensor], gain: float, channel_dim: int) -> Tensor:
    """gain · f(x), of x's shape and dtype, by torch operations with autograd's gradients.

    Args:
        expression: a canonical form.
        x: any shape, floating point.
        betas: ``(channels,)`` each, in the order of `expression.initial`.
        gain: multiplies the function.
        channel_dim: x's dimension of the channels.
    """
    return evaluate(torch_function(expression), x, betas, gain, channel_dim)


def evaluate(
    function: Callable[..., Tensor | float], x: Tensor, betas: Sequence[Tensor], gain: float, channel_dim: int
) -> Tensor:
    """The same for a function made before: all that a compiler has to trace, who cannot look into sympy."""
    value = function(x, *spread(betas, x, channel_dim))
    if not isinstance(value, Tensor):
        return torch.full_like(x, gain * value)
    value = value if gain == 1 else value * gain
    # autocast computes exp, log and the like in float32, and a function of β alone lacks x's dimensions
    return value.to(x.dtype).expand(x.shape) if value.shape != x.shape else value.to(x.dtype)


def spread(betas: Sequence[Tensor], x: Tensor, channel_dim: int) -> list[Tensor]:
    """β in x's dtype and of x's number of dimensions, the channels in theirs."""
    shape = [-1 if d == channel_dim % x.ndim else 1 for d in range(x.ndim)]
    return [beta.to(x.dtype).view(shape) for beta in betas]
