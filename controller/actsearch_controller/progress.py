"""What a search can say of itself while it runs, for a live view."""

from collections.abc import Mapping
from dataclasses import dataclass

from actsearch.evaluation import Outcome
from actsearch.store import BestRecord


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A search at one moment."""

    run: str
    budget: int
    """New evaluations after which it ends."""
    minutes: float | None
    """Wall-clock minutes after which nothing new is proposed; None: no limit."""
    asked: int
    """Evaluations asked for so far."""
    told: int
    """Evaluations with a result."""
    by_outcome: Mapping[Outcome, int]
    """Those, by outcome."""
    best: BestRecord | None
    in_flight: int
    """Evaluations asked for that have no result yet."""
    batch: int
    """Batches told to the controller."""
    seconds: float
    """Wall-clock time searching, earlier sessions of the run included."""
    evaluations_per_minute: float
    """Over this session; 0 before its first result."""
    metrics: Mapping[str, float]
    """Of the last batch told in this session; empty before."""
