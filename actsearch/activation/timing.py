"""How long functions take, side by side: one process, interleaved runs, medians."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

import torch
from torch import Tensor, nn

Name = TypeVar("Name", bound=str)


@dataclass(frozen=True)
class Timing:
    """Median times of one function in nanoseconds an element of its input.

    Attributes:
        forward: the function's value, with what it keeps for backward.
        backward: the gradient by the input and by the parameters; 0 where the value depends on none of them.
        total: both. It is a median of its own, not the sum of the two.
    """

    forward: float
    backward: float
    total: float


def measure(
    functions: Mapping[Name, Callable[[Tensor], Tensor]],
    shape: Sequence[int],
    *,
    rounds: int = 15,
    seconds: float = float("inf"),
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    memory_format: torch.memory_format = torch.contiguous_format,
    threads: int | None = 1,
    seed: int = 0,
) -> dict[Name, Timing]:
    """Times forward and backward of every function on the same standard normal input.

    A round runs each function once, and each round starts with the next one, so that a slow moment of the machine
    falls on all alike. Two rounds before the first do not count. Modules lose the gradients they hold.

    Args:
        functions: what to time by name: functions or modules of one tensor.
        shape: the input's shape.
        rounds: most rounds that count, at least 1.
        seconds: no further round starts after so long, but for the first three.
        dtype: the input's.
        device: where to run; on a GPU each time ends when its work has.
        memory_format: the input's, `torch.channels_last` for one of four dimensions.
        threads: torch's threads while it measures; None leaves them as they are.
        seed: of the input.

    Returns:
        A timing for each name, in the order given.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, generator=generator).to(device, dtype).to(memory_format=memory_format)
    grad = torch.randn(*shape, generator=generator).to(device, dtype).to(memory_format=memory_format)
    names = list(functions)
    times: dict[Name, list[tuple[float, float]]] = {name: [] for name in names}
    with _threads(threads):
        end = time.perf_counter() + seconds
        for k in range(-2, rounds):
            if k >= 3 and time.perf_counter() > end:
                break
            for name in (*names[k % len(names) :], *names[: k % len(names)]):
                run = _run(functions[name], x, grad)
                if k >= 0:
                    times[name].append(run)
    return {name: _timing(times[name], x.numel()) for name in names}


def _run(function: Callable[[Tensor], Tensor], x: Tensor, grad: Tensor) -> tuple[float, float]:
    """Seconds of one forward and one backward pass."""
    if isinstance(function, nn.Module):
        function.zero_grad()
    x = x.detach().requires_grad_()
    start = _now(x)
    y = function(x)
    middle = _now(x)
    if not y.requires_grad:
        return middle - start, 0.0
    torch.autograd.backward(y, grad)
    return middle - start, _now(x) - middle


def _now(x: Tensor) -> float:
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return time.perf_counter()


def _timing(runs: list[tuple[float, float]], elements: int) -> Timing:
    scale = 1e9 / elements
    forward, backward = zip(*runs, strict=True)
    return Timing(median(forward) * scale, median(backward) * scale, median(f + b for f, b in runs) * scale)


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(before if count is None else count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
