"""Every primitive and the paper's eight functions against mpmath, in numpy and torch, value and gradient."""

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from mpmath import mpf

from actsearch.activation import Activation
from actsearch.errors import UnknownNameError
from actsearch.expression import Expression, X, beta_symbol
from actsearch.primitives import BINARY, UNARY, unary
from actsearch.reader import read

GRID = [0.0, 1e-8, -1e-8, 0.1, -0.1, 0.49, 0.51, 1.0, -1.0, 2.5, -2.5, 7.0, -7.0, 20.0, -20.0, 100.0, -100.0]
EPS = mpf("1e-5")
Reference = Callable[[mpf], mpf]


def sigmoid(x: mpf) -> mpf:
    return 1 / (1 + mpmath.exp(-x))


def sinc(x: mpf) -> mpf:
    return mpmath.sin(x) / x if x else mpf(1)


BETA = mpf("1.25")
UNARY_REFERENCE: dict[str, Reference] = {
    "identity": lambda x: x,
    "negative": lambda x: -x,
    "abs": lambda x: abs(x),
    "square": lambda x: x * x,
    "cube": lambda x: x * x * x,
    "sqrt": lambda x: mpmath.sqrt(abs(x) + EPS),
    "scale": lambda x: BETA * x,
    "shift": lambda x: x + BETA,
    "log": lambda x: mpmath.log(abs(x) + EPS),
    "exp": mpmath.exp,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "sinh": mpmath.sinh,
    "cosh": mpmath.cosh,
    "tanh": mpmath.tanh,
    "asinh": mpmath.asinh,
    "atan": mpmath.atan,
    "sinc": sinc,
    "relu": lambda x: x if x > 0 else mpf(0),
    "min0": lambda x: x if x < 0 else mpf(0),
    "sigmoid": sigmoid,
    "softplus": lambda x: mpmath.log(1 + mpmath.exp(x)),
    "gaussian": lambda x: mpmath.exp(-x * x),
    "erf": mpmath.erf,
    "constant": lambda x: BETA,
}
BINARY_REFERENCE: dict[str, Callable[[mpf, mpf], mpf]] = {
    "add": lambda a, b: a + b,
    "multiply": lambda a, b: a * b,
    "subtract": lambda a, b: a - b,
    "divide": lambda a, b: a / (b + EPS),
    "max": lambda a, b: max(a, b),
    "min": lambda a, b: min(a, b),
    "gate": lambda a, b: sigmoid(a) * b,
    "rbf": lambda a, b: mpmath.exp(-BETA * (a - b) ** 2),
    "laplace": lambda a, b: mpmath.exp(-BETA * abs(a - b)),
    "mix": lambda a, b: BETA * a + (1 - BETA) * b,
}
PAPER: dict[str, Reference] = {
    "max(x, 0)": lambda x: x if x > 0 else mpf(0),
    "x*sigmoid(beta*x)": lambda x: x * sigmoid(BETA * x),
    "max(x, sigmoid(x))": lambda x: max(x, sigmoid(x)),
    "cos(x) - x": lambda x: mpmath.cos(x) - x,
    "min(x, sin(x))": lambda x: min(x, mpmath.sin(x)),
    "atan(x)**2 - x": lambda x: mpmath.atan(x) ** 2 - x,
    "max(x, tanh(x))": lambda x: max(x, mpmath.tanh(x)),
    "sinc(x) + x": lambda x: sinc(x) + x,
    "x*asinh(x)**2": lambda x: x * mpmath.asinh(x) ** 2,
}
AT_ZERO = {"abs(x)", "sqrt(abs(x) + 1e-5)", "log(abs(x) + 1e-5)", "max(x, 0)", "min(x, 0)"}
"""Functions whose derivative at their kink is 0 by decision."""


def cases() -> list[Any]:
    beta = beta_symbol("beta")
    found = [
        pytest.param(Expression(p.form(X, beta)), UNARY_REFERENCE[name], id=name)
        for name, p in UNARY.items()
    ]  # fmt: skip
    for name, p in BINARY.items():
        # distinct smooth inputs, so that every binary function is seen away from the diagonal
        expression = Expression(p.form(read("sin(x)").expr, read("x/2").expr, beta))
        function = BINARY_REFERENCE[name]
        found.append(pytest.param(expression, lambda x, f=function: f(mpmath.sin(x), x / 2), id=name))
    return found + [pytest.param(read(text), function, id=text) for text, function in PAPER.items()]


def rounded(x: float, dtype: torch.dtype) -> float:
    return float(torch.tensor(x, dtype=dtype))


def reference(function: Reference, x: float, text: str) -> tuple[float, float]:
    """Value and derivative with 60 digits; the derivative at a decided kink is 0."""
    with mpmath.workdps(60):
        value = float(function(mpf(x)))
        if x == 0 and text in AT_ZERO:
            return value, 0.0
        step = mpf(10) ** -25
        return value, float((function(x + step) - function(x - step)) / (2 * step))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize(("expression", "function"), cases())
def test_value_and_gradient(expression: Expression, function: Reference, dtype: torch.dtype) -> None:
    # sin(x)/(x/2 + eps) at x = 0.1 cancels to a sixteenth in its derivative: 1e-4 of it is float32's own rounding
    rtol, atol = (1e-4, 3e-7) if dtype is torch.float32 else (1e-11, 1e-14)
    points = [rounded(x, dtype) for x in GRID]
    expected = np.array([reference(function, x, expression.text) for x in points])
    limit = torch.finfo(dtype).max
    expected = np.where(np.abs(expected) > limit, np.copysign(np.inf, expected), expected)
    module = Activation(Expression(expression.expr, {"beta": float(BETA)}), channels=1)
    x = torch.tensor(points, dtype=dtype)[:, None].requires_grad_()
    y = module(x)
    y.sum().backward()
    assert y.dtype == dtype
    np.testing.assert_allclose(y.detach().numpy()[:, 0], expected[:, 0], rtol=rtol, atol=atol)
    finite = np.isfinite(expected).all(axis=1)
    gradient = np.zeros(len(points)) if x.grad is None else x.grad.numpy()[:, 0]
    np.testing.assert_allclose(gradient[finite], expected[finite, 1], rtol=rtol, atol=atol)
    if dtype is torch.float64:
        values = Expression(expression.expr, {"beta": float(BETA)}).values(points)
        np.testing.assert_allclose(values, expected[:, 0], rtol=rtol, atol=atol)


def test_ties_of_max_and_min_share_the_gradient() -> None:
    for text in ("max(2*x, x)", "min(2*x, x)"):
        x = torch.zeros(1, 1, requires_grad=True)
        Activation(text)(x).sum().backward()
        assert x.grad is not None
        assert x.grad.item() == 1.5


def test_no_nan_far_out() -> None:
    for text in ("sigmoid(x)", "softplus(x)", "x*sigmoid(x)", "sinc(x)", "tanh(x)", "erf(x)", "log(abs(x) + 1e-5)"):
        x = torch.tensor([[-1e4, -100.0, 0.0, 100.0, 1e4]], requires_grad=True).T.detach().requires_grad_()
        y = Activation(text)(x)
        y.sum().backward()
        assert torch.isfinite(y).all(), text
        assert x.grad is not None
        assert torch.isfinite(x.grad).all(), text


def test_the_lists_are_the_papers() -> None:
    assert (len(UNARY), len(BINARY)) == (25, 10)
    assert [n for n, p in {**UNARY, **BINARY}.items() if p.beta is not None] == [
        "scale", "shift", "constant", "rbf", "laplace", "mix",
    ]  # fmt: skip


def test_text_and_form_of_each_primitive_agree() -> None:
    beta = beta_symbol("beta")
    for p in UNARY.values():
        assert read(p.text).expr == p.form(X, beta)
    for p in BINARY.values():
        text = p.text.replace("x1", "(tanh(x))").replace("x2", "(sinh(x))")
        assert read(text).expr == p.form(read("tanh(x)").expr, read("sinh(x)").expr, beta)


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(UnknownNameError, match="no unary primitive named 'sigmod'; known: identity, negative"):
        unary("sigmod")
