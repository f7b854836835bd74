"""PPO against its baselines on the packaged landscape, 20 seeds: margins are generous, so that only a real loss fails."""

import os

import pytest

from actsearch.config import RunConfig
from actsearch.landscape import load
from actsearch_controller.comparison import compare

BASELINES = ("random", "random_new", "local", "evolution")


@pytest.mark.slow
def test_ppo_has_the_least_regret() -> None:
    """When this was written its mean regret was 0.99 and 0.50 points, the least of a baseline's 1.02 and 0.76."""
    configs = {name: RunConfig(controller=name, evaluations=300) for name in ("ppo", *BASELINES)}
    found = compare(load("one_unit"), configs, seeds=20, processes=min(2, os.cpu_count() or 1))
    for budget, margin in ((100, -0.002), (300, 0.001)):
        regrets = {name: comparison.regrets[:, budget - 1].mean() for name, comparison in found.items()}
        for name in BASELINES:
            assert regrets["ppo"] < regrets[name] - margin, (budget, regrets)
    assert found["ppo"].found_share("swish")[-1] >= 0.8
