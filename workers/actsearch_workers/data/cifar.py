"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009): fetched once through torchvision, kept and read as npz.

The published archives are Python pickles. `fetch` lets torchvision check their md5 and read them once; everything
after that reads data_dir/cifar10.npz, in which nothing can run.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from actsearch.errors import DataMissingError
from actsearch_workers.data.splits import Dataset, split_with_test

VALIDATION = 5_000
"""Images held out of the 50,000, as He et al. 2016 (arXiv 1512.03385, section 4.2) do."""


def load_cifar10(data_dir: Path, argument: str) -> Dataset:
    """CIFAR-10: 45,000 train, 5,000 validation, 10,000 test images, 3x32x32."""
    return _load("cifar10", data_dir)


def load_cifar100(data_dir: Path, argument: str) -> Dataset:
    """CIFAR-100: 45,000 train, 5,000 validation, 10,000 test images, 3x32x32, fine labels."""
    return _load("cifar100", data_dir)


def check_cifar10(data_dir: Path, argument: str) -> None:
    _path("cifar10", data_dir)


def check_cifar100(data_dir: Path, argument: str) -> None:
    _path("cifar100", data_dir)


def fetch_cifar10(data_dir: Path) -> None:
    """Makes data_dir/cifar10.npz, downloading the archive unless torchvision's folder is there already."""
    from torchvision.datasets import CIFAR10

    _fetch("cifar10", CIFAR10, data_dir)


def fetch_cifar100(data_dir: Path) -> None:
    """Makes data_dir/cifar100.npz, downloading the archive unless torchvision's folder is there already."""
    from torchvision.datasets import CIFAR100

    _fetch("cifar100", CIFAR100, data_dir)


def _load(name: str, data_dir: Path) -> Dataset:
    with np.load(_path(name, data_dir), allow_pickle=False) as file:
        train, test = ((file[f"{part}_images"], file[f"{part}_labels"].astype(np.int64)) for part in ("train", "test"))
    return split_with_test(name, train, test, validation=min(VALIDATION, len(train[1]) // 10))


def _path(name: str, data_dir: Path) -> Path:
    path = data_dir / f"{name}.npz"
    if not path.is_file():
        raise DataMissingError(f"dataset {name!r} is not in {data_dir}; get it with `actsearch data fetch {name}`")
    return path


def _fetch(name: str, source: Any, data_dir: Path) -> None:
    """Converts torchvision's `source` to npz; the archive's md5 is checked before anything in it is read."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data_dir) as scratch:
        root = data_dir if (data_dir / source.base_folder).is_dir() else scratch
        arrays: dict[str, Any] = {}
        for part in ("train", "test"):
            images = source(str(root), train=part == "train", download=True)
            arrays[f"{part}_images"] = np.ascontiguousarray(images.data.transpose(0, 3, 1, 2))
            arrays[f"{part}_labels"] = np.array(images.targets, dtype=np.uint8)
        unfinished = Path(scratch) / f"{name}.npz"
        np.savez(unfinished, **arrays)
        unfinished.replace(data_dir / f"{name}.npz")
