"""The 25 unary and 10 binary functions of the search space.

The lists are those of Ramachandran, Zoph, Le 2017 (arXiv 1710.05941 v2), section 2. The paper leaves open:
eps (here 1e-5), √x (here √(|x| + eps)), sinc (here sin(x)/x), β's initial values (below), and whether two β
are one parameter (here each β token is its own).

A primitive is sympy (what it is), plain text (how a person writes it) and β's initial value. Values and
derivatives in numpy come from the sympy form (actsearch.expression), in torch from actsearch.activation.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import sympy

from actsearch.errors import UnknownNameError
from actsearch.functions import sigmoid, sinc, softplus

EPS = sympy.Rational(1, 100_000)
"""Keeps log|x|, √|x| and the quotient away from 0. Not in the paper; 1e-5 by our choice."""


@dataclass(frozen=True, kw_only=True)
class Primitive:
    """One function that a core unit is built of.

    Attributes:
        name: its token, a short identifier.
        text: plain mathematics with `x` (unary) or `x1` and `x2` (binary), and `beta` where it has one.
        form: the sympy expression of its inputs, and of β as the last argument.
        beta: β's initial value; None for a function without β.
    """

    name: str
    text: str
    form: Callable[..., sympy.Expr]
    beta: float | None = None


def _table(*primitives: Primitive) -> Mapping[str, Primitive]:
    table = {p.name: p for p in primitives}
    assert len(table) == len(primitives), "two primitives share a name"
    return MappingProxyType(table)


UNARY = _table(
    Primitive(name="identity", text="x", form=lambda x, b: x),
    Primitive(name="negative", text="-x", form=lambda x, b: -x),
    Primitive(name="abs", text="abs(x)", form=lambda x, b: sympy.Abs(x)),
    Primitive(name="square", text="x**2", form=lambda x, b: x**2),
    Primitive(name="cube", text="x**3", form=lambda x, b: x**3),
    Primitive(name="sqrt", text="sqrt(abs(x) + 1e-5)", form=lambda x, b: sympy.sqrt(sympy.Abs(x) + EPS)),
    Primitive(name="scale", text="beta*x", form=lambda x, b: b * x, beta=1.0),
    Primitive(name="shift", text="x + beta", form=lambda x, b: x + b, beta=0.0),
    Primitive(name="log", text="log(abs(x) + 1e-5)", form=lambda x, b: sympy.log(sympy.Abs(x) + EPS)),
    Primitive(name="exp", text="exp(x)", form=lambda x, b: sympy.exp(x)),
    Primitive(name="sin", text="sin(x)", form=lambda x, b: sympy.sin(x)),
    Primitive(name="cos", text="cos(x)", form=lambda x, b: sympy.cos(x)),
    Primitive(name="sinh", text="sinh(x)", form=lambda x, b: sympy.sinh(x)),
    Primitive(name="cosh", text="cosh(x)", form=lambda x, b: sympy.cosh(x)),
    Primitive(name="tanh", text="tanh(x)", form=lambda x, b: sympy.tanh(x)),
    Primitive(name="asinh", text="asinh(x)", form=lambda x, b: sympy.asinh(x)),
    Primitive(name="atan", text="atan(x)", form=lambda x, b: sympy.atan(x)),
    Primitive(name="sinc", text="sinc(x)", form=lambda x, b: sinc(x)),
    Primitive(name="relu", text="max(x, 0)", form=lambda x, b: sympy.Max(x, 0)),
    Primitive(name="min0", text="min(x, 0)", form=lambda x, b: sympy.Min(x, 0)),
    Primitive(name="sigmoid", text="sigmoid(x)", form=lambda x, b: sigmoid(x)),
    Primitive(name="softplus", text="softplus(x)", form=lambda x, b: softplus(x)),
    Primitive(name="gaussian", text="exp(-x**2)", form=lambda x, b: sympy.exp(-(x**2))),
    Primitive(name="erf", text="erf(x)", form=lambda x, b: sympy.erf(x)),
    Primitive(name="constant", text="beta", form=lambda x, b: b, beta=1.0),
)
"""The unary functions by token, in the paper's order."""

BINARY = _table(
    Primitive(name="add", text="x1 + x2", form=lambda x1, x2, b: x1 + x2),
    Primitive(name="multiply", text="x1*x2", form=lambda x1, x2, b: x1 * x2),
    Primitive(name="subtract", text="x1 - x2", form=lambda x1, x2, b: x1 - x2),
    Primitive(name="divide", text="x1/(x2 + 1e-5)", form=lambda x1, x2, b: x1 / (x2 + EPS)),
    Primitive(name="max", text="max(x1, x2)", form=lambda x1, x2, b: sympy.Max(x1, x2)),
    Primitive(name="min", text="min(x1, x2)", form=lambda x1, x2, b: sympy.Min(x1, x2)),
    Primitive(name="gate", text="sigmoid(x1)*x2", form=lambda x1, x2, b: sigmoid(x1) * x2),
    Primitive(
        name="rbf",
        text="exp(-beta*(x1 - x2)**2)",
        form=lambda x1, x2, b: sympy.exp(-b * (x1 - x2) ** 2),
        beta=1.0,
    ),
    Primitive(
        name="laplace",
        text="exp(-beta*abs(x1 - x2))",
        form=lambda x1, x2, b: sympy.exp(-b * sympy.Abs(x1 - x2)),
        beta=1.0,
    ),
    Primitive(name="mix", text="beta*x1 + (1 - beta)*x2", form=lambda x1, x2, b: b * x1 + (1 - b) * x2, beta=0.5),
)
"""The binary functions by token, in the paper's order."""


def unary(name: str) -> Primitive:
    """The unary primitive with that token; `UnknownNameError` where there is none."""
    if name not in UNARY:
        raise UnknownNameError("unary primitive", name, UNARY)
    return UNARY[name]


def binary(name: str) -> Primitive:
    """The binary primitive with that token; `UnknownNameError` where there is none."""
    if name not in BINARY:
        raise UnknownNameError("binary primitive", name, BINARY)
    return BINARY[name]
