"""Exhaustive search: every function of the space once, in an order drawn from the seed, then the best ones again.

The paper's way through small spaces (Ramachandran, Zoph, Le 2017, section 3), and how a landscape is measured.
"""

import json
from collections.abc import Sequence

import numpy as np

from actsearch.errors import ConfigError
from actsearch.formula import Formula
from actsearch.identity import formula_fingerprint
from actsearch.space import LARGEST_LISTED, Space
from actsearch_controller.metrics import mean_reward
from actsearch_controller.ports import Identify


class ExhaustiveController:
    """Proposes one spelling of each function in random order, so that a part of the space is a fair sample of it.

    When all are told, the best are proposed again, `repeats` - 1 times each, best first; where some had no answer it
    ends without. Fits `Proposer`.
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int,
        repeats: int = 1,
        repeat_best: int = 0,
        identify: Identify = formula_fingerprint,
    ) -> None:
        """A fresh one.

        Args:
            space: what is listed; at most `LARGEST_LISTED` token sequences.
            seed: decides the order.
            repeats: trainings of each of the best functions, the first included.
            repeat_best: how many functions are the best ones.
            identify: which function a formula is.

        Raises:
            ConfigError: the space is too large to list.
        """
        if space.size > LARGEST_LISTED:
            raise ConfigError(
                f"controller = 'exhaustive': the space has {space.size:,} token sequences, "
                f"at most {LARGEST_LISTED:,} can be listed; random_new draws from larger ones"
            )
        self._space, self._repeats, self._repeat_best, self._identify = space, repeats, repeat_best, identify
        self._rewards: dict[tuple[int, ...], float] = {}
        self._repeated: dict[tuple[int, ...], int] = {}
        self._told = 0
        self._begin(seed)

    def _begin(self, seed: int) -> None:
        self._seed = seed
        self._order = np.random.Generator(np.random.PCG64(seed)).permutation(self._space.size)
        self._position = 0
        self._seen: set[str] = set()

    def ask(self, n: int) -> list[Formula]:
        """The next `n` functions; fewer at the end, none when all have been asked.

        None too while some are not told yet of which it is to find the best.
        """
        formulas: list[Formula] = []
        while len(formulas) < n and self._position < len(self._order):
            formula = self._next()
            if self._is_new(formula):
                formulas.append(formula)
        if self._told < len(self._seen):
            return formulas
        while len(formulas) < n and (best := self._best()) is not None:
            self._repeated[best] = self._repeated.get(best, 0) + 1
            formulas.append(self._space.formula(best))
        return formulas

    def tell(self, formulas: Sequence[Formula], rewards: Sequence[float]) -> dict[str, float]:
        """Keeps the best of the rewards."""
        self._told += len(formulas)
        for formula, reward in zip(formulas, rewards, strict=True):
            self._rewards.setdefault(self._space.choices(formula), reward)
        ranked = sorted(self._rewards.items(), key=lambda item: (-item[1], item[0]))
        self._rewards = dict(ranked[: self._repeat_best])
        return mean_reward(rewards)

    def _next(self) -> Formula:
        choices = np.unravel_index(self._order[self._position], [len(slot.choices) for slot in self._space.slots])
        self._position += 1
        return self._space.formula([int(i) for i in choices])

    def _is_new(self, formula: Formula) -> bool:
        identity = self._identify(formula)
        is_new = identity not in self._seen
        self._seen.add(identity)
        return is_new

    def _best(self) -> tuple[int, ...] | None:
        """The best function told that is still to be repeated."""
        if self._repeats < 2:
            return None
        begun = next((choices for choices, times in self._repeated.items() if times < self._repeats - 1), None)
        if begun is not None or len(self._repeated) >= self._repeat_best:
            return begun
        return next((choices for choices in self._rewards if choices not in self._repeated), None)

    def state(self) -> bytes:
        """The order, how far it is, and the best rewards, as JSON."""
        document = {
            "seed": self._seed,
            "position": self._position,
            "told": self._told,
            "rewards": list(self._rewards.items()),
            "repeated": list(self._repeated.items()),
        }
        return json.dumps(document).encode()

    def restore(self, state: bytes) -> None:
        """Goes on from a `state`; what was seen is computed again, 4 ms a token sequence."""
        document = json.loads(state)
        self._rewards = {tuple(choices): reward for choices, reward in document["rewards"]}
        self._repeated = {tuple(choices): times for choices, times in document["repeated"]}
        self._told = document["told"]
        self._begin(document["seed"])
        while self._position < document["position"]:
            self._is_new(self._next())
