"""Finals as a value that is asked for jobs and told evaluations in any order, as a search is by its pipeline.

Every decision is a function of the plan and of results in the store: who is promoted when the screening is complete,
who is dropped when a round of seeds is. So neither workers nor the order of results decide anything, and finals made
anew from the store go on where they were.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from actsearch.evaluation import Evaluation, Job, Outcome
from actsearch.finals import Candidate, FinalsPlan, FinalsResult
from actsearch.store import Store
from actsearch_controller.finals.judgement import Judge
from actsearch_controller.finals.ledger import Ledger
from actsearch_controller.finals.progress import FinalsProgress
from actsearch_controller.finals.result import Scores, make_result
from actsearch_controller.finals.statistics import Array
from actsearch_controller.finals.trainings import Training, panel, screening


class Finals:
    """The finals of one run, begun in the store by `FinalsStore.begin`::

    finals = Finals(store, "first")
    while not finals.is_done:
        for job in finals.ask():
            finals.tell([train(job)])
    print(finals.result)
    """

    def __init__(self, store: Store, run: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """The finals of a run that has some.

        Args:
            store: where their plan and every result stand.
            run: the run's name.
            clock: seconds from any origin.
        """
        record = store.finals.get(run)
        assert record is not None, "begun by whoever drives them"
        self.run = run
        self.plan = record.plan
        self.result: FinalsResult | None = record.result
        self._store = store
        config = store.run(run).config
        self._dataset = config.dataset
        stored = {e.key: e.evaluation for e in store.finals.evaluations(run)}
        self._ledger = Ledger(run, config, stored, self._record, seconds_before=record.seconds, clock=clock)

        self._functions: Sequence[Candidate] = ()
        self._standing = np.ones(0, dtype=bool)
        self._rounds = [0, *self.plan.looks, len(self.plan.final_seeds)]
        self._round = 0
        self._want(screening(self.plan, self._dataset))
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
        """The jobs of the present round that have no result and that this object has not handed out."""
        return [] if self.is_done else self._ledger.ask()

    def tell(self, evaluations: Iterable[Evaluation]) -> None:
        """Stores results, and begins the next round where they complete one.

        The first result of a training stays; later ones, and any that nobody asked for, change nothing.

        Raises:
            RunError: somebody else has stored a result meanwhile.
        """
        self._ledger.tell(evaluations)
        self._settle()

    @property
    def progress(self) -> FinalsProgress:
        remaining = self._ledger.missing + self._later
        told = self._ledger.told
        is_screening = not self._functions
        return FinalsProgress(
            run=self.run,
            stage=self._stage,
            told=len(told),
            budget=len(told) + remaining.total(),
            in_flight=self._ledger.in_flight,
            standing=len(self.plan.candidates) if is_screening else int(self._standing.sum()),
            dropped=int((~self._standing).sum()),
            failures=sum(e.outcome is not Outcome.TRAINED for e in told.values()),
            seconds=self.seconds,
            seconds_left=self._ledger.seconds_left(remaining),
        )

    @property
    def _stage(self) -> str:
        if self.is_done:
            return "done"
        if not self._functions:
            return "screening"
        first, last = self._rounds[self._round] + 1, self._rounds[self._round + 1]
        return f"seeds {first} to {last} of {len(self.plan.final_seeds)}"

    # --- one round after the other -----------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Goes on while the present round is complete."""
        while not self.is_done and self._ledger.is_complete:
            if not self._functions:
                self._promote()
            else:
                self._end_round()

    def _promote(self) -> None:
        finalists = promoted(self.plan, {key: e.reward for key, e in self._ledger.told.items()}, self._dataset)
        self._functions = [*finalists, *_missing_controls(self.plan, finalists)]
        identities = [f.fingerprint for f in self._functions]
        reference = identities.index(self.plan.controls[0].fingerprint)
        is_finalist = np.arange(len(self._functions)) < len(finalists)
        is_finalist[reference] = False  # found by the search or not, it is not compared with itself
        self._judge = Judge(is_finalist, reference, self.plan.looks, len(self.plan.final_seeds))
        self._standing = np.ones(len(self._functions), dtype=bool)
        self._want(self._trainings(0))

    def _end_round(self) -> None:
        self._round += 1
        seen = self._rounds[self._round]
        if seen == len(self.plan.final_seeds):
            self._conclude()
        else:
            self._standing = self._judge.kept(self._accuracies(seen, self._ledger.reward), self._standing)
            self._want(self._trainings(self._round))

    def _trainings(self, number: int) -> list[Training]:
        """Those of a round: who is still in, with the round's seeds."""
        seeds = self.plan.final_seeds[self._rounds[number] : self._rounds[number + 1]]
        return panel(self.plan, self._still_in, seeds, self._dataset)

    @property
    def _still_in(self) -> list[Candidate]:
        return [f for f, stands in zip(self._functions, self._standing, strict=True) if stands]

    def _want(self, trainings: Iterable[Training]) -> None:
        """Makes these the present round's, and counts what would follow if nobody were dropped."""
        self._ledger.want(trainings)
        if self._functions:
            functions, seeds = self._still_in, self.plan.final_seeds[self._rounds[self._round + 1] :]
        else:
            finalists = self.plan.candidates[: self.plan.settings.finalists]
            functions, seeds = [*finalists, *_missing_controls(self.plan, finalists)], self.plan.final_seeds
        later = panel(self.plan, functions, seeds, self._dataset)
        self._later = Counter((training.protocol, training.dataset) for training in later)

    def _record(self, training: Training, evaluation: Evaluation) -> bool:
        return self._store.finals.record(
            evaluation,
            fingerprint=training.candidate.fingerprint,
            child=training.protocol.child.name,
            seed=training.seed,
            measures_test=training.measures_test,
        )

    def _conclude(self) -> None:
        tested = {(t.fingerprint, t.child, t.seed): t.accuracy for t in self._store.finals.test_accuracies(self.run)}
        seeds = len(self.plan.final_seeds)
        scores = Scores(
            validation=self._accuracies(seeds, self._ledger.reward),
            test=self._accuracies(
                seeds, lambda t: tested.get((t.candidate.fingerprint, t.protocol.child.name, t.seed))
            ),
            again=np.array([[self._again(f, seed) for seed in self.plan.final_seeds] for f in self._functions]),
        )
        self.result = make_result(self.plan, self._functions, self._judge, self._standing, scores)
        self._store.finals.finish(self.run, self.result)

    def _accuracies(self, seen: int, measured: Callable[[Training], float | None]) -> Array:
        """One number a training of the panel, ``(functions, children, seen)``; NaN for those never asked for."""
        values = [
            [
                [measured(Training(f, child, seed, self._dataset)) for seed in self.plan.final_seeds[:seen]]
                for child in self.plan.panel
            ]
            for f in self._functions
        ]
        return np.array(values, dtype=np.float64)  # None becomes NaN

    def _again(self, function: Candidate, seed: int) -> float:
        found = self._ledger.reward(Training(function, self.plan.search, seed, self._dataset))
        return np.nan if found is None else found


def promoted(plan: FinalsPlan, rewards: dict[str, float], dataset: str) -> list[Candidate]:
    """The finalists: the candidates of highest mean reward in the screening, ties by search score.

    Args:
        plan: the finals' plan.
        rewards: of every training of the screening, by key; failures 0.
        dataset: the run's.
    """
    if not plan.is_screened:
        return list(plan.candidates)

    def mean(candidate: Candidate) -> float:
        trainings = [Training(candidate, plan.screen, seed, dataset) for seed in plan.screen_seeds]
        return sum(rewards[t.key] for t in trainings) / len(trainings)

    return sorted(plan.candidates, key=mean, reverse=True)[: plan.settings.finalists]


def _missing_controls(plan: FinalsPlan, finalists: Iterable[Candidate]) -> list[Candidate]:
    """The controls that are not among the finalists anyway."""
    present = {candidate.fingerprint for candidate in finalists}
    return [control for control in plan.controls if control.fingerprint not in present]
