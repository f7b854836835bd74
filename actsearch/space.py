"""A search space: how many core units, which primitives, and the slots that a controller fills one after another."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np

from actsearch.config import SpaceSettings
from actsearch.errors import ConfigError, FormulaError
from actsearch.formula import Formula
from actsearch.primitives import BINARY, UNARY, binary, unary

LARGEST_LISTED = 1_000_000
"""Token sequences of a space that is listed as a whole: to search it exhaustively, or as a landscape."""


@dataclass(frozen=True)
class Slot:
    """One choice of a formula: a token of one kind, from a fixed list.

    Attributes:
        kind: what is chosen.
        unit: which core unit it belongs to, from 1.
        choices: the tokens to choose from.
    """

    kind: Literal["input", "unary", "binary"]
    unit: int
    choices: tuple[str, ...]


class Space:
    """All formulas of `units` core units over given primitives.

    A formula is one choice a slot. With one unit the slots are unary 1, unary 2, binary; with more, each unit has
    input 1, input 2, unary 1, unary 2, binary (arXiv 1710.05941 v2, Fig. 2), its inputs being x or an earlier unit.
    """

    def __init__(self, settings: SpaceSettings) -> None:
        """The space of the settings; `UnknownNameError` or `ConfigError` for primitives that are unknown or twice."""
        self.units = settings.units
        self.unary = _checked("space.unary", settings.unary, UNARY)
        self.binary = _checked("space.binary", settings.binary, BINARY)
        self.slots = tuple(slot for unit in range(1, self.units + 1) for slot in self._unit_slots(unit))

    def _unit_slots(self, unit: int) -> Iterator[Slot]:
        if self.units > 1:
            inputs = ("x", *(f"unit{k}" for k in range(1, unit)))
            yield Slot("input", unit, inputs)
            yield Slot("input", unit, inputs)
        yield Slot("unary", unit, self.unary)
        yield Slot("unary", unit, self.unary)
        yield Slot("binary", unit, self.binary)

    @property
    def slot_names(self) -> tuple[str, ...]:
        """A name for each slot: unary1, unary2, binary; of several units unit1.input1, unit1.input2, …"""
        names: list[str] = []
        for slot in self.slots:
            unit = f"unit{slot.unit}." if self.units > 1 else ""
            name = f"{unit}{slot.kind}"
            names.append(name if slot.kind == "binary" else f"{name}{1 + (f'{name}1' in names)}")
        return tuple(names)

    @property
    def uniform_entropy(self) -> float:
        """Entropy of a uniform choice, nats a token, mean over the slots that have a choice; 0 where none has."""
        sizes = [len(slot.choices) for slot in self.slots if len(slot.choices) > 1]
        return math.fsum(map(math.log, sizes)) / len(sizes) if sizes else 0.0

    @property
    def size(self) -> int:
        """Number of token sequences: 6,250 for one unit over all primitives."""
        return math.prod(len(slot.choices) for slot in self.slots)

    def formula(self, choices: Sequence[int]) -> Formula:
        """The formula of one index a slot."""
        return Formula.from_tokens([slot.choices[i] for slot, i in zip(self.slots, choices, strict=True)])

    def choices(self, formula: Formula) -> tuple[int, ...]:
        """One index a slot, the inverse of `formula`; `FormulaError` for a formula outside the space."""
        tokens = formula.tokens
        if len(tokens) != len(self.slots):
            raise FormulaError(f"the space has formulas of {len(self.slots)} tokens, got {len(tokens)}")
        for slot, token in zip(self.slots, tokens, strict=True):
            if token not in slot.choices:
                raise FormulaError(f"{token!r} is no choice for {slot.kind} of unit {slot.unit} in this space")
        return tuple(slot.choices.index(token) for slot, token in zip(self.slots, tokens, strict=True))

    def sample(self, rng: np.random.Generator) -> Formula:
        """A formula drawn uniformly from the token sequences."""
        return self.formula([int(rng.integers(len(slot.choices))) for slot in self.slots])

    def enumerate(self) -> Iterator[Formula]:
        """Every formula once, the last slot varying fastest."""
        for tokens in product(*(slot.choices for slot in self.slots)):
            yield Formula.from_tokens(tokens)


def _checked(key: str, names: tuple[str, ...] | None, table: Mapping[str, Any]) -> tuple[str, ...]:
    if names is None:
        return tuple(table)
    for name in names:
        (unary if table is UNARY else binary)(name)
    if not names or len(set(names)) != len(names):
        raise ConfigError(f"{key} lists each primitive once and at least one, got {list(names)}")
    return names
