"""Finals in the store: one a run, the first result stays, test accuracies are never replaced."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import IntegrityError

from actsearch.config import ChildSettings, FinalsSettings, Recipe, RunConfig
from actsearch.errors import RunError
from actsearch.evaluation import CurvePoint, Evaluation, LayerRecord, Outcome
from actsearch.finals import Candidate, ChildProtocol, ChildRow, Estimate, FinalRow, FinalsPlan, FinalsResult
from actsearch.store import RunState, Store

SWISH = Candidate(
    tokens=("scale", "identity", "gate"),
    formula="x*sigmoid(beta*x)",
    canonical="x*sigmoid(beta*x)",
    names=("Swish",),
    fingerprint="f" * 16,
    equivalence_class="x*sigmoid(x)",
    search_accuracy=0.82,
)
RELU = SWISH.model_copy(
    update={"fingerprint": "e" * 16, "names": ("ReLU",), "search_accuracy": None, "is_control": True}
)
CHILD = ChildProtocol(child=ChildSettings(), recipe=Recipe(steps=300))
PLAN = FinalsPlan(
    settings=FinalsSettings(finalists=1, seeds=3),
    candidates=(SWISH,),
    controls=(RELU,),
    search=CHILD,
    screen=CHILD,
    panel=(CHILD,),
    screen_seeds=(1, 2),
    final_seeds=(3, 4, 5),
)
RESULT = FinalsResult(
    rows=(
        FinalRow(
            candidate=SWISH,
            seeds=3,
            is_dropped=False,
            mean_rank=1.0,
            difference=Estimate(mean=0.02, low=0.01, high=0.03),
            p=0.01,
            p_holm=0.01,
            is_better=True,
            is_tied=True,
            children=(ChildRow(child="nf_resnet8", accuracy=0.8, failures=0, difference=None, p_holm=None),),
            again_accuracy=0.81,
            test_accuracy=0.8,
            test_difference=None,
        ),
    ),
    reference="ReLU",
    children=("nf_resnet8",),
    seeds=3,
    screened=0,
)


@pytest.fixture
def store(where: Path | URL) -> Iterator[Store]:
    with Store.open(where) as opened:
        opened.create_run("first", RunConfig(), command="", versions={})
        yield opened


def trained(index: int, validation: float, test: float | None) -> Evaluation:
    layer = LayerRecord(name="act", channels=1, betas={"beta": (1.5,)}, histogram=(1, 2))
    return Evaluation(
        run="first",
        evaluation=f"{index:016x}",
        outcome=Outcome.TRAINED,
        val_accuracy=validation,
        test_accuracy=test,
        curve=(CurvePoint(step=3, val_accuracy=validation, val_loss=0.5),),
        layers=(layer,),
    )


def record(store: Store, evaluation: Evaluation, seed: int = 3, *, measures_test: bool = True) -> bool:
    return store.finals.record(
        evaluation, fingerprint=SWISH.fingerprint, child="nf_resnet8", seed=seed, measures_test=measures_test
    )


def test_finals_come_back_as_they_went_in(store: Store) -> None:
    assert store.finals.get("first") is None
    before = datetime.now(UTC)
    begun = store.finals.begin("first", PLAN)
    assert begun == store.finals.get("first")
    assert (begun.state, begun.plan, begun.result, begun.finished_at) == (RunState.RUNNING, PLAN, None, None)
    assert before <= begun.started_at <= datetime.now(UTC)
    store.finals.set_state("first", RunState.INTERRUPTED, "stopped on request", seconds=2.5)
    stopped = store.finals.get("first")
    assert stopped is not None
    assert (stopped.state, stopped.reason, stopped.seconds) == (RunState.INTERRUPTED, "stopped on request", 2.5)
    store.finals.finish("first", RESULT)
    done = store.finals.get("first")
    assert done is not None
    assert (done.state, done.reason, done.result) == (RunState.DONE, "", RESULT)
    assert RESULT.best.shrinkage == pytest.approx(0.01)


def test_a_run_has_one_finals_and_one_result(store: Store) -> None:
    store.finals.begin("first", PLAN)
    with pytest.raises(RunError, match="run 'first' has finals already"):
        store.finals.begin("first", PLAN.model_copy(update={"final_seeds": (6, 7)}))
    store.finals.finish("first", RESULT)
    first = store.finals.get("first")
    store.finals.finish("first", RESULT.model_copy(update={"reference": "SiLU"}))
    assert store.finals.get("first") == first


def test_the_first_result_of_a_training_stays(store: Store) -> None:
    store.finals.begin("first", PLAN)
    assert record(store, trained(1, 0.8, 0.79))
    (kept,), (test,) = store.finals.evaluations("first"), store.finals.test_accuracies("first")
    assert (kept.key, kept.fingerprint, kept.child, kept.seed) == (f"{1:016x}", SWISH.fingerprint, "nf_resnet8", 3)
    assert kept.evaluation == trained(1, 0.8, None).model_copy(update={"layers": ()})
    assert (test.fingerprint, test.child, test.seed, test.accuracy) == (SWISH.fingerprint, "nf_resnet8", 3, 0.79)
    assert not record(store, trained(1, 0.9, 0.99))
    assert store.finals.evaluations("first") == [kept]
    assert store.finals.test_accuracies("first") == [test]
    assert store.finals.told("first") == 1


def test_the_test_images_are_measured_once_whatever_key_asks(store: Store, where: Path | URL) -> None:
    """Function, child and seed are the key: another recipe's training cannot bring a second number."""
    store.finals.begin("first", PLAN)
    record(store, trained(1, 0.8, 0.79))
    assert not record(store, trained(2, 0.8, 0.83))
    assert [t.accuracy for t in store.finals.test_accuracies("first")] == [0.79]
    assert store.finals.told("first") == 1, "all or nothing"
    engine = create_engine(where if isinstance(where, URL) else f"sqlite:///{where}")
    again = "INSERT INTO test_accuracies SELECT run_id, fingerprint, child, seed, 0.9, measured_at FROM test_accuracies"
    with engine.connect() as raw, pytest.raises(IntegrityError):
        raw.execute(text(again))
    engine.dispose()


def test_what_the_job_did_not_ask_is_not_kept(store: Store) -> None:
    store.finals.begin("first", PLAN)
    record(store, trained(1, 0.8, 0.79), measures_test=False)
    assert store.finals.test_accuracies("first") == []
    assert "0.79" not in store.finals.evaluations("first")[0].evaluation.to_json()


def test_a_failure_counts_as_zero_on_the_test_images_too(store: Store) -> None:
    store.finals.begin("first", PLAN)
    record(store, Evaluation(run="first", evaluation=f"{1:016x}", outcome=Outcome.DIVERGED, reason="step 3"))
    assert [t.accuracy for t in store.finals.test_accuracies("first")] == [0.0]


def test_a_worker_that_did_not_measure_is_refused(store: Store) -> None:
    store.finals.begin("first", PLAN)
    with pytest.raises(RunError, match="has not measured the test images"):
        record(store, trained(1, 0.8, None))
    assert store.finals.told("first") == 0


def test_finals_of_runs_in_one_store_do_not_meet(store: Store) -> None:
    store.create_run("second", RunConfig(), command="", versions={})
    store.finals.begin("first", PLAN)
    record(store, trained(1, 0.8, 0.79))
    assert store.finals.get("second") is None
    assert store.finals.test_accuracies("second") == []
    with pytest.raises(RunError, match="no run named 'third'"):
        store.finals.get("third")
