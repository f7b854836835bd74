"""Finals from plan to result: what is asked, that workers, order and kills decide nothing, failures, driving."""

import random
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from scipy import stats

from actsearch.config import FinalsSettings
from actsearch.errors import RunError, RunPausedError
from actsearch.evaluation import Evaluation, Job, Outcome
from actsearch.finals import FinalRow, FinalsResult
from actsearch.store import RunState, Store
from actsearch_controller.finals.finals import Finals
from actsearch_controller.finals.loop import begin, drive
from actsearch_controller.finals.progress import FinalsProgress
from tests.controller.finals.conftest import (
    COS,
    RECIPES,
    RELU,
    SETTINGS,
    SILU,
    SIN,
    SWISH_OF_2,
    TANH,
    searched,
    trained,
)
from tests.controller.synthetic import ShuffledEvaluator


def whole(
    store: Store,
    evaluator: ShuffledEvaluator | None = None,
    settings: FinalsSettings = SETTINGS,
) -> FinalsResult:
    """Finals of run `first` from where they are to their end."""
    begin(store, "first", settings, RECIPES)
    result = drive(store, "first", evaluator or ShuffledEvaluator(0, 3, trained))
    assert result is not None
    return result


def played(
    store: Store, answer: Callable[[Job], Evaluation] = trained, settings: FinalsSettings = SETTINGS
) -> list[Job]:
    """All jobs of finals, in the order asked, answered at once."""
    begin(store, "first", settings, RECIPES)
    finals, jobs = Finals(store, "first"), []
    while not finals.is_done:
        asked = finals.ask()
        assert asked, "finals wait for nothing"
        jobs += asked
        finals.tell([answer(job) for job in asked])
    return jobs


def by_tokens(result: FinalsResult) -> dict[tuple[str, ...], FinalRow]:
    return {row.candidate.tokens: row for row in result.rows}


# --- what is asked ---------------------------------------------------------------------------------------------------


def test_the_protocol(store: Store) -> None:
    """4 classes x 2 seeds at double length; then 3 finalists and 2 controls x 6 seeds x 2 children, and as searched."""
    jobs = played(store)
    screening, last = jobs[:8], jobs[8:]
    assert {j.recipe.steps for j in screening} == {300}
    assert Counter(j.tokens for j in screening) == {TANH: 2, SIN: 2, SWISH_OF_2: 2, COS: 2}
    # TANH, first in the search, is left behind: fresh scores alone promote.
    panel = [j for j in last if j.measures_test]
    assert Counter((j.tokens, j.child.name) for j in panel) == {
        (tokens, child): 6 for tokens in (SIN, SWISH_OF_2, COS, RELU, SILU) for child in SETTINGS.children
    }
    again = [j for j in last if not j.measures_test]
    assert Counter((j.tokens, j.child.name, j.recipe.steps) for j in again) == {
        (tokens, "nf_resnet8", 150): 6 for tokens in (SIN, SWISH_OF_2, COS)
    }
    assert len(jobs) == len({j.evaluation for j in jobs}) == 8 + 60 + 18


def test_seeds_are_paired_and_fresh(store: Store) -> None:
    jobs = played(store)
    used = {record.seed for record in store.evaluations("first")}
    assert not used & {job.seed for job in jobs}
    seeds: dict[tuple[str, ...], list[int]] = {}
    for job in jobs:
        if job.measures_test and job.child.name == "resnet20":
            seeds.setdefault(job.tokens, []).append(job.seed)
    assert len(seeds) == 5
    assert len({tuple(s) for s in seeds.values()}) == 1, "one seed does not depend on the function"


def test_only_the_last_stage_measures_the_test_images(store: Store) -> None:
    played(store)
    tests = store.finals.test_accuracies("first")
    assert len(tests) == 60
    assert {t.fingerprint for t in tests} == {r.candidate.fingerprint for r in whole(store).rows}, (
        "nothing of those that the screening left behind"
    )


def test_no_more_classes_than_finalists_need_no_screening(store: Store) -> None:
    jobs = played(store, settings=SETTINGS.model_copy(update={"finalists": 4}))
    assert {j.recipe.steps for j in jobs} == {20, 150}
    result = whole(store, settings=SETTINGS.model_copy(update={"finalists": 4}))
    assert result.screened == 0
    assert TANH in by_tokens(result)


def test_a_child_trained_as_in_the_search_is_trained_once(store: Store) -> None:
    settings = SETTINGS.model_copy(update={"children": ("nf_resnet8",), "steps": 150})
    jobs = played(store, settings=settings)
    assert len(jobs) == 8 + 5 * 6
    assert all(
        row.again_accuracy == row.children[0].accuracy for row in whole(store, settings=settings).rows if row.is_found
    )


# --- neither workers nor order nor kills -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> FinalsResult:
    with Store.open(tmp_path_factory.mktemp("finals") / "s.sqlite") as store:
        searched(store)
        return whole(store, ShuffledEvaluator(0, workers=1, answer=trained))


@pytest.mark.parametrize(("order", "workers"), [(1, 1), (2, 4), (3, 40)])
def test_neither_workers_nor_their_order_change_the_result(
    order: int, workers: int, undisturbed: FinalsResult, store: Store
) -> None:
    evaluator = ShuffledEvaluator(order, workers, trained)
    assert whole(store, evaluator) == undisturbed
    assert len(evaluator.trained) == len(set(evaluator.trained)) == 86


class Crash(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("queue", ["survives", "is lost"])
def test_killed_again_and_again_they_end_the_same(queue: str, undisturbed: FinalsResult, tmp_path: Path) -> None:
    """The process dies after every few results, before or after they are stored, and a new one goes on."""
    with Store.open(tmp_path / "s.sqlite") as store:
        searched(store)
        begin(store, "first", SETTINGS, RECIPES)
    evaluator, rng, kills = ShuffledEvaluator(0, 5, trained), random.Random(3), 0
    while True:
        if queue == "is lost":
            evaluator = ShuffledEvaluator(kills, 5, trained)
        left = rng.randint(1, 12)

        with Store.open(tmp_path / "s.sqlite") as store:
            finals = Finals(store, "first")
            try:
                while not finals.is_done:
                    evaluator.submit(finals.ask())
                    for evaluation in evaluator.collect(0):
                        left -= 1
                        if left == 0:
                            raise Crash
                        finals.tell([evaluation])
                        evaluator.release([evaluation])
                break
            except Crash:
                kills += 1
    assert kills > 5
    assert finals.result == undisturbed
    with Store.open(tmp_path / "s.sqlite") as store:
        record = store.finals.get("first")
        assert record is not None
        assert record.result == undisturbed
        assert store.finals.told("first") == 86
    if queue == "survives":
        assert max(Counter(evaluator.trained).values()) == 1, "something was trained twice"


def test_a_resumed_finals_asks_only_for_what_is_missing(store: Store) -> None:
    begin(store, "first", SETTINGS, RECIPES)
    first = Finals(store, "first")
    jobs = first.ask()
    first.tell([trained(job) for job in jobs[:5]])
    assert first.ask() == [], "jobs are handed out once"
    assert [j.evaluation for j in Finals(store, "first").ask()] == [j.evaluation for j in jobs[5:]]


def test_foreign_and_repeated_results_change_nothing(store: Store) -> None:
    begin(store, "first", SETTINGS, RECIPES)
    finals = Finals(store, "first")
    job = finals.ask()[0]
    good = trained(job)
    finals.tell([good.model_copy(update={"evaluation": "0" * 16}), good.model_copy(update={"run": "another"})])
    assert finals.progress.told == 0
    finals.tell([good, good.model_copy(update={"outcome": Outcome.DIVERGED}), good])
    assert finals.progress.told == store.finals.told("first") == 1
    assert store.finals.evaluations("first")[0].evaluation.outcome is Outcome.TRAINED


def test_of_two_drivers_one_is_refused(store: Store) -> None:
    begin(store, "first", SETTINGS, RECIPES)
    one, two = Finals(store, "first"), Finals(store, "first")
    answers = [trained(job) for job in one.ask()[:2]]
    assert [job.evaluation for job in two.ask()[:2]] == [answer.evaluation for answer in answers]
    one.tell(answers)
    with pytest.raises(RunError, match="driven by another process too"):
        two.tell(answers)
    assert store.finals.told("first") == 2


# --- what it says ----------------------------------------------------------------------------------------------------


def test_the_numbers_are_those_of_the_trainings(store: Store) -> None:
    """Each number of one row again, from the stored evaluations and scipy."""
    result = whole(store)
    stored = {(e.fingerprint, e.child, e.seed, e.evaluation.val_accuracy) for e in store.finals.evaluations("first")}
    rows = by_tokens(result)
    swish, relu = rows[SWISH_OF_2], rows[RELU]
    plan = store.finals.get("first")
    assert plan is not None
    seeds = plan.plan.final_seeds

    def of(row: FinalRow, child: str) -> np.ndarray:
        # nf_resnet8 with 20 and with 150 steps share their seeds: the test table has the panel's alone
        tests = {(t.fingerprint, t.child, t.seed): t.accuracy for t in store.finals.test_accuracies("first")}
        return np.array([tests[row.candidate.fingerprint, child, seed] + 0.01 for seed in seeds])

    assert len(stored) == 86
    differences = np.stack([of(swish, c) - of(relu, c) for c in SETTINGS.children])
    assert swish.difference is not None
    assert swish.difference.mean == pytest.approx(differences.mean())
    test = stats.ttest_1samp(differences.mean(axis=0), 0, alternative="greater")
    assert swish.p == pytest.approx(test.pvalue, rel=1e-6)
    low, high = stats.ttest_1samp(differences.mean(axis=0), 0).confidence_interval(0.95)
    assert (swish.difference.low, swish.difference.high) == pytest.approx((low, high))
    assert [c.accuracy for c in swish.children] == pytest.approx([of(swish, c).mean() for c in SETTINGS.children])
    assert swish.children[1].difference is not None
    assert swish.children[1].difference.mean == pytest.approx(differences[1].mean())
    assert swish.test_accuracy == pytest.approx(np.mean([of(swish, c) - 0.01 for c in SETTINGS.children]))
    assert swish.test_difference is not None
    assert swish.test_difference.mean == pytest.approx(swish.difference.mean)
    family = sorted(p for t in (SIN, SWISH_OF_2, COS) if (p := rows[t].p) is not None)
    scaled = [(3 - k) * p for k, p in enumerate(family)]
    assert swish.p is not None
    assert swish.p_holm == pytest.approx(min(1, max(scaled[: family.index(swish.p) + 1])))


def test_the_statement(store: Store) -> None:
    result = whole(store)
    rows = by_tokens(result)
    assert result.best.candidate.tokens == SWISH_OF_2
    assert result.best.is_tied
    assert result.best.is_better
    assert result.best.is_found
    assert not rows[COS].is_tied
    assert not rows[RELU].is_tied
    assert (rows[RELU].p, rows[RELU].difference, rows[RELU].is_found) == (None, None, False)
    assert (rows[SILU].p_holm, rows[SILU].is_better, rows[SILU].is_found) == (None, False, False)
    assert rows[SILU].p is not None
    assert [row.mean_rank for row in result.rows] == sorted(row.mean_rank or 99 for row in result.rows)
    assert (result.reference, result.children, result.seeds, result.screened) == ("ReLU", SETTINGS.children, 6, 4)


def test_shrinkage_is_the_luck_of_the_search(store: Store) -> None:
    swish = by_tokens(whole(store))[SWISH_OF_2]
    again = [
        e.evaluation.reward
        for e in store.finals.evaluations("first")
        if e.fingerprint == swish.candidate.fingerprint and e.evaluation.seconds == 1.5
    ]
    assert len(again) == 6
    assert swish.again_accuracy == pytest.approx(np.mean(again))
    assert swish.shrinkage == pytest.approx(0.82 - np.mean(again))


def test_a_function_without_a_chance_is_dropped_and_keeps_no_claim(store: Store) -> None:
    settings = SETTINGS.model_copy(update={"finalists": 4})  # TANH, far below all, comes in unscreened
    result = whole(store, settings=settings)
    row = by_tokens(result)[TANH]
    assert row is result.rows[-1]
    assert (row.seeds, row.is_dropped, row.mean_rank, row.p_holm) == (3, True, None, 1.0)
    assert not row.is_better
    assert not row.is_tied
    assert store.finals.told("first") == 4 * 6 * 3 + 2 * 6 * 2 - 3 * 3
    assert row.difference is not None
    assert row.difference.mean == pytest.approx(-0.1, abs=0.005)


def test_a_failure_counts_as_zero_and_is_not_left_out(store: Store) -> None:
    def answer(job: Job) -> Evaluation:
        if job.tokens == SWISH_OF_2 and job.child.name == "resnet20" and job.seed % 2:
            return Evaluation(run=job.run, evaluation=job.evaluation, outcome=Outcome.DIVERGED, reason="step 3")
        return trained(job)

    result = whole(store, ShuffledEvaluator(0, 3, answer))
    row = by_tokens(result)[SWISH_OF_2]
    seeds = {e.seed for e in store.finals.evaluations("first") if e.child == "resnet20"}
    odd = sum(seed % 2 for seed in seeds)
    assert odd > 0
    assert row.children[1].failures == odd
    assert row.children[0].failures == 0
    assert row.children[1].accuracy < 0.83 * (1 - odd / 6) + 0.02
    assert not row.is_better


def test_a_control_that_the_search_found_is_one_row(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.sqlite") as store:
        searched(store, {SILU: 0.83, RELU: 0.82, SIN: 0.81})
        result = whole(store)
    rows = by_tokens(result)
    assert len(result.rows) == 3
    assert rows[SILU].is_found
    assert rows[SILU].candidate.is_control
    assert rows[SILU].p_holm is not None
    assert rows[RELU].is_found
    assert rows[RELU].candidate.is_control
    assert (rows[RELU].p, rows[RELU].p_holm) == (None, None)
    assert not rows[SIN].candidate.is_control


# --- driving ---------------------------------------------------------------------------------------------------------


def test_finals_are_begun_once(store: Store) -> None:
    begin(store, "first", SETTINGS, RECIPES)
    before = store.finals.get("first")
    begin(store, "first", SETTINGS.model_copy(update={"after_search": True}), RECIPES)
    assert store.finals.get("first") == before
    with pytest.raises(RunError, match=r"were begun with seeds = 6, not 7; a run has one finals"):
        begin(store, "first", SETTINGS.model_copy(update={"seeds": 7}), RECIPES)
    with pytest.raises(RunError, match=r"begun with children = nf_resnet8,resnet20, not resnet20"):
        begin(store, "first", SETTINGS.model_copy(update={"children": ("resnet20",)}), RECIPES)


def test_done_finals_train_nothing(store: Store) -> None:
    result = whole(store)

    class Nobody(ShuffledEvaluator):
        def collect(self, timeout_seconds: float) -> list[Evaluation]:
            raise AssertionError("asked to train")

    assert whole(store, Nobody(0, 1)) == result
    assert Finals(store, "first").ask() == []


def test_stopped_and_gone_on(store: Store, undisturbed: FinalsResult) -> None:
    begin(store, "first", SETTINGS, RECIPES)
    evaluator, stop = ShuffledEvaluator(0, 3, trained), Event()

    def on_progress(progress: FinalsProgress) -> None:
        if progress.told >= 20:
            stop.set()

    assert drive(store, "first", evaluator, stop=stop, on_progress=on_progress) is None
    record = store.finals.get("first")
    assert record is not None
    assert (record.state, record.reason, record.result) == (RunState.INTERRUPTED, "stopped on request", None)
    assert store.run("first").state is RunState.DONE, "the search is done whatever its finals do"
    assert drive(store, "first", evaluator) == undisturbed
    done = store.finals.get("first")
    assert done is not None
    assert (done.state, done.seconds > record.seconds) == (RunState.DONE, True)


def test_infrastructure_that_gives_out_pauses(store: Store) -> None:
    class Broken(ShuffledEvaluator):
        def collect(self, timeout_seconds: float) -> list[Evaluation]:
            if len(self.trained) > 6:
                raise RunPausedError("job 12ab: 20 attempts")
            return super().collect(timeout_seconds)

    begin(store, "first", SETTINGS, RECIPES)
    with pytest.raises(RunPausedError):
        drive(store, "first", Broken(0, 3, trained))
    record = store.finals.get("first")
    assert record is not None
    assert (record.state, record.reason) == (RunState.PAUSED, "job 12ab: 20 attempts")


def test_progress_counts_and_estimates(store: Store) -> None:
    """Two workers at the pace of the made-up trainings: the estimate is what is left, divided by two."""
    begin(store, "first", SETTINGS, RECIPES)
    now = 0.0
    finals = Finals(store, "first", clock=lambda: now)
    assert finals.progress.seconds_left is None
    assert (finals.progress.stage, finals.progress.told, finals.progress.budget) == ("screening", 0, 86)

    def tell(answers: Iterable[Evaluation]) -> None:
        nonlocal now
        for evaluation in answers:
            now += evaluation.seconds / 2
            finals.tell([evaluation])

    tell(trained(job) for job in finals.ask())
    assert finals.progress.stage == "seeds 1 to 3 of 6"
    assert (finals.progress.told, finals.progress.standing, finals.progress.in_flight) == (8, 5, 0)
    tell(trained(job) for job in finals.ask()[:20])
    left = sum(20 / 100 if job.measures_test else 150 / 100 for job in _rest(store, finals))
    # A child of which none was told is taken to be as fast a step as the others, which these are.
    assert finals.progress.seconds_left == pytest.approx(left / 2)
    assert finals.progress.in_flight == 39 - 20


def _rest(store: Store, finals: Finals) -> list[Job]:
    """Jobs without a result, and those of the seeds to come, which are as many as in this round."""
    missing = Finals(store, "first").ask()
    functions = [(t, c) for t in (SIN, SWISH_OF_2, COS, RELU, SILU) for c in SETTINGS.children]
    round_jobs = [j for j in missing if j.measures_test]
    template, again = round_jobs[0], missing[0].model_copy(update={"measures_test": False})
    assert finals.progress.budget == 86
    return [*missing, *[template] * (3 * len(functions)), *[again] * (3 * 3)]
