"""What finals can say of themselves while they run, and how long they may still take."""

from collections import Counter, defaultdict
from collections.abc import Iterable
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


class Pace:
    """How long trainings take and how many run at once, learned from those that were told."""

    def __init__(self) -> None:
        self._count: Counter[ChildProtocol] = Counter()
        self._seconds: dict[ChildProtocol, float] = defaultdict(float)
        self._busy = 0.0

    def learn(self, protocol: ChildProtocol, seconds: float, *, now: bool) -> None:
        """One training's wall-clock seconds; `now` says that it ran in this session."""
        self._count[protocol] += 1
        self._seconds[protocol] += seconds
        self._busy += seconds if now else 0.0

    def left(self, remaining: Iterable[tuple[ChildProtocol, int]], elapsed: float) -> float | None:
        """Wall-clock seconds that so many trainings of each kind take.

        Args:
            remaining: child and recipe, and how many.
            elapsed: seconds since this session began.
        """
        if not self._busy or elapsed <= 0:
            return None
        work = sum(count * self._of(protocol) for protocol, count in remaining)
        return work * elapsed / self._busy

    def _of(self, protocol: ChildProtocol) -> float:
        """Mean seconds of one training; of a child never seen, as long a step as the mean."""
        if self._count[protocol]:
            return self._seconds[protocol] / self._count[protocol]
        steps = sum(count * p.recipe.steps for p, count in self._count.items())
        return sum(self._seconds.values()) / steps * protocol.recipe.steps
