"""One pass of machine code over a tensor: its memory as rows of equal length, each channel's coefficients where it is.

Channels first, channels last and every other dense order of dimensions are the same loop: memory is a product of what
lies outside the channels, the channels, and what lies inside.
"""

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from actsearch.activation import machine
from actsearch.activation.loops import Layout, scratch_bytes
from actsearch.activation.program import Program

_LONG_ROW = 256
"""Elements of a channel that lie side by side, from which a row is one channel; shorter ones share a row."""

_LONGEST_ROW = 4096
"""Elements of a row at most, where its length has a divisor for it."""

_SHARED_ROW = 1024
"""Most elements to which rows of many channels are repeated, so that the loop over them is worth its start."""

_WORTH_A_THREAD = 2**16
"""Elements from which a pass is shared out among torch's threads."""

_DTYPES = {torch.float32: np.float32, torch.float64: np.float64}


@dataclass(frozen=True)
class _Rows:
    """A tensor's memory as the machine code sees it: the numbers of actsearch.activation.loops.Loop."""

    layout: Layout
    rows: int
    channels: int
    length: int
    times: int = 1
    inner: int = 1


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
    """
    _check(betas, x, channel_dim)
    x, rows = _rows(program, x, channel_dim)
    y = torch.empty_like(x)
    packed = _packed(betas, x)
    run = machine.kernel(program, machine.lanes(_DTYPES[x.dtype]), rows.layout, gradient=False)

    def part(span: _Span, _: int) -> None:
        here, scratch = span.start * x.element_size(), _scratch(program, rows, span, x)
        run(
            x.data_ptr() + here, y.data_ptr() + here, packed.data_ptr(), scratch.data_ptr(),
            gain, span.rows, rows.channels, rows.times, rows.inner, span.length,
        )  # fmt: skip

    _side_by_side(part, _spans(rows, torch.get_num_threads()))
    return y


def backward(
    program: Program, x: Tensor, betas: Sequence[Tensor], grad: Tensor, gain: float, channel_dim: int
) -> tuple[Tensor, list[Tensor]]:
    """The gradients by x and by each β, ``(channels,)``, for the gradient `grad` by the output, of x's shape."""
    _check(betas, x, channel_dim)
    if grad.shape != x.shape:
        raise ValueError(f"a gradient of shape {tuple(grad.shape)} for x of shape {tuple(x.shape)}")
    x, rows = _rows(program, x, channel_dim)
    grad = grad if grad.stride() == x.stride() else torch.empty_like(x).copy_(grad)
    slope = torch.empty_like(x)
    packed = _packed(betas, x)
    spans = _spans(rows, torch.get_num_threads())
    sums = torch.zeros(len(spans), len(betas), rows.channels, dtype=torch.float64)
    run = machine.kernel(program, machine.lanes(_DTYPES[x.dtype]), rows.layout, gradient=True)

    def part(span: _Span, k: int) -> None:
        here, scratch = span.start * x.element_size(), _scratch(program, rows, span, x)
        run(
            x.data_ptr() + here, grad.data_ptr() + here, slope.data_ptr() + here, packed.data_ptr(),
            sums[k].data_ptr(), scratch.data_ptr(),
            gain, span.rows, rows.channels, rows.times, rows.inner, span.length,
        )  # fmt: skip

    _side_by_side(part, spans)
    if not betas:
        return slope, []
    total = sums[0] if len(spans) == 1 else sums.sum(0)
    return slope, list(total.to(betas[0].dtype).unbind())


@dataclass(frozen=True)
class _Span:
    """What one thread works through: so many rows of such a length from that element on."""

    start: int
    rows: int
    length: int


@lru_cache(maxsize=4096)
def _spans(rows: _Rows, threads: int) -> tuple[_Span, ...]:
    """The rows shared out among threads, whole periods each; one span where threads are not worth it."""
    if threads == 1 or rows.rows * rows.length < _WORTH_A_THREAD:
        return (_Span(0, rows.rows, rows.length),)
    if rows.layout == "rows" and rows.rows == 1:  # one coefficient for all, or none: any place is as good
        step = -(-rows.length // threads)
        return tuple(_Span(k, 1, min(step, rows.length - k)) for k in range(0, rows.length, step))
    period = rows.channels * rows.times if rows.layout == "rows" else 1
    step = -(-rows.rows // period // threads) * period
    return tuple(_Span(k * rows.length, min(step, rows.rows - k), rows.length) for k in range(0, rows.rows, step))


def _side_by_side(part: Callable[[_Span, int], None], spans: Sequence[_Span]) -> None:
    if len(spans) == 1:
        part(spans[0], 0)
    else:
        list(_pool(os.getpid(), len(spans)).map(part, spans, range(len(spans))))


@lru_cache(maxsize=1)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads of this process: a fork inherits the object and none of its threads."""
    return ThreadPoolExecutor(threads, thread_name_prefix="actsearch")


def _check(betas: Sequence[Tensor], x: Tensor, channel_dim: int) -> None:
    """The loop reads addresses: β of another length, put in between forward and backward, is somebody else's memory."""
    if any(beta.shape != (x.shape[channel_dim],) or beta.device != x.device for beta in betas):
        raise ValueError(f"β of shapes {[tuple(b.shape) for b in betas]} for x of shape {tuple(x.shape)}")


def _rows(program: Program, x: Tensor, channel_dim: int) -> tuple[Tensor, _Rows]:
    """The tensor, copied if its memory has gaps or overlaps, and its rows."""
    per_channel = bool(program.betas)
    rows = _plan(x.shape, x.stride(), channel_dim, per_channel)
    if rows is None:
        x = x.contiguous()
        rows = _plan(x.shape, x.stride(), channel_dim, per_channel)
    assert rows is not None
    return x, rows


@lru_cache(maxsize=4096)
def _plan(shape: tuple[int, ...], stride: tuple[int, ...], channel_dim: int, per_channel: bool) -> _Rows | None:
    """The rows of a tensor, or None where its memory has gaps or overlaps."""
    elements = 1
    for step, size in sorted((step, size) for step, size in zip(stride, shape, strict=True) if size > 1):
        if step != elements:
            return None
        elements *= size
    elements = math.prod(shape)
    if not per_channel:
        return _Rows("rows", 1, 1, elements)
    channels = shape[channel_dim]
    if not elements:
        return _Rows("rows", 0, channels, 0)
    inner = stride[channel_dim] if channels > 1 else elements
    outer = elements // (inner * channels)
    if inner >= _LONG_ROW:
        pieces = _pieces(inner)
        return _Rows("rows", outer * channels * pieces, channels, inner // pieces, times=pieces)
    wanted = max(1, _SHARED_ROW // (channels * inner))
    repeats = math.gcd(outer, 2 ** (wanted.bit_length() - 1))
    return _Rows("columns", outer // repeats, channels, channels * inner * repeats, inner=inner)


def _pieces(inner: int) -> int:
    """Into how many equal pieces a long row is cut: sums within one are in x's own type, over all in float64."""
    fits = (pieces for pieces in range(-(-inner // _LONGEST_ROW), inner // _LONG_ROW + 1) if inner % pieces == 0)
    return next(fits, 1)


def _packed(betas: Sequence[Tensor], x: Tensor) -> Tensor:
    """β as the loop reads them, ``(k, channels)`` of x's dtype; x itself, which nobody reads, where there is none."""
    if not betas:
        return x
    packed = betas[0] if len(betas) == 1 else torch.stack(list(betas))
    return packed.detach().to(x.dtype).contiguous()


def _scratch(program: Program, rows: _Rows, span: _Span, x: Tensor) -> Tensor:
    size = x.element_size()
    count = scratch_bytes(program, rows.layout, channels=rows.channels, length=span.length, itemsize=size)
    return torch.empty(count, dtype=torch.uint8)
