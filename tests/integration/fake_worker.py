"""A worker process with a fake training and fake data.

`python -m tests.integration.fake_worker URL LEASE_SECONDS NAME [GRACE_SECONDS [DIGEST]]`
"""

import sys
from pathlib import Path

import actsearch_workers
from actsearch_workers import worker
from actsearch_workers.connection import Address
from actsearch_workers.digests import Digests
from tests.integration import fake_training


def import_torch_only() -> None:
    import torch

    torch.set_num_threads(1)


if __name__ == "__main__":
    sys.modules["actsearch_workers.training"] = fake_training
    setattr(actsearch_workers, "training", fake_training)  # noqa: B010
    worker._import_for_jobs = import_torch_only
    url, lease_seconds, name, *rest = sys.argv[1:]
    grace_seconds, digest = [*rest, *("25", fake_training.DIGEST)[len(rest) :]]
    setattr(Digests, "_digest", lambda self, dataset: digest)  # noqa: B010
    worker.LOOK_SECONDS = 0.2
    worker.LEASE_SECONDS = int(lease_seconds)
    worker.HEARTBEAT_SECONDS = min(worker.HEARTBEAT_SECONDS, worker.LEASE_SECONDS // 2)
    worker.serve(Address(url), device="cpu", name=name, data_dir=Path(), grace_seconds=float(grace_seconds))
