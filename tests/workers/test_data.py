"""The data sets' table, and what holds for every set that is on any machine."""

import sys
from pathlib import Path
from subprocess import run

import numpy as np
import pytest

from actsearch.errors import CallerError, ConfigError, DataMissingError, UnknownNameError
from actsearch_workers.data import DATASETS, check_dataset, fetch, load
from actsearch_workers.data.embedded import FOLDER
from actsearch_workers.data.fashion import DEBIAN, read_part
from actsearch_workers.data.splits import Dataset, Split, stratified

NOWHERE = Path("/nonexistent")
EMBEDDED = ("fashion-mini", "digits")


def test_fashion_mini_has_the_parts_it_says() -> None:
    dataset = load("fashion-mini", data_dir=NOWHERE)
    assert dataset.train.images.shape == (24_000, 1, 14, 14)
    assert dataset.validation.images.shape == (8_000, 1, 14, 14)
    assert dataset.test.images.shape == (4_000, 1, 14, 14)
    for split, each in ((dataset.train, 2_400), (dataset.validation, 800), (dataset.test, 400)):
        assert np.bincount(split.labels).tolist() == [each] * 10


def test_digits_has_the_parts_it_says() -> None:
    dataset = load("digits", data_dir=NOWHERE)
    assert [len(split) for split in dataset.splits.values()] == [1_077, 360, 360]
    assert dataset.train.images.shape[1:] == (1, 8, 8)
    assert dataset.train.images.max() == 16
    shares = [np.bincount(split.labels) / len(split) for split in dataset.splits.values()]
    assert np.ptp(shares, axis=0).max() < 0.01


@pytest.mark.parametrize("name", [*EMBEDDED, "fashion-mnist"])
def test_data_never_change(name: str) -> None:
    """A change of a row or a pixel would make every earlier result incomparable."""
    if name == "fashion-mnist" and not DEBIAN.is_dir():
        pytest.skip("Debian's dataset-fashion-mnist is not here")
    assert load(name, data_dir=NOWHERE).digest == DATASETS[name].digest


@pytest.mark.parametrize("name", EMBEDDED)
def test_parts_are_disjoint_and_read_only(name: str) -> None:
    dataset = load(name, data_dir=NOWHERE)
    rows = [set(split.rows.tolist()) for split in dataset.splits.values()]
    assert not rows[0] & rows[1]
    assert not rows[0] & rows[2]
    assert not rows[1] & rows[2]
    with pytest.raises(ValueError, match="read-only"):
        dataset.train.images[0] = 0
    assert load(name, data_dir=NOWHERE) is dataset


def test_embedded_files_are_small_and_licensed() -> None:
    assert (FOLDER / "fashion_mini.npz").stat().st_size <= 6_000_000
    assert "Zalando SE" in (FOLDER / "fashion_mini_LICENSE.txt").read_text(encoding="utf-8")
    assert "CC BY 4.0" in (FOLDER / "digits_LICENSE.txt").read_text(encoding="utf-8")


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's dataset-fashion-mnist")
def test_fashion_mini_is_fashion_mnist_averaged() -> None:
    """Row numbers lead back to the original images; the mean of 2x2 pixels, halves up, by a loop."""
    mini = load("fashion-mini", data_dir=NOWHERE)
    train, test = read_part(DEBIAN, "train"), read_part(DEBIAN, "t10k")
    assert train[0].shape == (60_000, 1, 28, 28)
    for split, (images, labels), offset in (
        (mini.train, train, 0),
        (mini.validation, train, 0),
        (mini.test, test, 60_000),
    ):
        for k in (0, 17, len(split) - 1):
            row = split.rows[k] - offset
            assert split.labels[k] == labels[row]
            for i in range(14):
                for j in range(14):
                    block = images[row, 0, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
                    assert split.images[k, 0, i, j] == int(block.mean(dtype=float) + 0.5)


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's dataset-fashion-mnist")
def test_embedded_fashion_mini_is_what_its_script_makes() -> None:
    script = Path(__file__).parents[2] / "workers/make_data/fashion_mini.py"
    answer = run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_importing_the_table_imports_no_torch() -> None:
    code = "import sys, actsearch_workers.data; sys.exit(bool({'torch', 'torchvision', 'PIL'} & set(sys.modules)))"
    assert run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", DATASETS)
def test_every_entry_is_described_and_checked(name: str) -> None:
    source = DATASETS[name]
    assert source.summary
    assert source.licence
    if source.fetch is not None and name != "fashion-mnist":  # Debian's files may be on this machine
        with pytest.raises(DataMissingError, match=f"`actsearch data fetch {name}`"):
            check_dataset(name, data_dir=NOWHERE)
        with pytest.raises(DataMissingError, match=f"`actsearch data fetch {name}`"):
            load(name, data_dir=NOWHERE)
    elif source.argument is None and source.fetch is None:
        check_dataset(name, data_dir=NOWHERE)


@pytest.mark.parametrize(
    ("name", "error", "line"),
    [
        ("cifar1", UnknownNameError, "no dataset named 'cifar1'; known: fashion-mini, "),
        ("digits:8", UnknownNameError, "no dataset named 'digits:8'"),
        ("", UnknownNameError, "no dataset named ''"),
        ("a b:c", UnknownNameError, "no dataset named 'a b:c'"),
        ("imagefolder", ConfigError, "dataset 'imagefolder' needs an argument: imagefolder:PATH"),
        ("imagefolder:/tmp?size=4", ConfigError, "imagefolder:PATH?size=8 to 512"),
        ("imagefolder:/tmp?colour=1", ConfigError, "imagefolder:PATH?size=8 to 512"),
        ("imagefolder:/nonexistent/x", DataMissingError, "no such folder on this machine"),
        ("my.module:data", ConfigError, "dataset 'my.module:data' is user code; it is imported only with --allow-"),
    ],
)
def test_bad_names_get_one_line(name: str, error: type[CallerError], line: str) -> None:
    for function in (check_dataset, load):
        with pytest.raises(error) as info:
            function(name, data_dir=NOWHERE)
        assert line in str(info.value)
        assert "\n" not in str(info.value)


def test_embedded_sets_have_nothing_to_fetch(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="'digits' has nothing to fetch; these have: fashion-mnist, cifar10, cifar100"
    ):
        fetch("digits", tmp_path)
    with pytest.raises(ConfigError, match="'cifar1' has nothing to fetch"):
        fetch("cifar1", tmp_path)


def test_stratified_parts_have_the_classes_shares() -> None:
    labels = np.repeat([0, 1, 2], [600, 300, 100]).astype(np.int64)
    keys = [str(k) for k in range(1000)]
    first, second = stratified(labels, (500, 250), keys=keys, salt="x")
    assert not set(first) & set(second)
    assert np.bincount(labels[first]).tolist() == [300, 150, 50]
    assert np.bincount(labels[second]).tolist() == [150, 75, 25]
    again, _ = stratified(labels, (500, 250), keys=keys, salt="x")
    other, _ = stratified(labels, (500, 250), keys=keys, salt="y")
    assert first.tolist() == again.tolist()
    assert 200 < len(set(first) & set(other)) < 300  # half of 500 by chance


def _split(rows: list[int], value: int = 0, labels: list[int] | None = None) -> Split:
    images = np.full((len(rows), 1, 2, 2), value, dtype=np.uint8)
    return Split(images, np.array(labels or [k % 2 for k in range(len(rows))]), np.array(rows))


def test_digest_sees_rows_labels_and_pixels() -> None:
    def digest(train: Split) -> str:
        return Dataset("d", 2, train, _split([10, 11]), _split([20, 21])).digest

    base = digest(_split([0, 1]))
    assert digest(_split([0, 1])) == base
    assert (
        len({base, digest(_split([0, 2])), digest(_split([0, 1], value=1)), digest(_split([0, 1], labels=[1, 0]))}) == 4
    )


def test_overlapping_parts_are_refused() -> None:
    with pytest.raises(ConfigError, match="a row stands in two places"):
        Dataset("d", 2, _split([0, 1]), _split([1, 2]), _split([3, 4]))


def test_labels_outside_the_classes_are_refused() -> None:
    with pytest.raises(ConfigError, match="'d', validation: labels lie in 0 to 1, got 0 to 2"):
        Dataset("d", 2, _split([0, 1]), _split([2, 3], labels=[0, 2]), _split([4, 5]))
