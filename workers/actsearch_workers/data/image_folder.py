"""`imagefolder:PATH[?size=64]`: the user's own images, one folder a class.

Each image is cropped to its central square and resized, so that the set is one array. A file's part (80 % train,
10 % validation, 10 % test) follows from a hash of its path below PATH: the same folder gives the same parts
anywhere.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from actsearch.errors import ConfigError, DataMissingError
from actsearch_workers.data.splits import Dataset, Images, split_rows

SIZE = 64
"""Pixels of the resized square where the name does not say."""

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})

_FORM = "imagefolder:PATH or imagefolder:PATH?size=8 to 512"


def load_image_folder(data_dir: Path, argument: str) -> Dataset:
    """The images below a folder, 3 channels, square."""
    folder, size = _parse(argument)
    files, labels = _list(folder)
    images = np.stack([_read(file, size) for file in files])
    held_out = max(len(files) // 10, 1)
    sizes = (len(files) - 2 * held_out, held_out, held_out)
    keys = [file.relative_to(folder).as_posix() for file in files]
    # The salt is the kind, not the path: a folder keeps its parts when it moves.
    dataset = split_rows("imagefolder", images, np.array(labels, dtype=np.int64), sizes=sizes, keys=keys)
    return replace(dataset, name=f"imagefolder:{argument}")


def image_folder(argument: str) -> Path:
    """The folder that the part of a name after the colon stands for, without `..` and symbolic links."""
    folder, _ = _parse(argument)
    try:
        return folder.resolve()
    except (RuntimeError, ValueError) as err:  # links in a circle, a zero byte
        raise ConfigError(f"dataset {f'imagefolder:{argument}'!r} names no folder: {err}") from err


def check_image_folder(data_dir: Path, argument: str) -> None:
    """Raises what `load_image_folder` would for the name and the folders, without reading an image."""
    _list(_parse(argument)[0])


def _parse(argument: str) -> tuple[Path, int]:
    path, question, option = argument.partition("?")
    key, _, value = option.partition("=")
    size = int(value) if value.isdecimal() else 0
    if not path or (question and (key != "size" or not 8 <= size <= 512)):
        raise ConfigError(f"dataset 'imagefolder:{argument}' is not of the form {_FORM}")
    try:
        folder = Path(path).expanduser()
    except RuntimeError as err:  # ~NAME of nobody
        raise ConfigError(f"dataset 'imagefolder:{argument}' names no folder: {err}") from err
    return folder, size or SIZE


def _list(folder: Path) -> tuple[list[Path], list[int]]:
    """Image files and their class numbers, in the order of class folders' and files' names."""
    if not folder.is_dir():
        raise DataMissingError(f"dataset 'imagefolder:{folder}': no such folder on this machine")
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    _check_links(folder, classes)
    files, labels = [], []
    for number, entry in enumerate(classes):
        images = sorted(file for file in entry.iterdir() if file.suffix.lower() in SUFFIXES)
        _check_links(folder, images)
        if not images:
            raise DataMissingError(f"dataset 'imagefolder:{folder}': class folder {entry.name!r} holds no images")
        files += images
        labels += [number] * len(images)
    if len(classes) < 2 or len(files) < 10:
        raise DataMissingError(
            f"dataset 'imagefolder:{folder}' needs 2 class folders and 10 images or more, "
            f"got {len(classes)} and {len(files)}"
        )
    return files, labels


def _check_links(folder: Path, entries: Sequence[Path]) -> None:
    """`ConfigError` for a link out of the folder: who writes there need not be who may read what it leads to."""
    for entry in entries:
        if entry.is_symlink() and not Path(os.path.realpath(entry)).is_relative_to(os.path.realpath(folder)):
            raise ConfigError(f"dataset 'imagefolder:{folder}': {entry} is a link that leads out of the folder")


def _read(file: Path, size: int) -> Images:
    """One image as ``(3, size, size)``: central square, bilinear with antialiasing."""
    from PIL import Image, ImageOps  # comes with torchvision

    resampling: Any = Image.Resampling.BILINEAR
    try:
        with Image.open(file) as image:
            square = ImageOps.fit(image.convert("RGB"), (size, size), method=resampling)
    except (OSError, Image.DecompressionBombError) as err:
        if getattr(err, "errno", None) is not None:
            raise  # the disk's word, not Pillow's on the image
        raise ConfigError(f"{file} is no image that can be read: {' '.join(str(err).split())}") from err
    return np.asarray(square, dtype=np.uint8).transpose(2, 0, 1)
