"""Torch forms of the functions for which torch's own are missing, slow, or differ at a kink.

Gradients at kinks: relu′(0) = |x|′(0) = 0; ties of max and min share the gradient equally.

On a CPU in float32, torch computes asinh, sinh, cosh, log1p and expm1 one element after the other (8 to 24 ns each on
one core of an AMD EPYC, where exp and log take 1), and `where` takes 4. So these functions are made of exp, log, sqrt
and clamp alone: where two formulas share the axis, each is computed on the whole of it, clamped to its own side.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]


class _Elementwise(torch.autograd.Function):
    """f(x) with the derivative given: keeps x alone for the backward pass.

    The derivative comes twice: `slope` may work in place, `smooth` is what autograd follows for a second derivative.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, function: Function, slope: Function, smooth: Function) -> Tensor:
        return function(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, _, ctx.slope, ctx.smooth = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (x,) = ctx.saved_tensors
        slope = ctx.smooth(x) if torch.is_grad_enabled() else ctx.slope(x)
        return grad * slope, None, None, None


def _elementwise(x: Tensor, function: Function, slope: Function, smooth: Function) -> Tensor:
    result: Tensor = _Elementwise.apply(x, function, slope, smooth)
    return result


def sigmoid(x: Tensor) -> Tensor:
    """1/(1 + exp(-x)), any shape; its derivative σ(x)·σ(-x) keeps its digits where torch's own σ·(1 - σ) is 0."""
    return _elementwise(x, torch.sigmoid, _sigmoid_slope, lambda x: sigmoid(x) * sigmoid(-x))


def _sigmoid_slope(x: Tensor) -> Tensor:
    smaller = torch.copysign(x, -1.0).sigmoid_()  # of σ(x) and σ(-x)
    return smaller.sub_(smaller * smaller)


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)), any shape, without overflow."""
    return _elementwise(x, lambda x: torch.relu(x) + _log1p(torch.exp(-x.abs())), torch.sigmoid, sigmoid)


def sinh(x: Tensor) -> Tensor:
    """The hyperbolic sine, any shape."""
    return _elementwise(x, _sinh, _cosh, cosh)


def cosh(x: Tensor) -> Tensor:
    """The hyperbolic cosine, any shape."""
    return _elementwise(x, _cosh, _sinh, sinh)


def asinh(x: Tensor) -> Tensor:
    """The inverse hyperbolic sine, any shape."""
    return _elementwise(x, _asinh, _asinh_slope, lambda x: torch.rsqrt(x * x + 1))


def _log1p(v: Tensor) -> Tensor:
    """log(1 + v) for v >= 0, with what 1 + v rounds away put back to first order."""
    u = 1 + v
    return torch.log(u) - (u - 1 - v) / u


def _sinh(x: Tensor) -> Tensor:
    a = x.abs()
    near = a.clamp(max=1)
    square = near * near
    series = torch.full_like(square, 1 / math.factorial(19))  # (1/21!) is below float64's last bit at 1
    for power in range(17, 0, -2):
        series.mul_(square).add_(1 / math.factorial(power))
    half = torch.exp(a.clamp(min=1) - math.log(2))  # half of exp(a), which is finite wherever sinh(a) is
    return torch.sign(x) * _beyond(1, a, near=series.mul_(near), far=half - 0.25 / half)


def _beyond(limit: float, a: Tensor, *, near: Tensor, far: Tensor) -> Tensor:
    """`far` where a > limit, else `near`; both are finite where the other holds, `far` may overflow on its own side."""
    return near + torch.sign(torch.relu(a - limit)) * (far - near)


def _cosh(x: Tensor) -> Tensor:
    half = torch.exp(x.abs() - math.log(2))
    return half + 0.25 / half


def _large(x: Tensor) -> float:
    """Beyond it x² + 1 is x² to the dtype's last bit, and its square is still finite."""
    return 128.0 if x.dtype == torch.float16 else 1e8


def _asinh(x: Tensor) -> Tensor:
    a, large = x.abs(), _large(x)
    near = a.clamp(max=large)
    square = near * near
    small = _log1p(near + square / (1 + torch.sqrt(square + 1)))
    return torch.sign(x) * (small + torch.log(a.clamp(min=large) / large))


def _asinh_slope(x: Tensor) -> Tensor:
    a, large = x.abs(), _large(x)
    near = a.clamp(max=large)
    return near.mul_(near).add_(1).rsqrt_().mul_(large).div_(a.clamp_(min=large))


def sign(x: Tensor) -> Tensor:
    """-1, 0 or 1, and NaN where x is: torch's own says 0 there."""
    return torch.where(x == x, torch.sign(x), x)


def step(x: Tensor) -> Tensor:
    """Heaviside's step, 1/2 at 0, with gradient 0 everywhere."""
    return (sign(x) + 1) / 2


def maximum(a: Tensor, b: Tensor | float) -> Tensor:
    """The larger of two, broadcast; a number takes the tensor's dtype."""
    return _extremum(a, b, 1)


def minimum(a: Tensor, b: Tensor | float) -> Tensor:
    """The smaller of two, broadcast."""
    return _extremum(a, b, -1)


def _extremum(a: Tensor, b: Tensor | float, sign: int) -> Tensor:
    other = b if isinstance(b, Tensor) else torch.full((), b, dtype=a.dtype, device=a.device)
    result: Tensor = _Extremum.apply(a, other, sign)
    return result


class _Extremum(torch.autograd.Function):
    """The larger (sign 1) or smaller (sign -1) of two tensors; a tie gives each half of the gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor, b: Tensor, sign: int) -> Tensor:
        return torch.maximum(a, b) if sign > 0 else torch.minimum(a, b)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        a, b, ctx.sign = inputs
        ctx.save_for_backward(a, b)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        a, b = ctx.saved_tensors
        for_a = grad * torch.sign(a - b).mul_(ctx.sign / 2).add_(0.5)
        return for_a.sum_to_size(a.shape), (grad - for_a).sum_to_size(b.shape), None


def sinc(x: Tensor) -> Tensor:
    """sin(x)/x, 1 at 0, with an exact derivative near 0, where autograd's cos(x)/x - sin(x)/x² cancels."""
    return _elementwise(x, _sinc, _sinc_slope, sinc_slope)


def sinc_slope(x: Tensor) -> Tensor:
    """The derivative of sin(x)/x, 0 at 0, any shape."""
    return _elementwise(x, _sinc_slope, _sinc_curvature, _sinc_curvature)


def _sinc_curvature(x: Tensor) -> Tensor:
    """The second derivative of sin(x)/x: -sinc(x) - 2·sinc′(x)/x, and below |x| = 1/2 its Taylor series."""
    a = x.abs()
    near, far = a.clamp(max=_NEAR), a.clamp(min=_NEAR)
    square = near * near
    series = torch.zeros_like(square)
    for k in range(8, 0, -1):  # Σ (-1)ᵏ·2k·(2k - 1)·x²ᵏ⁻²/(2k + 1)!
        series = series * square + (-1) ** k * 2 * k * (2 * k - 1) / math.factorial(2 * k + 1)
    slope = (torch.cos(far) - torch.sin(far) / far) / far
    return _beyond(_NEAR, a, near=series, far=-torch.sin(far) / far - 2 * slope / far)


def _sinc(x: Tensor) -> Tensor:
    a = x.abs().clamp_(min=torch.finfo(x.dtype).tiny)
    return torch.sin(a).div_(a)


_NEAR = 0.5
"""Below it the derivative of sinc is its Taylor series, exact to float64 with six terms."""


def _sinc_slope(x: Tensor) -> Tensor:
    a = x.abs()
    near, far = a.clamp(max=_NEAR), a.clamp(min=_NEAR)
    square = near * near
    series = torch.ones_like(square)
    for divisor in (180, 130, 88, 54, 28, 10):
        series.mul_(square).div_(-divisor).add_(1)
    slope = (torch.cos(far) - torch.sin(far) / far) / far
    return torch.sign(x) * _beyond(_NEAR, a, near=series.mul_(near).div_(-3), far=slope)
