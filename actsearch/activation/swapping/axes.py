"""Which dimension of a tensor holds the channels: followed from the layer that made them, operation by operation.

A convolution, batch norm or group norm puts its channels in dimension 1, a linear layer, a matrix product, an
embedding or a layer norm in the last ones. From there permutes, reshapes, additions, concatenations, pooling and
slices carry them along; whatever merges channels with another dimension hides them until it is undone.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

_SECOND = frozenset({"convolution", "cudnn_convolution", "mkldnn_convolution", "miopen_convolution"})
_NORMS = frozenset({
    "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "cudnn_batch_norm",
    "miopen_batch_norm", "_batch_norm_no_update", "native_group_norm",
})  # fmt: skip
_LAYER_NORMS = frozenset({"native_layer_norm", "_fused_rms_norm"})
_LAST = frozenset({"addmm", "mm", "bmm", "baddbmm", "mv", "addmv", "linear", "embedding", "_embedding_bag"})
_RESHAPES = frozenset({
    "view", "_unsafe_view", "reshape", "_reshape_alias", "squeeze", "squeeze_", "unsqueeze", "unsqueeze_",
})  # fmt: skip


@dataclass(frozen=True)
class _Channels:
    """Channels in a tensor's elements: `size` of them, `left` repetitions outside; `axis` is None while hidden."""

    axis: int | None
    left: int
    size: int

    @classmethod
    def at(cls, axis: int, shape: Sequence[int]) -> "_Channels":
        return cls(axis, math.prod(shape[:axis]), shape[axis])

    def reshaped(self, shape: Sequence[int]) -> "_Channels":
        """The same elements read in another shape."""
        fits = [d for d in range(len(shape)) if shape[d] == self.size and math.prod(shape[:d]) == self.left]
        return replace(self, axis=self.axis if self.axis in fits else fits[-1] if fits else None)

    def within(self, shape: Sequence[int]) -> int | None:
        """Their dimension, or the one they are merged into, as attention's heads are; None for the batch's."""
        if self.axis is not None:
            return self.axis
        ends = [math.prod(shape[: d + 1]) for d in range(len(shape))]
        merged = (d for d in range(1, len(shape)) if ends[d - 1] <= self.left and self.left * self.size <= ends[d])
        return next(merged, None)


class ChannelAxes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, remembers for each tensor made where its channels are.

    Works below autograd on what is really computed, so that functional calls, scripted parts and custom autograd
    functions are followed too. It holds no tensor alive.
    """

    def __init__(self, observe: Callable[[str], None] = lambda name: None) -> None:
        """
        Args:
            observe: called with the name of each operation (`relu`, `add_`, …) before it runs.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._observe = observe
        self._known: Any = WeakTensorKeyDictionary()

    def axis(self, x: Tensor) -> int | None:
        """The dimension of x that holds channels, from 0; None where that cannot be told."""
        channels: _Channels | None = self._known.get(x)
        return channels.within(x.shape) if channels else None

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        self._observe(name)
        # looked up before the call, since an operation in place may change its input's shape
        sources = [(tuple(x.shape), self._known[x]) for x in _tensors([*args, *kwargs.values()]) if x in self._known]
        result = func(*args, **kwargs)
        for out in _tensors([result]):
            channels = _channels(name, _Arguments(func, args, kwargs), sources, tuple(out.shape))
            if channels:
                self._known[out] = channels
            else:
                self._known.pop(out, None)
        return result


@dataclass(frozen=True)
class _Arguments:
    """An operation's arguments by their names in its schema."""

    func: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def get(self, name: str) -> Any:
        for position, argument in enumerate(self.func._schema.arguments):
            if argument.name == name:
                return self.args[position] if position < len(self.args) else self.kwargs.get(name)
        return None


_Source = tuple[tuple[int, ...], _Channels]


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _channels(name: str, arguments: _Arguments, sources: Sequence[_Source], shape: tuple[int, ...]) -> _Channels | None:
    """Where the result's channels are: made by a layer, or taken over from the inputs."""
    if name in _LAST and shape:
        return _Channels.at(len(shape) - 1, shape)
    if name in _LAYER_NORMS:
        axis = len(shape) - len(arguments.get("normalized_shape"))
        return _Channels.at(axis, shape) if axis >= 0 else None  # the statistics come out flat on some devices
    if name in _SECOND and len(shape) > 1:
        return _Channels.at(1, shape)
    carried = [found for source in sources if (found := _carried(name, arguments, *source, shape))]
    # instance norm reshapes to one batch norm and back: what is known of its input beats dimension 1
    if name in _NORMS and not carried and len(shape) > 1:
        return _Channels.at(1, shape)
    whole = [channels for channels in carried if channels.axis is not None and shape[channels.axis] == channels.size]
    return next(iter(whole or carried), None)


def _carried(
    name: str, arguments: _Arguments, before: tuple[int, ...], channels: _Channels, after: tuple[int, ...]
) -> _Channels | None:
    """What one input's channels become in a result of another shape; None where they cannot be followed."""
    if name in _RESHAPES:
        return channels.reshaped(after) if math.prod(before) == math.prod(after) else None
    moved = name in ("permute", "transpose", "transpose_", "t", "t_")
    if before == after and not moved:
        return channels
    if channels.axis is None:
        return None
    axis = _moved(name, arguments, channels.axis, len(before)) if moved else None
    if not moved:
        axis = _aligned(arguments, channels.axis, len(before), len(after))
    # broadcast against more channels, or cut and joined along them: as many as the result has
    return None if axis is None else _Channels.at(axis, after)


def _moved(name: str, arguments: _Arguments, axis: int, ndim: int) -> int:
    if name == "permute":
        dims: list[int] = arguments.get("dims")
        return [d % ndim for d in dims].index(axis)
    if name in ("t", "t_"):
        return ndim - 1 - axis
    one, other = (int(arguments.get(name)) % ndim for name in ("dim0", "dim1"))
    return {one: other, other: one}.get(axis, axis)


def _aligned(arguments: _Arguments, axis: int, before: int, after: int) -> int | None:
    """The axis after an operation that keeps, adds (stack, broadcasting) or removes (mean, select) dimensions."""
    if before == after:
        return axis
    dim = arguments.get("dim")
    dims: list[int] = [dim] if isinstance(dim, int) else list(dim or [])
    if after > before:
        inserted = len(dims) == 1 and after == before + 1
        return axis + int(dims[0] % after <= axis) if inserted else axis + after - before
    removed: set[int] = {d % before for d in dims}
    if len(removed) != before - after or axis in removed:
        return None
    return axis - sum(d < axis for d in removed)
