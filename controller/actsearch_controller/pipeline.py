"""The fixed-lag pipeline: a search as a value that is asked for jobs and told evaluations, in any order.

Batch n is proposed by the controller that has been told batches 0 … n - lag, and a batch is told only when all its
results are there, in slot order. So neither the number of workers nor the order in which they finish decides
anything, and at most lag x batch evaluations are in flight. Every step is one transaction of the store: a process
killed anywhere goes on from the last one, with nothing lost and nothing asked twice.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from actsearch.backend import backend_of
from actsearch.errors import RunError
from actsearch.evaluation import Evaluation, Job, Outcome, Rung
from actsearch.formula import Formula
from actsearch.space import Space
from actsearch.store import (
    Advance,
    BatchRecord,
    EvaluationRecord,
    NewProposal,
    Store,
)
from actsearch_controller.controllers import build_controller
from actsearch_controller.early_stopping import EarlyStopping
from actsearch_controller.identities import identity_of
from actsearch_controller.identity_pool import Answer, IdentityPool
from actsearch_controller.in_flight import Batch, InFlight
from actsearch_controller.ports import Proposer
from actsearch_controller.progress import Progress
from actsearch_controller.slots import assigned
from actsearch_controller.trace import TracedSlot, digest, extend

EXHAUSTED_AFTER = 20
"""Batches in a row without a new training after which the controller is said to have nothing left to propose."""


@dataclass(frozen=True)
class _Step:
    """One step of a search, begun and not yet stored: it waits for the identities of what the controller proposed."""

    told: BatchRecord | None
    trace: str
    formulas: Sequence[Formula]
    identities: Answer
    rungs: tuple[Rung, ...]
    controller: bytes
    """Its state afterwards."""


class Search:
    """One run, driven by whoever asks it for jobs and tells it evaluations::

        search = Search(store, "first")
        while not search.is_done:
            for job in search.ask():
                search.tell([train(job)])

    Made anew from the store it goes on where the run was; after an exception from it, do just that.
    """

    def __init__(
        self,
        store: Store,
        run: str,
        proposer: Proposer | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """The search of a run in the store.

        Args:
            store: where everything stands that must not be lost.
            run: the run's name; `Store.create_run` makes one.
            proposer: a fresh controller; None builds the one that the run's settings name.
            clock: seconds from any origin, for the limit in minutes.
        """
        record = store.run(run)
        self.run = run
        self.config = record.config
        self._store = store
        self._proposer = proposer or build_controller(self.config, Space(self.config.space), _fingerprint)
        summary, state = store.summary(run), store.controller(run)
        if state is not None:
            self._proposer.restore(state)
        elif summary.batches_asked:
            raise RunError(f"run {run!r} has no controller state any more (an archive?): its search cannot go on")
        self._trace = record.trace
        self._clock = clock
        self._started = clock()
        self._seconds_before = record.seconds

        self._asked = summary.asked
        self._batches_asked = summary.batches_asked
        self._batches_told = summary.batches_told
        self._last_new_batch = summary.last_new_batch
        self._by_outcome = Counter(summary.by_outcome)
        self._best, self._best_is_stale = summary.best, False
        self._told_before = summary.told
        self._metrics: dict[str, float] = {}

        self._in_flight = InFlight(store, run, summary.batches_told)
        self._identities = IdentityPool()
        self._steps: deque[_Step] = deque()
        self._early_stopping = self._resumed_early_stopping()
        self._waits_for_a_batch = False
        self._is_out_of_proposals = False

    @property
    def is_done(self) -> bool:
        """Whether every batch is told and no other will be proposed."""
        return not self._in_flight and not self._steps and self.ending is not None

    @property
    def ending(self) -> str | None:
        """Why nothing more is proposed, one line; None while proposals go on."""
        if self._asked >= self.config.evaluations:
            return f"all {self.config.evaluations} evaluations done"
        if self._is_out_of_proposals:
            return "nothing left to propose"
        if self._batches_asked - 1 - self._last_new_batch >= EXHAUSTED_AFTER:
            return f"policy exhausted: no new training in {EXHAUSTED_AFTER} batches"
        if self.config.minutes is not None and self.seconds >= 60 * self.config.minutes:
            return f"{self.config.minutes:g} minutes are over"
        return None

    @property
    def seconds(self) -> float:
        """Wall-clock time spent searching, earlier sessions included."""
        return self._seconds_before + self._clock() - self._started

    def ask(self) -> list[Job]:
        """The jobs that this object has not handed out yet, in the order asked; none while it waits for results.

        Each batch is handed out before the next is stored, since to say which functions hundreds of formulas are takes
        seconds. While helpers are at that it returns none, as long as there are results to be told meanwhile.
        After a resume the first jobs are all evaluations without a result: whoever runs them may know some already.
        """
        while not (waiting := self._in_flight.waiting) and self._advance():
            pass
        self._in_flight.hand_out(waiting)
        return [self._job(record) for record in waiting]

    def tell(self, evaluations: Iterable[Evaluation]) -> None:
        """Stores results; the controller is told each batch that they complete by the next `ask`.

        The first result of an evaluation stays; later ones, and any that this run never asked for, change nothing.
        """
        mine = [evaluation for evaluation in evaluations if evaluation.run == self.run]
        for evaluation in self._store.record_all(self.run, mine) if mine else ():
            self._note(evaluation)

    @property
    def progress(self) -> Progress:
        if self._best_is_stale:
            self._best, self._best_is_stale = self._store.best(self.run), False
        told = self._by_outcome.total()
        seconds = self._clock() - self._started
        return Progress(
            run=self.run,
            budget=self.config.evaluations,
            minutes=self.config.minutes,
            asked=self._asked,
            told=told,
            by_outcome=dict(self._by_outcome),
            best=self._best,
            in_flight=self._asked - told,
            batch=self._batches_told,
            seconds=self.seconds,
            evaluations_per_minute=60 * (told - self._told_before) / seconds if seconds > 0 else 0.0,
            metrics=self._metrics,
        )

    def _note(self, evaluation: Evaluation) -> None:
        """Brings what is in memory up to what the store now holds."""
        record = self._in_flight.note(evaluation)
        self._by_outcome[evaluation.outcome] += 1
        if record.replicate or self._best is None or evaluation.reward > self._best.reward:
            self._best_is_stale = True

    def _advance(self) -> bool:
        """Begins steps while helpers are at the oldest, and stores that one once that can be; whether it stored one."""
        while not self._is_oldest_known and self._another_is_certain and (step := self._begun()) is not None:
            self._steps.append(step)
        if not self._steps or not (self._is_oldest_known or not self._in_flight.expects_results):
            return False
        self._store_step(self._steps.popleft())
        return True

    @property
    def _is_oldest_known(self) -> bool:
        """Whether the functions of the oldest step begun are known."""
        return bool(self._steps) and self._steps[0].identities.is_ready

    @property
    def _another_is_certain(self) -> bool:
        """Whether another step may begin, whatever functions those begun turn out to propose.

        Were it for these to decide, the trace would depend on how soon helpers are done.
        """
        proposed = sum(len(step.formulas) for step in self._steps)
        batches = self._batches_asked + len(self._steps)
        return not self._steps or (
            all(step.formulas for step in self._steps)
            and self._asked + proposed < self.config.evaluations
            and batches - 1 - self._last_new_batch < EXHAUSTED_AFTER
        )

    def _begun(self) -> _Step | None:
        """The next step: adds a batch while there are fewer than `lag`, else tells the oldest where it is complete and
        adds one; None where there is nothing to do.
        """
        under_way = len(self._in_flight) + len(self._steps)
        if under_way < self.config.lag and self.ending is None and not self._waits_for_a_batch:
            told = None
        elif (told := self._in_flight.pop_complete()) is None:
            return None
        self._waits_for_a_batch = False
        slots: list[TracedSlot] = []
        metrics: dict[str, float] = {}
        if told is not None:
            slots = [self._traced(slot) for slot in told.slots]
            if self._early_stopping is not None:
                _tell_curves(self._early_stopping, map(self._in_flight.record, told.new_keys))
            formulas = [Formula.from_tokens(slot.tokens) for slot in slots]
            metrics = self._proposer.tell(formulas, [slot.reward for slot in slots])
        proposed = self._proposed()
        state = self._proposer.state()
        batch, trace = None, self._steps[-1].trace if self._steps else self._trace
        if told is not None:
            batch = BatchRecord(batch=told.number, told_at=datetime.now(UTC), metrics=metrics, digest=digest(state))
            trace = extend(trace, told.number, slots, batch.digest)
        return _Step(
            told=batch,
            trace=trace,
            formulas=proposed,
            identities=self._identities.of(proposed),
            rungs=() if self._early_stopping is None else self._early_stopping.rungs,
            controller=state,
        )

    def _store_step(self, step: _Step) -> None:
        slots, new = assigned(
            step.formulas,
            step.identities.take(),
            self.config,
            left=self.config.evaluations - self._asked,
            rungs=step.rungs,
            asked_before=lambda keys: self._store.lookup(self.run, keys),
        )
        batch = Batch(self._batches_asked, slots) if slots else None
        self._store.advance(
            self.run,
            Advance(
                told=step.told,
                proposed={} if batch is None else {batch.number: batch.slots},
                new=new,
                controller=step.controller,
                trace=step.trace,
                seconds=self.seconds,
            ),
        )
        self._trace = step.trace
        if step.told is not None:
            self._batches_told += 1
            self._metrics = dict(step.told.metrics)
        self._asked += len(new)
        self._batches_asked += batch is not None
        if batch is not None and batch.new_keys:
            self._last_new_batch = batch.number
        self._in_flight.accept(batch)

    def _proposed(self) -> Sequence[Formula]:
        """Asks the controller for the next batch."""
        if self.ending is not None:
            return ()
        formulas = self._proposer.ask(self.config.batch)
        if not formulas:
            # While results are on their way it may still find something: it is asked again after the next batch.
            self._waits_for_a_batch = bool(self._in_flight or self._steps)
            self._is_out_of_proposals = not self._waits_for_a_batch
        return formulas

    def _resumed_early_stopping(self) -> EarlyStopping | None:
        """One that was told the batches told so far; None in a run that trains every child to the end."""
        settings = self.config.early_stopping
        if settings is None:
            return None
        early_stopping = EarlyStopping.of(settings, self.config.recipe.steps)
        waiting = {key for batch in self._in_flight for key in batch.new_keys}
        records = self._store.evaluations(self.run, layers=False)
        _tell_curves(early_stopping, (record for record in records if record.key not in waiting))
        return early_stopping

    def _traced(self, slot: NewProposal) -> TracedSlot:
        record = self._in_flight.record(slot.evaluation)
        assert record.evaluation is not None, "only complete batches are told"
        return TracedSlot(
            tokens=slot.tokens,
            canonical=record.canonical,
            backend=backend_of(record.canonical),
            seed=record.seed,
            outcome=record.evaluation.outcome.value,
            reward=record.evaluation.reward,
        )

    def _job(self, record: EvaluationRecord) -> Job:
        return Job(
            run=self.run,
            evaluation=record.key,
            tokens=record.tokens,
            seed=record.seed,
            backend=backend_of(record.canonical),
            child=self.config.child,
            recipe=self.config.recipe,
            dataset=self.config.dataset,
            max_operations=self.config.max_operations,
            timeout_seconds=self.config.timeout_seconds,
            rungs=record.rungs,
        )


def _fingerprint(formula: Formula) -> str:
    """For controllers that ask: with the limit and the errors of an identity, and remembered with it."""
    return identity_of(formula).fingerprint


def _tell_curves(early_stopping: EarlyStopping, records: Iterable[EvaluationRecord]) -> None:
    """Tells the curves of each function's first training, which alone may be stopped: repeats go to the best."""
    for record in records:
        if record.replicate:
            continue
        done = record.evaluation
        assert done is not None, "only complete batches are told"
        is_trained = done.outcome is Outcome.TRAINED
        early_stopping.tell({p.step: p.val_accuracy for p in done.curve}, done.val_accuracy if is_trained else None)
