"""Torch forms of the functions for which torch's own are missing, overflow, or differ at a kink.

Gradients at kinks: relu′(0) = |x|′(0) = 0; ties of max and min share the gradient equally.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)), any shape; linear only where float64 could not tell the difference."""
    return F.softplus(x, threshold=40.0)


def step(x: Tensor) -> Tensor:
    """Heaviside's step, 1/2 at 0, with gradient 0 everywhere."""
    return (torch.sign(x) + 1) / 2


def maximum(first: Tensor | float, *others: Tensor | float) -> Tensor:
    """The largest argument, broadcast; of two numbers and a tensor the tensor's dtype holds."""
    return _fold(torch.maximum, first, *others)


def minimum(first: Tensor | float, *others: Tensor | float) -> Tensor:
    """The smallest argument, broadcast."""
    return _fold(torch.minimum, first, *others)


def _fold(function: Any, *args: Tensor | float) -> Tensor:
    like = next(a for a in args if isinstance(a, Tensor))
    tensors = [a if isinstance(a, Tensor) else torch.full((), a, dtype=like.dtype, device=like.device) for a in args]
    result = tensors[0]
    for tensor in tensors[1:]:
        result = function(result, tensor)
    return result


def sinc(x: Tensor) -> Tensor:
    """sin(x)/x, 1 at 0, with an exact derivative near 0, where autograd's cos(x)/x - sin(x)/x² cancels."""
    result: Tensor = _Sinc.apply(x)
    return result


class _Sinc(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(x == 0, 1, torch.sin(x) / x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad * sinc_slope(x)


def sinc_slope(x: Tensor) -> Tensor:
    """The derivative of sin(x)/x; below |x| = 0.5 its Taylor series, exact to float64."""
    near = x.abs() < 0.5
    u = torch.where(near, x, 0) ** 2
    series = -x / 3 * (1 - u / 10 * (1 - u / 28 * (1 - u / 54 * (1 - u / 88 * (1 - u / 130)))))
    far = torch.where(near, 1, x)
    return torch.where(near, series, (torch.cos(far) - torch.sin(far) / far) / far)
