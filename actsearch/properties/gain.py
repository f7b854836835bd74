"""How large a function makes a standard normal input, and the gradient that passes back."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actsearch.expression import Expression


@dataclass(frozen=True)
class Gain:
    """Moments for an input z ~ N(0, 1), by the midpoint rule on [-8, 8].

    NaN where they are not finite: without real values, near a pole in [-8, 8] that is not square integrable, or where
    4,000 and 8,000 points differ by 5 %.

    Attributes:
        mean: E f(z).
        root_mean_square: √E f(z)².
        slope_root_mean_square: √E f′(z)², the gain of a gradient that passes back.
    """

    mean: float
    root_mean_square: float
    slope_root_mean_square: float


def gain(expression: Expression, slope: Expression, orders: Mapping[float, float]) -> Gain:
    """The gain of a function with that derivative.

    Args:
        expression: the function.
        slope: its derivative.
        orders: of its poles, the power of the distance with which it grows there.
    """
    near = [order for pole, order in orders.items() if abs(pole) <= 8]
    moments, finer = _moments(expression, slope, 4000), _moments(expression, slope, 8000)
    with np.errstate(all="ignore"):
        moved = np.abs(finer - moments) > 0.05 * np.abs(moments[[1, 1, 2]])
    moments[moved | ~np.isfinite(moments)] = np.nan
    if any(order > 0.49 for order in near):
        moments[:2] = np.nan
    if near:  # the slope of a logarithm is 1/x
        moments[2] = np.nan
    return Gain(*map(float, moments))


def _moments(expression: Expression, slope: Expression, count: int) -> npt.NDArray[np.float64]:
    """E f, √E f² and √E f′² from midpoints: none is 0, where most kinks are."""
    width = 16 / count
    z = (np.arange(count) + 0.5) * width - 8
    weights = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * width
    with np.errstate(all="ignore"):
        f, s = expression.values(z), slope.values(z)
        return np.array([np.sum(f * weights), *(np.sqrt(np.sum(v**2 * weights)) for v in (f, s))])
