"""TPE through Optuna's ask-and-tell interface: a density of good tokens against one of the others.

Bergstra et al. 2011 and Watanabe 2023, arXiv 2304.11127; Optuna's defaults, in which the slots are one joint density
and what is in flight counts as bad ("constant liar"), so that a batch is not one formula many times.
"""

import json
from collections.abc import Sequence

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import Trial, TrialState

from actsearch.formula import Formula
from actsearch.space import Space
from actsearch_controller.metrics import mean_reward
from actsearch_controller.subsequence import slots_told


class TPEController:
    """A study in memory. Its state is what it was asked and told, which is played again to restore it. Fits `Proposer`.

    Playing again costs what asking cost: 2 ms a formula among the first 500, more as trials pile up.
    """

    def __init__(self, space: Space, *, seed: int) -> None:
        self._space = space
        self._slots: dict[str, BaseDistribution] = {
            f"slot{k}": CategoricalDistribution(slot.choices) for k, slot in enumerate(space.slots)
        }
        self._begin(seed)

    def _begin(self, seed: int) -> None:
        # Optuna would announce each study and each failed trial on stderr.
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._seed = seed
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._in_flight: list[list[Trial]] = []
        self._asked: list[int] = []  # sizes of all batches asked
        self._told: list[tuple[int, list[int], list[float]]] = []  # batches asked before it, slots and rewards

    def ask(self, n: int) -> list[Formula]:
        """`n` formulas; repeats happen."""
        batch = [self._study.ask(self._slots) for _ in range(n)]
        self._in_flight.append(batch)
        self._asked.append(n)
        return [self._formula(trial) for trial in batch]

    def _formula(self, trial: Trial) -> Formula:
        return Formula.from_tokens([trial.params[slot] for slot in self._slots])

    def tell(self, formulas: Sequence[Formula], rewards: Sequence[float]) -> dict[str, float]:
        """Tells the study; formulas without a reward are failed trials, which it takes no notice of."""
        asked = [self._space.choices(self._formula(trial)) for trial in self._in_flight[0]]
        self._tell(slots_told([self._space.choices(formula) for formula in formulas], asked), rewards)
        return mean_reward(rewards)

    def _tell(self, slots: Sequence[int], rewards: Sequence[float]) -> None:
        answers = dict(zip(slots, rewards, strict=True))
        for slot, trial in enumerate(self._in_flight.pop(0)):
            if slot in answers:
                self._study.tell(trial, answers[slot])
            else:
                self._study.tell(trial, state=TrialState.FAIL)
        self._told.append((len(self._asked), list(slots), list(rewards)))

    def state(self) -> bytes:
        """The seed, the sizes of the batches asked, and what was told and when, as JSON."""
        return json.dumps({"seed": self._seed, "asked": self._asked, "told": self._told}).encode()

    def restore(self, state: bytes) -> None:
        """Goes on from a `state`."""
        document = json.loads(state)
        self._begin(document["seed"])
        sizes = iter(document["asked"])
        for asked_before, slots, rewards in document["told"]:
            while len(self._asked) < asked_before:
                self.ask(next(sizes))
            self._tell(slots, rewards)
        for size in sizes:
            self.ask(size)
