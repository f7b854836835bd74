"""Rewards without training: a smooth landscape over the one-unit space, and evaluators that answer in any order."""

import hashlib
import random
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from actsearch.config import SpaceSettings
from actsearch.evaluation import CurvePoint, Evaluation, Job, Outcome
from actsearch.formula import Formula
from actsearch.space import Space

ONE_UNIT = Space(SpaceSettings())


@cache
def landscape(seed: int) -> np.ndarray:
    """Rewards in [0, 1] of every one-unit formula, (25, 25, 10): each token has a worth of its own, pairs a little."""
    rng = np.random.default_rng(seed)
    sizes = [len(slot.choices) for slot in ONE_UNIT.slots]
    worth = [rng.normal(size=n) for n in sizes]
    pairs = 0.5 * rng.normal(size=(sizes[0], sizes[2]))
    total = worth[0][:, None, None] + worth[1][None, :, None] + worth[2][None, None, :] + pairs[:, None, :]
    scaled: np.ndarray = (total - total.min()) / (total.max() - total.min())
    return scaled


def smooth_reward(formula: Formula, seed: int) -> float:
    """The formula's reward on `landscape(seed)`."""
    return float(landscape(seed)[ONE_UNIT.choices(formula)])


def answer(job: Job) -> Evaluation:
    """A result that the job alone decides; one in eight diverges, after an accuracy that must not be its reward.

    At a rung the accuracy is below that of the end, by up to a fifth.
    """
    noise = hashlib.sha256(f"{job.evaluation} {job.seed}".encode()).digest()
    diverged = noise[0] < 32
    done = Evaluation(
        run=job.run,
        evaluation=job.evaluation,
        outcome=Outcome.DIVERGED if diverged else Outcome.TRAINED,
        reason="the loss became nan" if diverged else "",
        val_accuracy=int.from_bytes(noise[1:4], "big") / 2**24,
        val_loss=1 + int.from_bytes(noise[4:7], "big") / 2**24,
        steps=job.recipe.steps,
    )
    assert done.val_accuracy is not None
    curve: list[CurvePoint] = []
    for k, rung in enumerate(job.rungs):
        here = done.val_accuracy * (1 - noise[8 + k] / 5 / 256)
        curve.append(CurvePoint(step=rung.step, val_accuracy=here, val_loss=1.0))
        if here < rung.stop_below:
            stopped = {"outcome": Outcome.STOPPED, "val_accuracy": here, "predicted_accuracy": rung.predict(here)}
            return done.model_copy(update={**stopped, "steps": rung.step, "curve": tuple(curve)})
    return done.model_copy(update={"curve": tuple(curve)})


class ShuffledEvaluator:
    """Finishes up to `workers` jobs a call, in an order drawn at random, and remembers how often each was trained."""

    def __init__(self, seed: int, workers: int, answer: Callable[[Job], Evaluation] = answer) -> None:
        self._rng = random.Random(seed)
        self._answer = answer
        self._workers = workers
        self._waiting: dict[str, Job] = {}
        self._finished: dict[str, Evaluation] = {}
        self.trained: list[str] = []

    def submit(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            if job.evaluation not in self._finished:
                self._waiting.setdefault(job.evaluation, job)

    def collect(self, timeout_seconds: float) -> list[Evaluation]:
        keys = list(self._waiting)
        self._rng.shuffle(keys)
        for key in keys[: self._rng.randint(0, self._workers)]:
            self.trained.append(key)
            self._finished[key] = self._answer(self._waiting.pop(key))
        results = list(self._finished.values())
        self._rng.shuffle(results)
        return results

    def release(self, evaluations: Sequence[Evaluation]) -> None:
        for evaluation in evaluations:
            self._finished.pop(evaluation.evaluation, None)
