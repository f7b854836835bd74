"""The data sets that come with the package, one npz file each, licence text beside it.

Each file has `{train,validation,test}_{images,labels,rows}` in the smallest integer types that hold them; the
scripts under workers/make_data wrote them.
"""

from pathlib import Path
from typing import Any

import numpy as np

from actsearch_workers.data.splits import Dataset, Split

FOLDER = Path(__file__).parent


def read_embedded(name: str, path: Path) -> Dataset:
    """The data set of an npz file that `write_embedded` made; nothing is unpickled."""
    with np.load(path, allow_pickle=False) as file:
        parts = [
            Split(
                file[f"{part}_images"],
                file[f"{part}_labels"].astype(np.int64),
                file[f"{part}_rows"].astype(np.int64),
            )
            for part in ("train", "validation", "test")
        ]
    return Dataset(name, int(parts[0].labels.max()) + 1, *parts)


def write_embedded(dataset: Dataset, path: Path) -> None:
    """Writes a data set as one compressed npz file; the same bytes each time with the same zlib."""
    arrays: dict[str, Any] = {}
    for part, split in dataset.splits.items():
        arrays[f"{part}_images"] = split.images
        arrays[f"{part}_labels"] = split.labels.astype(np.uint8)
        arrays[f"{part}_rows"] = split.rows.astype("<u4")
    np.savez_compressed(path, **arrays)


def load_fashion_mini(data_dir: Path, argument: str) -> Dataset:
    """Fashion-MNIST at 14x14: 24,000 train, 8,000 validation, 4,000 test images."""
    return read_embedded("fashion-mini", FOLDER / "fashion_mini.npz")


def load_digits(data_dir: Path, argument: str) -> Dataset:
    """UCI's optical digits at 8x8: 1,077 train, 360 validation, 360 test images."""
    return read_embedded("digits", FOLDER / "digits.npz")
