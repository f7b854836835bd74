"""Uniform random search without repeats: a formula whose function was proposed before is drawn again."""

import json
from collections.abc import Sequence
from itertools import repeat

import numpy as np

from actsearch.formula import Formula
from actsearch.identity import formula_fingerprint
from actsearch.space import Space
from actsearch_controller.metrics import mean_reward
from actsearch_controller.ports import Identify

MAX_DRAWS = 1_000
"""Draws in a row without a new function after which it has nothing more to propose."""


class RandomNewController:
    """Draws token sequences uniformly until one is a function not yet proposed, whatever it is told. Fits `Proposer`.

    Unlike `ExhaustiveController`, whose order has the same distribution, it never lists the space.
    """

    def __init__(self, space: Space, *, seed: int, identify: Identify = formula_fingerprint) -> None:
        """A fresh one; `identify` tells which function a formula is."""
        self._space, self._identify = space, identify
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._seen: set[str] = set()

    def ask(self, n: int) -> list[Formula]:
        """`n` functions that were not proposed before; fewer where they have become too rare to be drawn."""
        formulas: list[Formula] = []
        before = self._rng.bit_generator.state
        while len(formulas) < n and (formula := self._draw()) is not None:
            formulas.append(formula)
        if not formulas:
            self._rng.bit_generator.state = before
        return formulas

    def _draw(self) -> Formula | None:
        for _ in repeat(None, MAX_DRAWS):
            formula = self._space.sample(self._rng)
            identity = self._identify(formula)
            if identity not in self._seen:
                self._seen.add(identity)
                return formula
        return None

    def tell(self, formulas: Sequence[Formula], rewards: Sequence[float]) -> dict[str, float]:
        """Learns nothing."""
        return mean_reward(rewards)

    def state(self) -> bytes:
        """The generator's state and the functions proposed, as JSON."""
        return json.dumps(
            {"generator": self._rng.bit_generator.state, "seen": sorted(self._seen)}, sort_keys=True
        ).encode()

    def restore(self, state: bytes) -> None:
        """Goes on drawing where the `state` was taken."""
        document = json.loads(state)
        self._rng.bit_generator.state = document["generator"]
        self._seen = set(document["seen"])
