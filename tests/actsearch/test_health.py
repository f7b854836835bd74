"""The health of a controller: what is counted, and when it is called collapsed."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from actsearch.config import SpaceSettings
from actsearch.health import WINDOW, health
from actsearch.space import Space
from actsearch.store import BatchRecord, ProposalRecord

UNIFORM = (2 * math.log(25) + math.log(10)) / 3


def told(entropies: Sequence[float | None]) -> list[BatchRecord]:
    return [
        BatchRecord(
            batch=k,
            told_at=datetime(2026, 1, 1, tzinfo=UTC),
            metrics={} if e is None else {"entropy": e, "uniform_entropy": UNIFORM},
            digest="",
        )
        for k, e in enumerate(entropies)
    ]


def proposals(batches: int, new: int, of: int = 4) -> list[ProposalRecord]:
    """`of` a batch, of which the first `new` are new."""
    return [
        ProposalRecord(batch=b, slot=s, tokens=("x",), evaluation="e", is_new=s < new, reward=None)
        for b in range(batches)
        for s in range(of)
    ]


def test_nothing_told_has_no_health() -> None:
    assert health([], proposals(2, 4)) is None


def test_new_functions_are_counted_over_the_last_batches_told() -> None:
    old, recent = proposals(3, 0), [p for p in proposals(3 + WINDOW, 3) if p.batch >= 3]
    in_flight = [ProposalRecord(batch=99, slot=0, tokens=("x",), evaluation="e", is_new=False, reward=None)]
    found = health(told([2.0] * (3 + WINDOW)), [*old, *recent, *in_flight])
    assert found is not None
    assert (found.batch, found.new_share, found.warning) == (2 + WINDOW, 0.75, None)
    assert found.document["metrics"] == {"entropy": 2.0, "uniform_entropy": UNIFORM}


@pytest.mark.parametrize(("entropies", "new", "expected"), [
    ([0.09 * UNIFORM], 4, r"collapsed: its entropy is 0\.26 nats a token, of 2\.91"),
    ([2.0] * WINDOW, 0, "collapsed: 0% of its last 5 batches were new trainings"),
    ([None] * WINDOW, 0, "collapsed: 0% of its last 5"),
    ([2.0] * (WINDOW - 1), 0, None), ([0.11 * UNIFORM] * WINDOW, 1, None), ([None] * WINDOW, 1, None),
])  # fmt: skip
def test_collapse(entropies: Sequence[float | None], new: int, expected: str | None) -> None:
    found = health(told(entropies), proposals(len(entropies), new))
    assert found is not None
    assert (found.warning is None) == (expected is None)
    if expected is not None and found.warning is not None:
        assert re.match(expected, found.warning)


def test_a_policy_without_choice_has_not_collapsed() -> None:
    found = health([replace(told([0.0])[0], metrics={"entropy": 0.0, "uniform_entropy": 0.0})], proposals(1, 4))
    assert found is not None
    assert found.warning is None


def test_slots_have_names_of_their_own() -> None:
    assert Space(SpaceSettings()).slot_names == ("unary1", "unary2", "binary")
    assert Space(SpaceSettings(units=2)).slot_names[4:7] == ("unit1.binary", "unit2.input1", "unit2.input2")
    for units in (1, 2, 5):
        names = Space(SpaceSettings(units=units)).slot_names
        assert len(set(names)) == len(names) == (3 if units == 1 else 5 * units)


def test_a_space_without_choice_has_no_entropy() -> None:
    only = SpaceSettings(unary=("identity",), binary=("add",))
    assert Space(only).uniform_entropy == 0
