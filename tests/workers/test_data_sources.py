"""Sets that are read from files: idx, torchvision's CIFAR, image folders, the user's own."""

import errno
import gzip
import hashlib
import pickle
import struct
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image
from rq.timeouts import JobTimeoutException
from torch import OutOfMemoryError
from torchvision.datasets import CIFAR10

from actsearch.errors import ConfigError, DataMissingError
from actsearch_workers.data import check_dataset, fashion, fetch, load
from actsearch_workers.data.fashion import read_idx
from actsearch_workers.user_code import call_users


def _idx(array: np.ndarray) -> bytes:
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def test_idx_files_are_read_plain_and_gzipped(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "a").write_bytes(_idx(array))
    (tmp_path / "b.gz").write_bytes(gzip.compress(_idx(array)))
    assert np.array_equal(read_idx(tmp_path / "a"), array)
    assert np.array_equal(read_idx(tmp_path / "b.gz"), array)


@pytest.mark.parametrize("content", [b"", b"\0\0\x0d\1\0\0\0\1\0", _idx(np.zeros(5, np.uint8))[:-1]])
def test_broken_idx_files_get_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ConfigError, match=r"a (is not an idx file|has 4 bytes of data where its header says 5)"):
        read_idx(tmp_path / "a")


def test_fashion_mnist_from_torchvisions_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion, "DEBIAN", tmp_path / "none")
    with pytest.raises(DataMissingError, match="`apt-get install dataset-fashion-mnist`"):
        check_dataset("fashion-mnist", data_dir=tmp_path)
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    images = {}
    for part, n in (("train", 12_000), ("t10k", 20)):
        images[part] = rng.integers(0, 256, (n, 2, 2), dtype=np.uint8)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(_idx(images[part]))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(_idx(np.arange(n, dtype=np.uint8) % 10))
    dataset = load("fashion-mnist", data_dir=tmp_path)
    assert [len(split) for split in dataset.splits.values()] == [2_000, 10_000, 20]
    assert np.array_equal(dataset.train.images[:, 0], images["train"][dataset.train.rows])
    assert np.array_equal(dataset.test.images[:, 0], images["t10k"])
    assert dataset.test.rows.tolist() == list(range(12_000, 12_020))


class _TinyCifar(CIFAR10):
    """torchvision's own reader on an archive of 60 images, with the checksums of that archive."""


def _cifar_archive(folder: Path) -> None:
    rng = np.random.default_rng(1)
    base = folder / CIFAR10.base_folder
    base.mkdir(parents=True)
    sums = {}
    for name in [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]:
        data = rng.integers(0, 256, (10, 3072), dtype=np.uint8)
        (base / name).write_bytes(pickle.dumps({"data": data, "labels": list(range(10))}))
    (base / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    for file in base.iterdir():
        sums[file.name] = hashlib.md5(file.read_bytes()).hexdigest()
    _TinyCifar.train_list = [[f"data_batch_{k}", sums[f"data_batch_{k}"]] for k in range(1, 6)]
    _TinyCifar.test_list = [["test_batch", sums["test_batch"]]]
    _TinyCifar.meta = {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]}


def test_cifar_is_read_once_and_kept_as_npz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _cifar_archive(tmp_path)
    monkeypatch.setattr("torchvision.datasets.CIFAR10", _TinyCifar)
    fetch("cifar10", tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cifar-10-batches-py", "cifar10.npz"]
    monkeypatch.setattr(pickle, "load", None)  # nothing is unpickled from here on
    dataset = load("cifar10", data_dir=tmp_path)
    assert dataset.classes == 10
    assert [split.images.shape for split in dataset.splits.values()] == [
        (45, 3, 32, 32),
        (5, 3, 32, 32),
        (10, 3, 32, 32),
    ]
    rng = np.random.default_rng(1)
    first = rng.integers(0, 256, (10, 3072), dtype=np.uint8)[0].reshape(3, 32, 32)  # row 0 of data_batch_1
    split = dataset.train if 0 in dataset.train.rows else dataset.validation
    assert np.array_equal(split.images[split.rows == 0][0], first)


def test_a_changed_cifar_archive_is_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _cifar_archive(tmp_path)
    with (tmp_path / CIFAR10.base_folder / "data_batch_3").open("ab") as file:
        file.write(b"x")
    monkeypatch.setattr("torchvision.datasets.CIFAR10", _TinyCifar)
    # The server has nothing better: the changed file stays.
    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", lambda *args, **kwargs: None)
    monkeypatch.setattr(pickle, "load", None)
    with pytest.raises(OSError, match="corrupted"):
        fetch("cifar10", tmp_path)
    assert not (tmp_path / "cifar10.npz").exists()


def _image_folder(folder: Path, n: int = 20) -> None:
    for c, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for k in range(n):
            Image.new("RGB", (40, 20), (100 * c, k, 7)).save(folder / name / f"{k:02}.png")


def test_image_folder_is_cropped_resized_and_divided(tmp_path: Path) -> None:
    _image_folder(tmp_path / "a")
    dataset = load(f"imagefolder:{tmp_path / 'a'}?size=16", data_dir=tmp_path)
    assert dataset.name.endswith("?size=16")
    assert [split.images.shape for split in dataset.splits.values()] == [
        (32, 3, 16, 16),
        (4, 3, 16, 16),
        (4, 3, 16, 16),
    ]
    for split in dataset.splits.values():
        assert np.bincount(split.labels).tolist() == [len(split) // 2] * 2
        for image, label, row in zip(split.images, split.labels, split.rows, strict=True):
            assert (image == np.array([100 * label, row % 20, 7])[:, None, None]).all()


def test_image_folder_keeps_its_parts_when_it_moves(tmp_path: Path) -> None:
    _image_folder(tmp_path / "a")
    before = load(f"imagefolder:{tmp_path / 'a'}?size=8", data_dir=tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    after = load(f"imagefolder:{tmp_path / 'b'}?size=8", data_dir=tmp_path)
    assert before.digest == after.digest


def test_image_folder_crops_the_middle(tmp_path: Path) -> None:
    _image_folder(tmp_path)
    wide = np.zeros((8, 24, 3), dtype=np.uint8)
    wide[:, 8:16] = 200
    Image.fromarray(wide).save(tmp_path / "cat" / "00.png")
    dataset = load(f"imagefolder:{tmp_path}?size=8", data_dir=tmp_path)
    split = next(split for split in dataset.splits.values() if 0 in split.rows)
    assert (split.images[split.rows == 0] == 200).all()


def test_bad_image_folders_get_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _image_folder(tmp_path / "a")
    (tmp_path / "a" / "cat" / "00.png").write_bytes(b"not an image")
    check_dataset(f"imagefolder:{tmp_path / 'a'}", data_dir=tmp_path)
    with pytest.raises(ConfigError, match=r"00\.png is no image that can be read"):
        load(f"imagefolder:{tmp_path / 'a'}", data_dir=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", Mock(side_effect=OSError(errno.EIO, "Input/output error")))
        with pytest.raises(OSError, match="Input/output error") as caught:
            load(f"imagefolder:{tmp_path / 'a'}", data_dir=tmp_path)
    assert not isinstance(caught.value, ConfigError), "the disk's fault: another attempt may read it"
    (tmp_path / "a" / "empty").mkdir()
    with pytest.raises(DataMissingError, match="class folder 'empty' holds no images"):
        check_dataset(f"imagefolder:{tmp_path / 'a'}", data_dir=tmp_path)
    _image_folder(tmp_path / "few", n=2)
    with pytest.raises(DataMissingError, match="needs 2 class folders and 10 images or more, got 2 and 4"):
        check_dataset(f"imagefolder:{tmp_path / 'few'}", data_dir=tmp_path)


def test_links_do_not_lead_out_of_an_image_folder(tmp_path: Path) -> None:
    """Who may write in it could else have a worker train on what only the worker may read."""
    folder, elsewhere = tmp_path / "a", tmp_path / "a-elsewhere"
    _image_folder(folder)
    _image_folder(elsewhere)
    (tmp_path / "link").symlink_to(folder)
    within: list[tuple[Path, str | Path]] = [(folder / "mouse", "dog"), (folder / "cat" / "20.png", "../dog/00.png")]
    outwards: list[tuple[Path, str | Path]] = [
        (folder / "mouse", elsewhere / "dog"),
        (folder / "mouse", "../a-elsewhere/cat"),
        (folder / "cat" / "20.png", elsewhere / "cat" / "00.png"),
        (folder / "cat" / "20.png", tmp_path / "not there.png"),
        (folder / "cat" / "20.png", "/dev/zero"),
    ]
    for named in (folder, tmp_path / "link"):
        for link, target in within:
            link.symlink_to(target)
            check_dataset(f"imagefolder:{named}", data_dir=tmp_path)
            assert load(f"imagefolder:{named}?size=8", data_dir=tmp_path).train
            link.unlink()
        for link, target in outwards:
            link.symlink_to(target)
            for look in (check_dataset, load):
                with pytest.raises(ConfigError, match=f"{link.name} is a link that leads out of the folder"):
                    look(f"imagefolder:{named}", data_dir=tmp_path)
            link.unlink()


USER_MODULE = """
import numpy as np
def good():
    x = np.arange(6 * 3 * 4 * 4, dtype=np.uint8).reshape(6, 3, 4, 4)
    y = np.array([0, 1, 2, 0, 1, 2], dtype=np.int32)
    return (x, y), (x + 1, y), (x + 2, y)
def floats():
    x = np.zeros((6, 3, 4, 4))
    y = np.zeros(6, dtype=int)
    return (x, y), (x, y), (x, y)
def two():
    return good()[:2]
def nothing():
    return None
def float_labels():
    (x, y), *rest = good()
    return (x, y / 2), *rest
constant = 3
"""


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module of the user's own, found in the current folder as a console script would."""
    name = f"my_data_{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:8]}"
    (tmp_path / f"{name}.py").write_text(USER_MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["/nonexistent"])
    return name


def test_the_users_own_data_set(user_module: str, tmp_path: Path) -> None:
    name = f"{user_module}:good"
    with pytest.raises(ConfigError, match="--allow-user-code"):
        load(name, data_dir=tmp_path)
    check_dataset(name, data_dir=tmp_path, allow_user_code=True)
    dataset = load(name, data_dir=tmp_path, allow_user_code=True)
    assert dataset.classes == 3
    assert dataset.test.rows.tolist() == [12, 13, 14, 15, 16, 17]
    assert dataset.train.labels.dtype == np.int64


@pytest.mark.parametrize(
    ("function", "line"),
    [
        ("floats", "train: images are uint8"),
        ("two", "three"),
        ("nothing", "three"),
        ("float_labels", "train: labels are integers"),
        ("missing", "has no attribute 'missing'"),
        ("constant", "constant is a int, not a function"),
    ],
)
def test_what_a_users_function_returns_is_checked(user_module: str, tmp_path: Path, function: str, line: str) -> None:
    with pytest.raises(ConfigError, match=line) as info:
        load(f"{user_module}:{function}", data_dir=tmp_path, allow_user_code=True)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "disk"),
        TimeoutError("network"),
        MemoryError(),
        JobTimeoutException("60 s"),
        OutOfMemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_the_machine_did_to_the_users_code_is_no_mistake_in_it(
    error: Exception, user_module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake pauses the run at once; this is tried again."""
    fails = Mock(side_effect=error)
    with pytest.raises(type(error)):
        call_users("dataset", "mine:data", fails)
    monkeypatch.setattr("importlib.import_module", fails)
    with pytest.raises(type(error)):
        load(f"{user_module}:good", data_dir=tmp_path, allow_user_code=True)


def test_a_users_module_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot import no_such_module"):
        check_dataset("no_such_module:f", data_dir=tmp_path, allow_user_code=True)
