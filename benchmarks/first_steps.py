"""Adds the accuracy after some first steps to the learning curves of landscape `one_unit`.

    python benchmarks/first_steps.py --processes 2          # trains; goes on where it was stopped
    python benchmarks/first_steps.py --merge landscape      # writes the landscape with what is there to a folder

Every training of it is begun again with its own seed and ended at the step. The same machine and libraries give the
same bits: `--check 20` trains so many functions to their end, and compares with what the landscape holds.
"""

import argparse
import csv
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: one thread, as a worker has

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import torch
from alone import trained_alone
from rich.progress import track

from actsearch.config import RunConfig
from actsearch.evaluation import Evaluation, Outcome, Rung
from actsearch.landscape import Landscape, load
from actsearch.landscape.files import save
from actsearch.landscape.table import Measurement
from actsearch_workers.children import child

ROWS = Path(__file__).with_name("first_steps.csv")
COLUMNS = ("function", "replicate", "step", "val_accuracy")
LANDSCAPE = "one_unit"
Key = tuple[str, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step", type=int, default=15)
    parser.add_argument("--processes", type=int, default=2, help="trainings at a time, one thread each")
    parser.add_argument("--rows", type=Path, default=ROWS, help="the file that is read and added to")
    parser.add_argument("--check", type=int, default=0, help="functions that are trained to their end")
    parser.add_argument("--merge", type=Path, help="folder for the landscape with these accuracies in its curves")
    options = parser.parse_args()
    landscape = load(LANDSCAPE)
    if options.check:
        check(landscape, options.step, options.check)
    elif options.merge:
        save(merged(landscape, dict(read(options.rows, options.step)), options.step), options.merge)
    else:
        run(landscape, options)


def run(landscape: Landscape, options: argparse.Namespace) -> None:
    """Trains what is missing, and adds a row for each."""
    done = dict(read(options.rows, options.step))
    missing = [m for m in began(landscape, options.step) if (m.function, m.replicate) not in done]
    with ProcessPoolExecutor(
        options.processes, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        jobs = {
            pool.submit(trained, landscape.functions[m.function].spellings[0], m.seed, options.step): m for m in missing
        }
        for job in track(as_completed(jobs), f"{len(done)} rows are there", total=len(missing)):
            accuracy = at_step(job.result(), options.step)
            append(options.rows, (jobs[job].function, jobs[job].replicate, options.step, accuracy))


def began(landscape: Landscape, step: int) -> Iterator[Measurement]:
    """The trainings that came as far as the step."""
    for measurement in landscape.measurements:
        if measurement.steps is not None and measurement.steps >= step:
            yield measurement


def trained(tokens: tuple[str, ...], seed: int | None, step: int, to_the_end: bool = False) -> Evaluation:
    """The training of a function under the landscape's protocol, with a rung at the step, by default its last one."""
    assert seed is not None, "this landscape knows its seeds"
    rung = Rung(step=step) if to_the_end else Rung(step=step, stop_below=1, forecast=((0, 0),))
    settings = RunConfig().child
    recipe = child(settings.name).recipe.model_copy(update={"learning_rate": 0.2})  # the landscape's
    return trained_alone(tokens, seed=seed, child=settings, recipe=recipe, rungs=[rung])


def at_step(evaluation: Evaluation, step: int) -> float:
    return next(point.val_accuracy for point in evaluation.curve if point.step == step)


def check(landscape: Landscape, step: int, count: int) -> None:
    """Whether a training done anew has the landscape's bits, and its beginning those of a training that ends there."""
    torch.set_num_threads(1)
    whole = [m for m in landscape.measurements if m.outcome is Outcome.TRAINED]
    for m in whole[:: len(whole) // count][:count]:
        tokens = landscape.functions[m.function].spellings[0]
        anew = trained(tokens, m.seed, step, to_the_end=True)
        begun = at_step(trained(tokens, m.seed, step), step)
        same = anew.val_accuracy == m.val_accuracy and begun == at_step(anew, step)
        print(
            f"{landscape.functions[m.function].canonical}: {anew.val_accuracy} {m.val_accuracy} {begun} {same}",
            flush=True,
        )


def merged(landscape: Landscape, accuracies: dict[Key, float], step: int) -> Landscape:
    """The landscape with these accuracies in its curves."""
    missing = sum((m.function, m.replicate) not in accuracies for m in began(landscape, step))
    if missing:
        raise SystemExit(f"{missing} trainings have no accuracy at step {step} yet: run without --merge first")
    measurements = [
        replace(m, curve={step: accuracies[key], **m.curve}) if (key := (m.function, m.replicate)) in accuracies else m
        for m in landscape.measurements
    ]
    return Landscape(landscape.description, list(landscape.functions.values()), measurements)


def read(path: Path, step: int) -> Iterator[tuple[Key, float]]:
    """The accuracies at a step that are there."""
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if int(row["step"]) == step:
                    yield (row["function"], int(row["replicate"])), float(row["val_accuracy"])


def append(path: Path, row: tuple[object, ...]) -> None:
    """Adds one row, and the header to a new file."""
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(COLUMNS)
        writer.writerow(row)


if __name__ == "__main__":
    main()
