"""Makes the embedded `digits` from scikit-learn's copy of UCI's optical digits (its test part, 1,797 images).

    python workers/make_data/digits.py [--check]

Needs scikit-learn, which the package itself does not. Pixels are counts from 0 to 16; they are kept as they are,
since training standardises. `--check` compares with the embedded file, array by array, and writes nothing.
"""

import argparse
import sys

import numpy as np
from sklearn.datasets import load_digits

from actsearch_workers.data.embedded import FOLDER, read_embedded, write_embedded
from actsearch_workers.data.splits import Dataset, split_rows

TARGET = FOLDER / "digits.npz"
SIZES = (1_077, 360, 360)


def digits() -> Dataset:
    """The 1,797 images divided 60/20/20, stratified."""
    images, labels = load_digits(return_X_y=True)
    return split_rows("digits", images.reshape(-1, 1, 8, 8).astype(np.uint8), labels.astype(np.int64), sizes=SIZES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    made = digits()
    if args.check:
        same = read_embedded("digits", TARGET).digest == made.digest
        print("the embedded file is what this script makes" if same else "the embedded file differs")
        sys.exit(not same)
    write_embedded(made, TARGET)
    print(f"{TARGET.name}: {TARGET.stat().st_size:,} bytes, digest {made.digest}")


if __name__ == "__main__":
    main()
