"""A worker process with a fake training: `python -m tests.integration.fake_worker URL NAME [burst]`."""

import sys
from pathlib import Path

import actsearch_workers
from actsearch_workers import worker
from actsearch_workers.connection import Address
from tests.integration import fake_training


def import_torch_only() -> None:
    import torch

    torch.set_num_threads(1)


if __name__ == "__main__":
    sys.modules["actsearch_workers.training"] = fake_training
    actsearch_workers.training = fake_training
    worker._import_for_jobs = import_torch_only
    url, name, *burst = sys.argv[1:]
    worker.serve(Address(url), device="cpu", name=name, data_dir=Path(), burst=bool(burst))
