"""Adds the accuracy after some first steps to the learning curves of landscape `one_unit`.

    python benchmarks/first_steps.py --processes 2          # trains; goes on where it was stopped
    python benchmarks/first_steps.py --merge landscape      # writes the landscape with what is there to a folder

Every training of it is begun again with its own seed and ended at the step. The same machine and libraries give the
same bits: `--check 20` trains so many functions to their end, and compares with what the landscape holds.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from alone import trained_alone
from rows import Rows

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
    landscape, rows = load(LANDSCAPE), Rows(options.rows, COLUMNS)
    done = accuracies(rows, options.step)
    missing = [m for m in began(landscape, options.step) if (m.function, m.replicate) not in done]
    if options.check:
        check(landscape, options.step, options.check)
    elif not options.merge:
        tasks = [(m, landscape.functions[m.function].spellings[0]) for m in missing]
        rows.add(tasks, partial(row, options.step), processes=options.processes)
    elif missing:
        raise SystemExit(f"{len(missing)} trainings have no accuracy at step {options.step} yet: run without --merge")
    else:
        save(merged(landscape, done, options.step), options.merge)


def row(step: int, task: tuple[Measurement, tuple[str, ...]]) -> dict[str, object]:
    """One row of the file, without an accuracy where the training failed sooner than the landscape's did."""
    measurement, tokens = task
    accuracy = at_step(trained(tokens, measurement.seed, step), step)
    return dict(zip(COLUMNS, (measurement.function, measurement.replicate, step, accuracy), strict=True))


def began(landscape: Landscape, step: int) -> Iterator[Measurement]:
    """The trainings that came as far as the step, and do not have it in their curves."""
    for measurement in landscape.measurements:
        if measurement.steps is not None and measurement.steps >= step and step not in measurement.curve:
            yield measurement


def trained(tokens: tuple[str, ...], seed: int | None, step: int, to_the_end: bool = False) -> Evaluation:
    """The training of a function under the landscape's protocol, with a rung at the step, by default its last one."""
    assert seed is not None, "this landscape knows its seeds"
    rung = Rung(step=step) if to_the_end else Rung(step=step, stop_below=1, forecast=((0, 0),))
    settings = RunConfig().child
    recipe = child(settings.name).recipe.model_copy(update={"learning_rate": 0.2})  # the landscape's
    return trained_alone(tokens, seed=seed, child=settings, recipe=recipe, rungs=[rung])


def at_step(evaluation: Evaluation, step: int) -> float | None:
    """The accuracy at a step; None where the training did not come so far."""
    return next((point.val_accuracy for point in evaluation.curve if point.step == step), None)


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


def merged(landscape: Landscape, done: dict[Key, float | None], step: int) -> Landscape:
    """The landscape with these accuracies in its curves."""
    measurements = [
        m
        if (accuracy := done.get((m.function, m.replicate))) is None
        else replace(m, curve={step: accuracy, **m.curve})
        for m in landscape.measurements
    ]
    return Landscape(landscape.description, list(landscape.functions.values()), measurements)


def accuracies(rows: Rows, step: int) -> dict[Key, float | None]:
    """What is there of a step, by function and replicate; None: failed before it."""
    return {
        (row["function"], int(row["replicate"])): float(row["val_accuracy"]) if row["val_accuracy"] else None
        for row in rows.read()
        if int(row["step"]) == step
    }


if __name__ == "__main__":
    main()
