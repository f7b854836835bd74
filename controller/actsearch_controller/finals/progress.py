"""What finals can say of themselves while they run, and how long they may still take."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from actsearch.finals import ChildProtocol


@dataclass(frozen=True, kw_only=True)
class FinalsProgress:
    """Finals at one moment."""

    run: str
    stage: str
    """`screening`, `seeds 1 to 4 of 10` and so on, or `done`."""
    told: int
    """Trainings with a result."""
    budget: int
    """Trainings in all if nobody is dropped any more."""
    in_flight: int
    """Trainings asked for that have no result yet."""
    standing: int
    """Functions still in: of the screening, or of the last stage with its controls."""
    dropped: int
    """Finalists that looks have taken out."""
    failures: int
    """Trainings that did not reach the end; they count as accuracy 0."""
    seconds: float
    """Wall-clock time, earlier sessions included."""
    seconds_left: float | None
    """An estimate, for as many workers as now and nobody dropped; None before the first result of this session."""


Kind = tuple[ChildProtocol, str]
"""Child and recipe, and the data set."""


class Pace:
    """How long trainings take and how many run at once, learned from those that were told."""

    def __init__(self) -> None:
        self._count: Counter[Kind] = Counter()
        self._seconds: dict[Kind, float] = defaultdict(float)
        self._busy = 0.0

    def learn(self, protocol: ChildProtocol, dataset: str, seconds: float, *, now: bool) -> None:
        """One training's wall-clock seconds; `now` says that it ran in this session."""
        self._count[protocol, dataset] += 1
        self._seconds[protocol, dataset] += seconds
        self._busy += seconds if now else 0.0

    def left(self, remaining: Mapping[Kind, int], elapsed: float) -> float | None:
        """Wall-clock seconds that so many trainings of each kind take.

        Args:
            remaining: how many of each.
            elapsed: seconds since this session began.
        """
        if not self._busy or elapsed <= 0:
            return None
        work = sum(count * self._of(kind) for kind, count in remaining.items())
        return work * elapsed / self._busy

    def _of(self, kind: Kind) -> float:
        """Mean seconds of one training; of a kind never seen, as long a step as the mean."""
        if self._count[kind]:
            return self._seconds[kind] / self._count[kind]
        steps = sum(count * protocol.recipe.steps for (protocol, _), count in self._count.items())
        return sum(self._seconds.values()) / steps * kind[0].recipe.steps
