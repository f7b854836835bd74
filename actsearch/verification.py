"""What a verification is, as values that the store keeps: the finalists of a run in other children and on other data.

It describes and claims nothing: no test, no winner, no test images. Who makes it is `actsearch_controller.finals`.
"""

from typing import Self

from pydantic import Field, field_validator, model_validator

from actsearch.config import Settings
from actsearch.finals import Candidate, ChildProtocol, Estimate


class VerifySettings(Settings):
    """Where the finalists are tried, and how often."""

    data: tuple[str, ...] = Field(min_length=1, max_length=20)
    """Data sets by name."""
    children: tuple[str, ...] = Field(("nf_resnet20", "resnet8"), min_length=1, max_length=20)
    """Child networks by name."""
    seeds: int = Field(5, ge=2, le=1000)
    """Paired seeds of every function in every child on every data set."""
    steps: int | None = Field(None, ge=1, le=1_000_000)
    """Training steps; None: each child's own number."""

    @field_validator("data", "children")
    @classmethod
    def _distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("each name once")
        return names


class Ground(Settings):
    """One child on one data set."""

    dataset: str
    protocol: ChildProtocol

    @property
    def name(self) -> str:
        """`resnet8 on digits`."""
        return f"{self.protocol.child.name} on {self.dataset}"


class Verified(Settings):
    """A function of finals that is verified, with what the finals said of it."""

    candidate: Candidate
    is_dropped: bool
    """Whether a look of the finals took it out."""
    difference: float
    """Its mean difference from the reference in the finals, in accuracy; 0 for the reference."""


class VerificationPlan(Settings):
    """Everything that decides a verification, beside the run's limits."""

    settings: VerifySettings
    functions: tuple[Verified, ...] = Field(min_length=2)
    """All functions of the finals' last stage, the highest `difference` first."""
    reference: str
    """Fingerprint of the function that all are compared with."""
    grounds: tuple[Ground, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _has_its_reference(self) -> Self:
        if self.reference not in {f.candidate.fingerprint for f in self.functions}:
            raise ValueError("the reference is one of the functions")
        return self


class GroundRow(Settings):
    """One function in one child on one data set."""

    ground: str
    accuracy: float
    """Mean validation accuracy over the seeds, 0–1; a training that failed counts as 0."""
    failures: int
    difference: Estimate | None
    """Accuracy minus the reference's with the same seed; None for the reference."""


class VerifiedRow(Settings):
    """One function of a verification."""

    function: Verified
    difference: Estimate | None
    """Each seed's mean difference over all grounds; None for the reference."""
    grounds: tuple[GroundRow, ...]

    @property
    def behind(self) -> int:
        """Grounds where its mean accuracy is below the reference's, by however little; the mean may hide it."""
        return sum(ground.difference is not None and ground.difference.mean < 0 for ground in self.grounds)


class Correlation(Settings):
    """How far two orders of the same functions agree."""

    ground: str
    """Where the second order was found; `all` for the mean over all grounds."""
    spearman: float
    """Spearman's rank correlation, -1 to 1."""
    low: float | None
    """Lower end of its 95 % interval; None for fewer than 4 functions, which have none."""
    high: float | None


class VerificationResult(Settings):
    """What a verification found."""

    rows: tuple[VerifiedRow, ...]
    """In the finals' order."""
    reference: str
    """Name of the function that all are compared with."""
    grounds: tuple[str, ...]
    seeds: int
    correlations: tuple[Correlation, ...]
    """With the finals' differences: over all grounds first, then of each."""
