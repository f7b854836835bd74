"""What a wide grid of x and β shows of expressions in float64: where two part, and whether they cross."""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from itertools import product
from math import erf
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import sympy

from actsearch.functions import numpy_sigmoid, numpy_sinc_slope, numpy_softplus, sigmoid, sinc, sinc_slope, softplus

Array = npt.NDArray[np.float64]

_POSITIVE = np.unique(np.concatenate([np.geomspace(1e-6, 1e6, 400), np.linspace(0, 8, 161)[1:]]))
_X = np.concatenate([-_POSITIVE[::-1], [0.0], _POSITIVE])
_BETA = (0.0, 1.0, -1.0, 0.4, -0.3, 2.5, -4.0, 20.0, 1e3)
COARSE = slice(None, None, 23)


def parting(
    one: sympy.Expr, other: sympy.Expr, x: sympy.Symbol, betas: Sequence[sympy.Symbol]
) -> tuple[float, tuple[float, ...]] | None:
    """The first point of the grid, x and β, where two expressions have clearly different values; None without one."""
    for points in (COARSE, slice(None)):
        grid = Grid(x, betas, points)
        with np.errstate(all="ignore"):
            ours, theirs = grid.values(one), grid.values(other)
            apart = np.abs(ours - theirs) > 1e-6 * (np.abs(ours) + 1e-6)
        apart &= np.isfinite(ours) & np.isfinite(theirs)
        apart = np.broadcast_to(apart, (len(grid.betas), len(grid.x)))
        if apart.any():
            row, column = np.unravel_index(int(np.argmax(apart)), apart.shape)
            return float(grid.x[column]), tuple(grid.betas[row].tolist())
    return None


def cross(one: sympy.Expr, other: sympy.Expr, x: sympy.Symbol, betas: Sequence[sympy.Symbol]) -> bool:
    """Whether some point of the coarse grid shows `one` clearly above `other`, and some point clearly below it."""
    grid = Grid(x, betas, COARSE)
    with np.errstate(all="ignore"):
        ours, theirs = grid.values(one), grid.values(other)
        gap = (ours - theirs) / (np.abs(ours) + np.abs(theirs) + 1e-6)
    gap = gap[np.isfinite(gap)]
    return bool((gap > 1e-6).any() and (gap < -1e-6).any())


class Grid:
    """Values of expressions at every point of a grid: x along the last axis, combinations of β along the first."""

    def __init__(self, x: sympy.Symbol, betas: Sequence[sympy.Symbol], points: slice) -> None:
        self.x = (_POSITIVE if x.is_positive else _X)[points]
        self.betas = np.array(_combinations(len(betas)), dtype=np.float64)
        self._known: dict[sympy.Expr, Array] = {x: self.x}
        self._known |= {b: self.betas[:, [k]] for k, b in enumerate(betas)}

    def values(self, expr: sympy.Expr) -> Array:
        """Any shape that broadcasts to ``(combinations, points)``; infinite or NaN as float64 has it."""
        if expr not in self._known:
            with np.errstate(all="ignore"):
                self._known[expr] = self._compute(expr)
        return self._known[expr]

    def _compute(self, expr: sympy.Expr) -> Array:
        if expr.is_number:
            return np.asarray(float(expr)) if expr.is_real else np.asarray(np.nan)
        args = [self.values(a) for a in expr.args]
        if isinstance(expr, sympy.Pow):
            return np.sqrt(args[0]) if expr.exp == sympy.S.Half else np.power(*args)
        return reduce(_FUNCTIONS[expr.func], args[1:], args[0]) if len(args) > 1 else _FUNCTIONS[expr.func](*args)


def _combinations(count: int) -> list[tuple[float, ...]]:
    """Every combination of up to two β; for more a Latin square of the grid."""
    if count < 3:
        return list(product(_BETA, repeat=count))
    size = len(_BETA)
    return [
        tuple(_BETA[(start + k * step) % size] for k in range(count)) for start in range(size) for step in (1, 3, 4)
    ]


_FUNCTIONS: Mapping[type[sympy.Expr], Callable[..., Any]] = MappingProxyType({
    sympy.Add: np.add, sympy.Mul: np.multiply, sympy.Max: np.maximum, sympy.Min: np.minimum, sympy.Abs: np.abs,
    sympy.exp: np.exp, sympy.log: np.log, sympy.sin: np.sin, sympy.cos: np.cos, sympy.sinh: np.sinh,
    sympy.cosh: np.cosh, sympy.tanh: np.tanh, sympy.asinh: np.arcsinh, sympy.atan: np.arctan, sympy.sign: np.sign,
    sympy.erf: np.vectorize(erf, otypes=[np.float64]), sympy.Heaviside: lambda u, half: np.heaviside(u, half),
    sigmoid: numpy_sigmoid, softplus: numpy_softplus, sinc: lambda u: np.sinc(u / np.pi), sinc_slope: numpy_sinc_slope,
})  # fmt: skip
