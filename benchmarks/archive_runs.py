"""Packs runs small enough to commit: settings and store, in one file a run, that `actsearch status` and `finals` read.

    python benchmarks/archive_runs.py runs/ppo-1 runs/random-1 --into benchmarks/rediscovery
    tar -xf benchmarks/rediscovery/ppo-1.tar.xz -C runs

Left out: the controller's state, since the search is done, and what the search recorded of the layers of functions
without a name, most of the store. Curves, outcomes, proposals, the trace and finals with all their layers stay. So an
archive's search cannot be gone on with, and a report of it shows trained β and pre-activations of named functions only.
"""

import argparse
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from actsearch.runs import RunFolder
from actsearch.store import RunState

SHORTENED = (
    "UPDATE evaluations SET layers = '[]' WHERE names = '[]'",
    "DELETE FROM controllers",
    "VACUUM",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--into", type=Path, required=True, metavar="FOLDER")
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    for folder in options.runs:
        packed = archive(folder, options.into)
        print(f"{packed}: {packed.stat().st_size / 1000:.0f} kB")


def archive(folder: Path, into: Path) -> Path:
    """Packs one run of a search that is done; its finals may still be going on."""
    run = RunFolder.at(folder)
    if not run.store.is_file():
        raise SystemExit(f"error: {folder} has no store.sqlite of its own; a run in a shared database stays there")
    with run.open() as (store, name):
        state = store.run(name).state
    if state is not RunState.DONE:
        raise SystemExit(f"error: the search of {folder} is {state.value}; only one that is done is archived")
    packed = into / f"{folder.name}.tar.xz"
    with TemporaryDirectory() as temporary:
        store_file = Path(temporary) / "store.sqlite"
        with closing(sqlite3.connect(run.store)) as source, closing(sqlite3.connect(store_file)) as copy:
            source.backup(copy)
            for statement in SHORTENED:
                copy.execute(statement)
                copy.commit()
        with tarfile.open(packed, "w:xz") as tar:
            for file in (folder / "config.toml", store_file):
                tar.add(file, f"{folder.name}/{file.name}")
    return packed


if __name__ == "__main__":
    main()
