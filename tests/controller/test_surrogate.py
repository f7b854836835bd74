"""Shapes against the functions themselves, and the Gaussian process against its formulas written out."""

from math import exp, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, spearmanr
from threadpoolctl import ThreadpoolController

from actsearch.config import SpaceSettings
from actsearch.expression import expression_of
from actsearch.formula import Formula
from actsearch.identity import unit_gain
from actsearch.landscape import load
from actsearch.space import Space
from actsearch_controller.shapes import LARGEST, QUANTILES, shape
from actsearch_controller.surrogate import LENGTH, NOISE, SLOPE_WEIGHT, Surrogate, normal_scores

TWO_UNITS = Space(SpaceSettings(units=2))


def formula(*tokens: str) -> Formula:
    return Formula.from_tokens(tokens)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_a_shape_is_a_multiple_of_the_function_at_normal_quantiles(seed: int) -> None:
    tried = TWO_UNITS.sample(np.random.default_rng(seed))
    expression = expression_of(tried)
    x = norm.ppf((np.arange(QUANTILES) + 0.5) / QUANTILES)
    values, mine = expression.values(x), shape(tried)[:QUANTILES]
    clear = np.isfinite(values) & (values != 0) & (np.abs(mine) < LARGEST)
    gains = mine[clear] / values[clear]
    np.testing.assert_allclose(gains, gains[:1].repeat(len(gains)), rtol=1e-9)


def test_slopes_are_derivatives() -> None:
    x = norm.ppf((np.arange(QUANTILES) + 0.5) / QUANTILES)
    swish = shape(formula("identity", "identity", "gate"))
    sigmoid = 1 / (1 + np.exp(-x))
    slope = sigmoid * (1 + x * (1 - sigmoid))
    gain = swish[-1] / slope[-1]
    np.testing.assert_allclose(swish[QUANTILES:], gain * slope, rtol=1e-5, atol=1e-6)
    assert gain == pytest.approx(unit_gain(expression_of(formula("identity", "identity", "gate"))), rel=1e-3)


def by_hand(mine: np.ndarray, other: np.ndarray) -> float:
    """The kernel of one pair, summed over the other's four mirror images, before it is made 1 on the diagonal."""
    total = 0.0
    for sign in (1, -1):
        for turn in (False, True):
            values, slopes = other[:QUANTILES], other[QUANTILES:]
            if turn:
                values, slopes = values[::-1], -slopes[::-1]
            image = sign * np.concatenate([values, SLOPE_WEIGHT * slopes])
            me = np.concatenate([mine[:QUANTILES], SLOPE_WEIGHT * mine[QUANTILES:]])
            r = sqrt(3 * float(np.mean((me - image) ** 2)) * 2) / LENGTH  # mean over 2 * QUANTILES numbers
            total += (1 + r) * exp(-r)
    return total


def test_the_expectation_is_the_textbooks() -> None:
    """Rasmussen & Williams 2006, eq. 2.25."""
    space = Space(SpaceSettings())
    rng = np.random.default_rng(0)
    told = [space.sample(rng) for _ in range(7)]
    asked = [space.sample(rng) for _ in range(3)]
    rewards = [0.1, 0.8, 0.0, 0.5, 0.81, 0.3, 0.0]
    shapes = [shape(f) for f in (*told, *asked)]
    raw = np.array([[by_hand(a, b) for b in shapes] for a in shapes])
    kernel = raw / np.sqrt(np.outer(np.diag(raw), np.diag(raw)))
    weights = np.linalg.solve(
        kernel[:7, :7] + NOISE * np.eye(7), norm.ppf((np.array([3, 6, 1.5, 5, 7, 4, 1.5]) - 0.5) / 7)
    )
    np.testing.assert_allclose(Surrogate(shapes[:7], rewards).expected(shapes[7:]), kernel[7:, :7] @ weights, atol=1e-9)


def test_mirror_images_are_one_to_it() -> None:
    swish, mirrored = formula("identity", "identity", "gate"), formula("negative", "identity", "gate")
    others = [
        formula("sin", "identity", "add"),
        formula("square", "identity", "multiply"),
        formula("exp", "abs", "max"),
    ]
    surrogate = Surrogate([shape(f) for f in (swish, *others)], [0.8, 0.5, 0.0, 0.2])
    one, two = surrogate.expected([shape(swish), shape(mirrored)])
    assert one == pytest.approx(two, abs=1e-6)


def test_ties_share_a_normal_score() -> None:
    np.testing.assert_allclose(normal_scores([0.0, 0.0, 0.5, 0.7]), norm.ppf([0.25, 0.25, 0.625, 0.875]))


def test_shapes_predict_what_training_measured() -> None:
    """Of 160 functions learned from, the rank of the other 816 of the packaged landscape correlates by 0.85 and more."""
    landscape = load("prototype")
    ids = list(landscape.true_rewards)
    shapes = [shape(Formula.from_tokens(landscape.functions[id_].spellings[0])) for id_ in ids]
    rewards = [landscape.true_rewards[id_] for id_ in ids]
    told = np.random.default_rng(0).permutation(len(ids))
    surrogate = Surrogate([shapes[k] for k in told[:160]], [rewards[k] for k in told[:160]])
    expected = surrogate.expected([shapes[k] for k in told[160:]])
    assert spearmanr(expected, [rewards[k] for k in told[160:]]).statistic > 0.85


def test_the_number_of_blas_threads_decides_nothing() -> None:
    """Without care a search would propose other functions on another number of cores."""
    rng = np.random.default_rng(0)
    shapes, rewards, candidates = (
        list(rng.normal(size=(400, 2 * QUANTILES))),
        rng.random(400),
        list(rng.normal(size=(50, 2 * QUANTILES))),
    )
    found, blas = [], ThreadpoolController()
    for threads in (1, 2, 3):
        with blas.limit(limits=threads, user_api="blas"):
            found.append(Surrogate(shapes, list(rewards)).expected(candidates).tobytes())
            left = {pool["num_threads"] for pool in blas.info() if pool["user_api"] == "blas"}
            assert left == {threads}, "others in the process keep theirs"
    assert found[0] == found[1] == found[2]
