"""Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, arXiv 1708.07747): the full set, and the embedded small one.

The full set is read from its original idx files, as torchvision or Debian's package `dataset-fashion-mnist` lay
them out. `fashion-mini` is what workers/make_data/fashion_mini.py made of it.
"""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from actsearch.errors import ConfigError, DataMissingError
from actsearch_workers.data.splits import Dataset, Images, Integers, split_with_test

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package puts the four files."""

_PARTS = {
    part: (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte") for part in ("train", "t10k")
}  # the files' names since MNIST


def load_fashion_mnist(data_dir: Path, argument: str) -> Dataset:
    """Fashion-MNIST at 28x28: 50,000 train, 10,000 validation, 10,000 test images."""
    folder = find_fashion_mnist(data_dir)
    return split_with_test("fashion-mnist", read_part(folder, "train"), read_part(folder, "t10k"), validation=10_000)


def check_fashion_mnist(data_dir: Path, argument: str) -> None:
    """`DataMissingError` where the four files are in none of the two folders."""
    find_fashion_mnist(data_dir)


def fetch_fashion_mnist(data_dir: Path) -> None:
    """Downloads the four files, md5-checked by torchvision, to its usual folder below `data_dir`."""
    from torchvision.datasets import FashionMNIST

    FashionMNIST(str(data_dir), download=True)


def find_fashion_mnist(data_dir: Path) -> Path:
    """The folder that holds all four idx files: torchvision's below `data_dir`, else Debian's."""
    for folder in (data_dir / "FashionMNIST" / "raw", DEBIAN):
        if all(_idx_file(folder, name) for names in _PARTS.values() for name in names):
            return folder
    raise DataMissingError(
        "dataset 'fashion-mnist' is not on this machine; get it with `actsearch data fetch fashion-mnist` "
        "or `apt-get install dataset-fashion-mnist`"
    )


def read_part(folder: Path, part: str) -> tuple[Images, Integers]:
    """Images ``(n, 1, height, width)`` and labels ``(n,)`` of one part, `train` or `t10k`."""
    images, labels = (read_idx(_idx_file(folder, name) or folder / name) for name in _PARTS[part])
    return images[:, None], labels.astype(np.int64)


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """The uint8 array of an idx file, gzipped or not (the format: http://yann.lecun.com/exdb/mnist).

    Two zero bytes, the type (8: uint8), the number of dimensions, each size as four big-endian bytes, the data.
    """
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as file:
        content: bytes = file.read()
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise ConfigError(f"{path} is not an idx file of uint8")
    shape = np.frombuffer(content, ">u4", count=content[3], offset=4)
    start = 4 + 4 * content[3]
    if len(content) - start != shape.prod():
        raise ConfigError(f"{path} has {len(content) - start} bytes of data where its header says {shape.prod()}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _idx_file(folder: Path, name: str) -> Path | None:
    candidates = (folder / name, folder / f"{name}.gz")
    return next((path for path in candidates if path.is_file()), None)
