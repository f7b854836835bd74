"""The well-known names of a function, and whether it is of the Swish family: both whatever it is spelt like."""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import sympy

from actsearch.expression import Expression, X
from actsearch.functions import sigmoid
from actsearch.identity.canonical_form import canonical
from actsearch.identity.fingerprints import fingerprint, probe
from actsearch.reader import read

_KNOWN = MappingProxyType({
    "identity": "x",
    "negative identity": "-x",
    "ReLU": "max(x, 0)",
    "PReLU": "max(x, 0) + beta*min(x, 0)",
    "max(x, βx)": "max(x, beta*x)",
    "ReLU6": "min(max(x, 0), 6)",
    "squared ReLU": "max(x, 0)**2",
    "absolute value": "abs(x)",
    "square": "x**2",
    "cube": "x**3",
    "SiLU": "x*sigmoid(x)",
    "Swish": "x*sigmoid(beta*x)",
    "GELU (sigmoid form)": "x*sigmoid(1.702*x)",
    "GELU": "x*(1 + erf(x/sqrt(2)))/2",
    "GELU (tanh form)": "x*(1 + tanh(sqrt(2/pi)*(x + 0.044715*x**3)))/2",
    "Mish": "x*tanh(softplus(x))",
    "hard swish": "x*min(max(x + 3, 0), 6)/6",
    "ELU": "max(x, 0) + min(exp(x) - 1, 0)",
    "SELU": "1.0507009873554805*(max(x, 0) + 1.6732632423543773*min(exp(x) - 1, 0))",
    "softplus": "softplus(x)",
    "softplus with β": "softplus(beta*x)/beta",
    "log-sigmoid": "-softplus(-x)",
    "sigmoid": "sigmoid(x)",
    "hard sigmoid": "min(max(x + 3, 0), 6)/6",
    "tanh": "tanh(x)",
    "hard tanh": "min(max(x, -1), 1)",
    "tanhshrink": "x - tanh(x)",
    "softsign": "x/(1 + abs(x))",
    "ISRU": "x/sqrt(1 + x**2)",
    "arctan": "atan(x)",
    "asinh": "asinh(x)",
    "sign": "sign(x)",
    "step": "step(x)",
    "exponential": "exp(x)",
    "error function": "erf(x)",
    "Gaussian": "exp(-x**2)",
    "sine": "sin(x)",
    "cosine": "cos(x)",
    "sinc": "sinc(x)",
    "Snake": "x + sin(beta*x)**2/beta",
    "max(x, sigmoid)": "max(x, sigmoid(x))",
    "cos(x) - x": "cos(x) - x",
    "min(x, sin x)": "min(x, sin(x))",
    "atan² - x": "atan(x)**2 - x",
    "max(x, tanh x)": "max(x, tanh(x))",
    "sinc(x) + x": "sinc(x) + x",
    "x·asinh²": "x*asinh(x)**2",
})  # fmt: skip
"""Well-known functions; the last seven and Swish are the best of arXiv 1710.05941 v2, Tables 1 and 2."""


def _whatever_initial(expression: Expression) -> str:
    """The fingerprint with every β at 1: a name does not hang on initial values."""
    return fingerprint(Expression(expression.expr))


@cache
def _names() -> Mapping[str, str]:
    return MappingProxyType({_whatever_initial(read(text)): name for name, text in _KNOWN.items()})


@cache
def _probes() -> frozenset[tuple[str, ...]]:
    return frozenset(probe(read(text)) for text in _KNOWN.values())


def names(expression: Expression) -> tuple[str, ...]:
    """Well-known names of the function, found in any spelling, most specific first; empty for one that has none."""
    # Nearly every function of two units has none, and its fingerprint with every β at 1 would be one more to compute.
    name = _names().get(_whatever_initial(expression)) if probe(expression) in _probes() else None
    name = name or ("leaky ReLU" if _is_leaky_relu(expression) else None)
    family = is_swish_family(expression) and name not in ("SiLU", "Swish")
    return (*([name] if name else []), *(["Swish family"] if family else []))


def _is_leaky_relu(expression: Expression) -> bool:
    """Whether it is max(x, s·x) with a rational s between 0 and 1."""
    expr = canonical(expression).expr
    if expr.free_symbols != {X} or expr.atoms(sympy.Function) != expr.atoms(sympy.Abs):
        return False
    slope = -expr.subs(X, -1)
    is_leak = slope.is_Rational and 0 < slope < 1
    return bool(is_leak) and fingerprint(expression) == fingerprint(Expression(sympy.Max(X, slope * X)))


def is_swish_family(expression: Expression) -> bool:
    """Whether the function is a·x·σ(b·x) with a and b each 1, -1 or one trainable β."""
    return _swish_factors(expression) is not None


def is_strict_swish(expression: Expression) -> bool:
    """Whether it is of the Swish family with a trainable β inside σ."""
    factors = _swish_factors(expression)
    return factors is not None and bool(factors[1].free_symbols)


def _swish_factors(expression: Expression) -> tuple[sympy.Expr, sympy.Expr] | None:
    """(a, b) of a·x·σ(b·x), or None for any other function."""
    expr = canonical(expression).expr
    gates = [f for f in sympy.Mul.make_args(expr) if isinstance(f, sigmoid)]
    if len(gates) != 1:
        return None
    a, b = expr / gates[0] / X, gates[0].args[0] / X
    return (a, b) if all(abs(c) == 1 or (c.is_Symbol and c != X) for c in (a, b)) else None
