"""Whether the best functions of several searches are better than SiLU: in their finals, and in longer trainings.

    python benchmarks/beyond_swish.py runs/ppo-1 runs/random-1 runs/ppo-2
    python benchmarks/beyond_swish.py runs/ppo-1 runs/random-1 runs/ppo-2 --longer --processes 2

The finals of searches with other seeds have seeds of their own, and SiLU is in all of them: a function that several of
them promoted is compared over all their seeds. With `--longer` the controls, and of each finals the function of best
mean rank and that of the largest difference from ReLU, are trained for 1,000 steps in the networks with batch norm,
with seeds that neither searches nor finals have used. Rows already in the file are left out: the same command goes on.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from alone import trained_alone
from rows import Rows
from tables import print_table, shown

from actsearch.config import ChildSettings
from actsearch.finals import Candidate, Estimate, FinalsPlan, FinalsResult
from actsearch.runs import RunFolder
from actsearch_controller.finals.result import estimate
from actsearch_controller.finals.statistics import Array, holm, one_sided_p
from actsearch_controller.finals.trainings import Training
from actsearch_reports.summary import estimate as interval
from actsearch_reports.summary import p_value, points
from actsearch_workers.children import child

ROWS = Path(__file__).with_name("beyond_swish.csv")
COLUMNS = ("function", "child", "seed", "outcome", "val_accuracy")
CHILDREN = ("resnet20", "efficientnet_tiny")
STEPS = 1_000
SEEDS = range(2_000, 2_010)
RELU, SILU = "max(x, 0)", "x*sigmoid(x)"

Accuracies = dict[tuple[str, str, int], float]
"""By function, child and seed, 0-1; a training that failed has 0."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--longer", action="store_true", help="train the best for 1,000 steps: hours")
    parser.add_argument("--processes", type=int, default=2, help="trainings at a time, one thread each")
    parser.add_argument("--rows", type=Path, default=ROWS, help="the file that is read and added to")
    options = parser.parse_args()
    validation: Accuracies = {}
    test: Accuracies = {}
    best: dict[str, Candidate] = {}
    for folder in options.runs:
        with RunFolder.at(folder).open() as (store, name):
            finals = store.finals.get(name)
            if finals is None or finals.result is None:
                raise SystemExit(f"error: {folder} has no finals that are done; `actsearch finals` makes them")
            names = {row.candidate.fingerprint: row.candidate.canonical for row in finals.result.rows}
            rewards = {r.key: r.evaluation.reward for r in store.finals.evaluations(name)}
            validation |= last_stage(finals.plan, finals.result, store.run(name).config.dataset, rewards)
            test |= {(names[r.fingerprint], r.child, r.seed): r.accuracy for r in store.finals.test_accuracies(name)}
            best |= {c.canonical: c for c in chosen(finals.plan, finals.result)}
    print_finals(against_silu(validation), against_silu(test))
    if options.longer:
        print_longer(against_silu(longer(best, Rows(options.rows, COLUMNS), options.processes)))


def last_stage(plan: FinalsPlan, result: FinalsResult, dataset: str, rewards: Mapping[str, float | None]) -> Accuracies:
    """The accuracies of finalists and controls in the panel; a dropped one's as far as it came."""
    trainings = {
        (row.candidate.canonical, protocol.child.name, seed): Training(row.candidate, protocol, seed, dataset).key
        for row in result.rows
        for protocol in plan.panel
        for seed in plan.final_seeds[: row.seeds]
    }
    return {of: rewards[key] or 0.0 for of, key in trainings.items()}


def chosen(plan: FinalsPlan, result: FinalsResult) -> Iterator[Candidate]:
    """The controls of a run's finals, its function of best mean rank and that of the largest difference from ReLU."""
    yield from plan.controls
    yield result.best.candidate
    yield max(result.rows, key=lambda row: -1.0 if row.difference is None else row.difference.mean).candidate


def longer(functions: Mapping[str, Candidate], rows: Rows, processes: int) -> Accuracies:
    """Trains what is missing; the accuracies of these functions, for the file may hold others, half trained."""
    done = measured(rows)
    wanted = [(c, name, seed) for seed in SEEDS for name in CHILDREN for c in functions.values()]
    rows.add([t for t in wanted if (t[0].canonical, *t[1:]) not in done], trained, processes=processes)
    return {of: accuracy for of, accuracy in measured(rows).items() if of[0] in functions}


def measured(rows: Rows) -> Accuracies:
    return {(r["function"], r["child"], int(r["seed"])): float(r["val_accuracy"] or 0) for r in rows.read()}


def trained(task: tuple[Candidate, str, int]) -> dict[str, object]:
    """One row of the file."""
    candidate, name, seed = task
    recipe = child(name).recipe.model_copy(update={"steps": STEPS})
    result = trained_alone(candidate.tokens, seed=seed, child=ChildSettings(name=name), recipe=recipe)
    return dict(zip(COLUMNS, (candidate.canonical, name, seed, result.outcome, result.val_accuracy), strict=True))


@dataclass(frozen=True)
class Row:
    """One function against SiLU, paired by seed, in accuracy (0-1).

    Attributes:
        seeds: pairs.
        difference: mean over the children.
        p_holm: one-sided, Holm over all but the controls; None for ReLU.
        children: the difference in each child.
        from_relu: mean over the children, minus ReLU; None for ReLU.
    """

    seeds: int
    difference: Estimate
    p_holm: float | None
    children: dict[str, Estimate]
    from_relu: Estimate | None


def against_silu(accuracies: Accuracies) -> dict[str, Row]:
    """The functions but SiLU, best first."""
    functions = list(dict.fromkeys(function for function, _, _ in accuracies))
    children = list(dict.fromkeys(child for _, child, _ in accuracies))
    from_silu = {f: minus(accuracies, f, SILU, children) for f in functions if f != SILU}
    tested = [f for f in from_silu if f != RELU]
    p = dict(zip(tested, holm(np.array([one_sided_p(from_silu[f].mean(axis=0)) for f in tested])), strict=True))
    return {
        f: Row(
            seeds=from_silu[f].shape[1],
            difference=estimate(from_silu[f].mean(axis=0)),
            p_holm=p.get(f),
            children=dict(zip(children, map(estimate, from_silu[f]), strict=True)),
            from_relu=None if f == RELU else estimate(minus(accuracies, f, RELU, children).mean(axis=0)),
        )
        for f in sorted(from_silu, key=lambda f: -from_silu[f].mean())
    }


def print_finals(validation: Mapping[str, Row], test: Mapping[str, Row]) -> None:
    """Prints the differences of finals, by child as means."""
    children = next(iter(validation.values())).children
    on_test = ("on the test images (95 %)", "Holm p")
    head = ("function, finals", "seeds", "minus SiLU, points (95 %)", "Holm p", *children, *on_test)
    print_table(
        head,
        (
            (
                named(f), row.seeds, interval(row.difference), p_or_not(row),
                *(points(row.children[c].mean) for c in children), interval(test[f].difference), p_or_not(test[f]),
            )
            for f, row in validation.items()
        ),
    )  # fmt: skip


def print_longer(rows: Mapping[str, Row]) -> None:
    """Prints the differences after longer trainings, by child with intervals."""
    head = (f"function, {STEPS} steps", "minus SiLU, points (95 %)", "Holm p", *CHILDREN, "minus ReLU, points (95 %)")
    print_table(
        head,
        (
            (
                named(f), interval(row.difference), p_or_not(row), *(interval(row.children[c]) for c in CHILDREN),
                "" if row.from_relu is None else interval(row.from_relu),
            )
            for f, row in rows.items()
        ),
    )  # fmt: skip


def named(function: str) -> str:
    return f"{shown(function)}, ReLU" if function == RELU else shown(function)


def p_or_not(row: Row) -> str:
    return "not tested" if row.p_holm is None else p_value(row.p_holm)


def minus(accuracies: Accuracies, function: str, other: str, children: Sequence[str]) -> Array:
    """Differences with the same seeds, ``(children, seeds)``, of all seeds that the function has."""
    seeds = sorted({seed for f, _, seed in accuracies if f == function})
    return np.array([[accuracies[function, c, s] - accuracies[other, c, s] for s in seeds] for c in children])


if __name__ == "__main__":
    main()
