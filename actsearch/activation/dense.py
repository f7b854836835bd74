"""A pass of machine code over a tensor, forward or backward, shared out among torch's threads."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from actsearch.activation import machine
from actsearch.activation.layout import Rows, Span, rows_of, spans_of
from actsearch.activation.loops import scratch_bytes
from actsearch.activation.program import Program

_DTYPES = {torch.float32: np.float32, torch.float64: np.float64}


def is_possible(x: Tensor) -> bool:
    """Whether machine code can pass over the tensor: float32 or float64 in memory, on a processor that can."""
    plain = type(x) in (Tensor, nn.Parameter) and x.layout is torch.strided  # others may have no memory of their own
    return plain and x.dtype in _DTYPES and x.device.type == "cpu" and machine.unavailable() is None


def forward(program: Program, x: Tensor, betas: Sequence[Tensor], gain: float, channel_dim: int) -> Tensor:
    """gain · f(x).

    Args:
        program: of f.
        x: any shape, float32 or float64.
        betas: ``(channels,)`` each.
        gain: multiplies the function.
        channel_dim: x's dimension of the channels.

    Raises:
        ValueError: β of another length than x's channels, or on another device.
    """
    _check(betas, x, channel_dim)
    x, loop = _loop(program, x, channel_dim, gradient=False)
    y = torch.empty_like(x)
    loop.run((x, y), (_packed(betas, x),), gain)
    return y


def backward(
    program: Program, x: Tensor, betas: Sequence[Tensor], grad: Tensor, gain: float, channel_dim: int
) -> tuple[Tensor, list[Tensor]]:
    """The gradients by x and by each β, ``(channels,)``, for the gradient `grad` by the output, of x's shape.

    The other arguments, and what is raised, are those of `forward`; `ValueError` too for a gradient of another shape.
    """
    _check(betas, x, channel_dim)
    if grad.shape != x.shape:
        raise ValueError(f"a gradient of shape {tuple(grad.shape)} for x of shape {tuple(x.shape)}")
    x, loop = _loop(program, x, channel_dim, gradient=True)
    grad = grad.resolve_neg() if grad.layout is torch.strided else grad.to_dense()
    grad = grad if grad.stride() == x.stride() else torch.empty_like(x).copy_(grad)
    slope = torch.empty_like(x)
    sums = torch.zeros(len(loop.spans), len(betas), loop.rows.channels, dtype=torch.float64, device="cpu")
    loop.run((x, grad, slope), (_packed(betas, x), sums), gain)
    if not betas:
        return slope, []
    total = sums[0] if len(sums) == 1 else sums.sum(0)
    return slope, list(total.to(betas[0].dtype).unbind())


def _check(betas: Sequence[Tensor], x: Tensor, channel_dim: int) -> None:
    """The loop reads addresses: β of another length, put in between forward and backward, is somebody else's memory."""
    for beta in betas:
        if beta.shape != (x.shape[channel_dim],) or beta.device != x.device:
            raise ValueError(f"β of shapes {[tuple(b.shape) for b in betas]} for x of shape {tuple(x.shape)}")


def _packed(betas: Sequence[Tensor], x: Tensor) -> Tensor:
    """β as the loop reads them, ``(k, channels)`` of x's dtype; x itself, which nobody reads, where there is none."""
    if not betas:
        return x
    packed = betas[0] if len(betas) == 1 else torch.stack(list(betas))
    return packed if packed.dtype is x.dtype and packed.is_contiguous() else packed.to(x.dtype).contiguous()


def _loop(program: Program, x: Tensor, channel_dim: int, *, gradient: bool) -> tuple[Tensor, "_Loop"]:
    """The tensor, copied if its memory has gaps, overlaps or opposite signs, and the loop over it."""
    x = x.resolve_neg()
    threads = torch.get_num_threads()
    loop = _known_loop(program, x.shape, x.stride(), x.dtype, channel_dim, threads, gradient)
    if loop is None:
        x = x.contiguous()
        loop = _known_loop(program, x.shape, x.stride(), x.dtype, channel_dim, threads, gradient)
    assert loop is not None
    return x, loop


@lru_cache(maxsize=4096)
def _known_loop(
    program: Program,
    shape: torch.Size,
    stride: tuple[int, ...],
    dtype: torch.dtype,
    channel_dim: int,
    threads: int,
    gradient: bool,
) -> "_Loop | None":
    """The loop over tensors of one form; None where their memory has gaps or overlaps."""
    rows = rows_of(shape, stride, channel_dim, per_channel=bool(program.betas))
    if rows is None:
        return None
    kernel = machine.kernel(program, machine.lanes(_DTYPES[dtype]), rows.layout, gradient=gradient)
    spans, itemsize = spans_of(rows, threads), dtype.itemsize
    scratch = [
        scratch_bytes(program, rows.layout, channels=rows.channels, length=span.length, itemsize=itemsize)
        for span in spans
    ]
    return _Loop(kernel, rows, spans, threads, max(scratch, default=0), itemsize)


@dataclass(frozen=True)
class _Loop:
    """A compiled loop with all its numbers: what tensors of one shape and order of memory share.

    Attributes:
        kernel: actsearch.activation.machine.kernel.
        rows: of the tensors.
        spans: the parts for the threads.
        threads: how many there are, at least one a span.
        scratch: bytes of working memory a span.
        itemsize: bytes of an element.
    """

    kernel: Callable[..., None]
    rows: Rows
    spans: tuple[Span, ...]
    threads: int
    scratch: int
    itemsize: int

    def run(self, tensors: Sequence[Tensor], vectors: Sequence[Tensor], gain: float) -> None:
        """Runs every span.

        Args:
            tensors: x's form each: x and y, or x, the gradient by the output and the one by x.
            vectors: β ``(k, channels)``, and in a backward pass the sums ``(spans, k, channels)``.
            gain: multiplies the function.
        """
        if len(self.spans) == 1:
            self._run_span(0, tensors, vectors, gain)
        else:
            pool = _pool(os.getpid(), self.threads)
            list(pool.map(lambda k: self._run_span(k, tensors, vectors, gain), range(len(self.spans))))

    def _run_span(self, k: int, tensors: Sequence[Tensor], vectors: Sequence[Tensor], gain: float) -> None:
        span, rows = self.spans[k], self.rows
        here = span.start * self.itemsize
        scratch = torch.empty(self.scratch, dtype=torch.uint8, device="cpu")
        packed, *sums = vectors
        self.kernel(
            *(t.data_ptr() + here for t in tensors), packed.data_ptr(), *(s[k].data_ptr() for s in sums),
            scratch.data_ptr(), gain, span.rows, rows.channels, rows.inner, span.length,
        )  # fmt: skip


@lru_cache(maxsize=1)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads of this process: a fork inherits the object and none of its threads."""
    return ThreadPoolExecutor(threads, thread_name_prefix="actsearch")
