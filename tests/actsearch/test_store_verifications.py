"""Verifications in the store: several a run, a training's first result stays, whatever asks for it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from actsearch.config import ChildSettings, Recipe, RunConfig
from actsearch.errors import ConfigError, RunError
from actsearch.evaluation import Evaluation, Outcome
from actsearch.finals import ChildProtocol, Estimate
from actsearch.store import RunState, Store
from actsearch.verification import (
    Correlation,
    Ground,
    GroundRow,
    VerificationPlan,
    VerificationResult,
    Verified,
    VerifiedRow,
    VerifySettings,
)
from tests.actsearch.test_store_finals import PLAN, RELU, SWISH

GROUND = Ground(dataset="digits", protocol=ChildProtocol(child=ChildSettings(name="resnet8"), recipe=Recipe(steps=9)))
FUNCTIONS = (
    Verified(candidate=SWISH, is_dropped=False, difference=0.02),
    Verified(candidate=RELU, is_dropped=False, difference=0.0),
)
VERIFICATION = VerificationPlan(
    settings=VerifySettings(data=("digits",), children=("resnet8",), seeds=2),
    functions=FUNCTIONS,
    reference=RELU.fingerprint,
    grounds=(GROUND,),
    seeds=(8, 9),
)
_GAIN = Estimate(mean=0.031, low=0.012, high=0.05)
FOUND = VerificationResult(
    rows=(
        VerifiedRow(
            function=FUNCTIONS[0],
            difference=_GAIN,
            grounds=(GroundRow(ground=GROUND.name, accuracy=0.93, failures=1, difference=_GAIN),),
        ),
        VerifiedRow(
            function=FUNCTIONS[1],
            difference=None,
            grounds=(GroundRow(ground=GROUND.name, accuracy=0.899, failures=0, difference=None),),
        ),
    ),
    reference="ReLU",
    grounds=(GROUND.name,),
    seeds=2,
    correlations=(
        Correlation(ground="all", spearman=0.62, low=-0.1, high=0.91),
        Correlation(ground=GROUND.name, spearman=0.62, low=-0.1, high=0.91),
    ),
)


@pytest.fixture
def store(where: Path | URL) -> Iterator[Store]:
    with Store.open(where) as opened:
        opened.create_run("first", RunConfig(), command="", versions={})
        opened.finals.begin("first", PLAN)
        yield opened


def evaluation(accuracy: float) -> Evaluation:
    return Evaluation(
        run="first", evaluation="a" * 16, outcome=Outcome.TRAINED, val_accuracy=accuracy, test_accuracy=0.5
    )


def test_they_come_back_as_they_went_in(store: Store) -> None:
    assert store.verifications.of("first") == []
    begun = store.verifications.begin("first", VERIFICATION)
    assert (begun.number, begun.state, begun.plan, begun.result) == (1, RunState.RUNNING, VERIFICATION, None)
    store.verifications.set_state("first", 1, RunState.PAUSED, "no server\0", seconds=3.0)
    (paused,) = store.verifications.of("first")
    assert (paused.state, paused.reason, paused.seconds) == (RunState.PAUSED, "no server", 3.0)
    store.verifications.finish("first", 1, FOUND)
    store.verifications.finish("first", 1, FOUND.model_copy(update={"reference": "SiLU"}))
    assert store.verifications.begin("first", VERIFICATION).number == 2
    one, two = store.verifications.of("first")
    assert (one.state, one.reason, one.result, two.result) == (RunState.DONE, "", FOUND, None)
    assert one.finished_at is not None
    with pytest.raises(RunError, match="no run named 'second'"):
        store.verifications.of("second")


def test_the_first_result_of_a_training_stays_without_a_test_accuracy(store: Store) -> None:
    assert store.verifications.record(evaluation(0.7))
    assert not store.verifications.record(evaluation(0.9))
    (kept,) = store.verifications.evaluations("first").values()
    assert (kept.val_accuracy, kept.test_accuracy) == (0.7, None)


def test_bad_settings_are_refused() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"data": []}, "data"),
        ({"data": ["digits"], "seeds": 1}, "seeds"),
        ({"data": ["a", "a"]}, "each name once"),
    ]
    for wrong, words in cases:
        with pytest.raises(ConfigError, match=words):
            VerifySettings.parse(wrong)
    with pytest.raises(ValueError, match="the reference is one of the functions"):
        VerificationPlan.model_validate(VERIFICATION.model_dump() | {"reference": "0" * 16})
