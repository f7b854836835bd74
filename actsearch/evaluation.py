"""The values that travel between a search and the workers: Job out, Evaluation back, both as JSON.

A job says everything that decides its outcome, so that any worker gives the same answer; an evaluation says what
happened, in numbers that fit 64 KB. A function that does not train is an outcome here, never an exception.
"""

import hashlib
import itertools
import json
from collections.abc import Collection
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from actsearch.config import MAX_TIMEOUT_SECONDS, ChildSettings, Recipe, Settings
from actsearch.errors import ConfigError

MAX_BYTES = 64 * 1024
"""Limit of a job's and of an evaluation's JSON."""

HISTOGRAM_BINS = 40
"""Bins of a layer's pre-activations over [-10, 10], each 0.5 wide."""

Accuracy = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, lt=2**53)]
"""A whole number that databases and JSON readers keep."""
Steps = Annotated[int, Field(ge=0, le=1_000_000)]
"""Optimizer steps, at most those of `Recipe`."""
Seconds = Annotated[float, Field(ge=0)]


class Outcome(StrEnum):
    """How one training of one child ended. Lost workers and full disks are not outcomes: those jobs run again."""

    TRAINED = "trained"
    """All steps done; the reward is the validation accuracy."""
    STOPPED = "stopped"
    """Ended early by a rung of the job; the reward is the validation accuracy that the rung forecasts."""
    DIVERGED = "diverged"
    """The loss became non-finite while training."""
    NONFINITE = "nonfinite"
    """The function, its gradient or the first loss is not finite."""
    CONSTANT = "constant"
    """The function does not depend on x."""
    TOO_COSTLY = "too_costly"
    """The formula's operation count is above the job's limit."""
    QUARANTINED = "quarantined"
    """Its process died again and again at the same step, while its worker lived."""


FLOOR_REWARD = 0.0
"""Reward of a function that does not train: below any accuracy, so that a failure never ranks above a training."""


class _Message(Settings):
    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The validated message; `ConfigError` for anything that is not one, or is larger than 64 KB."""
        if len(text) > MAX_BYTES:
            raise ConfigError(f"a {cls.__name__} has at most {MAX_BYTES} bytes, got {len(text)}")
        try:
            return cls.model_validate_json(text)
        except ValidationError as err:
            first = err.errors(include_url=False)[0]
            raise ConfigError(f"not a {cls.__name__}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from err

    def to_json(self) -> str:
        return self.model_dump_json()


class CurvePoint(Settings):
    """Validation accuracy (0–1) and mean cross-entropy (nats) after `step` steps."""

    step: Steps
    val_accuracy: Accuracy
    val_loss: float


class Rung(Settings):
    """A step after which a child is measured, and stopped where its validation accuracy is too low.

    How low that is, and what children so low come to in the end, is decided when the job is made, from evaluations of
    the run told before. The word is that of Li et al. 2020, arXiv 1810.05934.
    """

    step: int = Field(ge=1)
    stop_below: float = Field(0.0, ge=0, le=1)
    """Validation accuracy below which the training ends; 0: it goes on in any case."""
    forecast: tuple[tuple[float, float], ...] = ()
    """Pairs of validation accuracies here and after the last step, both rising; linear in between, constant beyond."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.stop_below > 0 and not self.forecast:
            raise ValueError("a rung that stops has a forecast")
        if any(a[0] >= b[0] or a[1] > b[1] for a, b in pairwise(self.forecast)):
            raise ValueError("the pairs of a forecast rise")
        if any(not 0 <= accuracy <= 1 for pair in self.forecast for accuracy in pair):
            raise ValueError("a forecast is of accuracies, 0 to 1")
        return self

    def predict(self, val_accuracy: float) -> float:
        """Validation accuracy (0–1) to be expected after the last step; the rung has a forecast."""
        here, last = zip(*self.forecast, strict=True)
        return float(np.interp(val_accuracy, here, last))


class Job(_Message):
    """One child to train: a formula, a child network, a recipe, data and a seed."""

    run: str = Field(min_length=1, max_length=200)
    """The run's name."""
    evaluation: str = Field(pattern=r"^[0-9a-f]{16}$")
    """The evaluation's key within the run: `evaluation_key`."""
    tokens: tuple[str, ...] = Field(min_length=3, max_length=40)
    """The formula (actsearch.formula.Formula.from_tokens)."""
    seed: int = Field(ge=0, lt=2**31)
    """Seed of initial weights, batches and flips: `child_seed`."""
    backend: Literal["eager", "symbolic", "native"]
    """How the function is computed (actsearch.backend.backend_of): backends round differently."""
    child: ChildSettings
    recipe: Recipe
    dataset: str = Field(min_length=1, max_length=4096)
    max_operations: int = Field(ge=1)
    measures_test: bool = False
    """Whether the trained child is measured on the test images too, which are otherwise never touched."""
    timeout_seconds: int = Field(ge=1, le=MAX_TIMEOUT_SECONDS)
    rungs: tuple[Rung, ...] = Field((), max_length=20)
    """Where the training may end early, by rising step, all before the last one; each is a point of the curve."""

    @model_validator(mode="after")
    def _rungs_rise(self) -> Self:
        steps = [rung.step for rung in self.rungs]
        if any(a >= b for a, b in pairwise([*steps, self.recipe.steps])):
            raise ValueError(f"rungs rise and come before step {self.recipe.steps}, got {steps}")
        return self


class LayerRecord(Settings):
    """One activation of a child after training."""

    name: str = Field(max_length=1000)
    """The module's path in the child."""
    channels: Count
    betas: dict[str, tuple[float, ...]]
    """For each β its trained values, signed: one a channel up to 64 channels, else 33 equally spaced quantiles."""
    histogram: tuple[Count, ...]
    """Counts of pre-activations (what the activation received) on validation images, in equal bins over [-10, 10];
    the first and last bin also hold what lies outside."""

    def check_answers(self, job: Job) -> None:
        """`ConfigError`, one line, where this cannot be a layer of that job's child: a report would stumble over it."""
        for name, values in self.betas.items():
            if not _is_beta(name, at_most=len(job.tokens)):
                raise ConfigError(f"layer {self.name[:80]!r}: {name[:80]!r} is no β of the function")
            if not 1 <= len(values) <= self.channels:
                raise ConfigError(f"layer {self.name[:80]!r}: {len(values)} values of {name}, {self.channels} channels")
        if len(self.histogram) != HISTOGRAM_BINS:
            raise ConfigError(
                f"layer {self.name[:80]!r}: a histogram of {len(self.histogram)} bins, not {HISTOGRAM_BINS}"
            )


def _is_beta(name: str, *, at_most: int) -> bool:
    """Whether it names one of so many β: beta, beta2, …; no token has more than one."""
    # How many β its canonical form has is not asked: that is worth milliseconds of sympy a result.
    return name == "beta" or name in {f"beta{k}" for k in range(2, at_most + 1)}


class Evaluation(_Message):
    """What became of one job."""

    run: str = Field(min_length=1, max_length=200)
    evaluation: str = Field(pattern=r"^[0-9a-f]{16}$")
    outcome: Outcome
    reason: str = Field("", max_length=2000)
    """One line for a person; empty for `trained`."""
    val_accuracy: Accuracy | None = None
    """After the last step done, 0–1; None unless trained or stopped."""
    val_loss: float | None = None
    test_accuracy: Accuracy | None = None
    """After the last step, 0–1; None unless trained by a job that measures it."""
    predicted_accuracy: Accuracy | None = None
    """Validation accuracy after the recipe's last step that the job's rung forecast, 0–1; None unless stopped."""
    steps: Steps = 0
    """Steps done."""
    gain: float = 1.0
    """The constant that the function was multiplied by."""
    curve: tuple[CurvePoint, ...] = ()
    seconds: Seconds = 0.0
    """Wall-clock seconds of the whole job."""
    seconds_per_step: Seconds | None = None
    """Median over the steps."""
    parameters: Count | None = None
    """Parameters of the child, β included."""
    layers: tuple[LayerRecord, ...] = ()
    worker: str = Field("", max_length=200)
    """Name of the worker that ran it."""
    environment: str = Field("", max_length=2000)
    """Fingerprint of torch, device and data there."""

    @model_validator(mode="after")
    def _has_what_its_reward_is(self) -> Self:
        if self.outcome is Outcome.TRAINED and self.val_accuracy is None:
            raise ValueError("what is trained has a val_accuracy")
        if self.outcome is Outcome.STOPPED and self.predicted_accuracy is None:
            raise ValueError("what is stopped has a predicted_accuracy")
        return self

    def check_answers(self, job: Job) -> None:
        """`ConfigError`, one line, where this cannot be what became of that job."""
        if (self.run, self.evaluation) != (job.run, job.evaluation):
            raise ConfigError(f"not the evaluation asked for, but {self.evaluation} of run {self.run!r}")
        if self.steps > job.recipe.steps:
            raise ConfigError(f"steps = {self.steps}: the job has {job.recipe.steps}")
        if self.outcome is Outcome.STOPPED and not job.rungs:
            raise ConfigError("stopped early, though the job has no rung")
        if job.measures_test and self.outcome is Outcome.TRAINED and self.test_accuracy is None:
            raise ConfigError("no test_accuracy, which the job asks for")
        for layer in self.layers:
            layer.check_answers(job)

    @property
    def reward(self) -> float:
        """What the controller learns from, 0–1: validation accuracy, as forecast if stopped, the floor on failure."""
        by_outcome = {Outcome.TRAINED: self.val_accuracy, Outcome.STOPPED: self.predicted_accuracy}
        reward = by_outcome.get(self.outcome)
        return FLOOR_REWARD if reward is None else reward


def child_seed(run_seed: int, fingerprint: str, replicate: int) -> int:
    """The seed of a child in [0, 2³¹): the same function in the same run trains the same way on every machine.

    Args:
        run_seed: the run's seed.
        fingerprint: the function's, so that all its spellings share one seed (actsearch.identity).
        replicate: 0 for the search's own evaluation, 1, 2, … for repeats.
    """
    digest = hashlib.sha256(json.dumps([run_seed, fingerprint, replicate]).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def final_seeds(run_seed: int, stage: str, count: int, used: Collection[int]) -> tuple[int, ...]:
    """Fresh seeds of a stage of finals, each in [0, 2³¹), the same for every function: with one seed all children of a
    kind start from the same weights and see the same batches.

    Args:
        run_seed: the run's seed.
        stage: the stage's name; another one has other seeds.
        count: how many.
        used: seeds that are passed over, because the search had them.
    """
    found: list[int] = []
    for number in itertools.count():
        if len(found) == count:
            return tuple(found)
        digest = hashlib.sha256(json.dumps([run_seed, stage, number]).encode()).digest()
        seed = int.from_bytes(digest[:4], "big") >> 1
        if seed not in used and seed not in found:
            found.append(seed)
    raise AssertionError("counting does not end")


def evaluation_key(fingerprint: str, child: ChildSettings, recipe: Recipe, dataset: str, seed: int) -> str:
    """16 hex digits that two evaluations share exactly when function, child, recipe, data and seed are the same."""
    parts = [fingerprint, child.model_dump(mode="json"), recipe.model_dump(mode="json"), dataset, seed]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
