"""Any formula as plain mathematics: a sympy expression of x and of trainable β, with β's initial values."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import sympy

from actsearch.derivative import differentiate
from actsearch.formula import Formula
from actsearch.functions import numpy_sigmoid, numpy_sinc, numpy_sinc_slope, numpy_softplus
from actsearch.grid import cross
from actsearch.primitives import Primitive
from actsearch.printers import FormulaLatexPrinter, NumPyFormulaPrinter, TextPrinter

X = sympy.Symbol("x", real=True)
"""The pre-activation. Real, or |x| would have no derivative."""


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
        return str(TextPrinter().doprint(self.expr))

    @cached_property
    def full_text(self) -> str:
        """The text, and β's initial values where they are not 1: `beta + x; beta=0`."""
        initial = ", ".join(f"{name}={_shortest(value)}" for name, value in self.initial.items() if value != 1)
        return f"{self.text}; {initial}" if initial else self.text

    @cached_property
    def latex(self) -> str:
        """LaTeX of the expression, without delimiters."""
        return str(FormulaLatexPrinter().doprint(self.expr))

    def derivative(self, name: str = "x") -> "Expression":
        """The derivative by x, or by the β of that name, where there is one: jumps of `sign` and `step` count as 0."""
        return Expression(differentiate(self.expr, X if name == "x" else beta_symbol(name)), self.initial)

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
        function: Callable[..., Any] = sympy.lambdify(
            symbols, self.expr, modules=[_NUMPY, "numpy"], printer=_PRINTER, cse=True
        )
        return function

    def __str__(self) -> str:
        return self.full_text


_NUMPY = {
    "sigmoid": numpy_sigmoid,
    "sinc": numpy_sinc,
    "softplus": numpy_softplus,
    "sinc_slope": numpy_sinc_slope,
    "step": lambda u: (np.sign(u) + 1) / 2,
    "erf": np.vectorize(math.erf, otypes=[np.float64]),
}
_PRINTER = NumPyFormulaPrinter({
    "fully_qualified_modules": False, "inline": True, "allow_unknown_functions": True,
    "user_functions": {name: name for name in _NUMPY},
})  # fmt: skip


@lru_cache(maxsize=4096)
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
            outputs[index] = applied(binary, x1, x2, beta(binary.beta))
        return outputs[index]

    return Expression(sympy.sympify(output(len(formula.units))), initial)


def applied(binary: Primitive, x1: sympy.Expr, x2: sympy.Expr, beta: sympy.Expr | None) -> sympy.Expr:
    """A binary function of two expressions: what its form gives.

    Of a max or min sympy asks its assumptions which argument always wins, for 10 ms. Where numbers show that neither
    does, there is nothing for it to find.
    """
    kind = _EXTREMA.get(binary.name)
    if kind is not None and not isinstance(x1, sympy.Max | sympy.Min) and not isinstance(x2, sympy.Max | sympy.Min):
        betas = sorted((x1.free_symbols | x2.free_symbols) - {X}, key=str)
        if cross(x1, x2, X, betas):
            return kind(x1, x2, evaluate=False)
    return binary.form(x1, x2, beta)


_EXTREMA = {"max": sympy.Max, "min": sympy.Min}


def _shortest(value: float) -> str:
    """The shortest text that reads back as the same number."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)
