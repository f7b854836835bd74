"""What a data set is once loaded: three disjoint splits of uint8 images with fixed row numbers and one digest.

A row's split follows from a hash of its key, not from a random generator: the same rows on every machine and
under every version of numpy.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from actsearch.errors import ConfigError

Images = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set.

    Attributes:
        images: uint8, ``(n, channels, height, width)``.
        labels: int64 class numbers, ``(n,)``.
        rows: int64 row numbers in the source, ``(n,)``; where the source has its own test part, its rows are
            numbered on after the training part's.
    """

    images: Images
    labels: Integers
    rows: Integers

    def __post_init__(self) -> None:
        for field in ("images", "labels", "rows"):
            view = getattr(self, field).view()
            view.flags.writeable = False  # load() hands the same arrays to every caller
            object.__setattr__(self, field, view)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Train, validation (the reward) and test (finals only) parts of one image classification set.

    Raises:
        ConfigError: arrays of another type or shape, labels outside the classes, an empty or overlapping part.
    """

    name: str
    classes: int
    train: Split
    validation: Split
    test: Split

    def __post_init__(self) -> None:
        for part, split in self.splits.items():
            if problem := _problem(split, self.classes, self.train.images.shape[1:]):
                raise ConfigError(f"dataset {self.name!r}, {part}: {problem}")
        rows = np.concatenate([split.rows for split in self.splits.values()])
        if len(np.unique(rows)) != len(rows):
            raise ConfigError(f"dataset {self.name!r}: a row stands in two places of train, validation and test")

    @property
    def splits(self) -> dict[str, Split]:
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def channels(self) -> int:
        return int(self.train.images.shape[1])

    @property
    def image_size(self) -> int:
        """The longer side in pixels."""
        return int(max(self.train.images.shape[2:]))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over shape, row numbers, labels and pixels of the three parts: equal digests, equal data."""
        digest = hashlib.sha256(str(self.classes).encode())
        for split in self.splits.values():
            digest.update(str(split.images.shape).encode())
            for array in (split.rows.astype("<i8"), split.labels.astype("<i8"), split.images):
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def _problem(split: Split, classes: int, shape: tuple[int, ...]) -> str | None:
    images, labels = split.images, split.labels
    if images.ndim != 4 or images.dtype != np.uint8:
        return f"images are uint8 (n, channels, height, width), got {images.dtype} {images.shape}"
    if len(images) == 0:
        return "no images"
    if images.shape[1:] != shape:
        return f"images of {images.shape[1:]} where the training images have {shape}"
    if labels.dtype != np.int64 or labels.shape != (len(images),) or split.rows.shape != labels.shape:
        return f"{len(images)} images need as many int64 labels and rows, got {labels.dtype} {labels.shape}"
    if labels.min() < 0 or labels.max() >= classes:
        return f"labels lie in 0 to {classes - 1}, got {labels.min()} to {labels.max()}"
    return None


def stratified(labels: Integers, sizes: Sequence[int], *, keys: Sequence[str], salt: str) -> list[Integers]:
    """Disjoint sets of rows, each with the classes' shares of the whole (to within one row a class).

    Args:
        labels: the class of each row, ``(n,)``.
        sizes: rows of each set; their sum is at most n.
        keys: what identifies each row for good: its number, or its path.
        salt: makes the choice of one data set independent of another's.

    Returns:
        For each size its row numbers, int64, ascending.
    """
    assert sum(sizes) <= len(labels)
    rank = np.array([_hash(f"{salt}:{key}") for key in keys], dtype=np.uint64)
    # Rows in the order of (position within their class as a share of the class): any stretch of it is stratified.
    order = np.lexsort((rank, labels))
    _, first, counts = np.unique(labels[order], return_index=True, return_counts=True)
    share = (np.arange(len(labels)) - np.repeat(first, counts) + 0.5) / np.repeat(counts, counts)
    interleaved = order[np.lexsort((rank[order], share))]
    bounds = np.cumsum(sizes)[:-1]
    return [np.sort(part).astype(np.int64) for part in np.split(interleaved[: sum(sizes)], bounds)]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def split_rows(
    name: str, images: Images, labels: Integers, *, sizes: tuple[int, int, int], keys: Sequence[str] | None = None
) -> Dataset:
    """A data set of one array of images, divided by `stratified` into train, validation and test.

    Args:
        name: the data set's name; also the salt.
        images: uint8, ``(n, channels, height, width)``.
        labels: int64, ``(n,)``.
        sizes: images of train, validation and test.
        keys: what identifies each image for good; None: its row number.
    """
    keys = keys if keys is not None else [str(k) for k in range(len(labels))]
    parts = [Split(images[rows], labels[rows], rows) for rows in stratified(labels, sizes, keys=keys, salt=name)]
    return Dataset(name, int(labels.max()) + 1, *parts)


def split_with_test(
    name: str, train: tuple[Images, Integers], test: tuple[Images, Integers], *, validation: int
) -> Dataset:
    """A data set that comes with a test part: validation images are taken from its training part.

    Args:
        name: the data set's name; also the salt.
        train: uint8 images ``(n, channels, height, width)`` and int64 labels of the source's training part.
        test: the same of its test part, of which every image is kept.
        validation: how many training images become the validation part.
    """
    images, labels = train
    sizes = (len(labels) - validation, validation)
    keys = [str(k) for k in range(len(labels))]
    fit, held_out = stratified(labels, sizes, keys=keys, salt=name)
    return Dataset(
        name,
        int(labels.max()) + 1,
        Split(images[fit], labels[fit], fit),
        Split(images[held_out], labels[held_out], held_out),
        Split(*test, len(labels) + np.arange(len(test[1]))),
    )
