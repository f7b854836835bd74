"""Priority-queue training: the policy learns to write the best formulas found so far.

Abolafia et al. 2018, arXiv 1801.03526: maximise the log-likelihood of the K best distinct formulas, plus entropy. No
gradient of the reward, so that neither its scale nor the heavy tail of failures matters.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from actsearch.config import PPOSettings
from actsearch.space import Space
from actsearch_controller.policy import Scores
from actsearch_controller.policy_controller import PolicyController, Rollout

QUEUE = 10
"""Formulas in the queue; the paper's K."""

LEARNING_RATE = 3e-3
"""Adam's step size: 300 evaluations are 15 batches, in which one step each at NASNet's 3.5e-4 hardly moves. Not tuned:
a landscape that covers a quarter of its space, as `prototype`, takes several times as many batches and wants less.
"""


class PQTController(PolicyController):
    """A policy that imitates the best formulas it was told."""

    def __init__(self, space: Space, settings: PPOSettings, *, seed: int) -> None:
        """A fresh controller; of PPO's settings it has use for size, entropy and the gradient's norm."""
        super().__init__(space, settings, learning_rate=LEARNING_RATE, seed=seed)
        self._queue: dict[tuple[int, ...], float] = {}

    def _learn(self, rollout: Rollout, rewards: Sequence[float]) -> dict[str, float]:
        for choices, reward in zip(rollout.choices.tolist(), rewards, strict=True):
            self._queue.setdefault(tuple(choices), reward)
        self._queue = dict(sorted(self._queue.items(), key=lambda item: (-item[1], item[0]))[:QUEUE])

        def loss(scores: Scores) -> Tensor:
            return -scores.log_prob.sum(dim=1).mean()  # of the queue: the paper's eq. 4, without its weight

        return self._descend(torch.tensor(list(self._queue)), loss, steps=1)

    def _memory(self) -> dict[str, Tensor]:
        if not self._queue:
            return {}
        rewards = torch.tensor(list(self._queue.values()), dtype=torch.float64)
        return {"queue.choices": torch.tensor(list(self._queue)), "queue.rewards": rewards}

    def _recall(self, tensors: Mapping[str, Tensor]) -> None:
        self._queue = {}
        if "queue.choices" in tensors:
            choices, rewards = tensors["queue.choices"].tolist(), tensors["queue.rewards"].tolist()
            self._queue = {tuple(row): reward for row, reward in zip(choices, rewards, strict=True)}
