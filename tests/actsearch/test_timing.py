"""The measuring of functions side by side."""

import pytest
import torch
from torch import Tensor, nn

from actsearch.activation import Activation
from actsearch.activation.timing import measure


def test_more_work_takes_longer_and_a_constant_has_no_backward() -> None:
    def slow(x: Tensor) -> Tensor:
        for _ in range(20):
            x = torch.atan(x)
        return x

    times = measure({"relu": torch.relu, "slow": slow, "one": torch.ones_like}, (64, 1024), rounds=5)
    assert list(times) == ["relu", "slow", "one"]
    assert times["slow"].forward > 3 * times["relu"].forward > 0
    assert times["slow"].backward > times["relu"].backward > times["one"].backward == 0
    assert times["slow"].total >= max(times["slow"].forward, times["slow"].backward)


def test_threads_and_gradients_are_left_as_they_were() -> None:
    module = Activation("x*sigmoid(beta*x)", channels=3)
    seen: list[tuple[int, bool]] = []

    def watch(x: Tensor) -> Tensor:
        seen.append((torch.get_num_threads(), x.is_contiguous(memory_format=torch.channels_last)))
        return x * 2

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        measure({"module": module, "watch": watch}, (2, 3, 4, 4), rounds=2, memory_format=torch.channels_last)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {(1, True)}
    assert isinstance(module, nn.Module)


def test_time_is_bounded() -> None:
    rounds = 0

    def count(x: Tensor) -> Tensor:
        nonlocal rounds
        rounds += 1
        return x + 1

    measure({"count": count}, (8,), rounds=1000, seconds=0)
    assert rounds == 5  # two to warm up, three that count


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_input_has_the_dtype_asked_for(dtype: torch.dtype) -> None:
    seen = set()

    def watch(x: Tensor) -> Tensor:
        seen.add(x.dtype)
        return x + 1

    measure({"watch": watch}, (8,), rounds=1, dtype=dtype)
    assert seen == {dtype}
