"""PPO on whole formulas: one formula is one rollout with one reward at its end.

The ratio's denominator is the log-probability under the policy that *sampled* the batch, `lag` updates ago; the clip
then bounds how far an update may leave that policy. (Recomputing it at the update would make the first ratio 1 and
train on the batch as if it were fresh.)
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from actsearch.config import PPOSettings
from actsearch.space import Space
from actsearch_controller.policy import Scores
from actsearch_controller.policy_controller import MovingBaseline, PolicyController, Rollout


def clipped_surrogate(new_log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, clip_coef: float) -> Tensor:
    """PPO's clipped policy loss, to be minimised.

    Args:
        new_log_prob: log-probability (natural log) of each formula under the policy in training, ``(batch,)``.
        old_log_prob: the same under the policy that sampled the batch, ``(batch,)``, without gradient.
        advantage: reward minus baseline, in accuracy units (0-1), ``(batch,)``.
        clip_coef: the paper's epsilon, in (0, 1).

    Returns:
        The mean over the batch, a scalar that carries gradient.

    Source: Schulman et al. 2017, arXiv:1707.06347, eq. 7.
    """
    ratio = (new_log_prob - old_log_prob).exp()
    clipped = ratio.clamp(1 - clip_coef, 1 + clip_coef)
    return -torch.minimum(ratio * advantage, clipped * advantage).mean()


class PPOController(PolicyController):
    """A policy that learns by PPO, several steps a batch, against a moving average of rewards."""

    def __init__(self, space: Space, settings: PPOSettings, *, seed: int) -> None:
        """A fresh controller; `seed` decides its initial weights and every sample."""
        super().__init__(space, settings, learning_rate=settings.learning_rate, seed=seed)
        self._baseline = MovingBaseline(settings.baseline_decay)

    def _learn(self, rollout: Rollout, rewards: Sequence[float]) -> dict[str, float]:
        advantage = self._baseline.advantage(rewards)

        def loss(scores: Scores) -> Tensor:
            new_log_prob = scores.log_prob.sum(dim=1)  # (batch, length) -> (batch,)
            return clipped_surrogate(new_log_prob, rollout.log_prob, advantage, self._settings.clip_coef)

        metrics = self._descend(rollout.choices, loss, steps=self._settings.epochs)
        return metrics | self._baseline.metrics

    def _memory(self) -> dict[str, Tensor]:
        return self._baseline.tensors()

    def _recall(self, tensors: Mapping[str, Tensor]) -> None:
        self._baseline.recall(tensors)
