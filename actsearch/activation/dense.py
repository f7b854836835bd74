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
from actsearch.activation.eager import torch_functions
from actsearch.activation.program import Program

_LONG_ROW = 32
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
    """A tensor's memory as the machine code sees it.

    Attributes:
        layout: whether a coefficient belongs to a row or to a place in every row.
        rows, period, pieces, length: the loop's numbers.
        repeats: how often the channels' places are repeated in a row (layout columns).
        inner: elements of a channel that lie side by side.
    """

    layout: machine.Layout
    rows: int
    period: int
    length: int
    pieces: int = 1
    repeats: int = 1
    inner: int = 1

    def spread(self, values: Tensor) -> Tensor:
        """Per-channel values, ``(k, channels)``, as the loop reads them."""
        if self.layout == "rows":
            return values.contiguous()
        return values.repeat_interleave(self.inner, dim=1).repeat(1, self.repeats)

    def gather(self, sums: Tensor, channels: int) -> Tensor:
        """The loop's sums as ``(k, channels)``."""
        return sums if self.layout == "rows" else sums.view(len(sums), self.repeats, channels, self.inner).sum((1, 3))

    @property
    def width(self) -> int:
        """Values in a row of coefficients."""
        return self.period if self.layout == "rows" else self.length


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
    coefficients = rows.spread(_coefficients(program, betas, x))
    run = machine.kernel(program, machine.lanes(_DTYPES[x.dtype]), rows.layout, gradient=False)

    def part(span: _Span, _: int) -> None:
        here = span.start * x.element_size()
        run(
            x.data_ptr() + here, y.data_ptr() + here, coefficients.data_ptr(),
            gain, span.rows, rows.period, rows.pieces, span.length,
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
    coefficients = rows.spread(_coefficients(program, betas, x))
    spans = _spans(rows, torch.get_num_threads())
    sums = torch.zeros(len(spans), len(betas), rows.width, dtype=torch.float64)
    run = machine.kernel(program, machine.lanes(_DTYPES[x.dtype]), rows.layout, gradient=True)

    def part(span: _Span, k: int) -> None:
        here = span.start * x.element_size()
        run(
            x.data_ptr() + here, grad.data_ptr() + here, slope.data_ptr() + here, coefficients.data_ptr(),
            sums[k].data_ptr(), gain, span.rows, rows.period, rows.pieces, span.length,
        )  # fmt: skip

    _side_by_side(part, spans)
    if not betas:
        return slope, []
    total = sums[0] if len(spans) == 1 else sums.sum(0)
    return slope, list(rows.gather(total, x.shape[channel_dim]).to(betas[0].dtype).unbind())


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
    period = rows.period * rows.pieces
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
        return _Rows("rows", outer * channels * pieces, channels, inner // pieces, pieces)
    wanted = max(1, _SHARED_ROW // (channels * inner))
    repeats = math.gcd(outer, 2 ** (wanted.bit_length() - 1))
    return _Rows("columns", outer // repeats, 1, channels * inner * repeats, repeats=repeats, inner=inner)


def _pieces(inner: int) -> int:
    """Into how many equal pieces a long row is cut: sums within one are in x's own type, over all in float64."""
    fits = (pieces for pieces in range(-(-inner // _LONGEST_ROW), inner // _LONG_ROW + 1) if inner % pieces == 0)
    return next(fits, 1)


def _coefficients(program: Program, betas: Sequence[Tensor], x: Tensor) -> Tensor:
    """The program's coefficients, ``(k, channels)``, in x's dtype."""
    if not program.coefficients:
        return x.new_empty(0, 1)
    here = [beta.detach().to(x.dtype) for beta in betas]
    values = torch_functions(program.coefficients, program.betas)(*here)
    return torch.stack([v if isinstance(v, Tensor) else torch.full_like(here[0], v) for v in values])
