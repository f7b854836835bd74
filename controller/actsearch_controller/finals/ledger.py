"""The book of trainings that finals and verifications keep: wanted, handed out, told, and how long the rest takes."""

import time
from collections import Counter
from collections.abc import Callable, Iterable

from actsearch.config import RunConfig
from actsearch.errors import RunError
from actsearch.evaluation import Evaluation, Job
from actsearch.finals import ChildProtocol
from actsearch_controller.finals.progress import Pace
from actsearch_controller.finals.trainings import Training


class Ledger:
    """Which trainings are wanted now, and what came of all so far."""

    def __init__(
        self,
        run: str,
        config: RunConfig,
        stored: dict[str, Evaluation],
        store: Callable[[Training, Evaluation], bool],
        *,
        seconds_before: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A book in which nothing is wanted yet.

        Args:
            run: the run's name.
            config: its settings.
            stored: results that are there already, by key.
            store: puts a result into the store; False where another process has.
            seconds_before: wall-clock time of earlier sessions.
            clock: seconds from any origin.
        """
        self.told = stored
        self._run, self._config, self._store = run, config, store
        self._clock, self._started, self._seconds_before = clock, clock(), seconds_before
        self._wanted: dict[str, Training] = {}
        self._handed_out: set[str] = set()
        self._pace = Pace()

    def want(self, trainings: Iterable[Training]) -> None:
        """Makes these the ones that are wanted, in place of those before."""
        self._wanted = {training.key: training for training in trainings}
        for key, training in self._wanted.items():
            if key in self.told:
                self._pace.learn(training.protocol, training.dataset, self.told[key].seconds, now=False)

    def ask(self) -> list[Job]:
        """The jobs of those that have no result and that this object has not handed out."""
        waiting = [t for key, t in self._wanted.items() if key not in self.told and key not in self._handed_out]
        self._handed_out.update(training.key for training in waiting)
        return [training.job(self._run, self._config) for training in waiting]

    def tell(self, evaluations: Iterable[Evaluation]) -> None:
        """Stores results. The first one of a training stays; later ones, and any not wanted, change nothing.

        Raises:
            RunError: somebody else has stored a result meanwhile.
        """
        for evaluation in evaluations:
            training = self._wanted.get(evaluation.evaluation)
            if evaluation.run != self._run or training is None or training.key in self.told:
                continue
            if not self._store(training, evaluation):
                raise RunError(
                    f"run {self._run!r}: finals or verification are driven by another process too; only one may do so"
                )
            self.told[training.key] = evaluation
            self._pace.learn(training.protocol, training.dataset, evaluation.seconds, now=True)

    def reward(self, training: Training) -> float | None:
        """The reward of a training, 0 for one that failed; None for one without a result."""
        evaluation = self.told.get(training.key)
        return None if evaluation is None else evaluation.reward

    @property
    def is_complete(self) -> bool:
        """Whether all that are wanted have a result."""
        return all(key in self.told for key in self._wanted)

    @property
    def in_flight(self) -> int:
        """Trainings handed out that have no result."""
        return sum(key not in self.told for key in self._handed_out)

    @property
    def missing(self) -> Counter[tuple[ChildProtocol, str]]:
        """Those wanted that have no result, by child, recipe and data set."""
        return Counter((t.protocol, t.dataset) for key, t in self._wanted.items() if key not in self.told)

    @property
    def seconds(self) -> float:
        """Wall-clock time spent, earlier sessions included."""
        return self._seconds_before + self._elapsed

    def seconds_left(self, remaining: Counter[tuple[ChildProtocol, str]]) -> float | None:
        """An estimate for so many trainings; None before the first result of this session."""
        return self._pace.left(remaining, self._elapsed)

    @property
    def _elapsed(self) -> float:
        return self._clock() - self._started
