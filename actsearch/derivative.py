"""Derivatives with one rule for every kink, in every backend.

relu′(0) = |x|′(0) = 0, and two arguments that tie in a max or min share the gradient equally. sympy's own derivative
of `Max` says 1/2 for relu′(0), and at a tie of three arguments its shares add up to more than 1.
"""

from functools import lru_cache, reduce

import sympy

from actsearch.printers import numbers_last


class _larger(sympy.Function):  # noqa: N801  (sympy prints a function by its class name)
    """max(a, b) of two arguments; a tie gives each half."""

    nargs = 2
    is_extended_real = True

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        a, b = self.args if argindex == 1 else reversed(self.args)
        return sympy.Heaviside(a - b)


class _positive_part(sympy.Function):  # noqa: N801
    """max(u, 0), with slope 0 at u = 0."""

    nargs = 1
    is_extended_real = True

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        return sympy.Max(sympy.sign(self.args[0]), 0)


class _size(sympy.Function):  # noqa: N801
    """|u|, whose own derivative sympy writes in complex parts where it cannot prove that u is real."""

    nargs = 1
    is_extended_real = True

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        return sympy.sign(self.args[0])


class _jump(sympy.Function):  # noqa: N801
    """sign(u) or, with 1 as its second argument, step(u): flat, and the jump counts as 0."""

    nargs = 2
    is_extended_real = True

    def fdiff(self, argindex: int = 1) -> sympy.Expr:
        return sympy.S.Zero


@lru_cache(maxsize=1024)
def differentiate(expr: sympy.Expr, symbol: sympy.Symbol) -> sympy.Expr:
    """The derivative of a real expression by one of its symbols; the jumps of `sign` and `step` count as 0."""
    smooth = expr.replace(_is_extremum, _pairwise).replace(sympy.Abs, _size)
    smooth = smooth.replace(sympy.sign, lambda u: _jump(u, 0)).replace(sympy.Heaviside, lambda u, *_: _jump(u, 1))
    slope = smooth.diff(symbol)
    slope = slope.replace(_jump, lambda u, step: sympy.Heaviside(u) if step else sympy.sign(u)).replace(
        _size, sympy.Abs
    )
    slope = slope.replace(_larger, sympy.Max).replace(_positive_part, lambda u: sympy.Max(u, 0))
    return slope.replace(sympy.Heaviside, _one_step)


def folded(expr: sympy.Expr) -> list[sympy.Expr]:
    """The arguments of a max or min in the order in which they meet, two at a time: numbers last."""
    return numbers_last(expr.args)


def _one_step(u: sympy.Expr, *_: sympy.Expr) -> sympy.Expr:
    """step(-u) as 1 - step(u): rounded apart, the shares of a near tie would not add up to 1."""
    return 1 - sympy.Heaviside(-u) if u.could_extract_minus_sign() else sympy.Heaviside(u)


def _is_extremum(expr: sympy.Basic) -> bool:
    return isinstance(expr, sympy.Max | sympy.Min)


def _pairwise(expr: sympy.Expr) -> sympy.Expr:
    sign = 1 if isinstance(expr, sympy.Max) else -1
    return sign * reduce(_larger_of, (sign * a for a in folded(expr)))


def _larger_of(a: sympy.Expr, b: sympy.Expr) -> sympy.Expr:
    return _positive_part(a) if b == 0 else _larger(a, b)
