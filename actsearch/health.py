"""How a run's controller is doing: its last measures, how much of what it proposes is new, and whether it collapsed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from actsearch.store import BatchRecord, ProposalRecord

WINDOW = 5
"""Batches told over which new trainings are counted."""

COLLAPSED = 0.1
"""Share of new trainings, and of a uniform policy's entropy, below which a warning says so."""


@dataclass(frozen=True)
class Health:
    """A controller after the last batch that it was told.

    Attributes:
        batch: that batch's number.
        new_share: share of the proposals of the last `WINDOW` batches told that needed a training: a new function, or
            a known one with a new seed. 0-1.
        metrics: what the controller reported of the last one (docs/metrics.md).
        warning: one line where it has collapsed; None where it has not.
    """

    batch: int
    new_share: float
    metrics: Mapping[str, float]
    warning: str | None

    @property
    def document(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return asdict(self) | {"metrics": dict(self.metrics)}


def health(batches: Sequence[BatchRecord], proposals: Sequence[ProposalRecord]) -> Health | None:
    """The health of a run's controller; None before it was told a batch.

    Args:
        batches: those told, in order; the last `WINDOW` count.
        proposals: those of these batches, and any others.
    """
    recent = batches[-WINDOW:]
    numbers = {record.batch for record in recent}
    new = [proposal.is_new for proposal in proposals if proposal.batch in numbers]
    if not recent or not new:
        return None
    share, last = fmean(new), recent[-1]
    return Health(last.batch, share, last.metrics, _warning(len(recent), share, last.metrics))


def _warning(batches: int, new_share: float, metrics: Mapping[str, float]) -> str | None:
    entropy, uniform = metrics.get("entropy"), metrics.get("uniform_entropy")
    if entropy is not None and uniform is not None and entropy < COLLAPSED * uniform:
        return f"collapsed: its entropy is {entropy:.2f} nats a token, of {uniform:.2f} before it learned anything"
    if batches == WINDOW and new_share < COLLAPSED:
        return f"collapsed: {new_share:.0%} of its last {WINDOW} batches were new trainings"
    return None
