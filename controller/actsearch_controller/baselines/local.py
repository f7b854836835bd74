"""Local search: climb to a better formula that differs in one token, start anew where there is none.

White, Nolen, Savani 2020, arXiv 2005.02960, in the form that moves at the first improvement, made for batches: each
batch told moves to the best improvement in it. What there is to propose when all neighbours of a formula are on their
way is drawn at random, and the best of those is where it starts anew.
"""

import json
from collections.abc import Sequence

import numpy as np

from actsearch.formula import Formula
from actsearch.space import Space
from actsearch_controller.baselines.neighbours import neighbours
from actsearch_controller.metrics import mean_reward
from actsearch_controller.subsequence import Choices


class LocalController:
    """Climbs from formula to formula and remembers what it asked and what it was told. Fits `Proposer`."""

    def __init__(self, space: Space, *, seed: int) -> None:
        self._space = space
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._rewards: dict[Choices, float] = {}  # of every formula told
        self._asked: set[Choices] = set()
        self._in_flight: list[list[Choices]] = []
        self._current: Choices | None = None
        self._ahead: list[Choices] = []  # neighbours of the current formula that are still to be asked
        self._drawn: set[Choices] = set()  # random formulas that are in flight
        self._starts: dict[Choices, float] = {}  # those told since the current climb began

    def ask(self, n: int) -> list[Formula]:
        """`n` formulas: neighbours of the current one, then random ones."""
        batch = [self._ahead.pop() if self._ahead else self._random() for _ in range(n)]
        self._asked.update(batch)
        self._in_flight.append(batch)
        return [self._space.formula(choices) for choices in batch]

    def _random(self) -> Choices:
        choices = self._space.choices(self._space.sample(self._rng))
        self._drawn.add(choices)
        return choices

    def tell(self, formulas: Sequence[Formula], rewards: Sequence[float]) -> dict[str, float]:
        """Climbs as far as what is known allows."""
        told = set(self._in_flight.pop(0))
        for choices, reward in zip(map(self._space.choices, formulas), rewards, strict=True):
            self._rewards[choices] = reward
            if choices in self._drawn:
                self._starts[choices] = reward
        self._drawn -= told
        while (better := self._better()) is not None:
            self._move(better)
        if self._is_stuck() and self._starts:
            self._move(max(self._starts, key=self._starts.__getitem__))
            self._starts = {}
        return mean_reward(rewards)

    def _near(self) -> list[Choices]:
        return [] if self._current is None else neighbours(self._space, self._current)

    def _better(self) -> Choices | None:
        """The best neighbour told that is better than the current formula."""
        if self._current is None:
            return None
        told = [choices for choices in self._near() if choices in self._rewards]
        best = max(told, key=self._rewards.__getitem__, default=None)
        return best if best is not None and self._rewards[best] > self._rewards[self._current] else None

    def _is_stuck(self) -> bool:
        """Whether nothing that could be better than the current formula is to be asked or on its way."""
        on_the_way = {choices for batch in self._in_flight for choices in batch}
        return not self._ahead and on_the_way.isdisjoint(self._near())

    def _move(self, to: Choices) -> None:
        self._current = to
        ahead = [choices for choices in self._near() if choices not in self._asked]
        self._ahead = [ahead[int(k)] for k in self._rng.permutation(len(ahead))]

    def state(self) -> bytes:
        """The generator's state and all it remembers, as JSON."""
        document = {
            "generator": self._rng.bit_generator.state,
            "rewards": list(self._rewards.items()),
            "asked": sorted(self._asked),
            "in_flight": self._in_flight,
            "current": self._current,
            "ahead": self._ahead,
            "drawn": sorted(self._drawn),
            "starts": list(self._starts.items()),
        }
        return json.dumps(document, sort_keys=True).encode()

    def restore(self, state: bytes) -> None:
        """Goes on from a `state`."""
        document = json.loads(state)
        self._rng.bit_generator.state = document["generator"]
        self._rewards = {tuple(choices): reward for choices, reward in document["rewards"]}
        self._asked = set(map(tuple, document["asked"]))
        self._in_flight = [list(map(tuple, batch)) for batch in document["in_flight"]]
        self._current = None if document["current"] is None else tuple(document["current"])
        self._ahead = list(map(tuple, document["ahead"]))
        self._drawn = set(map(tuple, document["drawn"]))
        self._starts = {tuple(choices): reward for choices, reward in document["starts"]}
