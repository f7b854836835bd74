"""A worker process with a fake training and fake data.

`python -m tests.integration.fake_worker URL LEASE_SECONDS TORCH NAME [GRACE_SECONDS [DIGEST]]`

TORCH says whether it imports torch, which takes most of its start, to name its environment: `torch` or `none`.
"""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import actsearch_workers
from actsearch_workers import serving, worker
from actsearch_workers.connection import Address
from actsearch_workers.jobs import WorkerSettings
from tests.integration import fake_training


def import_torch_only() -> None:
    import torch

    torch.set_num_threads(1)


def do_without_torch() -> None:
    stand_in: Any = SimpleNamespace(device=str)
    sys.modules["torch"] = stand_in
    setattr(serving, "environment", lambda device: fake_training.ENVIRONMENT.on(""))  # noqa: B010


if __name__ == "__main__":
    sys.modules["actsearch_workers.training"] = fake_training
    setattr(actsearch_workers, "training", fake_training)  # noqa: B010
    url, lease_seconds, torch_or_none, name, *rest = sys.argv[1:]
    grace_seconds, digest = [*rest, *("25", fake_training.DIGEST)[len(rest) :]]
    serving._import_for_jobs = import_torch_only if torch_or_none == "torch" else do_without_torch
    setattr(WorkerSettings, "digest", lambda self, dataset: digest)  # noqa: B010
    worker.LOOK_SECONDS = 0.2  # type: ignore[assignment]
    worker.LEASE_SECONDS = int(lease_seconds)
    worker.HEARTBEAT_SECONDS = 1
    serving.serve(Address(url), device="cpu", name=name, data_dir=Path(), grace_seconds=float(grace_seconds))
