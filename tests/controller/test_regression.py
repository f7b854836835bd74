"""PPO against its baselines on the packaged landscape, 20 seeds: margins are generous, so that only a real loss fails."""

import os

import pytest

from actsearch.config import RunConfig
from actsearch.landscape import load
from actsearch_controller.comparison import compare

BASELINES = ("random", "random_new", "local", "evolution")


@pytest.mark.slow
def test_ppo_has_the_least_regret() -> None:
    """After 300 evaluations it had a median of 0.00 points when this was written, the baselines 0.64 and 0.65."""
    configs = {name: RunConfig(controller=name, evaluations=300) for name in ("ppo", *BASELINES)}
    found = compare(load("prototype"), configs, seeds=20, processes=min(2, os.cpu_count() or 1))
    for budget, margin in ((100, 0.001), (300, 0.003)):
        regrets = {name: comparison.regrets[:, budget - 1].mean() for name, comparison in found.items()}
        for name in BASELINES:
            assert regrets["ppo"] < regrets[name] - margin, (budget, regrets)
    # The family is four times as dense here as in its space, and still PPO finds it within the budget.
    assert found["ppo"].found_share("swish")[-1] >= 0.8
    assert found["ppo"].not_covered < found["random"].not_covered
