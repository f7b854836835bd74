"""The backend whose gradient is sympy's derivative: keeps x and β for the backward pass, and nothing else.

On a CPU with AVX2 both passes are machine code that goes over memory once (actsearch.activation.machine); elsewhere
they are torch operations that share subexpressions. Half precision is computed in float32.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from actsearch.activation.eager import apply_eager, spread, torch_functions
from actsearch.activation.program import backward_program, forward_program
from actsearch.expression import Expression

try:
    from actsearch.activation import dense, machine
except ImportError:  # without llvmlite
    dense = machine = None  # type: ignore[assignment]


def apply_symbolic(expression: Expression, x: Tensor, betas: Sequence[Tensor], gain: float, channel_dim: int) -> Tensor:
    """gain · f(x), of x's shape and dtype; the arguments of `apply_eager`."""
    if torch._C._are_functorch_transforms_active():  # vmap and jvp look into operations
        return apply_eager(expression, x, betas, gain, channel_dim)
    result: Tensor = _Symbolic.apply(x, expression, gain, channel_dim, *betas)
    return result


def engine_of(device: str) -> str:
    """What computes float32 there, with what decides its last bits: `LLVM 22, 512 bits, glibc 2.36`, or `torch`."""
    if machine is None or torch.device(device).type != "cpu" or machine.unavailable():
        return "torch"
    return machine.description()


class _Symbolic(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, expression: Expression, gain: float, channel_dim: int, *betas: Tensor) -> Tensor:
        ctx.save_for_backward(x, *betas)
        ctx.settings = expression, gain, channel_dim
        return _value(expression, _widened(x), betas, gain, channel_dim).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, *betas = ctx.saved_tensors
        expression, gain, channel_dim = ctx.settings
        slope, sums = _slopes(expression, _widened(x), betas, _widened(grad), gain, channel_dim)
        return slope.to(x.dtype), None, None, None, *sums


def _widened(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _has_machine_code(x: Tensor) -> bool:
    return dense is not None and dense.is_possible(x)


def _value(expression: Expression, x: Tensor, betas: Sequence[Tensor], gain: float, channel_dim: int) -> Tensor:
    program = forward_program(expression)
    if _has_machine_code(x):
        return dense.forward(program, x, betas, gain, channel_dim)
    return apply_eager(expression, x, betas, gain, channel_dim)


def _slopes(
    expression: Expression, x: Tensor, betas: Sequence[Tensor], grad: Tensor, gain: float, channel_dim: int
) -> tuple[Tensor, list[Tensor]]:
    """The gradients by x and by each β."""
    program = backward_program(expression)
    # a second derivative is wanted where autograd follows this pass too
    if _has_machine_code(x) and not torch.is_grad_enabled():
        return dense.backward(program, x, betas, grad, gain, channel_dim)
    names = ("x", *program.betas)
    exprs = tuple(expression.derivative(name).expr for name in names)
    slopes = torch_functions(exprs, names)(x, *spread(betas, x, channel_dim))
    scaled = grad * gain
    others = [d for d in range(x.ndim) if d != channel_dim % x.ndim]
    sums = [(scaled * slope).sum(others).to(beta.dtype) for slope, beta in zip(slopes[1:], betas, strict=True)]
    return scaled * slopes[0], sums
