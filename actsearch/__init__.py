"""Finds activation functions: what a candidate is, what a run is.

import actsearch

found = actsearch.load("runs/run1").best()
print(found)                       # x*sigmoid(beta*x)  = Swish, 84.10%
layer = found.activation()         # an nn.Module with one trainable beta a channel
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actsearch.results import Run

__all__ = ["load"]


def load(run: str | Path, runs_dir: str | Path = "runs", *, store: str | None = None) -> "Run":
    """The results of a run: its folder, its name under `runs_dir` or in the database `store` (actsearch.results)."""
    from actsearch import results  # here, so that a command line answers before sympy is imported

    return results.load(run, runs_dir, store=store)
