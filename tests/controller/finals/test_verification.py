"""Verification from plan to result: pairing, fresh seeds, no test images, kills, shared trainings, correlations."""

from collections import Counter
from threading import Event

import numpy as np
import pytest
from scipy import stats

from actsearch.config import Recipe
from actsearch.errors import RunError
from actsearch.evaluation import Evaluation, Job, Outcome
from actsearch.finals import FinalsResult
from actsearch.store import RunState, Store
from actsearch.verification import VerificationResult, VerifySettings
from actsearch_controller.finals.loop import begin as begin_finals
from actsearch_controller.finals.loop import drive as drive_finals
from actsearch_controller.finals.progress import FinalsProgress
from actsearch_controller.finals.statistics import spearman
from actsearch_controller.finals.verification import Verification, begin, drive
from tests.controller.finals.conftest import COS, RECIPES, RELU, SETTINGS, SILU, SIN, SWISH_OF_2, noise, trained
from tests.controller.synthetic import ShuffledEvaluator

ELSEWHERE: dict[tuple[str, ...], float] = {RELU: 0.90, SILU: 0.94, SIN: 0.91, SWISH_OF_2: 0.93, COS: 0.92}
"""True accuracies on other data: Swish stays ahead, cos x - x and min(x, sin x) change places."""

VERIFY = VerifySettings(data=("digits", "fashion-mnist"), children=("resnet8", "nf_resnet20"), seeds=4)
CHILDREN = {"resnet8": Recipe(steps=40), "nf_resnet20": Recipe(steps=15)}


@pytest.fixture
def store(store: Store) -> Store:
    """A run whose finals are done."""
    begin_finals(store, "first", SETTINGS, RECIPES)
    assert drive_finals(store, "first", ShuffledEvaluator(0, 3, trained)) is not None
    return store


def finals_of(store: Store) -> FinalsResult:
    record = store.finals.get("first")
    assert record is not None
    assert record.result is not None
    return record.result


def elsewhere(job: Job) -> Evaluation:
    """Accuracy by the function, an effect of data, child and seed that all share, and a little noise."""
    shared = 0.02 * noise(job.dataset, job.child.name, job.seed)
    accuracy = ELSEWHERE[job.tokens] + shared + 0.0005 * noise(job.evaluation)
    return Evaluation(
        run=job.run, evaluation=job.evaluation, outcome=Outcome.TRAINED, val_accuracy=accuracy, seconds=1.0
    )


def whole(
    store: Store, settings: VerifySettings = VERIFY, evaluator: ShuffledEvaluator | None = None
) -> VerificationResult:
    record = begin(store, "first", settings, CHILDREN)
    result = drive(store, "first", evaluator or ShuffledEvaluator(0, 3, elsewhere), record=record)
    assert result is not None
    return result


def asked(store: Store) -> list[Job]:
    return Verification(store, "first", begin(store, "first", VERIFY, CHILDREN)).ask()


def test_every_function_of_the_finals_everywhere_with_the_same_fresh_seeds(store: Store) -> None:
    jobs = asked(store)
    functions = {row.candidate.tokens for row in finals_of(store).rows}
    assert len(jobs) == 5 * 4 * 4
    assert Counter((j.tokens, j.dataset, j.child.name) for j in jobs) == {
        (tokens, data, child): 4 for tokens in functions for data in VERIFY.data for child in VERIFY.children
    }
    assert {(j.child.name, j.recipe.steps) for j in jobs} == {("resnet8", 40), ("nf_resnet20", 15)}
    seeds = {tokens: {j.seed for j in jobs if j.tokens == tokens} for tokens in functions}
    assert len(set(map(frozenset, seeds.values()))) == 1, "one seed does not depend on the function"
    record = store.finals.get("first")
    assert record is not None
    used = {r.seed for r in store.evaluations("first")} | {*record.plan.final_seeds, *record.plan.screen_seeds}
    assert not used & seeds[RELU]


def test_no_test_image_is_touched(store: Store) -> None:
    before = store.finals.test_accuracies("first")
    assert not any(job.measures_test for job in asked(store))
    whole(store)
    assert store.finals.test_accuracies("first") == before
    assert all(e.test_accuracy is None for e in store.verifications.evaluations("first").values())


def test_what_it_finds(store: Store) -> None:
    jobs, result = asked(store), whole(store)
    assert (result.reference, result.seeds) == ("ReLU", 4)
    assert result.grounds == (
        "resnet8 on digits", "nf_resnet20 on digits", "resnet8 on fashion-mnist", "nf_resnet20 on fashion-mnist",
    )  # fmt: skip
    rows = {row.function.candidate.tokens: row for row in result.rows}
    assert rows[RELU].difference is None
    for tokens in (SILU, SIN, SWISH_OF_2, COS):
        difference = rows[tokens].difference
        assert difference is not None
        assert difference.mean == pytest.approx(ELSEWHERE[tokens] - 0.9, abs=0.001)
        assert difference.low < difference.mean < difference.high
    # The interval is scipy's on each seed's mean over child and data.
    found = store.verifications.evaluations("first")
    mean = {
        tokens: np.array(
            [np.mean([found[j.evaluation].reward for j in jobs if (j.tokens, j.seed) == (tokens, s)]) for s in seeds]
        )
        for seeds in [sorted({j.seed for j in jobs})]
        for tokens in (RELU, SILU)
    }
    expected = stats.ttest_rel(mean[SILU], mean[RELU]).confidence_interval(0.95)
    silu = rows[SILU].difference
    assert silu is not None
    assert (silu.low, silu.high) == pytest.approx((expected.low, expected.high))
    overall = result.correlations[0]
    assert [c.ground for c in result.correlations] == ["all", *result.grounds]
    finals = [row.function.difference for row in result.rows]
    here = [0.0 if row.difference is None else row.difference.mean for row in result.rows]
    assert overall.spearman == pytest.approx(stats.spearmanr(finals, here).statistic)
    assert finals == sorted(finals, reverse=True)


def test_the_mean_over_all_hides_where_a_function_is_behind_and_the_count_does_not(store: Store) -> None:
    def split(job: Job) -> Evaluation:
        shift = 0.0 if job.tokens != SILU else 0.1 if job.child.name == "nf_resnet20" else -0.02
        evaluation = elsewhere(job)
        assert evaluation.val_accuracy is not None
        return evaluation.model_copy(
            update={"val_accuracy": evaluation.val_accuracy - ELSEWHERE[job.tokens] + 0.7 + shift}
        )

    rows = {r.function.candidate.tokens: r for r in whole(store, evaluator=ShuffledEvaluator(0, 3, split)).rows}
    silu = rows[SILU]
    assert silu.difference is not None
    assert silu.difference.low > 0
    assert (silu.behind, rows[RELU].behind) == (2, 0)


def test_killed_and_gone_on_it_finds_the_same(store: Store) -> None:
    stop = Event()

    def after_a_few(progress: FinalsProgress) -> None:
        if progress.told >= 30:
            stop.set()

    record = begin(store, "first", VERIFY, CHILDREN)
    first = ShuffledEvaluator(1, 2, elsewhere)
    assert drive(store, "first", first, record=record, stop=stop, on_progress=after_a_few) is None
    (stopped,) = store.verifications.of("first")
    assert (stopped.state, stopped.reason) == (RunState.INTERRUPTED, "stopped on request")
    second = ShuffledEvaluator(2, 4, elsewhere)
    result = whole(store, evaluator=second)
    assert len(first.trained) + len(second.trained) == 80
    assert not set(first.trained) & set(second.trained), "nothing is trained twice"
    (done,) = store.verifications.of("first")
    assert (done.state, done.result) == (RunState.DONE, result)
    assert whole(store, evaluator=ShuffledEvaluator(3, 1, elsewhere)) == result


def test_another_verification_shares_what_is_there(store: Store) -> None:
    whole(store)
    again = ShuffledEvaluator(0, 2, elsewhere)
    settings = VERIFY.model_copy(update={"data": ("digits", "cifar10")})
    whole(store, settings, again)
    assert [r.number for r in store.verifications.of("first")] == [1, 2]
    assert len(again.trained) == 5 * 4 * 2, "digits is known"


def test_failures_count_as_zero(store: Store) -> None:
    def failing(job: Job) -> Evaluation:
        if job.tokens == COS and job.dataset == "digits":
            return Evaluation(run=job.run, evaluation=job.evaluation, outcome=Outcome.DIVERGED, reason="step 3")
        return elsewhere(job)

    result = whole(store, evaluator=ShuffledEvaluator(0, 3, failing))
    cells = {c.ground: c for row in result.rows if row.function.candidate.tokens == COS for c in row.grounds}
    assert (cells["resnet8 on digits"].failures, cells["resnet8 on digits"].accuracy) == (4, 0.0)
    assert cells["resnet8 on fashion-mnist"].failures == 0


def test_without_finals_there_is_nothing_to_verify(tmp_path_factory: pytest.TempPathFactory) -> None:
    from tests.controller.finals.conftest import searched

    with Store.open(tmp_path_factory.mktemp("none") / "s.sqlite") as empty:
        searched(empty)
        with pytest.raises(RunError, match="run 'first' has no finals that are done"):
            begin(empty, "first", VERIFY, CHILDREN)


# --- rank correlation ------------------------------------------------------------------------------------------------


def test_spearman_is_scipys_and_its_interval_is_bonett_and_wrights() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=14)
    other = np.round(one + rng.normal(size=14), 1)  # with ties
    rho, low, high = spearman(one, other)
    assert rho == pytest.approx(stats.spearmanr(one, other).statistic)
    error = 1.959964 * ((1 + rho**2 / 2) / 11) ** 0.5
    assert (low, high) == pytest.approx((np.tanh(np.arctanh(rho) - error), np.tanh(np.arctanh(rho) + error)))


def test_a_perfect_order_of_few_functions_is_not_certain() -> None:
    rho, low, high = spearman(np.arange(8.0), np.arange(8.0))
    assert (rho, high) == (1.0, 1.0)
    assert low is not None
    assert 0.85 < low < 0.95
    rho, low, high = spearman(np.arange(8.0), -np.arange(8.0))
    assert (rho, low) == (-1.0, -1.0)
    assert high is not None
    assert -0.95 < high < -0.85


def test_what_has_no_interval() -> None:
    rho, *interval = spearman(np.arange(3.0), np.arange(3.0))
    assert rho == pytest.approx(1)
    assert interval == [None, None]
    assert spearman(np.arange(5.0), np.ones(5)) == (0.0, None, None)


def test_the_interval_covers() -> None:
    """Bivariate normal with ρ = 0.6, 14 functions: Spearman's true value is 6/π·asin(ρ/2); 1,000 samples."""
    rng = np.random.default_rng(1)
    truth = 6 / np.pi * np.arcsin(0.3)
    draws = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=(1000, 14))
    ends = [spearman(sample[:, 0], sample[:, 1])[1:] for sample in draws]
    covered = np.mean([low is not None and high is not None and low <= truth <= high for low, high in ends])
    assert covered == pytest.approx(0.95, abs=0.025)
