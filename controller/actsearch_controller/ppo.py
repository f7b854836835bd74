"""PPO on whole formulas: one formula is one rollout with one reward at its end.

The ratio's denominator is the log-probability under the policy that *sampled* the batch, `lag` updates ago; the clip
then bounds how far an update may leave that policy. (Recomputing it at the update would make the first ratio 1 and
train on the batch as if it were fresh.)
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat

import numpy as np
import torch
from torch import Tensor

from actsearch.config import PPOSettings
from actsearch.identity import formula_fingerprint
from actsearch.space import Space
from actsearch_controller.memory import Memory
from actsearch_controller.policy import Scores
from actsearch_controller.policy_controller import MovingBaseline, PolicyController, Rollout
from actsearch_controller.ports import Identify
from actsearch_controller.shapes import shape
from actsearch_controller.subsequence import Choices
from actsearch_controller.surrogate import Surrogate, normal_scores

LEARNED_FROM = 250
"""The surrogate learns from so many of the best functions and so many of the latest."""

ROUNDS = 30
"""Times that one kind of candidates is made for what a batch still lacks."""


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
    """A policy that learns by PPO, made thrifty.

    It never proposes a function twice unless to train it again; a surrogate keeps the best of what the policy writes; a
    share of every batch trains the best functions again, for one training of each is half luck; and the policy
    learns from ranks, which the heavy tail of failures leaves alone. Each of these can be turned off in the settings.
    """

    def __init__(
        self,
        space: Space,
        settings: PPOSettings,
        *,
        seed: int,
        repeats: int = 1,
        identify: Identify = formula_fingerprint,
    ) -> None:
        """A fresh controller.

        Args:
            space: what it proposes from.
            settings: of the policy, its training and its proposals.
            seed: decides its initial weights and every sample.
            repeats: trainings of one function at most.
            identify: tells which function a formula is.
        """
        super().__init__(space, settings, learning_rate=settings.learning_rate, seed=seed)
        self._baseline = MovingBaseline(settings.baseline_decay)
        self._repeats, self._identify = repeats, identify
        self._known = Memory()
        self._surrogate: Surrogate | None = None

    def _propose(self, n: int) -> Rollout:
        if not self._settings.memory:
            return super()._propose(n)
        generator = self._generator.get_state()
        rows = self._known.best_again(round(self._settings.retrain * n), self._repeats)
        new, passed_over = self._new(n - len(rows))
        rows += new
        if not rows:
            self._generator.set_state(generator)
            self._known.forget(passed_over)
        choices = torch.tensor(rows, dtype=torch.int64).reshape(len(rows), len(self._space.slots))
        return Rollout(choices, self._log_prob(choices))

    def _new(self, n: int) -> tuple[list[Choices], list[Choices]]:
        """Up to `n` spellings of functions never proposed, and other spellings that turned out to be of known ones."""
        found: list[Choices] = []
        passed_over: list[Choices] = []
        drawn = round(self._settings.uniform * n)
        for candidates, upto in ((self._drawn, drawn), (self._written, n), (self._drawn, n)):
            for _ in repeat(None, ROUNDS):
                if len(found) >= upto:
                    break
                self._choose(candidates, upto, found, passed_over)
        return found, passed_over

    def _choose(
        self,
        candidates: Callable[[int], Tensor],
        upto: int,
        found: list[Choices],
        passed_over: list[Choices],
    ) -> None:
        """Adds what is new, and what is not, among as many candidates as are missing or the surrogate chooses from."""
        missing = upto - len(found)
        rows = _rows(candidates(missing if self._surrogate is None else missing * self._settings.candidates))
        for choices in self._screened([row for row in dict.fromkeys(rows) if not self._known.knows(row)])[:missing]:
            is_new = self._known.propose(choices, self._identify(self._space.formula(choices)))
            (found if is_new else passed_over).append(choices)

    def _written(self, count: int) -> Tensor:
        """Candidates by the policy, ``(count, length)``."""
        return self._policy.sample(count, self._generator)[0]

    def _drawn(self, count: int) -> Tensor:
        """Candidates drawn uniformly, ``(count, length)``."""
        columns = [torch.randint(len(s.choices), (count,), generator=self._generator) for s in self._space.slots]
        return torch.stack(columns, dim=1)

    def _screened(self, candidates: list[Choices]) -> list[Choices]:
        """The share of the candidates that the surrogate ranks highest, best first; all while there is none."""
        if self._surrogate is None or not candidates:
            return candidates
        expected = self._surrogate.expected([shape(self._space.formula(row)) for row in candidates])
        best = np.argsort(-expected, kind="stable")[: -(-len(candidates) // self._settings.candidates)]
        return [candidates[k] for k in best]

    def _learn(self, rollout: Rollout, rewards: Sequence[float]) -> dict[str, float]:
        if self._settings.memory:
            self._known.tell(_rows(rollout.choices), rewards)
            self._surrogate = self._fitted()
        above_baseline = self._baseline.advantage(rewards)
        advantage = self._ranks(len(rewards)) if self._settings.advantage == "rank" else above_baseline

        def loss(scores: Scores) -> Tensor:
            new_log_prob = scores.log_prob.sum(dim=1)  # (batch, length) -> (batch,)
            return clipped_surrogate(new_log_prob, rollout.log_prob, advantage, self._settings.clip_coef)

        metrics = self._descend(rollout.choices, loss, steps=self._settings.epochs)
        return metrics | self._baseline.metrics

    def _ranks(self, count: int) -> Tensor:
        """Normal scores of the latest rewards' ranks among all told: about 0 for a middling one, ``(count,)``."""
        return torch.tensor(normal_scores(self._known.rewards)[-count:], dtype=torch.float32)

    def _fitted(self) -> Surrogate | None:
        """A surrogate of what was told: of the best functions and of the latest, so that its cost does not grow."""
        told = self._known.told
        if self._settings.candidates == 1 or not told:
            return None
        if len(told) > 2 * LEARNED_FROM:
            latest, rest = told[-LEARNED_FROM:], told[:-LEARNED_FROM]
            told = sorted(rest, key=lambda entry: -entry[1])[:LEARNED_FROM] + latest
        shapes = [shape(self._space.formula(row)) for row, _ in told]
        return Surrogate(shapes, [reward for _, reward in told])

    def _memory(self) -> dict[str, Tensor]:
        return self._baseline.tensors() | self._known.tensors()

    def _recall(self, tensors: Mapping[str, Tensor]) -> None:
        self._baseline.recall(tensors)
        self._known = Memory.from_tensors(tensors)
        self._surrogate = self._fitted()


def _rows(choices: Tensor) -> list[Choices]:
    return [tuple(row) for row in choices.tolist()]
