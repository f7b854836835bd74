"""One child trained in this process, without a run: on the embedded images, on the CPU, as a worker trains it."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: one thread, as a worker has

from collections.abc import Sequence
from pathlib import Path

import torch

from actsearch.backend import backend_of
from actsearch.config import ChildSettings, Recipe, RunConfig
from actsearch.evaluation import Evaluation, Job, Rung
from actsearch.expression import expression_of
from actsearch.formula import Formula
from actsearch.identity import canonical_text
from actsearch_workers.training import train


def trained_alone(
    tokens: tuple[str, ...], *, seed: int, child: ChildSettings, recipe: Recipe, rungs: Sequence[Rung] = ()
) -> Evaluation:
    """The evaluation of a token sequence; with torch's threads as they are."""
    job = Job(
        run="alone",
        evaluation="0" * 16,
        tokens=tokens,
        seed=seed,
        backend=backend_of(canonical_text(expression_of(Formula.from_tokens(tokens)))),
        child=child,
        recipe=recipe,
        rungs=tuple(rungs),
        dataset="fashion-mini",
        max_operations=RunConfig().max_operations,
        timeout_seconds=3600,
    )
    return train(job, device=torch.device("cpu"), data_dir=Path())
