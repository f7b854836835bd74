"""Formulas that differ in one token: what evolution and local search move along."""

from itertools import chain

import numpy as np

from actsearch.space import Space
from actsearch_controller.subsequence import Choices


def neighbours(space: Space, choices: Choices) -> list[Choices]:
    """All formulas of the space that differ in exactly one token: 57 with one unit over all primitives."""
    return list(chain.from_iterable(_changed_at(space, choices, slot) for slot in range(len(choices))))


def mutated(space: Space, choices: Choices, rng: np.random.Generator) -> Choices:
    """A formula with one slot, drawn uniformly from those that have a choice, changed to another of its tokens."""
    free = [slot for slot, other in enumerate(space.slots) if len(other.choices) > 1]
    if not free:
        return choices
    changed = _changed_at(space, choices, free[int(rng.integers(len(free)))])
    return changed[int(rng.integers(len(changed)))]


def _changed_at(space: Space, choices: Choices, slot: int) -> list[Choices]:
    tokens = range(len(space.slots[slot].choices))
    return [(*choices[:slot], token, *choices[slot + 1 :]) for token in tokens if token != choices[slot]]
