"""Tokens, JSON, sizes, sampling, enumeration."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from scipy import stats

from actsearch.config import SpaceSettings
from actsearch.errors import ConfigError, FormulaError, UnknownNameError
from actsearch.expression import expression_of
from actsearch.formula import CoreUnit, Formula
from actsearch.space import Space
from tests.actsearch.strategies import SPACES, formulas


@given(formulas())
def test_tokens_and_json_round_trip(formula: Formula) -> None:
    assert Formula.from_tokens(formula.tokens) == formula
    assert Formula.from_json(formula.to_json()) == formula
    space = SPACES[len(formula.units)]
    assert space.formula(space.choices(formula)) == formula


@given(formulas())
def test_pruning_changes_no_function(formula: Formula) -> None:
    pruned = formula.pruned
    assert expression_of(pruned) == expression_of(formula)
    assert pruned.pruned == pruned
    last = len(pruned.units)
    assert {k for unit in pruned.units for k in (unit.input1, unit.input2)} >= set(range(1, last))


def test_a_quarter_of_two_units_is_one() -> None:
    """Both inputs of the last unit are x in one of four cases; of three units, one in nine leaves one."""
    for units, ones in ((2, Fraction(1, 4)), (3, Fraction(1, 9))):
        space = Space(SpaceSettings(units=units, unary=("sin",), binary=("add",)))
        found = [len(formula.pruned.units) for formula in space.enumerate()]
        assert Fraction(found.count(1), len(found)) == ones
    skipping = ("x", "x", "exp", "exp", "add", "x", "x", "sin", "cos", "max", "unit1", "x", "erf", "tanh", "mix")
    kept = ("x", "x", "exp", "exp", "add", "unit1", "x", "erf", "tanh", "mix")
    assert Formula.from_tokens(skipping).pruned.tokens == kept


def test_sizes() -> None:
    assert SPACES[1].size == 25 * 25 * 10 == 6_250
    assert SPACES[2].size == 6_250**2 * 2**2
    assert SPACES[3].size == 6_250**3 * 2**2 * 3**2
    assert Space(SpaceSettings(unary=("identity", "sigmoid"), binary=("multiply",))).size == 4


def test_enumeration_is_every_string_once() -> None:
    space = Space(SpaceSettings(units=2, unary=("identity", "sin"), binary=("add", "max")))
    found = [f.tokens for f in space.enumerate()]
    assert len(found) == len(set(found)) == space.size == (2 * 2 * 2) ** 2 * 4
    assert found == list(itertools.product(*(slot.choices for slot in space.slots)))


def test_sampling_is_uniform() -> None:
    space = Space(SpaceSettings(unary=("identity", "sin", "exp"), binary=("add", "max")))
    rng = np.random.default_rng(3)
    drawn = [space.sample(rng).tokens for _ in range(3_600)]
    counts = [drawn.count(f.tokens) for f in space.enumerate()]
    assert len(counts) == 18
    assert stats.chisquare(counts).pvalue > 0.001


def test_slots_of_two_units() -> None:
    kinds = [(s.kind, s.unit, len(s.choices)) for s in SPACES[2].slots]
    assert kinds == [
        ("input", 1, 1), ("input", 1, 1), ("unary", 1, 25), ("unary", 1, 25), ("binary", 1, 10),
        ("input", 2, 2), ("input", 2, 2), ("unary", 2, 25), ("unary", 2, 25), ("binary", 2, 10),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "tokens",
    [
        [], ["x"], ["identity"] * 4, ["identity", "add", "identity"], ["identity", "identity", "sigmod"],
        ["x", "x", "sin", "sin", "add"], ["unit1", "x", "sin", "sin", "add", "x", "x", "sin", "sin", "add"],
        ["x", "x", "sin", "sin", "add", "unit2", "x", "sin", "sin", "add"], ["x", "x", "sin", "sin", "add"] * 9,
        ["x", "x", "sin", "sin", "add", "unit01", "x", "sin", "sin", "add"],
    ],
)  # fmt: skip
def test_what_is_no_formula_is_refused(tokens: list[str]) -> None:
    with pytest.raises((FormulaError, UnknownNameError)):
        Formula.from_tokens(tokens)


@pytest.mark.parametrize("text", ["", "{}", "[1, 2, 3]", '"abc"', "[[]]", "null", "[" * 50_000])
def test_json_that_is_no_formula_is_refused(text: str) -> None:
    with pytest.raises((FormulaError, RecursionError)):
        Formula.from_json(text)


def test_a_formula_outside_the_space_is_refused() -> None:
    space = Space(SpaceSettings(unary=("identity",), binary=("add",)))
    with pytest.raises(FormulaError, match="'sin' is no choice for unary of unit 1"):
        space.choices(Formula((CoreUnit("sin", "identity", "add"),)))


def test_primitives_of_a_space_are_checked() -> None:
    with pytest.raises(UnknownNameError, match="no binary primitive named 'sin'"):
        Space(SpaceSettings(binary=("sin",)))
    with pytest.raises(ConfigError, match="each primitive once"):
        Space(SpaceSettings(unary=("sin", "sin")))
