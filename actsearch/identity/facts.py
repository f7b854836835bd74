"""What is known about a function by its values: whether it is one at all, its scale and its cost."""

import numpy as np
import sympy

from actsearch.expression import Expression, X
from actsearch.identity.canonical_form import canonical
from actsearch.identity.fingerprints import agrees_everywhere


def is_constant(expression: Expression) -> bool:
    """Whether the function does not depend on x."""
    form = canonical(expression)
    return X not in form.expr.free_symbols or agrees_everywhere(form)


def is_finite(expression: Expression) -> bool:
    """Whether there is a function at all: real, and held by float32 at some x of [-8, 8] at β's initial values."""
    form = canonical(expression)
    if form.expr.has(sympy.nan, sympy.zoo, sympy.oo, -sympy.oo, sympy.I):
        return False
    with np.errstate(over="ignore"):
        return bool(np.isfinite(form.values(np.linspace(-8, 8, 321)).astype(np.float32)).any())


def operation_count(expression: Expression) -> int:
    """Operations of the canonical form with every shared subexpression counted once, calls and powers as one each.

    Deterministic, so that a limit on it decides the same on every machine.
    """
    shared, rest = sympy.cse(canonical(expression).expr)
    return int(sum(sympy.count_ops(e) for e in [*(value for _, value in shared), *rest]))


def unit_gain(expression: Expression) -> float:
    """The constant c that gives c·f(z) a mean square of 1 for z ~ N(0, 1), at β's initial values.

    E f² is the trapezoid rule on 4,001 points of [-8, 8] in float64. The gain is 1 where √E f² lies outside
    [1e-3, 1e3] or moves by more than 5 % at 8,001 points: there is no scale to speak of.
    """
    coarse, fine = _root_mean_square(expression, 4001), _root_mean_square(expression, 8001)
    if not (1e-3 <= coarse <= 1e3 and abs(fine - coarse) <= 0.05 * coarse):
        return 1.0
    return 1.0 / coarse


def _root_mean_square(expression: Expression, points: int) -> float:
    z = np.linspace(-8, 8, points)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    with np.errstate(all="ignore"):
        return float(np.sqrt(np.trapezoid(canonical(expression).values(z) ** 2 * density, z)))
