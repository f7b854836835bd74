"""Rediscovery: what random search must expect, against simulated draws, and what became of Swish in a search."""

import random
from collections import Counter
from pathlib import Path
from statistics import median

import pytest

from actsearch.config import SpaceSettings
from actsearch.expression import expression_of
from actsearch.formula import Formula
from actsearch.identity import formula_fingerprint, is_strict_swish, is_swish_family
from actsearch.rediscovery import FAMILY, ONE_UNIT, STRICT, Odds, odds, sightings
from actsearch.space import Space
from actsearch.store import Store
from tests.controller.finals.conftest import COS, SILU, SIN, SWISH, TANH, searched

ONE = SpaceSettings()


def chance(of: Odds | None) -> Odds:
    assert of is not None
    return of


def test_every_spelling_is_swish_and_near_misses_are_not() -> None:
    for tokens in FAMILY:
        expression = expression_of(Formula.from_tokens(tokens))
        assert is_swish_family(expression)
        assert is_strict_swish(expression) == (tokens in STRICT)
    assert not is_swish_family(expression_of(Formula.from_tokens(("identity", "sigmoid", "max"))))


def test_no_other_string_near_them_is_swish() -> None:
    near = SpaceSettings(
        unary=(*["identity", "negative", "scale", "sigmoid", "constant"],), binary=("gate", "multiply")
    )
    found = {f.tokens for f in Space(near).enumerate() if is_swish_family(expression_of(f))}
    assert found == set(FAMILY)
    assert (len(FAMILY), len(STRICT), Space(ONE).size) == (15, 3, 6250)


def test_draws_have_the_closed_form() -> None:
    family, strict = chance(odds(ONE, "Swish family")), chance(odds(ONE, "Strict Swish"))
    assert (family.spellings, strict.spellings, family.strings) == (15, 3, 6250)
    # The draws that the design names: (1 - 15/6250)^n = 1/2, (1 - 3/6250)^n = 1/2.
    assert (round(family.median_draws or 0), round(strict.median_draws or 0)) == (288, 1444)
    assert family.by_draws(0) == 0
    assert family.by_draws(100) == pytest.approx(1 - (1 - 15 / 6250) ** 100)


def test_reduced_spaces_are_counted_and_larger_ones_are_not_known() -> None:
    reduced = chance(odds(SpaceSettings(unary=("identity", "scale", "sin"), binary=("gate", "max")), "Swish family"))
    assert (reduced.spellings, reduced.strings, reduced.others) == (4, 18, None)
    assert reduced.by_evaluations(5) is None
    assert reduced.median_evaluations is None
    without = chance(odds(SpaceSettings(unary=("sin", "cos"), binary=("max",)), "Strict Swish"))
    assert (without.spellings, without.median_draws, without.by_draws(1000)) == (0, None, 0)
    assert odds(SpaceSettings(units=2), "Swish family") is None


@pytest.mark.parametrize("kind", ["Swish family", "Strict Swish"])
def test_search_without_repeats_against_simulation(kind: str) -> None:
    """Draws from the space's spellings until one is wanted, counting the different others on the way."""
    expected = chance(odds(ONE, "Swish family" if kind == "Swish family" else "Strict Swish"))
    assert expected.others is not None
    functions = [size for size, count in sorted(expected.others.items()) for _ in range(count)]
    owner = [k for k, size in enumerate(functions) for _ in range(size)] + [-1] * expected.spellings
    assert len(owner) == 6250
    rng, needed = random.Random(1), []
    for _ in range(600):
        seen: set[int] = set()
        while (drawn := owner[rng.randrange(6250)]) >= 0:
            seen.add(drawn)
        needed.append(len(seen) + 1)
    # 600 searches: a share of one half has a standard error of 0.02.
    assert expected.median_evaluations is not None
    assert sum(n <= expected.median_evaluations for n in needed) / 600 == pytest.approx(0.5, abs=0.065)
    for evaluations in (100, 400, 1500):
        share = sum(n <= evaluations for n in needed) / len(needed)
        assert expected.by_evaluations(evaluations) == pytest.approx(share, abs=0.065)
    assert expected.by_evaluations(5000) == 1.0
    assert expected.median_evaluations == pytest.approx(median(needed), rel=0.25)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_spellings_of_the_whole_space() -> None:
    functions = Counter(formula_fingerprint(formula) for formula in Space(ONE).enumerate())
    assert Counter(functions.values()) == ONE_UNIT


def test_what_became_of_swish(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.sqlite") as store:
        searched(store, {TANH: 0.84, SIN: 0.83, SILU: 0.82, SWISH: 0.81, COS: 0.8})
        records, proposals = store.evaluations("first"), store.proposals("first")
        family, strict = sightings(ONE, records, proposals)
        assert (family.functions, family.evaluation, family.proposal, family.first) == (2, 3, 3, "x*sigmoid(x)")
        assert (family.rank, family.above) == (3, ("tanh(x)", "min(x, sin(x))"))
        assert (strict.functions, strict.evaluation, strict.rank) == (1, 4, 4)
        assert strict.final is None
        assert not strict.was_screened
        assert family.random_by_draws == pytest.approx(1 - (1 - 15 / 6250) ** 3)

        nothing, _ = sightings(ONE, records[:2], proposals[:2])
        assert (nothing.is_found, nothing.rank, nothing.evaluations, nothing.proposals) == (False, None, 2, 2)
        assert nothing.random_by_evaluations == pytest.approx(2 * 15 / 6250, rel=0.05)
