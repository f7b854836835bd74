"""The shape of a function, in numbers: what a child network can feel of it before anything is trained.

A layer's pre-activations are roughly standard normal, the gain makes the function's second moment 1, and the layers
around it absorb its signs. So a shape is the function's values and slopes at the quantiles of a standard normal, at
β's initial values, divided by √E f². No formula is compiled for it, only the primitives, once.
"""

from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from actsearch.expression import Expression, X, beta_symbol
from actsearch.formula import Formula
from actsearch.primitives import BINARY, UNARY

Array = npt.NDArray[np.float64]

QUANTILES = 33
"""Points at which a function is looked at: |x| up to 2.2."""

LARGEST = 8.0
"""Values and slopes are cut here: a function that grows faster fails, however much faster."""

GAIN_RANGE = (1e-3, 1e3)
"""Range of √E f² in which it is divided out, as for unit gain."""

_STEP = 1e-3
_QUANTILES: Array = ndtri((np.arange(QUANTILES) + 0.5) / QUANTILES)
_WIDE = np.linspace(-8, 8, 161)
_DENSITY = np.exp(-(_WIDE**2) / 2) / np.exp(-(_WIDE**2) / 2).sum()
_POINTS = np.concatenate([_QUANTILES - _STEP, _QUANTILES, _QUANTILES + _STEP, _WIDE])


@lru_cache(maxsize=100_000)
def shape(formula: Formula) -> Array:
    """Values, then slopes, of a formula's function with unit gain, ``(2 * QUANTILES,)``, within ±`LARGEST`."""
    below, here, above, wide = np.split(_values(formula), [QUANTILES, 2 * QUANTILES, 3 * QUANTILES])
    with np.errstate(all="ignore"):
        scale = float(np.sqrt(_DENSITY @ wide**2))
        gain = 1 / scale if GAIN_RANGE[0] <= scale <= GAIN_RANGE[1] else 1.0
        numbers = gain * np.concatenate([here, (above - below) / (2 * _STEP)])
    return np.nan_to_num(numbers, nan=0.0, posinf=LARGEST, neginf=-LARGEST).clip(-LARGEST, LARGEST)


def _values(formula: Formula) -> Array:
    """The function at all points, in float64; infinite or NaN where that cannot hold an intermediate."""
    outputs = [_POINTS]
    for unit in formula.units:
        first = _primitive(unit.unary1).values(outputs[unit.input1])
        second = _primitive(unit.unary2).values(outputs[unit.input2])
        outputs.append(_primitive(unit.binary).values(first, beta2=second))
    return outputs[-1]


@cache
def _primitive(token: str) -> Expression:
    """A primitive as an expression; a binary function's second input stands for a second β."""
    beta = beta_symbol("beta")
    if token in UNARY:
        expr, initial = UNARY[token].form(X, beta), UNARY[token].beta
    else:
        expr, initial = BINARY[token].form(X, beta_symbol("beta2"), beta), BINARY[token].beta
    return Expression(expr, {} if initial is None else {"beta": initial})
