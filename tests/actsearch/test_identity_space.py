"""Identity over the search space, both ways, against brute force (tests.actsearch.brute_force)."""

from collections import defaultdict
from collections.abc import Sequence
from multiprocessing import get_context

import numpy as np
import pytest
import sympy

from actsearch.config import SpaceSettings
from actsearch.expression import expression_of
from actsearch.functions import sigmoid
from actsearch.identity import canonical, equivalence_class, is_strict_swish, is_swish_family
from actsearch.space import Space
from tests.actsearch.brute_force import Spelling, look_alike, proposed, same, spelling

ONE = Space(SpaceSettings())
TWO = Space(SpaceSettings(units=2))


def check(spellings: Sequence[Spelling]) -> tuple[int, int, int]:
    """Every fingerprint is one function, and every function has one fingerprint.

    Returns the numbers of strings, canonical texts and fingerprints.
    """
    groups: dict[str, list[Spelling]] = defaultdict(list)
    for one in spellings:
        groups[one.fingerprint].append(one)
    merged = [
        (group[0], other)
        for group in groups.values()
        for other in group[1:]
        if not look_alike(group[0].expression, other.expression) and not same(group[0].expression, other.expression)
    ]
    assert not merged, f"one fingerprint, two functions: {_shown(merged)}"
    apart = [pair for pair in proposed(spellings) if same(pair[0].expression, pair[1].expression)]
    assert not apart, f"one function, two fingerprints: {_shown(apart)}"
    texts = {(one.text, one.fingerprint) for one in spellings}
    assert len(texts) == len({one.text for one in spellings}), "one canonical text, two fingerprints"
    return sum(map(len, groups.values())), len(texts), len(groups)


def _shown(pairs: Sequence[tuple[Spelling, Spelling]]) -> str:
    return "; ".join(f"{a.expression} | {b.expression}" for a, b in pairs[:5])


def all_spellings(tokens: Sequence[Sequence[str]]) -> list[Spelling]:
    """The spellings of many formulas, computed by two processes."""
    with get_context("spawn").Pool(2) as pool:
        return pool.map(spelling, tokens, chunksize=100)


def sample(space: Space, count: int, seed: int) -> list[tuple[str, ...]]:
    rng = np.random.default_rng(seed)
    return [space.sample(rng).tokens for _ in range(count)]


def test_a_sample_of_the_space_against_brute_force() -> None:
    kinks = [
        (a, b, c) for a in ("relu", "abs", "identity", "min0") for b in ("relu", "abs") for c in ("multiply", "max")
    ]
    tokens = [*kinks, *sample(ONE, 80, 1), *sample(TWO, 25, 2)]
    strings, texts, fingerprints = check([spelling(t) for t in tokens])
    assert strings > texts == fingerprints


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_one_unit_space_against_brute_force() -> None:
    strings, texts, fingerprints = check(all_spellings([formula.tokens for formula in ONE.enumerate()]))
    assert (strings, texts, fingerprints) == (6250, 4079, 4079)


@pytest.mark.parametrize(
    "draws", [pytest.param(5_000, marks=pytest.mark.slow), pytest.param(20_000, marks=pytest.mark.long)]
)
@pytest.mark.timeout(3600)
def test_two_unit_formulas_against_brute_force(draws: int) -> None:
    """The rules need not merge all that the fingerprint merges, but nearly all."""
    _, texts, fingerprints = check(all_spellings(sample(TWO, draws, 3)))
    assert fingerprints <= texts <= 1.01 * fingerprints


@pytest.mark.slow
def test_the_canonical_form_is_finite_where_the_spelling_is() -> None:
    """float64, |x| up to 100: no canonical form overflows or is 0/0 where the formula as spelled is not."""
    x = np.concatenate([np.linspace(-100, 100, 401), np.linspace(-6, 6, 241), [-1e-5, 1e-5]])
    for formula in ONE.enumerate():
        expression = expression_of(formula)
        form = canonical(expression)
        for beta in (0.7, 1.3):
            ours = form.values(x, **dict.fromkeys(form.initial, beta))
            theirs = expression.values(x, **dict.fromkeys(expression.initial, beta))
            assert np.isfinite(ours[np.isfinite(theirs)]).all(), f"{expression} as {form}"


def test_swish_family_has_15_spellings_and_strict_swish_3() -> None:
    """Of the 6,250 strings; those that hold other functions than σ need no look."""
    expressions = [expression_of(f) for f in ONE.enumerate() if "sigmoid" in f.tokens or "gate" in f.tokens]
    plain = [e for e in expressions if e.expr.atoms(sympy.Function) == e.expr.atoms(sigmoid) != set()]
    family = [e for e in plain if is_swish_family(e)]
    assert len(family) == 15
    assert sum(map(is_strict_swish, family)) == 3
    assert {equivalence_class(e) for e in family} == {"x*sigmoid(x)"}


@pytest.mark.slow
def test_pruning_holds_far_out() -> None:
    """The one-unit space's max and min at points that the pruning has not seen."""
    x = np.concatenate([s * np.geomspace(1e-7, 1e7, 997) for s in (-1, 1)])
    for formula in Space(SpaceSettings(binary=("max", "min"))).enumerate():
        expression = expression_of(formula)
        for beta in (-30.0, 0.1, 700.0):
            betas = dict.fromkeys(expression.initial, beta)
            ours, theirs = expression.values(x, **betas), canonical(expression).values(x, **betas)
            usable = np.isfinite(ours)
            np.testing.assert_allclose(theirs[usable], ours[usable], rtol=1e-9, atol=1e-12, err_msg=str(expression))
