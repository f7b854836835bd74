"""The statistics against independent references: scipy's own tests, hand-made examples, closed forms, brute force."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from actsearch_controller.finals.statistics import (
    conditional_power,
    holm,
    interval,
    mean_ranks,
    one_sided_p,
    paired_t,
)


@pytest.fixture
def differences() -> np.ndarray:
    return np.random.default_rng(0).normal(0.002, 0.003, size=(5, 4, 10))


def test_the_paired_test_is_scipys(differences: np.ndarray) -> None:
    reference = stats.ttest_1samp(differences, 0, axis=-1, alternative="greater")
    assert paired_t(differences) == pytest.approx(reference.statistic, rel=1e-6)
    assert one_sided_p(differences) == pytest.approx(reference.pvalue, rel=1e-6)


def test_the_interval_is_scipys(differences: np.ndarray) -> None:
    low, high = interval(differences)
    reference = stats.ttest_1samp(differences, 0, axis=-1).confidence_interval(0.95)
    assert low == pytest.approx(reference.low, rel=1e-9)
    assert high == pytest.approx(reference.high, rel=1e-9)


def test_a_t_by_hand() -> None:
    # mean 3, standard deviation 1, four seeds: 3 / (1 / 2); with 3 degrees of freedom
    values = np.array([3 - math.sqrt(1.5), 3 + math.sqrt(1.5), 3.0, 3.0])
    assert paired_t(values) == pytest.approx(6.0)
    # The t distribution with 3 degrees of freedom has a closed form.
    t = 6 / math.sqrt(3)
    assert one_sided_p(values) == pytest.approx(0.5 - (math.atan(t) + t / (1 + t * t)) / math.pi)


@pytest.mark.parametrize(("value", "p"), [(0.01, 0.0), (0.0, 0.5), (-0.01, 1.0)])
def test_seeds_that_all_agree_are_a_limit(value: float, p: float) -> None:
    a = np.array([0.81, 0.83, 0.8, 0.82, 0.86])
    assert one_sided_p((a + value) - a) == p


def test_holm_by_hand() -> None:
    # Holm 1979, section 3: 4·.01, 3·.02 = .06, 2·.03 raised to .06, 1·.04 raised to .06
    assert holm(np.array([0.03, 0.01, 0.04, 0.02])) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm(np.array([0.9, 0.5])) == pytest.approx([1.0, 1.0])
    assert holm(np.array([[0.2], [0.3]])) == pytest.approx(np.array([[0.2], [0.3]]))
    assert holm(np.zeros((3, 0))).shape == (3, 0)


def test_holm_is_the_closed_test_of_bonferroni() -> None:
    """By brute force over all intersections: Holm's is the largest Bonferroni p of the sets that hold the hypothesis."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        p = rng.uniform(0, 0.2, size=5)
        sets = [s for n in range(1, 6) for s in itertools.combinations(range(5), n)]
        closed = [max(min(1, len(s) * min(p[list(s)])) for s in sets if k in s) for k in range(5)]
        assert holm(p) == pytest.approx(closed)


def test_mean_ranks_by_hand() -> None:
    accuracies = np.array([
        [[0.9, 0.8], [0.5, 0.5]],  # first in one child, ties for second in the other
        [[0.7, 0.7], [0.6, 0.6]],
        [[0.1, 0.2], [0.4, 0.6]],
    ])  # fmt: skip
    assert mean_ranks(accuracies) == pytest.approx([(1 + 2.5) / 2, (2 + 1) / 2, (3 + 2.5) / 2])
    assert mean_ranks(np.stack([accuracies, accuracies[::-1]]))[1] == pytest.approx([2.75, 1.5, 1.75])


def test_conditional_power_is_what_simulated_seeds_to_come_say() -> None:
    """With many seeds the normal approximation is the chance that the rest, drawn around the mean so far, rejects."""
    rng = np.random.default_rng(2)
    seen, seeds, alpha = 100, 200, 0.05
    for shift in (0.0, 0.08, 0.15):
        first = rng.normal(size=seen)
        first = (first - first.mean()) / first.std(ddof=1) + shift
        rest = rng.normal(shift, 1, size=(20_000, seeds - seen))
        whole = np.concatenate([np.broadcast_to(first, (20_000, seen)), rest], axis=1)
        simulated = (one_sided_p(whole) <= alpha).mean()
        assert conditional_power(first, seeds, alpha) == pytest.approx(simulated, abs=0.015)
    assert conditional_power(np.zeros(4), 10, alpha) < 0.1
    assert conditional_power(np.full(4, 0.01), 10, alpha) == 1
