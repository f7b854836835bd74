"""A tensor's memory as the machine code sees it: rows of equal length, each channel's coefficients where it is.

Channels first, channels last and every other dense order of dimensions are the same loop: memory is a product of what
lies outside the channels, the channels, and what lies inside.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from actsearch.activation.loops import Layout

_LONG_ROW = 256
"""Elements of a channel that lie side by side, from which a row is one channel; shorter ones share a row."""

_SHARED_ROW = 1024
"""Most elements to which rows of many channels are repeated, so that the loop over them is worth its start."""

_WORTH_A_THREAD = 2**16
"""Elements from which a pass is shared out among torch's threads."""


@dataclass(frozen=True)
class Rows:
    """The numbers of actsearch.activation.loops.Loop."""

    layout: Layout
    rows: int
    channels: int
    length: int
    inner: int = 1


@dataclass(frozen=True)
class Span:
    """What one thread works through: so many rows of such a length from that element on."""

    start: int
    rows: int
    length: int


def rows_of(shape: Sequence[int], stride: Sequence[int], channel_dim: int, *, per_channel: bool) -> Rows | None:
    """The rows of a tensor, or None where its memory has gaps or overlaps.

    Args:
        shape: the tensor's.
        stride: the tensor's, in elements.
        channel_dim: its dimension of the channels.
        per_channel: whether channels have coefficients; else it is one row.
    """
    elements = math.prod(shape)
    channels = shape[channel_dim] if per_channel else 1
    if not elements:
        return Rows("rows", 0, channels, 0)
    dense = 1
    for step, size in sorted((step, size) for step, size in zip(stride, shape, strict=True) if size > 1):
        if step != dense:
            return None
        dense *= size
    if not per_channel:
        return Rows("rows", 1, 1, elements)
    inner = stride[channel_dim] if channels > 1 else elements
    outer = elements // (inner * channels)
    if inner >= _LONG_ROW:
        return Rows("rows", outer * channels, channels, inner)
    wanted = max(1, _SHARED_ROW // (channels * inner))
    repeats = math.gcd(outer, 2 ** (wanted.bit_length() - 1))
    return Rows("columns", outer // repeats, channels, channels * inner * repeats, inner=inner)


def spans_of(rows: Rows, threads: int) -> tuple[Span, ...]:
    """The rows shared out among threads, whole periods each; one span where threads are not worth it."""
    if threads == 1 or rows.rows * rows.length < _WORTH_A_THREAD:
        return (Span(0, rows.rows, rows.length),)
    if rows.layout == "rows" and rows.rows == 1:  # one coefficient for all, or none: any place is as good
        step = -(-rows.length // threads)
        return tuple(Span(k, 1, min(step, rows.length - k)) for k in range(0, rows.length, step))
    period = rows.channels if rows.layout == "rows" else 1
    step = -(-rows.rows // period // threads) * period
    return tuple(Span(k * rows.length, min(step, rows.rows - k), rows.length) for k in range(0, rows.rows, step))
