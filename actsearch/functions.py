"""Functions that sympy lacks or would spell in a form that overflows.

Each is a `sympy.Function` with its own derivative, so that a formula keeps `sigmoid(x)` as one node: the
printers under `actsearch.activation` then map it to a stable kernel. `1/(1 + exp(-x))` spelled out has a NaN
gradient at x = -100, `log(1 + exp(x))` is infinite at x = 100.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import sympy

Array = npt.NDArray[np.floating[Any]]


class _Real(sympy.Function):
    """A function of one real argument with a real, finite value."""

    nargs = 1
    is_commutative = True
    is_extended_real = True
    is_real = True


class sigmoid(_Real):  # noqa: N801  (sympy prints a function by its class name)
    """The logistic function σ(x) = 1/(1 + exp(-x))."""

    is_positive = True

    @classmethod
    def eval(cls, x: sympy.Expr) -> sympy.Expr | None:
        return sympy.Rational(1, 2) if x.is_zero else None

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        return self * sigmoid(-self.args[0])

    def _eval_evalf(self, prec: int) -> sympy.Expr:
        return (1 / (1 + sympy.exp(-self.args[0])))._eval_evalf(prec)


class softplus(_Real):  # noqa: N801
    """The soft plus log(1 + exp(x))."""

    is_positive = True

    @classmethod
    def eval(cls, x: sympy.Expr) -> sympy.Expr | None:
        return sympy.log(2) if x.is_zero else None

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        return sigmoid(self.args[0])

    def _eval_evalf(self, prec: int) -> sympy.Expr:
        return sympy.log(1 + sympy.exp(self.args[0]))._eval_evalf(prec)


class sinc(_Real):  # noqa: N801
    """The unnormalised cardinal sine sin(x)/x, 1 at 0; even."""

    @classmethod
    def eval(cls, x: sympy.Expr) -> sympy.Expr | None:
        if x.is_zero:
            return sympy.S.One
        return cls(-x) if x.could_extract_minus_sign() else None

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        return sinc_slope(self.args[0])

    def _eval_evalf(self, prec: int) -> sympy.Expr:
        x = self.args[0]
        return (sympy.sin(x) / x)._eval_evalf(prec)


class sinc_slope(_Real):  # noqa: N801
    """The derivative of `sinc`, (x·cos x - sin x)/x², 0 at 0; odd."""

    @classmethod
    def eval(cls, x: sympy.Expr) -> sympy.Expr | None:
        if x.is_zero:
            return sympy.S.Zero
        return -cls(-x) if x.could_extract_minus_sign() else None

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        x = self.args[0]
        return -sinc(x) - 2 * sinc_slope(x) / x

    def _eval_evalf(self, prec: int) -> sympy.Expr:
        x = self.args[0]
        return ((x * sympy.cos(x) - sympy.sin(x)) / x**2)._eval_evalf(prec)


def numpy_sigmoid(x: Array) -> Array:
    """σ(x) without overflow, any shape and real dtype."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def numpy_softplus(x: Array) -> Array:
    """log(1 + exp(x)) without overflow, any shape and real dtype."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def numpy_sinc(x: Array) -> Array:
    """sin(x)/x, 1 at 0; numpy's own is sin(πx)/(πx) and so loses the digits near the zeros at multiples of π."""
    safe = np.where(x == 0, 1, x)
    return np.where(x == 0, 1, np.sin(safe) / safe)


def numpy_sinc_slope(x: Array) -> Array:
    """The derivative of sin(x)/x; below |x| = 0.5 by its series, where the closed form cancels."""
    near = np.abs(x) < 0.5
    far = np.where(near, 1, x)
    x2 = np.where(near, x, 0) ** 2
    series = -x / 3 * (1 - x2 / 10 * (1 - x2 / 28 * (1 - x2 / 54 * (1 - x2 / 88 * (1 - x2 / 130)))))
    return np.where(near, series, (far * np.cos(far) - np.sin(far)) / far**2)
