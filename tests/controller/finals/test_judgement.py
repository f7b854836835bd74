"""What finals may say, by simulation: errors, intervals, the group tied with the best, dropping, the winner's curse."""

import numpy as np
import pytest

from actsearch_controller.finals.judgement import ALPHA, Judge
from actsearch_controller.finals.simulation import Noise, Scenario, simulate, winners_curse

COUNT = 2_000
"""Finals a scenario; benchmarks/finals_simulation.py makes 10,000."""
MARGIN = 2.6 * np.sqrt(ALPHA * (1 - ALPHA) / COUNT)
"""Of a share near 5 %: what one in two hundred true shares is off by chance."""

NO_LOOKS = ()
LOOKS = (4, 7)


@pytest.mark.parametrize("looks", [NO_LOOKS, LOOKS])
@pytest.mark.parametrize("noise", ["normal", "heavy", "failing"])
def test_equal_functions_are_called_better_in_five_percent(looks: tuple[int, ...], noise: Noise) -> None:
    found = simulate(Scenario("equal", (0.0,) * 12, noise=noise, looks=looks), COUNT, seed=1)
    assert found.family_wise_error <= ALPHA + MARGIN
    assert found.holds_the_best >= 1 - ALPHA - MARGIN


def test_intervals_cover() -> None:
    found = simulate(Scenario("spread", tuple(np.linspace(-0.01, 0.02, 12)), looks=NO_LOOKS), COUNT, seed=2)
    assert found.coverage == pytest.approx(0.95, abs=0.005)  # 2,000 finals of 13 intervals each


def test_looks_cost_little_power_and_save_seeds() -> None:
    means = (0.015, 0.01, 0.005, *(-0.01,) * 9)
    plain = simulate(Scenario("some better", means, looks=NO_LOOKS), COUNT, seed=3)
    looked = simulate(Scenario("some better", means, looks=LOOKS), COUNT, seed=3)
    assert looked.power >= plain.power - 0.01
    assert looked.seeds_used < 0.7 < plain.seeds_used == 1
    assert looked.family_wise_error <= ALPHA + MARGIN


@pytest.mark.parametrize("best", [1, 2, 3, 6])
@pytest.mark.parametrize("looks", [NO_LOOKS, LOOKS])
def test_the_tied_group_holds_the_best(best: int, looks: tuple[int, ...]) -> None:
    """Also where the rest is far behind, and where the best is noisier or quieter than its equals."""
    means = (0.01,) * best + (-0.02,) * (12 - best)
    for spread in ((1.0,) * 12, (3.0, *(1.0,) * 11), (0.1, *(1.0,) * 11)):
        found = simulate(Scenario("few best", means, spread=spread, looks=looks), COUNT, seed=4)
        assert found.holds_the_best >= 1 - ALPHA - MARGIN


def test_holm_in_place_of_bonferroni_would_not_hold_the_best() -> None:
    means, spread = (0.01,) * 3 + (-0.02,) * 9, (0.1, *(1.0,) * 11)
    found = simulate(Scenario("three equal", means, spread=spread, looks=NO_LOOKS), 20_000, seed=5)
    assert found.holds_the_best > 1 - ALPHA
    assert found.holds_the_best_by_holm < 1 - ALPHA


def test_the_leaders_of_a_search_are_worse_than_they_look_and_finals_are_not() -> None:
    curse = winners_curse(functions=60, true_sd=0.0, search_sd=0.004, count=COUNT, seed=6)
    # The largest of 60 standard normal numbers has mean 2.32 (Harter 1961, Biometrika 48, 151–165).
    assert curse.search_bias == pytest.approx(2.32 * 0.004, rel=0.02)
    assert curse.final_bias == pytest.approx(0, abs=0.0002)


# --- single finals by hand -------------------------------------------------------------------------------------------


def accuracies(*functions: float, seeds: int = 10, children: int = 2) -> np.ndarray:
    """Functions of given means, with noise that is the same every time."""
    noise = np.random.default_rng(0).normal(0, 0.001, size=(len(functions), children, seeds))
    values: np.ndarray = np.array(functions)[:, None, None] + noise - noise.mean(axis=-1, keepdims=True)
    return values


def test_a_verdict() -> None:
    judge = Judge(np.array([True, True, True, False, False]), 4, (), 10)
    everyone = np.ones(5, dtype=bool)
    x = accuracies(0.85, 0.852, 0.80, 0.8501, 0.82)  # three finalists, SiLU, ReLU
    assert judge.best(x, everyone) == 1
    assert judge.tied(x, everyone).tolist() == [False, True, False, False, False]
    p_holm = judge.p_holm(judge.p(x, everyone))
    assert (p_holm[:3] <= ALPHA).tolist() == [True, True, False]
    assert np.isnan(p_holm[3:]).all()
    assert judge.ranks(x, everyone).tolist() == [3, 1, 5, 2, 4]


def test_the_best_may_be_a_control() -> None:
    judge = Judge(np.array([True, False, False]), 2, (), 10)
    x = accuracies(0.83, 0.85, 0.82)
    assert judge.best(x, np.ones(3, dtype=bool)) == 1


def test_of_equal_mean_ranks_the_higher_accuracy_is_best() -> None:
    x = np.array([[[0.9, 0.9], [0.5, 0.5]], [[0.8, 0.8], [0.7, 0.7]]])
    assert Judge(np.array([True, False]), 1, (), 2).best(x, np.ones(2, dtype=bool)) == 1


def test_dropped_is_who_is_hopeless_for_both_statements() -> None:
    judge = Judge(np.array([True, True, True, True, False, False]), 5, (4,), 10)
    everyone = np.ones(6, dtype=bool)
    # far above ReLU though far below the best; the best; far below both; level with ReLU; SiLU; ReLU
    x = accuracies(0.84, 0.88, 0.70, 0.82, 0.70, 0.82, seeds=4)
    assert judge.kept(x, everyone).tolist() == [True, True, False, False, True, True]
    # Nobody far ahead: a function level with ReLU may still be the best.
    x = accuracies(0.8201, 0.8202, 0.70, 0.82, 0.70, 0.82, seeds=4)
    assert judge.kept(x, everyone).tolist() == [True, True, False, True, True, True]


def test_who_was_dropped_has_no_verdict_and_changes_none() -> None:
    judge = Judge(np.array([True, True, True, False]), 3, (4,), 10)
    x = accuracies(0.85, 0.852, 0.80, 0.82)
    missing = x.copy()
    missing[2, :, 4:] = np.nan
    standing = np.array([True, True, False, True])
    assert judge.p(missing, standing)[2] == 1
    assert np.isnan(judge.ranks(missing, standing)[2])
    assert judge.tied(missing, standing).tolist() == [False, True, False, False]
    # Holm still counts three: dropping gives nobody an easier test.
    p = judge.p(missing, standing)
    assert judge.p_holm(p)[:3].min() == pytest.approx(3 * p[:2].min())
    later = Judge(judge.finalists, judge.reference, (4, 7), 10)
    assert later.kept(missing[..., :7], standing).tolist() == [True, True, False, True]


def test_a_function_that_fails_is_not_better_and_not_tied() -> None:
    judge = Judge(np.array([True, True, False]), 2, (), 10)
    x = accuracies(0.86, 0.86, 0.82)
    x[0, :, ::2] = 0.0
    everyone = np.ones(3, dtype=bool)
    assert judge.p(x, everyone)[0] > 0.5
    assert not judge.tied(x, everyone)[0]
