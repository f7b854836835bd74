"""What a controller has proposed and been told: so that a function known already costs nothing, or is asked on purpose.

A spelling is a formula's choices; several spellings are one function. Told rewards are kept by function.
"""

import hashlib
from collections.abc import Mapping, Sequence
from statistics import fmean

import torch
from torch import Tensor

from actsearch_controller.subsequence import Choices


class Memory:
    """Spellings proposed, the function of each, how often it was proposed, and every reward told, in order."""

    def __init__(self) -> None:
        self._function: dict[Choices, int] = {}
        self._first: dict[int, Choices] = {}
        self._proposed: dict[int, int] = {}
        self._told: list[tuple[int, float]] = []
        self._rewards: dict[int, list[float]] = {}

    def knows(self, choices: Choices) -> bool:
        """Whether this spelling was looked at before."""
        return choices in self._function

    def propose(self, choices: Choices, identity: str) -> bool:
        """Remembers a spelling of a function; whether no spelling of that function was proposed before, and now it is.

        Args:
            choices: the spelling.
            identity: what all spellings of the function share.
        """
        function = int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=8).digest(), "big") >> 1
        self._function[choices] = function
        if function in self._first:
            return False
        self._first[function] = choices
        self._proposed[function] = 1
        return True

    def best_again(self, count: int, at_most: int) -> list[Choices]:
        """The functions with the highest mean reward that were proposed fewer than `at_most` times, proposed once more.

        Each by its first spelling; `count` of them where there are as many, best first, ties in the order told.
        """
        open_ = [f for f in self._rewards if self._proposed[f] < at_most]
        best = sorted(open_, key=lambda f: -fmean(self._rewards[f]))[:count]
        for function in best:
            self._proposed[function] += 1
        return [self._first[function] for function in best]

    def forget(self, spellings: Sequence[Choices]) -> None:
        """Makes these spellings of known functions unknown again."""
        for choices in spellings:
            del self._function[choices]

    def tell(self, choices: Sequence[Choices], rewards: Sequence[float]) -> None:
        """Takes the rewards of a batch, in slot order."""
        for row, reward in zip(choices, rewards, strict=True):
            self._take(self._function[row], reward)

    @property
    def told(self) -> list[tuple[Choices, float]]:
        """Each function told, by its first spelling, with its mean reward, in the order first told."""
        return [(self._first[function], fmean(rewards)) for function, rewards in self._rewards.items()]

    @property
    def rewards(self) -> list[float]:
        """Every reward told, in order."""
        return [reward for _, reward in self._told]

    def tensors(self) -> dict[str, Tensor]:
        """All of it; nothing while nothing was proposed."""
        if not self._function:
            return {}
        return {
            "memory.choices": torch.tensor(list(self._function), dtype=torch.uint8),
            "memory.function": torch.tensor(list(self._function.values())),
            "memory.proposed": torch.tensor(list(self._proposed.values())),
            "memory.told_function": torch.tensor([function for function, _ in self._told], dtype=torch.int64),
            "memory.told_reward": torch.tensor([reward for _, reward in self._told], dtype=torch.float64),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "Memory":
        """The memory that gave these tensors."""
        memory = cls()
        if "memory.choices" not in tensors:
            return memory
        rows = [tuple(row) for row in tensors["memory.choices"].tolist()]
        memory._function = dict(zip(rows, tensors["memory.function"].tolist(), strict=True))
        for row, function in memory._function.items():
            memory._first.setdefault(function, row)
        memory._proposed = dict(zip(memory._first, tensors["memory.proposed"].tolist(), strict=True))
        told = zip(tensors["memory.told_function"].tolist(), tensors["memory.told_reward"].tolist(), strict=True)
        for function, reward in told:
            memory._take(function, reward)
        return memory

    def _take(self, function: int, reward: float) -> None:
        self._told.append((function, reward))
        self._rewards.setdefault(function, []).append(reward)
