"""Value and partial derivatives of every kind of node in numpy: arrays of any real dtype, no expression compiled.

For the size of errors and for finding kinks, not for exact values. At a kink the partial derivatives are those of one
of the sides, which is what a bound needs.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import sympy

from actsearch.functions import numpy_sigmoid, numpy_sinc, numpy_sinc_slope, numpy_softplus
from actsearch.graph import Node

Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Rule:
    """How one kind of node is computed.

    Attributes:
        value: the value, from the arguments.
        partials: the derivative by each argument, from the arguments and the value.
    """

    value: Callable[..., Array]
    partials: Callable[[Sequence[Array], Array], Sequence[Array]]


def rule(node: Node) -> Rule:
    """The rule of a node that is neither a symbol nor a number; `KeyError` for one that no formula holds."""
    expr = node.expr
    if expr.is_Pow and expr.exp.is_number:
        return _power(float(expr.exp))
    return RULES[type(expr).__name__]


def evaluate(
    nodes: Sequence[Node], inputs: Mapping[str, Array], known: Mapping[int, Array] = MappingProxyType({})
) -> list[Array]:
    """The value of every node, in the inputs' dtype; infinite or NaN where it has none. Known ones are kept."""
    dtype = inputs["x"].dtype.type
    line: list[Array] = []
    with np.errstate(all="ignore"):
        for k, node in enumerate(nodes):
            if k in known:
                line.append(known[k])
            elif node.expr.is_Symbol:
                line.append(inputs[node.expr.name])
            elif node.expr.is_number:
                line.append(np.asarray(dtype(float(node.expr))))
            else:
                line.append(np.asarray(rule(node).value(*(line[i] for i in node.args))))
    return line


def _one(value: Callable[[Array], Array], partial: Callable[[Array, Array], Array]) -> Rule:
    return Rule(value, lambda args, result: (partial(args[0], result),))


def _power(n: float) -> Rule:
    exponent: Any = int(n) if n.is_integer() else n
    return _one(
        lambda u: np.power(u, u.dtype.type(exponent)),
        lambda u, _: u.dtype.type(n) * np.power(u, u.dtype.type(n - 1)),
    )


def _any_power(args: Sequence[Array], result: Array) -> Sequence[Array]:
    base, exponent = args
    return exponent * np.power(base, exponent - 1), result * np.log(np.abs(base))


def _sum(*terms: Array) -> Array:
    return np.asarray(sum(terms[1:], start=terms[0]))


def _product(*factors: Array) -> Array:
    return np.asarray(math.prod(factors[1:], start=factors[0]))


def _other_factors(args: Sequence[Array], result: Array) -> Sequence[Array]:
    return [_product(*(a for k, a in enumerate(args) if k != i)) for i in range(len(args))]


def _winners(args: Sequence[Array], result: Array) -> Sequence[Array]:
    return [(a == result).astype(result.dtype) for a in args]


def _sinc_curvature(u: Array, slope: Array) -> Array:
    near = np.abs(u) < 1e-4
    return np.where(near, -1 / 3, -numpy_sinc(u) - 2 * slope / np.where(near, 1, u))


def _erf(u: Array) -> Array:
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(u), dtype=u.dtype)


def _nothing(u: Array, _: Array) -> Array:
    return np.zeros_like(u)


RULES: Mapping[str, Rule] = MappingProxyType({
    "Abs": _one(np.abs, lambda u, _: np.sign(u)),
    "Add": Rule(_sum, lambda args, result: [np.ones_like(result) for _ in args]),
    "Heaviside": _one(lambda u: np.heaviside(u, u.dtype.type(0.5)), _nothing),
    "Max": Rule(lambda *args: np.maximum.reduce(np.broadcast_arrays(*args)), _winners),
    "Min": Rule(lambda *args: np.minimum.reduce(np.broadcast_arrays(*args)), _winners),
    "Mul": Rule(_product, _other_factors),
    "Pow": Rule(np.power, _any_power),
    "asinh": _one(np.arcsinh, lambda u, _: 1 / np.hypot(u, 1)),
    "atan": _one(np.arctan, lambda u, _: 1 / (1 + u * u)),
    "cos": _one(np.cos, lambda u, _: np.sin(u)),
    "cosh": _one(np.cosh, lambda u, _: np.sinh(u)),
    "erf": _one(_erf, lambda u, _: 2 / np.sqrt(np.pi) * np.exp(-u * u)),
    "exp": _one(np.exp, lambda _, result: result),
    "log": _one(np.log, lambda u, _: 1 / u),
    "sigmoid": _one(numpy_sigmoid, lambda u, result: result * numpy_sigmoid(-u)),
    "sign": _one(np.sign, _nothing),
    "sin": _one(np.sin, lambda u, _: np.cos(u)),
    "sinc": _one(numpy_sinc, lambda u, _: numpy_sinc_slope(u)),
    "sinc_slope": _one(numpy_sinc_slope, _sinc_curvature),
    "sinh": _one(np.sinh, lambda u, _: np.cosh(u)),
    "softplus": _one(numpy_softplus, lambda u, _: numpy_sigmoid(u)),
    "tanh": _one(np.tanh, lambda u, _: 1 / np.cosh(u) ** 2),
})  # fmt: skip
"""Rules by the name of the sympy class; powers with a numeric exponent are `rule`'s own."""


def switches(expr: sympy.Expr) -> list[sympy.Expr]:
    """The distinct subexpressions at whose zeros the expression has a kink or a jump.

    They are the arguments of |u|, sign and step, and the differences of the arguments of max and min.
    """
    found: dict[sympy.Expr, None] = {}
    for node in sorted(expr.atoms(sympy.Abs, sympy.sign, sympy.Heaviside, sympy.Max, sympy.Min), key=str):
        if isinstance(node, sympy.Max | sympy.Min):
            pairs = [(a, b) for i, a in enumerate(node.args) for b in node.args[:i]]
            found.update(dict.fromkeys(a - b for a, b in pairs))
        else:
            found[node.args[0]] = None
    return [u for u in found if not u.is_number]
