"""Verification: the functions of finals trained in other children and on other data, with fresh paired seeds.

One round of trainings and no decision: nothing is dropped, tested or promoted, and the test images are not touched.
What comes of it is how far the finals' order holds elsewhere.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from threading import Event

import numpy as np

from actsearch.config import Recipe
from actsearch.errors import RunError
from actsearch.evaluation import Evaluation, Job, Outcome, final_seeds
from actsearch.store import RunState, Store, VerificationRecord
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
from actsearch_controller import driving
from actsearch_controller.finals.ledger import Ledger
from actsearch_controller.finals.plan import for_steps, protocol_of
from actsearch_controller.finals.progress import FinalsProgress
from actsearch_controller.finals.result import estimate
from actsearch_controller.finals.statistics import Array, spearman
from actsearch_controller.finals.trainings import Training
from actsearch_controller.ports import Evaluator


def make_plan(store: Store, run: str, settings: VerifySettings, recipes: Mapping[str, Recipe]) -> VerificationPlan:
    """The plan of a verification.

    Args:
        store: where the run and its finals are.
        run: its name.
        settings: where to try the functions, and how often.
        recipes: how each of the children is trained where nothing else is said, by name.

    Raises:
        RunError: the run has no finals that are done.
    """
    finals = store.finals.get(run)
    if finals is None or finals.result is None:
        raise RunError(f"run {run!r} has no finals that are done, so there are no finalists; `actsearch finals {run}`")
    config, plan = store.run(run).config, finals.plan
    protocols = [protocol_of(config, name, recipes) for name in settings.children]
    used = {r.seed for r in store.evaluations(run, layers=False)} | {*plan.screen_seeds, *plan.final_seeds}
    functions = [
        Verified(
            candidate=row.candidate,
            is_dropped=row.is_dropped,
            difference=row.difference.mean if row.difference else 0.0,
        )
        for row in finals.result.rows
    ]
    return VerificationPlan(
        settings=settings,
        functions=tuple(sorted(functions, key=lambda function: -function.difference)),
        reference=plan.controls[0].fingerprint,
        grounds=tuple(
            Ground(dataset=data, protocol=for_steps(p, settings.steps or p.recipe.steps))
            for data in settings.data
            for p in protocols
        ),
        seeds=final_seeds(config.seed, "verification", settings.seeds, used),
    )


def begin(store: Store, run: str, settings: VerifySettings, recipes: Mapping[str, Recipe]) -> VerificationRecord:
    """The run's verification with these settings: the one that was begun, else a new one; raises as `make_plan`."""
    for record in reversed(store.verifications.of(run)):
        if record.plan.settings == settings:
            return record
    return store.verifications.begin(run, make_plan(store, run, settings, recipes))


class Verification:
    """One verification as a value that is asked for jobs and told evaluations in any order, as finals are."""

    def __init__(
        self, store: Store, run: str, record: VerificationRecord, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """One that was begun.

        Args:
            store: where its plan and results stand.
            run: the run's name.
            record: what the store has of it.
            clock: seconds from any origin.
        """
        self.run, self.number, self.plan = run, record.number, record.plan
        self.result: VerificationResult | None = record.result
        self._store = store
        wanted = {t.key: t for ground in self.plan.grounds for t in self._trainings(ground)}
        stored = {key: e for key, e in store.verifications.evaluations(run).items() if key in wanted}
        self._ledger = Ledger(
            run,
            store.run(run).config,
            stored,
            lambda _, evaluation: store.verifications.record(evaluation),
            seconds_before=record.seconds,
            clock=clock,
        )
        # The longest trainings come first, so that workers come to the end together.
        self._ledger.want(sorted(wanted.values(), key=lambda t: -t.protocol.recipe.steps))
        self._settle()

    @property
    def is_done(self) -> bool:
        """Whether there is a result."""
        return self.result is not None

    @property
    def seconds(self) -> float:
        """Wall-clock time spent, earlier sessions included."""
        return self._ledger.seconds

    def ask(self) -> list[Job]:
        """The jobs that have no result and that this object has not handed out."""
        return [] if self.is_done else self._ledger.ask()

    def tell(self, evaluations: Iterable[Evaluation]) -> None:
        """Stores results; the last one makes the verification's own. Raises as `Ledger.tell`."""
        self._ledger.tell(evaluations)
        self._settle()

    @property
    def progress(self) -> FinalsProgress:
        told, missing = self._ledger.told, self._ledger.missing
        return FinalsProgress(
            run=self.run,
            stage="done" if self.is_done else f"{len(self.plan.grounds)} of child and data",
            told=len(told),
            budget=len(told) + missing.total(),
            in_flight=self._ledger.in_flight,
            standing=len(self.plan.functions),
            dropped=0,
            failures=sum(e.outcome is not Outcome.TRAINED for e in told.values()),
            seconds=self.seconds,
            seconds_left=self._ledger.seconds_left(missing),
        )

    def _trainings(self, ground: Ground) -> list[Training]:
        return [
            Training(f.candidate, ground.protocol, seed, ground.dataset)
            for seed in self.plan.seeds
            for f in self.plan.functions
        ]

    def _settle(self) -> None:
        if not self.is_done and self._ledger.is_complete:
            self.result = make_result(self.plan, self._accuracies())
            self._store.verifications.finish(self.run, self.number, self.result)

    def _accuracies(self) -> Array:
        return np.array(
            [
                [
                    [
                        self._ledger.reward(Training(f.candidate, g.protocol, seed, g.dataset))
                        for seed in self.plan.seeds
                    ]
                    for g in self.plan.grounds
                ]
                for f in self.plan.functions
            ],
            dtype=np.float64,
        )


def make_result(plan: VerificationPlan, accuracies: Array) -> VerificationResult:
    """What a verification found.

    Args:
        plan: what it followed.
        accuracies: 0–1, failures 0, ``(functions, grounds, seeds)``.
    """
    reference = [f.candidate.fingerprint for f in plan.functions].index(plan.reference)
    differences = accuracies - accuracies[reference]
    finals = np.array([f.difference for f in plan.functions])
    rows = tuple(
        VerifiedRow(
            function=function,
            difference=None if k == reference else estimate(differences[k].mean(axis=0)),
            grounds=tuple(
                GroundRow(
                    ground=ground.name,
                    accuracy=float(accuracies[k, g].mean()),
                    failures=int((accuracies[k, g] == 0).sum()),
                    difference=None if k == reference else estimate(differences[k, g]),
                )
                for g, ground in enumerate(plan.grounds)
            ),
        )
        for k, function in enumerate(plan.functions)
    )
    names = tuple(ground.name for ground in plan.grounds)
    means = [differences.mean(axis=(1, 2)), *differences.mean(axis=2).T]
    correlations = [_correlation(name, finals, mean) for name, mean in zip(("all", *names), means, strict=True)]
    return VerificationResult(
        rows=rows,
        reference=next(iter(plan.functions[reference].candidate.names), plan.functions[reference].candidate.canonical),
        grounds=names,
        seeds=len(plan.seeds),
        correlations=tuple(correlations),
    )


def _correlation(name: str, finals: Array, here: Array) -> Correlation:
    rho, low, high = spearman(finals, here)
    return Correlation(ground=name, spearman=rho, low=low, high=high)


def drive(
    store: Store,
    run: str,
    evaluator: Evaluator,
    *,
    record: VerificationRecord,
    stop: Event | None = None,
    on_progress: Callable[[FinalsProgress], None] = lambda _: None,
) -> VerificationResult | None:
    """Goes on with the verification of a record, to its end; other arguments, result and errors as of finals."""
    verification = Verification(store, run, record)

    def set_state(state: RunState, reason: str) -> None:
        seconds = None if state is RunState.RUNNING else verification.seconds
        store.verifications.set_state(run, record.number, state, reason, seconds=seconds)

    if not verification.is_done:
        driving.drive(
            verification,
            evaluator,
            set_state=set_state,
            stop=stop,
            on_progress=lambda: on_progress(verification.progress),
        )
    if verification.is_done and record.result is None:
        set_state(RunState.DONE, "")
        on_progress(verification.progress)
    return verification.result
