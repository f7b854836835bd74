"""Regularized evolution: the best of a few drawn from a population has a mutated child, and the oldest dies.

Real et al. 2019, arXiv 1802.01548, algorithm 1, with the mutation of one slot in place of an edge or operation.
"""

import json
from collections import deque
from collections.abc import Sequence

import numpy as np

from actsearch.formula import Formula
from actsearch.space import Space
from actsearch_controller.baselines.neighbours import mutated
from actsearch_controller.metrics import mean_reward
from actsearch_controller.subsequence import Choices

POPULATION = 10
"""Formulas alive. The paper's 100 suit 20,000 evaluations; for some hundreds NATS-Bench (arXiv 2009.00437) takes 10 and
a tournament of 3. Of six pairs up to 100 and 25 that one had the least mean regret on `prototype` (60 seeds).
"""

TOURNAMENT = 3
"""Formulas drawn, of which the best has a child."""


class EvolutionController:
    """A population that forgets its oldest whatever it reached, so that luck does not last. Fits `Proposer`.

    Until as many as a population have been told, it draws at random. What is proposed before a batch is told has
    parents among those told earlier.
    """

    def __init__(self, space: Space, *, seed: int) -> None:
        self._space = space
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._population: deque[tuple[Choices, float]] = deque(maxlen=POPULATION)

    def ask(self, n: int) -> list[Formula]:
        """`n` formulas; repeats happen."""
        return [self._child() for _ in range(n)]

    def _child(self) -> Formula:
        if len(self._population) < POPULATION:
            return self._space.sample(self._rng)
        drawn = self._rng.choice(POPULATION, TOURNAMENT, replace=False)
        parent, _ = max((self._population[int(k)] for k in drawn), key=lambda member: member[1])
        return self._space.formula(mutated(self._space, parent, self._rng))

    def tell(self, formulas: Sequence[Formula], rewards: Sequence[float]) -> dict[str, float]:
        """Takes the formulas into the population, in slot order."""
        self._population.extend(zip(map(self._space.choices, formulas), rewards, strict=True))
        return mean_reward(rewards)

    def state(self) -> bytes:
        """The generator's state and the population, oldest first, as JSON."""
        document = {"generator": self._rng.bit_generator.state, "population": list(self._population)}
        return json.dumps(document, sort_keys=True).encode()

    def restore(self, state: bytes) -> None:
        """Goes on from a `state`."""
        document = json.loads(state)
        self._rng.bit_generator.state = document["generator"]
        self._population.clear()
        self._population.extend((tuple(choices), reward) for choices, reward in document["population"])
