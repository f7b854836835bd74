"""Rungs: where a job may end early, what they refuse, and what the reward of a stopped child is."""

from typing import Any

import pytest

from actsearch.config import ChildSettings, Recipe
from actsearch.errors import ConfigError
from actsearch.evaluation import FLOOR_REWARD, Evaluation, Job, Outcome, Rung

FORECAST = ((0.2, 0.1), (0.4, 0.5), (0.5, 0.5), (0.6, 0.9))


def _job(*rungs: Rung) -> Job:
    return Job(
        run="r",
        evaluation="0" * 16,
        tokens=("scale", "identity", "gate"),
        seed=1,
        backend="symbolic",
        child=ChildSettings(),
        recipe=Recipe(steps=100),
        dataset="digits",
        max_operations=400,
        timeout_seconds=60,
        rungs=rungs,
    )


def test_a_job_with_rungs_survives_the_wire() -> None:
    job = _job(Rung(step=10), Rung(step=40, stop_below=0.55, forecast=FORECAST))
    assert Job.from_json(job.to_json()) == job


@pytest.mark.parametrize(("here", "last"), [(0.0, 0.1), (0.2, 0.1), (0.3, 0.3), (0.45, 0.5), (0.55, 0.7), (0.99, 0.9)])
def test_a_forecast_is_linear_between_its_pairs_and_constant_beyond(here: float, last: float) -> None:
    assert Rung(step=40, stop_below=0.6, forecast=FORECAST).predict(here) == pytest.approx(last)


@pytest.mark.parametrize(
    ("rung", "message"),
    [
        ({"step": 0}, "step"),
        ({"step": 4, "stop_below": 0.5}, "a rung that stops has a forecast"),
        ({"step": 4, "forecast": [[0.0, 0.5], [0.0, 0.6]]}, "the pairs of a forecast rise"),
        ({"step": 4, "forecast": [[0.0, 0.5], [0.1, 0.4]]}, "the pairs of a forecast rise"),
        ({"step": 4, "forecast": [[0.0, 1.5]]}, "0 to 1"),
        ({"step": 4, "stop_below": 1.5, "forecast": [[0.0, 0.5]]}, "less than or equal to 1"),
        ({"step": 4, "stop_below": float("nan"), "forecast": [[0.0, 0.5]]}, "finite"),
    ],
)
def test_a_rung_that_makes_no_sense_is_refused_in_one_line(rung: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        Rung.parse(rung)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("steps", [(100,), (40, 40), (40, 10), (10, 200)])
def test_rungs_rise_and_come_before_the_last_step(steps: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="rungs rise and come before step 100"):
        _job(*(Rung(step=step) for step in steps))


def test_a_job_has_as_many_rungs_as_a_run_may_ask_for() -> None:
    rungs = [Rung(step=step) for step in range(1, 22)]
    assert len(_job(*rungs[:20]).rungs) == 20
    with pytest.raises(ValueError, match="at most 20 items"):
        _job(*rungs)


@pytest.mark.parametrize(
    ("outcome", "reward"), [(Outcome.TRAINED, 0.7), (Outcome.STOPPED, 0.8), (Outcome.DIVERGED, FLOOR_REWARD)]
)
def test_the_reward_is_what_was_reached_or_forecast_or_the_floor(outcome: Outcome, reward: float) -> None:
    done = Evaluation(run="r", evaluation="0" * 16, outcome=outcome, val_accuracy=0.7, predicted_accuracy=0.8)
    assert done.reward == reward
