"""Early stopping: thresholds and forecasts against references, and a search that uses them."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from actsearch.config import EarlyStoppingSettings, PPOSettings, RunConfig
from actsearch.errors import ConfigError
from actsearch.evaluation import Outcome, Rung
from actsearch.store import EvaluationRecord, Store, share_of_steps_saved
from actsearch_controller.early_stopping import EarlyStopping, isotonic
from actsearch_controller.search import search
from tests.controller.synthetic import ShuffledEvaluator

accuracies = st.integers(0, 1000).map(lambda n: n / 1000)


@pytest.mark.parametrize(
    ("shares", "steps", "expected"),
    [((0.1, 0.25, 0.5), 150, [15, 38, 75]), ((0.5, 0.1), 20, [2, 10]), ((0.1, 0.15, 0.9), 5, [1]), ((0.5,), 1, [])],
)
def test_rungs_are_shares_of_the_steps_rounded_up(shares: tuple[float, ...], steps: int, expected: list[int]) -> None:
    found = EarlyStopping.of(EarlyStoppingSettings(rungs=shares), steps).rungs
    assert [rung.step for rung in found] == expected


def test_a_rung_lets_the_best_share_through_of_all_that_reached_it() -> None:
    stopping = EarlyStopping(EarlyStoppingSettings(keep=0.2, calibration=2), [10, 50])
    for k in range(100):  # one in ten comes to the end, half are stopped at the first rung, the rest diverge after it
        accuracy = 0.005 * ((37 * k) % 100)
        curve = {10: accuracy} if k % 2 else {10: accuracy, 50: accuracy + 0.2}
        stopping.tell(curve, accuracy + 0.4 if k % 10 == 0 else None)
    first, second = stopping.rungs
    here = [0.005 * k for k in range(100)]
    assert sum(accuracy >= first.stop_below for accuracy in here) == 20
    there = [0.2 + 0.005 * ((37 * k) % 100) for k in range(0, 100, 2)]
    assert sum(accuracy >= second.stop_below for accuracy in there) == 10


def test_nothing_is_stopped_before_enough_children_came_to_their_end() -> None:
    stopping = EarlyStopping(EarlyStoppingSettings(calibration=3), [10])
    assert stopping.rungs == (Rung(step=10),)
    for k in range(50):
        stopping.tell({10: 0.01 * k}, None)
    for _ in range(2):
        stopping.tell({10: 0.6}, 0.7)
    stopping.tell({}, 0.9)  # not measured at the rung: it says nothing about it
    assert stopping.rungs == (Rung(step=10),)
    stopping.tell({10: 0.4}, 0.8)
    assert stopping.rungs[0].stop_below > 0


@given(st.lists(st.tuples(accuracies, accuracies), min_size=1, max_size=60, unique_by=lambda point: point[0]))
def test_the_regression_is_scipys_isotonic_one(points: list[tuple[float, float]]) -> None:
    knots = isotonic(points)
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(knots))
    expected = isotonic_regression([y for _, y in sorted(points)])
    starts = expected.blocks[:-1]
    x = np.array([x for x, _ in sorted(points)])
    means = [part.mean() for part in np.split(x, starts[1:])]
    assert [x for x, _ in knots] == pytest.approx(means)
    assert [y for _, y in knots] == pytest.approx(expected.x[starts])


def test_equal_accuracies_are_one_point_of_the_regression() -> None:
    assert isotonic([(0.5, 0.6), (0.5, 0.8), (0.7, 0.9)]) == [(0.5, pytest.approx(0.7)), (0.7, 0.9)]


@given(
    told=st.lists(st.tuples(accuracies, st.none() | accuracies), min_size=10, max_size=60),
    order=st.randoms(use_true_random=False),
    here=st.lists(accuracies, min_size=2, max_size=2).map(sorted),
)
def test_a_forecast_rises_stays_below_the_thresholds_and_hangs_on_no_order(
    told: list[tuple[float, float | None]], order: Any, here: list[float]
) -> None:
    def rung(evaluations: list[tuple[float, float | None]]) -> Rung:
        stopping = EarlyStopping(EarlyStoppingSettings(keep=0.3, calibration=2), [10])
        for at_rung, at_end in evaluations:
            stopping.tell({10: at_rung}, at_end)
        [found] = stopping.rungs
        return Rung.parse(found.model_dump())  # as it survives the wire

    found = rung(told)
    shuffled = list(told)
    order.shuffle(shuffled)
    assert rung(shuffled) == found
    if found.stop_below > 0:
        worse, better = here
        assert found.predict(worse) <= found.predict(better) <= found.predict(found.stop_below)
        ends = [at_end for _, at_end in told if at_end is not None]
        assert min(ends) - 1e-6 <= found.predict(worse) <= max(ends) + 1e-6


# --- a search ---------------------------------------------------------------------------------------------------------

CONFIG = RunConfig(
    seed=2, evaluations=80, batch=8, controller="random_new", early_stopping=EarlyStoppingSettings(calibration=5)
)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[EvaluationRecord]]:
    with Store.open(tmp_path_factory.mktemp("run") / "s.sqlite") as store:
        search(CONFIG, ShuffledEvaluator(0, workers=3), store=store, run="first")
        yield store.evaluations("first")


def test_the_first_batches_stop_nothing_and_later_ones_do(records: list[EvaluationRecord]) -> None:
    assert [rung.step for rung in records[0].rungs] == [15, 38, 75]
    assert all(rung.stop_below == 0 for record in records[:16] for rung in record.rungs)
    assert all(record.rungs[0].stop_below > 0 for record in records[16:])
    outcomes = [record.evaluation.outcome for record in records if record.evaluation]
    assert Outcome.STOPPED not in outcomes[:16]
    assert outcomes[16:].count(Outcome.STOPPED) > 30


def test_the_thresholds_of_a_batch_come_from_the_batches_told_before_it(records: list[EvaluationRecord]) -> None:
    """With lag 2 batch 5 knows batches 0 to 3: the first 32 evaluations, as no function comes twice."""
    here = [r.evaluation.curve[0].val_accuracy for r in records[:32] if r.evaluation and r.evaluation.curve]
    assert records[40].rungs[0].stop_below == pytest.approx(np.quantile(here, 1 - 0.33), abs=1e-6)


def test_a_stopped_child_is_never_the_best(records: list[EvaluationRecord], tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.sqlite") as store:
        search(CONFIG, ShuffledEvaluator(1, workers=1), store=store, run="first")
        summary = store.summary("first")
    done = [(r.number, r.evaluation) for r in records if r.evaluation]
    best = max((e.val_accuracy or 0, -n) for n, e in done if e.outcome is Outcome.TRAINED)
    assert summary.best is not None
    assert (summary.best.reward, -summary.best.number) == best
    # One in eight diverges in `answer`, after all its steps.
    saved = sum(150 - e.steps for _, e in done)
    assert share_of_steps_saved(summary.by_outcome, summary.steps, 150) == pytest.approx(saved / (150 * 80))
    assert saved > 0


def test_repeats_are_trained_to_the_end(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"controller": "ppo", "ppo": PPOSettings(hidden=16), "evaluations": 60})
    with Store.open(tmp_path / "s.sqlite") as store:
        search(config, ShuffledEvaluator(0, workers=3), store=store, run="first")
        records = store.evaluations("first")
    repeats = [(r.rungs, r.evaluation.outcome) for r in records if r.replicate and r.evaluation]
    assert len(repeats) >= 5
    assert all(rungs == () and outcome is not Outcome.STOPPED for rungs, outcome in repeats)
    first = [(r.rungs, r.evaluation.outcome) for r in records if not r.replicate and r.evaluation]
    assert all([rung.step for rung in rungs] == [15, 38, 75] for rungs, _ in first)
    assert Outcome.STOPPED in [outcome for _, outcome in first]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rungs": []}, "rungs"),
        ({"rungs": [0.5, 1.0]}, "less than 1"),
        ({"rungs": [0.0]}, "greater than 0"),
        ({"keep": 0}, "keep"),
        ({"keep": 1}, "keep"),
        ({"calibration": 1}, "calibration"),
        ({"patience": 3}, "unknown key 'early_stopping.patience'"),
    ],
)
def test_settings_that_make_no_sense_are_refused_in_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        RunConfig.parse({"early_stopping": settings})
    assert "\n" not in str(refused.value)
