"""The trace: one hash over everything that decided a search, batch after batch.

Two searches with the same settings end with the same trace whatever their workers, delays and crashes. No seconds,
worker names or library versions go in; numbers go in as their shortest exact decimal form.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class TracedSlot:
    """One proposal as the trace sees it."""

    tokens: tuple[str, ...]
    canonical: str
    backend: str
    seed: int
    outcome: str
    reward: float


def digest(state: bytes) -> str:
    """SHA-256 of a controller's state, 64 hex digits."""
    return hashlib.sha256(state).hexdigest()


def extend(trace: str, batch: int, slots: Sequence[TracedSlot], controller: str) -> str:
    """The trace after one more batch.

    Args:
        trace: the trace so far, empty before the first batch.
        batch: the batch's number.
        slots: its proposals, in slot order.
        controller: `digest` of the controller's state after it was told this batch and asked for the next.
    """
    record = {"trace": trace, "batch": batch, "slots": [asdict(slot) for slot in slots], "controller": controller}
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
