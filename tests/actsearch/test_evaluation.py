"""Rungs: where a job may end early, what they refuse, and what the reward of a stopped child is."""

import json
from typing import Any

import pytest

from actsearch.config import ChildSettings, Recipe
from actsearch.errors import ConfigError
from actsearch.evaluation import FLOOR_REWARD, Evaluation, Job, LayerRecord, Outcome, Rung

LAYER: dict[str, Any] = {"name": "act", "channels": 2, "betas": {"beta": [0.5, 1.5]}, "histogram": [1] * 40}
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"val_accuracy": 7.5}, "val_accuracy"),
        ({"val_accuracy": -0.1}, "val_accuracy"),
        ({"val_accuracy": None}, "what is trained has a val_accuracy"),
        ({"outcome": "stopped"}, "what is stopped has a predicted_accuracy"),
        ({"test_accuracy": 1.5}, "test_accuracy"),
        ({"steps": -1}, "steps"),
        ({"steps": 2**70}, "steps"),
        ({"parameters": 2**70}, "parameters"),
        ({"seconds": -1.0}, "seconds"),
        ({"evaluation": "another"}, "evaluation"),
        ({"reason": "x" * 3000}, "reason"),
        ({"curve": [{"step": 2**70, "val_accuracy": 0.5, "val_loss": 1.0}]}, "curve.0.step"),
        ({"curve": [{"step": 1, "val_accuracy": 2.0, "val_loss": 1.0}]}, "curve.0.val_accuracy"),
        ({"layers": [{"name": "a", "channels": 1, "betas": {}, "histogram": [2**70]}]}, "layers.0.histogram.0"),
    ],
)
def test_an_evaluation_out_of_range_is_refused_in_one_line(change: dict[str, Any], message: str) -> None:
    good = {"run": "r", "evaluation": "0" * 16, "outcome": "trained", "val_accuracy": 0.7}
    assert Evaluation.from_json(json.dumps(good)).reward == 0.7
    with pytest.raises(ConfigError, match=message) as refused:
        Evaluation.from_json(json.dumps(good | change))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run": "another"}, "not the evaluation asked for"),
        ({"evaluation": "1" * 16}, "not the evaluation asked for"),
        ({"steps": 101}, "steps = 101: the job has 100"),
        ({"outcome": "stopped", "predicted_accuracy": 0.7}, "the job has no rung"),
        ({"test_accuracy": None}, "no test_accuracy"),
        ({"layers": [LAYER | {"betas": {"gamma": [1.0, 2.0]}}]}, "layer 'act': 'gamma' is no β of the function"),
        ({"layers": [LAYER | {"betas": {"beta4": [1.0, 2.0]}}]}, "layer 'act': 'beta4' is no β of the function"),
        ({"layers": [LAYER | {"betas": {"beta\x1b": [1.0]}}]}, r"layer 'act': 'beta\\x1b' is no β of the function"),
        ({"layers": [LAYER | {"betas": {"beta": []}}]}, "layer 'act': 0 values of beta, 2 channels"),
        ({"layers": [LAYER | {"betas": {"beta": [1.0] * 3}}]}, "layer 'act': 3 values of beta, 2 channels"),
        ({"layers": [LAYER | {"channels": 0}]}, "layer 'act': 2 values of beta, 0 channels"),
        ({"layers": [LAYER | {"histogram": []}]}, "layer 'act': a histogram of 0 bins, not 40"),
        ({"layers": [LAYER | {"histogram": [1] * 39}]}, "layer 'act': a histogram of 39 bins, not 40"),
        ({"layers": [LAYER, LAYER | {"histogram": [1] * 42}]}, "a histogram of 42 bins, not 40"),
    ],
)
def test_what_cannot_be_of_a_job_is_no_answer_to_it(change: dict[str, Any], message: str) -> None:
    asked = _job().model_copy(update={"measures_test": True})
    good = Evaluation(
        run="r",
        evaluation="0" * 16,
        outcome=Outcome.TRAINED,
        val_accuracy=0.7,
        test_accuracy=0.6,
        steps=100,
        layers=(LayerRecord.parse(LAYER), LayerRecord.parse(LAYER | {"channels": 80, "betas": {"beta": [0.5] * 5}})),
    )
    good.check_answers(asked)
    with pytest.raises(ConfigError, match=message):
        Evaluation.parse(good.model_dump() | change).check_answers(asked)
