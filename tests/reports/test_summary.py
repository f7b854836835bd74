"""The head of the page and the settings, as words."""

from dataclasses import replace

import pytest

from actsearch.config import ChildSettings, EarlyStoppingSettings, RunConfig, SpaceSettings
from actsearch.evaluation import Evaluation, Outcome
from actsearch.store import RunState
from actsearch_reports import summary
from tests.reports.conftest import SEARCH, StoreRun


def test_facts(store_run: StoreRun) -> None:
    store = store_run([*SEARCH[:6], (SEARCH[6][0], None)], state=RunState.PAUSED, reason="no Redis for 60 s")
    facts = {f.label: f.value for f in summary.facts(store.run("first"), store.evaluations("first"))}
    assert facts["State"] == "paused: no Redis for 60 s"
    assert facts["Evaluations"] == "6 finished, 1 asked and not finished"
    assert facts["Outcomes"] == "3 trained, 1 nonfinite, 1 constant, 1 diverged"
    assert facts["Wall time"] == "3 min 20 s, 1 worker"
    assert facts["Child"] == "nf_resnet8, unit gain, 150 steps"
    assert facts["Trace"] == "ab" * 32
    assert facts["Environment"] == "torch 2.14.1 cpu"
    assert facts["Seed"] == "7"


def test_what_early_stopping_did(store_run: StoreRun) -> None:
    config = RunConfig(early_stopping=EarlyStoppingSettings())
    search = [SEARCH[0], (SEARCH[2][0], (Outcome.STOPPED, 0.3, "accuracy 0.3000 below 0.4000 at step 15"))]
    store = store_run(search, config=config)
    first, second = store.evaluations("first")
    assert second.evaluation is not None
    cut = replace(second, evaluation=second.evaluation.model_copy(update={"steps": 15}))
    facts = {f.label: f.value for f in summary.facts(store.run("first"), [first, cut])}
    assert facts["Early stopping"] == "1 child stopped and not ranked, which saved 45 % of the steps"
    whole = {f.label: f.value for f in summary.facts(store_run(SEARCH[:1], name="whole").run("whole"), [first])}
    assert whole["Early stopping"] == "none: every child was trained to the end"


def test_several_environments_are_said_to_be_beyond_comparison(store_run: StoreRun) -> None:
    store = store_run(SEARCH[:2])
    records = store.evaluations("first")
    other = records[1].evaluation
    assert isinstance(other, Evaluation)
    changed = other.model_copy(update={"environment": "torch 2.9.1 cuda"})
    mixed = [records[0], type(records[1])(**{**vars(records[1]), "evaluation": changed})]
    facts = {f.label: f.value for f in summary.facts(store.run("first"), mixed)}
    assert facts["Environment"].startswith("torch 2.14.1 cpu; torch 2.9.1 cuda (more than one")


def test_a_run_that_has_asked_nothing(store_run: StoreRun) -> None:
    store = store_run([], state=RunState.RUNNING)
    facts = {f.label: f.value for f in summary.facts(store.run("first"), [])}
    assert facts["Evaluations"] == "0 finished"
    assert facts["Outcomes"] == "none yet"
    assert facts["Wall time"] == "3 min 20 s, 0 workers"
    assert facts["Environment"] == "not known yet"


def test_sentence() -> None:
    config = RunConfig(
        controller="random", dataset="digits", space=SpaceSettings(units=2), child=ChildSettings(name="resnet20")
    )
    assert summary.sentence(config) == (
        "A search for activation functions: the random controller proposes formulas of 2 core units; an evaluation "
        "trains one of them in resnet20 on digits for 150 steps, and the validation accuracy is its reward."
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (3600, "1 h 0 min"), (7384, "2 h 3 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert summary.duration(seconds) == text


def test_config_rows_name_every_setting() -> None:
    rows = {f.label: f.value for f in summary.config_rows(RunConfig(space=SpaceSettings(unary=("abs", "sin"))))}
    assert rows["recipe.learning_rate"] == "0.4"
    assert rows["space.unary"] == "abs, sin"
    assert rows["space.binary"] == "none"
    assert rows["recipe.flip"] == "true"
    assert {"seed", "child.name", "ppo.clip_coef"} <= rows.keys()


@pytest.mark.parametrize(("count", "text"), [(0, "0 batches"), (1, "1 batch"), (1200, "1,200 batches")])
def test_plural(count: int, text: str) -> None:
    assert summary.plural(count, "batch", "batches") == text
