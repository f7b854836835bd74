"""What the search loop needs of the two parts that come in several makes: who proposes, and who evaluates."""

from collections.abc import Callable, Sequence
from typing import Protocol

from actsearch.evaluation import Evaluation, Job
from actsearch.formula import Formula

Identify = Callable[[Formula], str]
"""What two formulas share exactly when they are one function: `formula_fingerprint`, or a landscape's own names."""


class Proposer(Protocol):
    """A controller or baseline: proposes formulas in batches and is told their rewards, in the same order."""

    def ask(self, n: int) -> list[Formula]:
        """`n` formulas to evaluate. May be asked again before it is told.

        Fewer where it has no more to propose. After an empty answer it is asked again when the next batch is told; with
        none in flight the search ends. An empty answer leaves its `state` as it was: a resumed search asks once more.
        """

    def tell(self, formulas: Sequence[Formula], rewards: Sequence[float]) -> dict[str, float]:
        """The rewards (0-1) of the oldest batch not yet told: of those of its formulas that have one, in slot order.

        Mostly that is the whole batch. A search's last batch may come cut; on a landscape a formula that it does not
        cover has no reward and is left out. So what is told is a subsequence of what was asked, possibly empty, and
        the batch counts as told either way. Returns metrics by name, all finite.
        """

    def state(self) -> bytes:
        """Everything that decides what it proposes next; equal states give equal bytes. Never a pickle."""

    def restore(self, state: bytes) -> None:
        """Goes on from a `state` of a proposer built with the same settings."""


class Evaluator(Protocol):
    """Trains children: in this process, or on workers behind a queue."""

    def submit(self, jobs: Sequence[Job]) -> None:
        """Asks for evaluations. A job whose evaluation is already queued, running or finished is not run twice."""

    def collect(self, timeout_seconds: float) -> list[Evaluation]:
        """Results that have arrived, in any order, after waiting up to the timeout for the first.

        May return a result again until it is released.

        Raises:
            RunPausedError: infrastructure gave out for good; names the job and the last error.
        """

    def release(self, evaluations: Sequence[Evaluation]) -> None:
        """The store has these results: they may be dropped."""
