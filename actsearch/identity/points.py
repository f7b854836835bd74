"""The generic points at which functions are told apart: their exact values there, and a look at them in float64.

Exact values cost a hundred times as much. What float64 shows clearly needs no exact value, and one that agrees with it
needs no second run at a higher precision.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import sympy
from mpmath import libmp

from actsearch.errors import NumericError
from actsearch.exact import value
from actsearch.exact.node_rules import Array, evaluate, rule
from actsearch.expression import Expression
from actsearch.graph import graph

DIGITS = 40
"""Right digits of a value: arithmetic starts at 60 and doubles, so that 1 + exp(x) does not lose exp(x) at x = -167."""

BITS = 40
"""Bits of a value that count, 12 digits: so far below those computed that rounding never decides."""

FLOOR = -330
"""Values below 2 to this power count as 0, so that two spellings need not agree on what is lost in rounding."""

CEILING = 2**16
"""Values of 2 to this power and above count as none, as those that exact arithmetic refuses: where that ends hangs on
the spelling, exp(x)² or exp(2·x)."""

POINTS = (
    1.6643, -2.1931, 2.2477, 0.8719, -1.2203, 3.6131, 0.3671, -0.6127, 1.2894, -1.8361, 2.7193, -3.3127,
    0.0431, -0.0577, 5.7319, -8.9137, 17.317, -28.871,
    3.1e-6, -3.3e-6, 131.57, -167.31, 1.3e6, -1.2e6,
)  # fmt: skip
"""Values of x: small, moderate and large, and between -eps and eps."""
BETA = (1.3717, -0.7313, 0.4139, 2.2371, -1.6173, 0.8291, 7.1393, -0.2719, 31.173, -5.4191, 1.1213, 0.0913, -0.1319)
"""Values of β, which move on by one from point to point."""
NEAR = 14
"""The first so many points are within ±4, where float64 overflows and cancels least: there its look counts."""


@lru_cache(maxsize=256)
def betas_at(point: int) -> tuple[float, ...]:
    """One generic value for each β at a point; those beyond the thirteenth start over, moved a little."""
    turned = BETA[point % len(BETA) :] + BETA[: point % len(BETA)]
    return tuple(b + 0.0137 * turn for turn in range(9) for b in turned)


def rounded(expression: Expression, x: float, betas: Mapping[str, float], about: float | None = None) -> str:
    """The value's sign, mantissa and exponent; empty where it has none or too large a one.

    Args:
        expression: any.
        x: a point.
        betas: all β by name.
        about: the value in float64, where it is known.
    """
    try:
        exact = value(expression, x, betas, DIGITS, about=about)
    except NumericError:
        return ""
    sign, mantissa, exponent, _ = libmp.mpf_pos(exact._mpf_, BITS, "n")
    size = exponent + mantissa.bit_length()
    if size > CEILING:
        return ""
    return f"{'-' if sign else ''}{mantissa}e{exponent}" if mantissa and size > FLOOR else "0"


class Look:
    """A function in float64 at all points; infinite or NaN where it has no value.

    Attributes:
        values: ``(points,)``.
    """

    def __init__(self, expr: sympy.Expr, names: Sequence[str]) -> None:
        """Of an expression of x and of the β of these names, in their order."""
        self._nodes, (self._root,) = graph([expr])
        self._position = {node.expr: k for k, node in enumerate(self._nodes)}
        self._inputs = {"x": np.array(POINTS)} | {
            name: np.array([betas_at(point)[k] for point in range(len(POINTS))]) for k, name in enumerate(names)
        }
        self._line = evaluate(self._nodes, self._inputs)
        self.values = self._at_all_points(self._line)

    def exact(self, expression: Expression) -> list[str]:
        """`rounded` at every point, of the same function."""
        jumps = expression.expr.has(sympy.sign, sympy.Heaviside)  # there both may be wrong alike
        inputs = {name: values.tolist() for name, values in self._inputs.items() if name != "x"}
        return [
            rounded(expression, x, {name: values[k] for name, values in inputs.items()}, None if jumps else about)
            for k, (x, about) in enumerate(zip(POINTS, self.values.tolist(), strict=True))
        ]

    def shows_beta(self, name: str) -> bool:
        """Whether it clearly hangs on that β."""
        inputs = self._inputs | {name: self._inputs[name] + 0.5}
        return self._clearly_differs(self._at_all_points(evaluate(self._nodes, inputs)))

    def shows_arguments(self, node: sympy.Expr) -> list[bool]:
        """For each argument of a max or min, and for each sign of a |u|: whether it clearly decides some value.

        That is, whether the function is another one without the argument, or with u or -u for |u|.
        """
        place = self._position[node]
        args = [self._line[k] for k in self._nodes[place].args]
        if isinstance(node, sympy.Abs):
            without = [args[0], -args[0]]
        else:
            value = rule(self._nodes[place]).value
            without = [value(*args[:k], *args[k + 1 :]) for k in range(len(args))]
        before = dict(enumerate(self._line[:place]))
        lines = [evaluate(self._nodes, self._inputs, before | {place: other}) for other in without]
        return [self._clearly_differs(self._at_all_points(line)) for line in lines]

    def _at_all_points(self, line: Sequence[Array]) -> Array:
        return np.broadcast_to(line[self._root], (len(POINTS),))

    def _clearly_differs(self, values: Array) -> bool:
        """Whether some near point shows other values, by more than rounding in float64 may do."""
        a, b = self.values[:NEAR], values[:NEAR]
        with np.errstate(all="ignore"):
            apart = np.abs(a - b) > 1e-6 * (np.abs(a) + np.abs(b)) + 1e-9
        return bool((apart & np.isfinite(a) & np.isfinite(b)).any())
