"""REINFORCE: the plain policy gradient, one step a batch, against a moving average of rewards.

The oldest way to train such a controller (Williams 1992, Machine Learning 8, 229-256; Zoph & Le 2016, arXiv
1611.01578), with the same policy as PPO. A batch that comes back late is taken as if it were fresh.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor

from actsearch.config import PPOSettings
from actsearch.space import Space
from actsearch_controller.policy import Scores
from actsearch_controller.policy_controller import MovingBaseline, PolicyController, Rollout

LEARNING_RATE = 3e-3
"""Adam's step size: 300 evaluations are 15 batches, in which one step each at NASNet's 3.5e-4 hardly moves. Not tuned:
a landscape that covers a quarter of its space, as `prototype`, takes several times as many batches and wants less.
"""


class ReinforceController(PolicyController):
    """A policy that learns by the plain policy gradient."""

    def __init__(self, space: Space, settings: PPOSettings, *, seed: int) -> None:
        """A fresh controller; of PPO's settings it has no use for the clip, the epochs and the learning rate."""
        super().__init__(space, settings, learning_rate=LEARNING_RATE, seed=seed)
        self._baseline = MovingBaseline(settings.baseline_decay)

    def _learn(self, rollout: Rollout, rewards: Sequence[float]) -> dict[str, float]:
        advantage = self._baseline.advantage(rewards)

        def loss(scores: Scores) -> Tensor:
            return -(advantage * scores.log_prob.sum(dim=1)).mean()  # Williams 1992, eq. 11

        return self._descend(rollout.choices, loss, steps=1) | self._baseline.metrics

    def _memory(self) -> dict[str, Tensor]:
        return self._baseline.tensors()

    def _recall(self, tensors: Mapping[str, Tensor]) -> None:
        self._baseline.recall(tensors)
