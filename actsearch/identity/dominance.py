"""Which arguments of a max or min never win, decided on a wide grid of x and β in float64."""

from collections.abc import Sequence
from functools import reduce

import numpy as np
import sympy

from actsearch.grid import COARSE, Grid
from actsearch.identity.rules import cost
from actsearch.primitives import EPS

_NUMBERS = frozenset({EPS, *(sympy.Rational(n, d) for n in range(-4, 5) for d in (1, 2))})
"""Numbers that the search space's own functions hold. Only among those does the grid decide: with another number,
such as max(x, 1e7), two functions could part where the grid has no point."""


def undominated(expr: sympy.Expr, x: sympy.Symbol) -> list[sympy.Expr]:
    """The arguments of a max or min that the others do not beat everywhere; what costs and sorts first stays.

    Args:
        expr: a `Max` or `Min`.
        x: the variable that runs over the whole line, or over x > 0 if the symbol is positive; all others are β.
    """
    kept = sorted(expr.args, key=cost)
    if not expr.atoms(sympy.Number) <= _NUMBERS:
        return kept
    sign = 1 if isinstance(expr, sympy.Max) else -1
    betas = sorted(expr.free_symbols - {x}, key=str)
    coarse, fine = (Grid(x, betas, points) for points in (COARSE, slice(None)))
    for candidate in reversed(kept.copy()):
        others = [a for a in kept if a != candidate]
        if others and all(_beaten(grid, candidate, others, sign) for grid in (coarse, fine)):
            kept = others
    return kept


def _beaten(grid: Grid, candidate: sympy.Expr, others: Sequence[sympy.Expr], sign: int) -> bool:
    """Whether some other is at least the candidate at every point, within rounding."""
    value, best = sign * grid.values(candidate), reduce(np.maximum, [sign * grid.values(a) for a in others])
    if np.isnan(value).any() or np.isnan(best).any():
        return False
    with np.errstate(invalid="ignore"):
        return bool(np.all((best >= value) | (best >= value - 1e-12 * np.abs(value))))
