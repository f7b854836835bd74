"""What the store hands out: frozen values, detached from the database."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from actsearch.config import RunConfig
from actsearch.evaluation import Evaluation, Outcome, Rung
from actsearch.finals import FinalsPlan, FinalsResult
from actsearch.verification import VerificationPlan, VerificationResult


class RunState(StrEnum):
    """What a run is doing, as far as its controller could say."""

    RUNNING = "running"
    """A controller drives it, or was killed while it did."""
    INTERRUPTED = "interrupted"
    """Stopped on request or by an error; everything told is kept and it can go on."""
    PAUSED = "paused"
    """Infrastructure gave out; it can go on."""
    DONE = "done"
    """The budget is used up, or nothing new came any more."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One search."""

    name: str
    state: RunState
    reason: str
    """Why it is in that state, one line; may be empty."""
    config: RunConfig
    command: str
    """The command that started it."""
    versions: Mapping[str, str]
    """Versions of what decides its numbers, the git commit, and the environment that its workers have."""
    created_at: datetime
    """UTC."""
    seconds: float
    """Wall-clock time spent searching so far."""
    trace: str
    """Hash over everything told so far, 64 hex digits; empty before the first batch is told."""

    @property
    def id(self) -> str:
        """The name with 12 hex digits that no other run of that name has, here or in another folder."""
        made = json.dumps([self.name, self.created_at.isoformat(), self.command])
        return f"{self.name}-{hashlib.sha256(made.encode()).hexdigest()[:12]}"

    @property
    def environment(self) -> str | None:
        """Fingerprint of the environment that the run is bound to; None before a worker has served it."""
        return self.versions.get("environment", "").partition(":")[0] or None


@dataclass(frozen=True, kw_only=True)
class BatchRecord:
    """One batch that the controller has been told."""

    batch: int
    """0-based, in the order told, which is the order asked."""
    told_at: datetime
    """UTC."""
    metrics: Mapping[str, float]
    """What the controller reported about its update."""
    digest: str
    """SHA-256 of the controller's state after it was told this batch and asked for the next."""


@dataclass(frozen=True, kw_only=True)
class ProposalRecord:
    """One formula that the controller proposed; several may share an evaluation."""

    batch: int
    slot: int
    """0-based place in the batch."""
    tokens: tuple[str, ...]
    evaluation: str
    """Key of the evaluation that answers it."""
    is_new: bool
    """Whether this proposal was the first of its function in the run."""
    reward: float | None
    """None while its evaluation is not finished."""


@dataclass(frozen=True, kw_only=True)
class EvaluationRecord:
    """One child that the run asked for, and what became of it."""

    number: int
    """1-based, in the order asked."""
    key: str
    """`actsearch.evaluation.evaluation_key`."""
    tokens: tuple[str, ...]
    """The first spelling proposed."""
    formula: str
    """That spelling as plain mathematics."""
    canonical: str
    """The canonical text."""
    names: tuple[str, ...]
    """Well-known names of the function."""
    seed: int
    """`actsearch.evaluation.child_seed`."""
    replicate: int
    """0 for the search's own evaluation."""
    rungs: tuple[Rung, ...]
    """Where the child may end early."""
    evaluation: Evaluation | None
    """None while it is not finished."""
    asked_at: datetime
    """UTC."""
    finished_at: datetime | None
    """UTC; when the result was stored."""


@dataclass(frozen=True, kw_only=True)
class BestRecord:
    """The function that stands first (actsearch.standings), by its first training that counts; `reward` is its mean."""

    number: int
    formula: str
    canonical: str
    names: tuple[str, ...]
    reward: float
    trainings: int


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """A run's counts, by queries whose cost does not grow with what the evaluations hold."""

    asked: int
    """Evaluations asked for."""
    told: int
    """Evaluations with a result in the store."""
    by_outcome: Mapping[Outcome, int]
    """Those with a result, by outcome; outcomes that did not occur are left out."""
    steps: Mapping[Outcome, int]
    """Steps that those were trained for, by outcome."""
    best: BestRecord | None
    batches_asked: int
    batches_told: int
    last_new_batch: int
    """Last batch in which some function was new; -1 before the first."""


def share_of_steps_saved(by_outcome: Mapping[Outcome, int], steps: Mapping[Outcome, int], recipe_steps: int) -> float:
    """What early stopping saved of the steps that there would have been without it, 0–1.

    Args:
        by_outcome: evaluations by outcome.
        steps: the steps that those were trained for, by outcome.
        recipe_steps: those of a whole training.
    """
    saved = by_outcome.get(Outcome.STOPPED, 0) * recipe_steps - steps.get(Outcome.STOPPED, 0)
    return saved / max(saved + sum(steps.values()), 1)


@dataclass(frozen=True, kw_only=True)
class NewEvaluation:
    """An evaluation to be asked for; the store gives it its number."""

    key: str
    tokens: tuple[str, ...]
    formula: str
    canonical: str
    names: tuple[str, ...]
    seed: int
    replicate: int = 0
    rungs: tuple[Rung, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NewProposal:
    """One slot of a batch to be asked for."""

    tokens: tuple[str, ...]
    evaluation: str
    is_new: bool


@dataclass(frozen=True, kw_only=True)
class Advance:
    """What one transaction changes when the controller learns a batch and proposes more."""

    told: BatchRecord | None
    """The batch told; None when a search starts by proposing its first batches."""
    proposed: Mapping[int, tuple[NewProposal, ...]]
    """Batches asked for, by number; their slots in order."""
    new: tuple[NewEvaluation, ...]
    """Evaluations that these proposals are the first to need, in order."""
    controller: bytes
    """The controller's whole state after all this."""
    trace: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class FinalsRecord:
    """The finals of a run."""

    state: RunState
    reason: str
    plan: FinalsPlan
    result: FinalsResult | None
    """None until they are done."""
    started_at: datetime
    """UTC."""
    finished_at: datetime | None
    """UTC; when the result was stored."""
    seconds: float
    """Wall-clock time spent so far."""


@dataclass(frozen=True, kw_only=True)
class FinalEvaluationRecord:
    """One training of finals that has its result."""

    key: str
    """`actsearch.evaluation.evaluation_key`."""
    fingerprint: str
    """The function's."""
    child: str
    seed: int
    evaluation: Evaluation
    """Without layer records, and without the test accuracy, which stands in its own table."""
    finished_at: datetime
    """UTC."""


@dataclass(frozen=True, kw_only=True)
class FinalTestRecord:
    """What one trained child of finals reached on the test images."""

    fingerprint: str
    """The function's."""
    child: str
    seed: int
    accuracy: float
    """0–1; 0 for a training that failed."""
    measured_at: datetime
    """UTC."""


@dataclass(frozen=True, kw_only=True)
class VerificationRecord:
    """One verification of a run's finalists."""

    number: int
    """1 for the run's first."""
    state: RunState
    reason: str
    plan: VerificationPlan
    result: VerificationResult | None
    """None until it is done."""
    started_at: datetime
    """UTC."""
    finished_at: datetime | None
    """UTC; when the result was stored."""
    seconds: float
    """Wall-clock time spent so far."""
