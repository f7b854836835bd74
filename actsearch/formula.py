"""Core units and formulas: what a search proposes, and what travels as a JSON list of tokens.

A core unit is b(u1(x1), u2(x2)) (arXiv 1710.05941 v2, section 2): two inputs, two unary functions, one binary
function. With one unit both inputs are x, and a formula is three tokens `[unary1, unary2, binary]`. With n >= 2
units each has five tokens `[input1, input2, unary1, unary2, binary]` (Fig. 2): an input is `x` or the output of
an earlier unit, `unit1`, `unit2`, …; the last unit's output is the function.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from actsearch import primitives
from actsearch.errors import FormulaError
from actsearch.primitives import Primitive

MAX_UNITS = 8
"""Longest formula that is read from outside; the paper's best have one or two units."""


@dataclass(frozen=True)
class CoreUnit:
    """b(u1(x1), u2(x2)): unary and binary tokens, and inputs as 0 for x or k for the output of unit k."""

    unary1: str
    unary2: str
    binary: str
    input1: int = 0
    input2: int = 0

    @property
    def primitives(self) -> tuple[Primitive, Primitive, Primitive]:
        return primitives.unary(self.unary1), primitives.unary(self.unary2), primitives.binary(self.binary)


@dataclass(frozen=True)
class Formula:
    """A composition of one or more core units, the last one's output being the function."""

    units: tuple[CoreUnit, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.units) <= MAX_UNITS:
            raise FormulaError(f"a formula has 1 to {MAX_UNITS} core units, got {len(self.units)}")
        for k, unit in enumerate(self.units):
            _ = unit.primitives
            for i in (unit.input1, unit.input2):
                if not 0 <= i <= k:
                    raise FormulaError(f"unit {k + 1} takes x or the output of an earlier unit, got unit{i}")

    @classmethod
    def from_tokens(cls, tokens: Sequence[str]) -> Self:
        """The formula of a token sequence: 3 tokens, or 5 for each of two or more units.

        Raises:
            FormulaError: a length or an input that no formula has.
            UnknownNameError: a token that names no primitive.
        """
        if len(tokens) == 3:
            unary1, unary2, binary = tokens
            return cls((CoreUnit(unary1, unary2, binary),))
        if len(tokens) < 10 or len(tokens) % 5:
            raise FormulaError(f"a formula has 3 tokens, or 5 for each of two or more units; got {len(tokens)}")
        units = []
        for k in range(0, len(tokens), 5):
            input1, input2, unary1, unary2, binary = tokens[k : k + 5]
            units.append(CoreUnit(unary1, unary2, binary, _input_index(input1), _input_index(input2)))
        return cls(tuple(units))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The formula of a JSON list of tokens."""
        try:
            tokens = json.loads(text)
        except ValueError as err:
            raise FormulaError(f"a formula on the wire is a JSON list of tokens, got {text[:60]!r}") from err
        if not isinstance(tokens, list) or not all(isinstance(t, str) for t in tokens):
            raise FormulaError(f"a formula on the wire is a JSON list of tokens, got {text[:60]!r}")
        return cls.from_tokens(tokens)

    @property
    def pruned(self) -> Self:
        """The same function without the units whose output never reaches the last one; a quarter of all formulas of two
        units has such a unit.
        """
        live = {len(self.units)}
        for k in range(len(self.units), 0, -1):
            if k in live:
                live |= {self.units[k - 1].input1, self.units[k - 1].input2}
        kept = sorted(live - {0})
        if len(kept) == len(self.units):
            return self
        new = {0: 0} | {old: index for index, old in enumerate(kept, start=1)}
        units = (self.units[k - 1] for k in kept)
        return type(self)(tuple(replace(u, input1=new[u.input1], input2=new[u.input2]) for u in units))

    @property
    def tokens(self) -> tuple[str, ...]:
        """The token sequence, the inverse of `from_tokens`."""
        if len(self.units) == 1:
            unit = self.units[0]
            return unit.unary1, unit.unary2, unit.binary
        return tuple(
            token for u in self.units for token in (_INPUTS[u.input1], _INPUTS[u.input2], u.unary1, u.unary2, u.binary)
        )

    def to_json(self) -> str:
        """The tokens as a JSON list, the form in which a formula travels and is stored."""
        return json.dumps(self.tokens)


_INPUTS = ("x", *(f"unit{k}" for k in range(1, MAX_UNITS)))


def _input_index(token: str) -> int:
    if token not in _INPUTS:
        raise FormulaError(f"an input is x or an earlier unit such as unit1, got {token[:40]!r}")
    return _INPUTS.index(token)
