"""A worker process with a fake training: `python -m tests.integration.fake_worker URL LEASE_SECONDS TORCH NAME`.

TORCH says whether it imports torch, which takes most of its start, to name its environment: `torch` or `none`.
"""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import actsearch_workers
from actsearch_workers import jobs, worker
from actsearch_workers.connection import Address
from tests.integration import fake_training


def import_torch_only() -> None:
    import torch

    # Before the fork, as a real worker: every job names the environment, which asks it.
    import actsearch.activation.symbolic  # noqa: F401

    torch.set_num_threads(1)


def do_without_torch() -> None:
    stand_in: Any = SimpleNamespace(device=str)
    sys.modules["torch"] = stand_in
    setattr(jobs, "environment", lambda device: "no torch")  # noqa: B010


if __name__ == "__main__":
    sys.modules["actsearch_workers.training"] = fake_training
    setattr(actsearch_workers, "training", fake_training)  # noqa: B010
    url, lease_seconds, torch_or_none, name = sys.argv[1:]
    worker._import_for_jobs = import_torch_only if torch_or_none == "torch" else do_without_torch
    worker.LEASE_SECONDS = int(lease_seconds)
    worker.HEARTBEAT_SECONDS = 1
    worker.serve(Address(url), device="cpu", name=name, data_dir=Path())
