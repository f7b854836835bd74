"""The fixed-lag pipeline: what it asks, what it tells, and that workers, delays and crashes decide nothing."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actsearch.config import EarlyStoppingSettings, PPOSettings, RunConfig, SpaceSettings
from actsearch.errors import RunError, RunPausedError
from actsearch.evaluation import FLOOR_REWARD, Evaluation, Job, Outcome, child_seed, evaluation_key
from actsearch.expression import expression_of
from actsearch.formula import Formula
from actsearch.identity import fingerprint, formula_fingerprint
from actsearch.space import Space
from actsearch.store import Advance, RunRecord, RunState, Store
from actsearch_controller import driving, identities, identity_pool
from actsearch_controller.controllers import build_controller
from actsearch_controller.ports import Proposer
from actsearch_controller.search import Progress, Search, drive, resume, search
from tests.controller.synthetic import ONE_UNIT, ShuffledEvaluator, answer

PPO = RunConfig(seed=5, evaluations=15, batch=4, lag=2, ppo=PPOSettings(hidden=16, learning_rate=0.01))
RANDOM = PPO.model_copy(update={"controller": "random"})
STOPPING = PPO.model_copy(update={"early_stopping": EarlyStoppingSettings(keep=0.5, calibration=2)})
NARROW = RANDOM.model_copy(update={"space": SpaceSettings(unary=("identity", "abs", "square"), binary=("add",))})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store.sqlite") as opened:
        yield opened


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "POLL_SECONDS", 0.0)


class Spy:
    """A proposer that writes down what it is asked and told; proposes from a list of batches, or like another one."""

    def __init__(self, inner: Proposer) -> None:
        self._inner = inner
        self.calls: list[str] = []
        self.told: list[tuple[list[Formula], list[float]]] = []

    def ask(self, n: int) -> list[Formula]:
        self.calls.append("ask")
        return self._inner.ask(n)

    def tell(self, formulas: Sequence[Formula], rewards: Sequence[float]) -> dict[str, float]:
        self.calls.append("tell")
        self.told.append((list(formulas), list(rewards)))
        return self._inner.tell(formulas, rewards)

    def state(self) -> bytes:
        return self._inner.state()

    def restore(self, state: bytes) -> None:
        self._inner.restore(state)


class Scripted:
    """Proposes given formulas one after another, over and over."""

    def __init__(self, *tokens: str) -> None:
        self._formulas = [Formula.from_tokens(text.split()) for text in tokens]
        self._asked = 0

    def ask(self, n: int) -> list[Formula]:
        start, self._asked = self._asked, self._asked + n
        return [self._formulas[i % len(self._formulas)] for i in range(start, start + n)]

    def tell(self, formulas: Sequence[Formula], rewards: Sequence[float]) -> dict[str, float]:
        return {}

    def state(self) -> bytes:
        return str(self._asked).encode()

    def restore(self, state: bytes) -> None:
        self._asked = int(state)


def spy_on(config: RunConfig) -> Spy:
    return Spy(build_controller(config, ONE_UNIT))


def run_through(path: Path, config: RunConfig, evaluator: ShuffledEvaluator) -> tuple[RunRecord, list[str]]:
    with Store.open(path) as store:
        record = search(config, evaluator, store=store, run="first")
        return record, [proposal.evaluation for proposal in store.proposals("first")]


# --- same seed, same search ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[PPO, RANDOM, STOPPING], ids=["ppo", "random", "early stopping"])
def undisturbed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, str]:
    """A configuration, and the trace it leaves with one worker and no trouble."""
    config: RunConfig = request.param
    record, _ = run_through(tmp_path_factory.mktemp("run") / "s.sqlite", config, ShuffledEvaluator(0, workers=1))
    assert record.state is RunState.DONE
    return config, record.trace


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.integers(0, 10**6), workers=st.integers(1, 12))
def test_neither_workers_nor_their_order_change_the_trace(
    order: int, workers: int, undisturbed: tuple[RunConfig, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    config, trace = undisturbed
    evaluator = ShuffledEvaluator(order, workers)
    record, _ = run_through(tmp_path_factory.mktemp("run") / "s.sqlite", config, evaluator)
    assert record.trace == trace
    assert len(evaluator.trained) == len(set(evaluator.trained)) == config.evaluations


def test_what_decides_a_search_changes_its_trace(undisturbed: tuple[RunConfig, str], tmp_path: Path) -> None:
    config, trace = undisturbed
    others = [
        config.model_copy(update={"seed": 6}),
        config.model_copy(update={"lag": 1}),
        config.model_copy(update={"batch": 5}),
        config.model_copy(update={"evaluations": 14}),
        config.model_copy(update={"recipe": config.recipe.model_copy(update={"steps": 151})}),
    ]
    traces = [
        run_through(tmp_path / f"{k}.sqlite", other, ShuffledEvaluator(0, 1))[0].trace for k, other in enumerate(others)
    ]
    assert len({trace, *traces}) == 6


class Crash(BaseException):
    """The process dies here."""


class CrashingStore(Store):
    """Dies at the n-th write, before or after it is committed."""

    crash_at: tuple[int, str] = (10**9, "after")
    writes = 0

    def _write(self, write: Callable[[], object]) -> object:
        self.writes += 1
        if (self.writes, "before") == self.crash_at:
            raise Crash
        result = write()
        if (self.writes, "after") == self.crash_at:
            raise Crash
        return result

    def record_all(self, name: str, evaluations: Sequence[Evaluation]) -> list[Evaluation]:
        known = self.lookup(name, [evaluation.evaluation for evaluation in evaluations])
        if all(record.evaluation is not None for record in known.values()):
            return []  # delivered again: nothing is written
        stored: list[Evaluation] = []
        self._write(lambda: stored.extend(Store.record_all(self, name, evaluations)))
        return stored

    def advance(self, name: str, step: Advance) -> None:
        self._write(lambda: Store.advance(self, name, step))


@pytest.mark.parametrize("crash_at", [(1, "after"), (2, "before")])
@pytest.mark.parametrize(
    ("queue", "helpers"), [("survives", "at once"), ("is lost", "at once"), ("is lost", "at random moments")]
)
def test_a_crash_at_every_transaction_changes_nothing(
    undisturbed: tuple[RunConfig, str],
    tmp_path: Path,
    crash_at: tuple[int, str],
    queue: str,
    helpers: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One run whose process dies at each of its writes in turn, as by a kill: nobody says goodbye to the store."""
    if helpers == "at random moments":
        draw = random.Random(0)
        monkeypatch.setattr(identity_pool.Answer, "is_ready", property(lambda _: draw.random() < 0.3))
    config, trace = undisturbed
    with Store.open(tmp_path / "s.sqlite") as store:
        store.create_run("first", config, command="", versions={})
        evaluator, crashes = ShuffledEvaluator(0, workers=3), 0
        while True:
            if queue == "is lost":
                evaluator = ShuffledEvaluator(crashes, workers=3)
            crashing = CrashingStore(store._engine)  # a new one in all but its engine
            crashing.crash_at = crash_at
            try:
                run = Search(crashing, "first")
                while not run.is_done:
                    evaluator.submit(run.ask())
                    found = evaluator.collect(0)
                    for evaluation in found:
                        run.tell([evaluation])  # together they would be one write
                    evaluator.release(found)
                break
            except Crash:
                crashes += 1
        batches = store.batches("first")
        # Each result is one write, so is each batch told, and each that fills the pipeline at the start.
        assert crashes == config.evaluations + len(batches) + config.lag - (crash_at == (2, "before"))
        assert store.run("first").trace == trace
        evaluations = store.evaluations("first")
        assert [e.number for e in evaluations] == list(range(1, config.evaluations + 1))
        assert all(e.evaluation is not None for e in evaluations)
        assert [batch.batch for batch in batches] == list(range(len(batches)))
    if queue == "survives":
        assert max(Counter(evaluator.trained).values()) == 1, "an evaluation was trained twice"


def test_stopped_again_and_again_it_ends_the_same(undisturbed: tuple[RunConfig, str], tmp_path: Path) -> None:
    config, trace = undisturbed
    evaluator, rng = ShuffledEvaluator(1, workers=2), random.Random(1)
    with Store.open(tmp_path / "s.sqlite") as store:
        store.create_run("first", config, command="", versions={})
        for _ in range(100):
            stop, steps = Event(), rng.randint(1, 5)
            seen: list[Progress] = []

            def on_progress(
                progress: Progress, stop: Event = stop, steps: int = steps, seen: list[Progress] = seen
            ) -> None:
                seen.append(progress)
                if len(seen) >= steps:
                    stop.set()

            record = resume(store, "first", evaluator, stop=stop, on_progress=on_progress)
            if record.state is RunState.DONE:
                break
            assert (record.state, record.reason) == (RunState.INTERRUPTED, "stopped on request")
        assert (record.state, record.trace) == (RunState.DONE, trace)
    assert len(evaluator.trained) == len(set(evaluator.trained)) == config.evaluations


# --- what is asked and told ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lag", [1, 2, 4])
def test_batch_n_is_asked_when_batches_up_to_n_minus_lag_are_told(store: Store, lag: int) -> None:
    config = RANDOM.model_copy(update={"lag": lag, "evaluations": 32, "batch": 4})
    spy = spy_on(config)
    search(config, ShuffledEvaluator(3, workers=8), store=store, run="first", proposer=spy)
    asked = told = 0
    for call in spy.calls:
        if call == "ask":
            assert told == max(0, asked - lag + 1)
            asked += 1
        else:
            told += 1
    assert asked == told == len(store.batches("first"))
    assert spy.calls[: lag + 1] == ["ask"] * lag + ["tell"]


def test_rewards_are_validation_accuracies_in_slot_order(store: Store) -> None:
    """The reward of each slot is what that slot's own function reached on validation images, or the floor."""
    spy = spy_on(RANDOM)
    search(RANDOM, ShuffledEvaluator(9, workers=8), store=store, run="first", proposer=spy)
    results = {record.key: record.evaluation for record in store.evaluations("first")}
    proposals = iter(store.proposals("first"))
    floors = 0
    for formulas, rewards in spy.told:
        for formula, reward in zip(formulas, rewards, strict=True):
            proposal = next(proposals)
            result = results[proposal.evaluation]
            assert result is not None
            assert formula.tokens == proposal.tokens
            expected = result.val_accuracy if result.outcome is Outcome.TRAINED else FLOOR_REWARD
            assert reward == expected == proposal.reward
            floors += result.outcome is not Outcome.TRAINED
    assert next(proposals, None) is None
    assert floors > 0, "the test needs a function that did not train"


def handed_out(run: Search) -> list[Job]:
    """All that a search has to hand out now."""
    return list(chain.from_iterable(iter(run.ask, [])))


def test_a_batch_is_handed_out_before_the_next_is_proposed(store: Store) -> None:
    """Workers had nothing to do while the identities of several batches were computed in one go."""
    config = RANDOM.model_copy(update={"evaluations": 100, "batch": 5, "lag": 3})
    store.create_run("first", config, command="", versions={})
    run = Search(store, "first")
    asked = 0
    for told in (0, 0, 0, 1, 2):
        jobs = run.ask()
        asked += len(jobs)
        summary = store.summary("first")
        assert (summary.asked, summary.batches_told) == (asked, told)
        assert 0 < len(jobs) <= config.batch
        run.tell(answer(job) for job in jobs)


def test_results_are_told_while_helpers_are_at_identities(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    helpers_are_done = False
    monkeypatch.setattr(identity_pool.Answer, "is_ready", property(lambda _: helpers_are_done))
    config = RANDOM.model_copy(update={"evaluations": 10, "batch": 5, "lag": 2})
    store.create_run("first", config, command="", versions={})
    spy = spy_on(config)
    run = Search(store, "first", spy)
    first = run.ask()
    assert len(first) == 5, "with nobody at work there is nothing to do but to wait"
    assert spy.calls == ["ask"] * 2, "the second batch is proposed while helpers are at the first"
    assert run.ask() == []
    run.tell(answer(job) for job in first[:3])
    assert run.ask() == []
    summary = store.summary("first")
    assert (summary.told, summary.asked, summary.batches_told) == (3, 5, 0)
    helpers_are_done = True
    second = run.ask()
    assert len(second) == 5
    run.tell(answer(job) for job in first[3:] + second)
    helpers_are_done = False
    assert (run.ask(), run.is_done) == ([], True)


def test_a_run_whose_controller_is_lost_does_not_begin_another(store: Store) -> None:
    """As one that benchmarks/archive_runs.py has packed."""
    store.create_run("first", RANDOM, command="", versions={})
    Search(store, "first").ask()
    with store._engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM controllers")
    with pytest.raises(RunError, match="run 'first' has no controller state any more"):
        Search(store, "first")


def test_helpers_do_not_change_the_trace(
    undisturbed: tuple[RunConfig, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity_pool, "LARGE", 1)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    config, trace = undisturbed
    record, _ = run_through(tmp_path / "s.sqlite", config, ShuffledEvaluator(0, workers=3))
    assert record.trace == trace


@pytest.mark.parametrize(
    "changes",
    [
        {"controller": "random", "evaluations": 60},
        {"controller": "ppo", "evaluations": 43},
        {"controller": "exhaustive", "space": NARROW.space, "repeats": 3, "repeat_best": 4},
        {"controller": "random", "space": NARROW.space, "lag": 5},
        {"controller": "local", "early_stopping": EarlyStoppingSettings(calibration=3), "evaluations": 60},
    ],
    ids=["budget", "ppo", "nothing left", "exhausted", "early stopping"],
)
def test_when_helpers_are_done_decides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    """Steps begin before those ahead are stored: only where one comes in any case."""
    config = RANDOM.model_copy(update={"evaluations": 1000, "batch": 3, "lag": 4, **changes})
    expected, _ = run_through(tmp_path / "at_once.sqlite", config, ShuffledEvaluator(0, workers=3))
    draw = random.Random(0)
    monkeypatch.setattr(identity_pool.Answer, "is_ready", property(lambda _: draw.random() < 0.3))
    for seed in range(4):
        evaluator = ShuffledEvaluator(seed, workers=3)
        record, _ = run_through(tmp_path / f"{seed}.sqlite", config, evaluator)
        assert (record.trace, record.reason) == (expected.trace, expected.reason)


@pytest.mark.parametrize("controller", ["ppo", "random"])
def test_a_formula_without_identity_pauses_the_run_by_name(
    store: Store, monkeypatch: pytest.MonkeyPatch, controller: str
) -> None:
    """Whoever asks first: `ppo` wants to know which function it is before it proposes it, the pipeline afterwards."""

    def fail(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("actsearch.identity.fingerprints.fingerprint", fail)
    formula_fingerprint.cache_clear()
    identities._computed.cache_clear()
    config = RANDOM.model_copy(update={"controller": controller})
    with pytest.raises(RunPausedError, match=r"^no identity of \w+ \w+ \w+ \(ZeroDivisionError"):
        search(config, ShuffledEvaluator(0, workers=1), store=store, run="first")
    record = store.run("first")
    assert record.state is RunState.PAUSED
    assert record.reason.startswith("no identity of ")


def test_a_job_says_what_the_run_says(store: Store) -> None:
    store.create_run("first", PPO, command="", versions={})
    jobs = handed_out(Search(store, "first"))
    assert len(jobs) == PPO.lag * PPO.batch
    for job, record in zip(jobs, store.evaluations("first"), strict=True):
        identity = fingerprint(expression_of(Formula.from_tokens(record.tokens)))
        seed = child_seed(PPO.seed, identity, 0)
        key = evaluation_key(identity, PPO.child, PPO.recipe, PPO.dataset, seed)
        assert (job.run, job.seed, job.evaluation) == ("first", seed, key)
        assert (job.tokens, record.seed, record.key) == (record.tokens, seed, key)
        assert (job.child, job.recipe, job.dataset) == (PPO.child, PPO.recipe, PPO.dataset)
        assert (job.max_operations, job.timeout_seconds) == (PPO.max_operations, PPO.timeout_seconds)


def test_spellings_of_one_function_share_an_evaluation_and_cost_nothing(store: Store) -> None:
    config = RANDOM.model_copy(update={"evaluations": 3, "batch": 4, "lag": 1})
    spellings = ("identity identity add", "identity identity add", "abs abs multiply", "identity identity multiply")
    spy, evaluator = Spy(Scripted(*spellings)), ShuffledEvaluator(0, workers=2)
    search(config, evaluator, store=store, run="first", proposer=spy)
    first, second = (tuple(p for p in store.proposals("first") if p.batch == batch) for batch in (0, 1))
    assert [p.is_new for p in first + second] == [True, False, True, False, *[False] * 4]
    assert first[0].evaluation == first[1].evaluation != first[2].evaluation == first[3].evaluation
    assert [p.evaluation for p in second] == [p.evaluation for p in first]
    (_, rewards), (_, again) = spy.told[:2]
    assert rewards[0] == rewards[1]
    assert rewards[2] == rewards[3]
    assert again == rewards
    assert len(evaluator.trained) == store.summary("first").asked == 2


def test_the_backend_follows_from_the_function(store: Store) -> None:
    """A rule of the canonical form: every spelling of SiLU takes torch's own silu, every other function sympy's gradient."""
    config = RANDOM.model_copy(update={"evaluations": 3, "batch": 3, "lag": 1})
    spellings = ("identity sigmoid multiply", "scale identity gate", "sinh cosh min")
    jobs: dict[str, str] = {}

    class Watching(ShuffledEvaluator):
        def submit(self, jobs_: Sequence[Job]) -> None:
            jobs.update({" ".join(job.tokens): job.backend for job in jobs_})
            super().submit(jobs_)

    search(config, Watching(0, workers=2), store=store, run="first", proposer=Spy(Scripted(*spellings)))
    assert jobs == dict(zip(spellings, ("native", "symbolic", "symbolic"), strict=True))


def test_the_batch_that_reaches_the_budget_is_cut_there(store: Store) -> None:
    config = RANDOM.model_copy(update={"evaluations": 6, "batch": 4, "lag": 2})
    spy = spy_on(config)
    record = search(config, ShuffledEvaluator(0, workers=4), store=store, run="first", proposer=spy)
    assert (record.state, record.reason) == (RunState.DONE, "all 6 evaluations done")
    summary = store.summary("first")
    assert (summary.asked, summary.told) == (6, 6)
    last = spy.told[-1][0]
    assert len(last) < 4
    assert store.proposals("first")[-1].is_new
    assert record.config.evaluations == len(store.evaluations("first"))


def test_a_controller_with_nothing_new_ends_the_run(store: Store) -> None:
    config = NARROW.model_copy(update={"evaluations": 500})
    record = search(config, ShuffledEvaluator(0, workers=4), store=store, run="first")
    assert record.state is RunState.DONE
    assert record.reason == "policy exhausted: no new training in 20 batches"
    summary = store.summary("first")
    # 9 strings; x + |x| and |x| + x and so on are one function each.
    assert summary.asked == summary.told == 6
    assert summary.batches_told == summary.last_new_batch + 1 + 20
    again = resume(store, "first", ShuffledEvaluator(0, workers=4))
    assert (again.state, again.trace) == (RunState.DONE, record.trace)


def test_minutes_end_the_proposals_and_what_is_in_flight_is_told(store: Store) -> None:
    config = RANDOM.model_copy(update={"evaluations": 10_000, "minutes": 2.0})
    store.create_run("first", config, command="", versions={})
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 0.7
        return now

    record = drive(Search(store, "first", clock=clock), store, ShuffledEvaluator(0, workers=2))
    assert (record.state, record.reason) == (RunState.DONE, "2 minutes are over")
    summary = store.summary("first")
    assert summary.asked == summary.told
    assert summary.batches_asked == summary.batches_told >= config.lag
    assert record.seconds >= 120
    asked = summary.asked
    store.set_config("first", config.model_copy(update={"minutes": 4.0}))
    drive(Search(store, "first", clock=clock), store, ShuffledEvaluator(0, workers=2))
    assert store.summary("first").asked > asked
    assert 240 <= store.run("first").seconds < 300


def test_what_the_clock_ended_is_repeated_by_its_number_of_evaluations(store: Store) -> None:
    config = PPO.model_copy(update={"evaluations": 10_000, "minutes": 1.0})
    store.create_run("clock", config, command="", versions={})
    ticks = iter(range(0, 10_000, 3))
    drive(Search(store, "clock", clock=lambda: next(ticks)), store, ShuffledEvaluator(0, workers=2))
    first = store.evaluations("clock")
    assert 10 < len(first) < 100
    search(
        PPO.model_copy(update={"evaluations": len(first)}), ShuffledEvaluator(1, workers=3), store=store, run="again"
    )
    again = store.evaluations("again")
    assert [(e.key, e.seed, e.evaluation and e.evaluation.reward) for e in again] == [
        (e.key, e.seed, e.evaluation and e.evaluation.reward) for e in first
    ]


def test_a_larger_budget_goes_on_with_what_is_there(store: Store) -> None:
    evaluator = ShuffledEvaluator(0, workers=3)
    search(PPO, evaluator, store=store, run="first")
    before = store.evaluations("first")
    store.set_config("first", PPO.model_copy(update={"evaluations": 25}))
    record = resume(store, "first", evaluator)
    after = store.evaluations("first")
    assert record.state is RunState.DONE
    assert len(after) == 25
    assert after[: len(before)] == before
    assert len(evaluator.trained) == len(set(evaluator.trained)) == 25


# --- results that are late, foreign, twice ---------------------------------------------------------------------------


def test_foreign_and_repeated_results_change_nothing(store: Store) -> None:
    store.create_run("first", RANDOM, command="", versions={})
    run = Search(store, "first")
    job = handed_out(run)[0]
    good = answer(job)
    run.tell([good.model_copy(update={"evaluation": "0" * 16}), good.model_copy(update={"run": "another"})])
    assert run.progress.told == 0
    run.tell([good, good])
    run.tell([good.model_copy(update={"outcome": Outcome.NONFINITE, "val_accuracy": None})])
    assert (run.progress.told, run.progress.by_outcome) == (1, {good.outcome: 1})
    assert run.ask() == [], "jobs are handed out once"
    assert len(Search(store, "first").ask()) == RANDOM.lag * RANDOM.batch - 1


def test_of_two_controllers_on_one_run_one_is_refused(store: Store) -> None:
    store.create_run("first", RANDOM, command="", versions={})
    one, two = Search(store, "first"), Search(store, "first")
    jobs = one.ask()
    with pytest.raises(RunError, match="another controller"):
        two.ask()
    assert store.summary("first").asked == len(jobs)


# --- endings that are not --------------------------------------------------------------------------------------------


class Broken(ShuffledEvaluator):
    """Breaks after a few results."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(seed=0, workers=2)
        self._error = error

    def collect(self, timeout_seconds: float) -> list[Evaluation]:
        if len(self.trained) > 6:
            raise self._error
        return super().collect(timeout_seconds)


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (RunPausedError("job 12ab: 20 attempts"), RunState.PAUSED, "job 12ab: 20 attempts"),
        (ConnectionError("no route\nto host"), RunState.INTERRUPTED, "ConnectionError: no route"),
        (KeyboardInterrupt(), RunState.INTERRUPTED, "KeyboardInterrupt: "),
    ],
)
def test_trouble_is_raised_and_the_run_goes_on_later(
    store: Store, undisturbed: tuple[RunConfig, str], error: BaseException, state: RunState, reason: str
) -> None:
    config, trace = undisturbed
    with pytest.raises(type(error)):
        search(config, Broken(error), store=store, run="first")
    record = store.run("first")
    assert (record.state, record.reason) == (state, reason)
    assert 0 < store.summary("first").told < config.evaluations
    assert resume(store, "first", ShuffledEvaluator(2, workers=3)).trace == trace
    assert store.run("first").reason == f"all {config.evaluations} evaluations done"


def test_a_taken_name_is_refused_before_any_work(store: Store) -> None:
    store.create_run("first", RANDOM, command="", versions={})
    evaluator = ShuffledEvaluator(0, workers=1)
    with pytest.raises(RunError, match="there is a run named 'first' already"):
        search(RANDOM, evaluator, store=store, run="first")
    assert evaluator.trained == []


def test_progress_agrees_with_the_store(store: Store) -> None:
    seen: list[Progress] = []
    search(PPO, ShuffledEvaluator(0, workers=2), store=store, run="first", on_progress=seen.append)
    first, last, summary = seen[0], seen[-1], store.summary("first")
    assert (first.asked, first.told, first.in_flight, first.batch, first.best) == (4, 0, 4, 0, None)
    assert (last.asked, last.told, last.in_flight) == (15, 15, 0)
    assert last.by_outcome == summary.by_outcome
    assert last.best == summary.best
    assert last.batch == summary.batches_told
    assert last.evaluations_per_minute > 0
    assert last.metrics["uniform_entropy"] == Space(PPO.space).uniform_entropy
    assert 0 < last.metrics["entropy"] <= last.metrics["uniform_entropy"] + 1e-5
    assert [progress.told for progress in seen] == sorted(progress.told for progress in seen)
    assert Search(store, "first").progress.best == summary.best


def test_asked_and_told_by_hand(store: Store) -> None:
    """The package's own example: no evaluator, any order."""
    store.create_run("first", PPO, command="", versions={})
    run, trained = Search(store, "first"), list[Job]()
    while not run.is_done:
        jobs = run.ask()
        trained += jobs
        for job in reversed(jobs):
            run.tell([answer(job)])
    assert len(trained) == 15
    assert run.ending == "all 15 evaluations done"
