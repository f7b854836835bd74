"""Uniform random search over token sequences: the baseline that every result is compared with."""

import json
from collections.abc import Sequence

import numpy as np

from actsearch.formula import Formula
from actsearch.space import Space
from actsearch_controller.metrics import mean_reward


class RandomController:
    """Draws every token sequence of the space with the same probability, whatever it is told. Fits `Proposer`."""

    def __init__(self, space: Space, *, seed: int) -> None:
        self._space = space
        self._rng = np.random.Generator(np.random.PCG64(seed))

    def ask(self, n: int) -> list[Formula]:
        """`n` independent uniform formulas; repeats happen."""
        return [self._space.sample(self._rng) for _ in range(n)]

    def tell(self, formulas: Sequence[Formula], rewards: Sequence[float]) -> dict[str, float]:
        """Learns nothing."""
        return mean_reward(rewards)

    def state(self) -> bytes:
        """The generator's state, as JSON."""
        return json.dumps(self._rng.bit_generator.state, sort_keys=True).encode()

    def restore(self, state: bytes) -> None:
        """Goes on drawing where the `state` was taken."""
        self._rng.bit_generator.state = json.loads(state)
