"""The data sets that children train on: a table of names, and load, check and fetch over it.

Nothing here downloads but `fetch`. Importing this package imports no torch: arrays are numpy's until training
puts them on a device.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from actsearch.errors import ConfigError, UnknownNameError
from actsearch_workers.data.cifar import (
    check_cifar10,
    check_cifar100,
    fetch_cifar10,
    fetch_cifar100,
    load_cifar10,
    load_cifar100,
)
from actsearch_workers.data.embedded import load_digits, load_fashion_mini
from actsearch_workers.data.fashion import check_fashion_mnist, fetch_fashion_mnist, load_fashion_mnist
from actsearch_workers.data.image_folder import check_image_folder, image_folder, load_image_folder
from actsearch_workers.data.splits import Dataset, Split
from actsearch_workers.data.user import user_dataset
from actsearch_workers.user_code import is_user_code, user_function

__all__ = ["DATASETS", "Dataset", "Source", "Split", "check_dataset", "check_fetchable", "fetch", "folder_of", "load"]


def _always_here(data_dir: Path, argument: str) -> None:
    """The check of an embedded set."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where one data set comes from.

    Attributes:
        summary: one line for `actsearch data list`.
        licence: of the data.
        load: from the data folder and the part of the name after the colon to the data set.
        check: raises, quickly, what `load` would raise because something is missing or misspelt.
        fetch: downloads it into a data folder; None: there is nothing to download.
        argument: what stands after the colon in the name; None: nothing.
        folder: finds the folder that it stands for, without `..` and symbolic links.
        digest: what `Dataset.digest` is of an unharmed copy; empty where nobody has found that out.
    """

    summary: str
    licence: str
    load: Callable[[Path, str], Dataset]
    check: Callable[[Path, str], None] = _always_here
    fetch: Callable[[Path], None] | None = None
    argument: str | None = None
    folder: Callable[[str], Path] | None = None
    digest: str = ""


DATASETS: Mapping[str, Source] = MappingProxyType(
    {
        "fashion-mini": Source(
            summary="Fashion-MNIST at 14x14, 10 classes, 24,000 + 8,000 + 4,000 images, embedded",
            licence="MIT",
            load=load_fashion_mini,
            digest="d3f475e120bb77cb960ad9b806396f2cdcbd8d747c50448d0517fa76142603a4",
        ),
        "fashion-mnist": Source(
            summary="Fashion-MNIST, 28x28, 10 classes, 50,000 + 10,000 + 10,000 images",
            licence="MIT",
            load=load_fashion_mnist,
            check=check_fashion_mnist,
            fetch=fetch_fashion_mnist,
            digest="431662e8631acd504c5bfe0270d87552a8a27073cb344bc0d4893112202cf8f1",
        ),
        "cifar10": Source(
            summary="CIFAR-10, 3x32x32, 10 classes, 45,000 + 5,000 + 10,000 images",
            licence="none stated by its authors",
            load=load_cifar10,
            check=check_cifar10,
            fetch=fetch_cifar10,
        ),
        "cifar100": Source(
            summary="CIFAR-100, 3x32x32, 100 classes, 45,000 + 5,000 + 10,000 images",
            licence="none stated by its authors",
            load=load_cifar100,
            check=check_cifar100,
            fetch=fetch_cifar100,
        ),
        "digits": Source(
            summary="UCI optical digits, 8x8, 10 classes, 1,077 + 360 + 360 images, embedded",
            licence="CC BY 4.0",
            load=load_digits,
            digest="2b92f9b959892ca2b2a30eaa3231503b30dee4436e048b5cee065079a26335e2",
        ),
        "imagefolder": Source(
            summary="your own images, one folder a class",
            licence="yours",
            load=load_image_folder,
            check=check_image_folder,
            argument="PATH or PATH?size=64",
            folder=image_folder,
        ),
    }
)
"""Every data set by name. One entry here is all that the command line, the workers and the tests need."""


def check_dataset(name: str, *, data_dir: Path, allow_user_code: bool = False) -> None:
    """Makes sure, without reading an image, that `load` with the same arguments finds its data.

    Raises:
        UnknownNameError: no data set of that name.
        DataMissingError: its files are not on this machine; the line says which command gets them.
        ConfigError: an option of the name is wrong, or user code is not allowed or cannot be imported.
    """
    if _is_users(name):
        user_function("dataset", name, allow_user_code=allow_user_code)
    else:
        source, argument = _find(name)
        source.check(data_dir, argument)


@lru_cache(maxsize=4)
def load(name: str, *, data_dir: Path, allow_user_code: bool = False) -> Dataset:
    """The data set of a name, read once a process; its arrays are read-only.

    Raises:
        CallerError: as `check_dataset`, and `ConfigError` for files or arrays that are not what they should be.
    """
    if _is_users(name):
        return user_dataset(name, user_function("dataset", name, allow_user_code=allow_user_code))
    source, argument = _find(name)
    source.check(data_dir, argument)
    return source.load(data_dir, argument)


def folder_of(name: str) -> Path | None:
    """The folder anywhere on this machine that a data set's name stands for, without `..` and symbolic links.

    None for all names but those.

    Raises:
        ConfigError: the name can be no folder's, or an option of it is wrong.
    """
    entry, _, argument = name.partition(":")
    source = DATASETS.get(entry)
    return None if source is None or source.folder is None else source.folder(argument)


def check_fetchable(name: str) -> Callable[[Path], None]:
    """What downloads a data set into a folder; `ConfigError` where there is nothing to download."""
    source = DATASETS.get(name)
    if source is None or source.fetch is None:
        fetchable = ", ".join(name for name, source in DATASETS.items() if source.fetch)
        raise ConfigError(f"dataset {name!r} has nothing to fetch; these have: {fetchable}")
    return source.fetch


def fetch(name: str, data_dir: Path) -> None:
    """Downloads a data set into a folder. The only function of the project that asks the network for data.

    Raises:
        ConfigError: there is nothing to fetch: it is embedded, or the user's own.
        OSError: the network or the disk failed, or what came has another checksum.
    """
    try:
        check_fetchable(name)(data_dir)
    except RuntimeError as err:  # torchvision's answer to a wrong checksum
        raise OSError(f"dataset {name!r} from its server: {' '.join(str(err).split())}") from err


def _is_users(name: str) -> bool:
    return name.partition(":")[0] not in DATASETS and is_user_code(name)


def _find(name: str) -> tuple[Source, str]:
    entry, colon, argument = name.partition(":")
    source = DATASETS.get(entry)
    if source is None or (colon and source.argument is None):
        raise UnknownNameError("dataset", name, [*DATASETS, "module:function"])
    if source.argument is not None and not argument:
        raise ConfigError(f"dataset {entry!r} needs an argument: {entry}:{source.argument}")
    return source, argument
