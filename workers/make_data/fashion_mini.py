"""Makes the embedded `fashion-mini` from the original Fashion-MNIST files.

    python workers/make_data/fashion_mini.py [--source /usr/share/datasets/fashion-mnist] [--check]

The source is the folder of the four idx files, gzipped or not (Debian: apt-get install dataset-fashion-mnist).
`--check` compares with the embedded file, array by array, and writes nothing.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from actsearch_workers.data.embedded import FOLDER, read_embedded, write_embedded
from actsearch_workers.data.fashion import DEBIAN, read_part
from actsearch_workers.data.splits import Dataset, Images, Split, stratified

TARGET = FOLDER / "fashion_mini.npz"
TRAIN, VALIDATION, TEST = 24_000, 8_000, 4_000


def average_2x2(images: Images) -> Images:
    """Means of 2x2 pixels, halves rounded up: ``(n, channels, 28, 28)`` to ``(n, channels, 14, 14)``."""
    n, channels, height, width = images.shape
    sums = images.reshape(n, channels, height // 2, 2, width // 2, 2).sum(axis=(3, 5), dtype=np.uint16)
    means: Images = ((sums + 2) // 4).astype(np.uint8)
    return means


def fashion_mini(source: Path) -> Dataset:
    """The data set made of the files in `source`: test rows are counted on after the 60,000 training rows."""
    images, labels = read_part(source, "train")
    test_images, test_labels = read_part(source, "t10k")
    keys = [str(k) for k in range(len(labels))]
    train, validation = stratified(labels, (TRAIN, VALIDATION), keys=keys, salt="fashion-mini")
    (test,) = stratified(test_labels, (TEST,), keys=keys[: len(test_labels)], salt="fashion-mini test")
    return Dataset(
        "fashion-mini",
        10,
        Split(average_2x2(images[train]), labels[train], train),
        Split(average_2x2(images[validation]), labels[validation], validation),
        Split(average_2x2(test_images[test]), test_labels[test], len(labels) + test),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=DEBIAN)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    made = fashion_mini(args.source)
    if args.check:
        same = read_embedded("fashion-mini", TARGET).digest == made.digest
        print("the embedded file is what this script makes" if same else "the embedded file differs")
        sys.exit(not same)
    write_embedded(made, TARGET)
    print(f"{TARGET.name}: {TARGET.stat().st_size:,} bytes, digest {made.digest}")


if __name__ == "__main__":
    main()
