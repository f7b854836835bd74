"""One training of one child network with one formula and one seed: Job in, Evaluation out.

Everything random derives from the job's seed through generators of its own: the same job gives the same bits on one
machine, and two formulas with one seed start from the same weights and see the same batches. A function that does not
train is an outcome; a missed deadline, a full disk or a bug is an exception, and the job runs again elsewhere.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from actsearch.activation import act_layer, materialize
from actsearch.config import Recipe
from actsearch.evaluation import CurvePoint, Evaluation, Job, LayerRecord, Outcome, Rung
from actsearch.expression import Expression, expression_of
from actsearch.formula import Formula
from actsearch.identity import unit_gain
from actsearch_workers.batches import Standardiser, augment, batch_rows, on_device
from actsearch_workers.children.build import build_child
from actsearch_workers.data import Dataset, load
from actsearch_workers.measures import (
    CURVE_IMAGES,
    HISTOGRAM_IMAGES,
    accuracy_and_loss,
    evenly_spaced,
    layer_records,
    with_layers,
)
from actsearch_workers.optimisation import averaged, learning_rate, optimizer
from actsearch_workers.screening import screen


def train(
    job: Job,
    *,
    device: torch.device,
    data_dir: Path,
    allow_user_code: bool = False,
    on_step: Callable[[int], None] = lambda step: None,
) -> Evaluation:
    """Trains the job's child and measures it on the validation images.

    The test images are not touched unless the job says so, as the last stage of finals does; then the trained child is
    measured on all of them, once.

    Accuracy and loss along the way (`recipe.curve_points`, rungs) come from 2,000 validation images, after the last
    step from all of them. Torch's global generators are left as they were.

    Args:
        job: what to train; it decides the outcome alone.
        device: where to train.
        data_dir: folder of the data sets that are not embedded.
        allow_user_code: whether the job may name the user's own child or data set.
        on_step: told the number of each step before it is done.

    Raises:
        CallerError: a name, a formula or data that no attempt can use.
        TimeoutError: the job's `timeout_seconds` have passed; a fault of the machine, not of the function.
    """
    started = time.monotonic()
    deadline = started + job.timeout_seconds
    expression = expression_of(Formula.from_tokens(job.tokens))
    gain = unit_gain(expression) if job.child.gain == "unit" else 1.0
    found: dict[str, Any]
    layers: Sequence[LayerRecord] = ()
    if verdict := screen(expression, gain, job.max_operations, job.backend):
        found = {"outcome": verdict[0], "reason": verdict[1]}
    else:
        dataset = load(job.dataset, data_dir=data_dir, allow_user_code=allow_user_code)
        with _own_random_numbers(device):
            model = _build(job, expression, gain, dataset, device, allow_user_code)
            found, layers = _Training(job, dataset, model, device, deadline, on_step).run()
    seconds = round(time.monotonic() - started, 4)
    evaluation = Evaluation(run=job.run, evaluation=job.evaluation, gain=gain, seconds=seconds, **found)
    return with_layers(evaluation, layers)


def _build(
    job: Job, expression: Expression, gain: float, dataset: Dataset, device: torch.device, allow_user_code: bool
) -> nn.Module:
    """The child on the device, its initial weights a function of the seed alone: β draws no random number."""
    torch.manual_seed(_stream(job.seed, "weights"))
    model = build_child(
        job.child,
        act_layer(expression, gain=gain, backend=job.backend),
        num_classes=dataset.classes,
        in_chans=dataset.channels,
        image_size=dataset.image_size,
        drop_path_rate=job.recipe.drop_path_rate,
        allow_user_code=allow_user_code,
    )
    # On the CPU for every device, so that a GPU starts from the same weights; lazy β bear no move before this.
    materialize(model, torch.zeros(2, *dataset.train.images.shape[1:]))
    return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


class _Training:
    """The steps of one job, and what has been measured so far."""

    def __init__(
        self,
        job: Job,
        dataset: Dataset,
        model: nn.Module,
        device: torch.device,
        deadline: float,
        on_step: Callable[[int], None],
    ) -> None:
        self.on_step = on_step
        self.job, self.recipe, self.model, self.device, self.deadline = job, job.recipe, model, device, deadline
        self.dataset = dataset
        self.standardise = Standardiser.of(dataset.train, device)
        self.images, self.labels = on_device(dataset.train, device)
        self.validation = on_device(dataset.validation, device)
        self.optimizer = optimizer(model, job.recipe)
        self.average = averaged(model, job.recipe)
        self.generator = torch.Generator().manual_seed(_stream(job.seed, "batches"))
        self.curve: list[CurvePoint] = []
        self.step_seconds: list[float] = []

    def run(self) -> tuple[dict[str, Any], Sequence[LayerRecord]]:
        """Trains to the end or to the first number that is not finite; fields of the evaluation, and its layers."""
        torch.manual_seed(_stream(self.job.seed, "training"))  # stochastic depth draws from the global generator
        ending = self._train()
        measured: dict[str, Any] = {
            "steps": len(self.step_seconds),
            "curve": tuple(self.curve),
            "seconds_per_step": round(median(self.step_seconds), 6) if self.step_seconds else None,
            "parameters": sum(p.numel() for p in self.model.parameters()),
        }
        if isinstance(ending, tuple):
            return {**measured, "outcome": ending[0], "reason": ending[1]}, ()
        last = self.curve[-1]
        measured |= {"val_accuracy": last.val_accuracy, "val_loss": last.val_loss}
        if isinstance(ending, Rung):  # what its layers received halfway says little and is left out
            return {**measured, **_stopped(ending, last.val_accuracy)}, ()
        if self.job.measures_test:
            measured["test_accuracy"] = self._test_accuracy()
        layers = layer_records(self.judged, evenly_spaced(self.validation[0], HISTOGRAM_IMAGES), self.standardise)
        return {**measured, "outcome": Outcome.TRAINED}, layers

    @property
    def judged(self) -> nn.Module:
        """The network that is measured: the average of the weights where the recipe has one."""
        return self.model if self.average is None else self.average.module

    def _test_accuracy(self) -> float:
        images, labels = on_device(self.dataset.test, self.device)
        return round(accuracy_and_loss(self.judged, images, labels, self.standardise)[0], 6)

    def _train(self) -> tuple[Outcome, str] | Rung | None:
        """All steps (None), or those up to a failure, with its reason, or to the rung that stopped the child."""
        rungs = {rung.step: rung for rung in self.job.rungs}
        measure_at = _curve_steps(self.recipe) | rungs.keys()
        rows = batch_rows(len(self.labels), self.recipe.batch_size, self.generator)
        self.model.train()
        for step in range(self.recipe.steps):
            if time.monotonic() > self.deadline:
                raise TimeoutError(f"the child passed its {self.job.timeout_seconds} seconds at step {step}")
            self.on_step(step)
            began = time.perf_counter()
            if not self._step(step, next(rows)):
                outcome = Outcome.DIVERGED if step else Outcome.NONFINITE
                return outcome, f"the loss is not finite at step {step}"
            self.step_seconds.append(time.perf_counter() - began)
            if step + 1 in measure_at and not self._measure(step + 1):
                return Outcome.DIVERGED, f"the validation loss is not finite after step {step + 1}"
            rung = rungs.get(step + 1)
            if rung is not None and self.curve[-1].val_accuracy < rung.stop_below:
                return rung
        if not all(bool(torch.isfinite(p).all()) for p in self.model.parameters()):
            return Outcome.DIVERGED, f"a weight is not finite after step {self.recipe.steps}"
        return None

    def _step(self, step: int, rows: Tensor) -> bool:
        """One step of SGD; False, with the weights as they were, if the loss is not finite."""
        here = rows.to(self.device)
        x = self.standardise(augment(self.images[here], self.recipe, self.generator))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
            logits = self.model(x)
        loss = F.cross_entropy(logits.float(), self.labels[here], label_smoothing=self.recipe.label_smoothing)
        if not math.isfinite(loss.item()):
            return False
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, self.recipe)
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        return True

    def _measure(self, steps: int) -> bool:
        """Adds a point to the curve; False if the validation loss is not finite."""
        images, labels = self.validation
        if steps < self.recipe.steps:
            images, labels = evenly_spaced(images, CURVE_IMAGES), evenly_spaced(labels, CURVE_IMAGES)
        accuracy, loss = accuracy_and_loss(self.judged, images, labels, self.standardise)
        if not math.isfinite(loss):
            return False
        self.curve.append(CurvePoint(step=steps, val_accuracy=round(accuracy, 6), val_loss=round(loss, 6)))
        return True


def _stopped(rung: Rung, val_accuracy: float) -> dict[str, Any]:
    """What the evaluation of a child says that ended at a rung."""
    return {
        "outcome": Outcome.STOPPED,
        "reason": f"accuracy {val_accuracy:.4f} below {rung.stop_below:.4f} at step {rung.step}",
        "predicted_accuracy": round(rung.predict(val_accuracy), 6),
    }


def _curve_steps(recipe: Recipe) -> frozenset[int]:
    """Steps after which the child is measured: equal distances, the last one after the last step."""
    return frozenset(math.ceil(recipe.steps * k / recipe.curve_points) for k in range(1, recipe.curve_points + 1))


def _stream(seed: int, purpose: str) -> int:
    """The seed of one of a child's independent streams of random numbers, in [0, 2⁶³)."""
    digest = hashlib.sha256(f"{seed}:{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@contextmanager
def _own_random_numbers(device: torch.device) -> Iterator[None]:
    """Puts torch's global generators back afterwards; on a GPU, picks convolutions that repeat bit by bit."""
    devices = [device] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=devices),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        yield
