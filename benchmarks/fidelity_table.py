"""The table and the figure of docs/fidelity.md, from the rows that benchmarks/fidelity.py made.

    python benchmarks/fidelity_table.py --figure docs/images/fidelity.png

A cheap protocol is judged by Spearman's correlation, over functions, of its score with a reference's (mean accuracy
over its seeds), with a 95 % interval by bootstrap over functions, and by how many of the reference's best six are among
the best twelve by the cheap score. A training that failed has accuracy 0 and infinite loss. The last column compares
with the child as it was before, by the mean correlation over the references, on the same resampled functions.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
from fidelity import COLUMNS, FUNCTIONS, PROTOCOLS, REFERENCES, ROWS
from matplotlib.figure import Figure
from rows import Rows
from scipy.stats import spearmanr

BEST, KEPT = 6, 12
"""Of the reference's best so many, how many are among so many kept by the cheap score."""
RESAMPLES = 2_000
BEFORE = "nf_resnet8, 150 steps; accuracy"
"""The cheap score that all are compared with: the default before this was measured."""

Scores = npt.NDArray[np.float64]
"""One score a function, higher is better, ``(functions,)``."""


@dataclass(frozen=True)
class Trained:
    """All trainings of one protocol, ``(seeds, functions)`` each."""

    accuracies: npt.NDArray[np.float64]
    losses: npt.NDArray[np.float64]
    cpu_seconds: float
    """Median of one training."""

    def spread(self, function: int) -> str:
        """Mean and standard deviation of the accuracy over seeds, percent."""
        accuracies = 100 * self.accuracies[:, function]
        return f"{accuracies.mean():.2f} ± {accuracies.std(ddof=1):.2f}"

    @property
    def agreement(self) -> float:
        """Mean Spearman correlation between the accuracies of two seeds."""
        return float(np.mean([spearmanr(a, b).statistic for a, b in combinations(self.accuracies, 2)]))


@dataclass(frozen=True)
class Judged:
    """How well one cheap score predicts one reference."""

    correlation: float
    resampled: Scores
    """The correlation on other draws of the functions, the same ones for every score and reference."""
    survivors: float

    @property
    def interval(self) -> tuple[float, float]:
        low, high = np.nanquantile(self.resampled, (0.025, 0.975))
        return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, default=ROWS)
    parser.add_argument("--figure", type=Path, help="PNG to write")
    options = parser.parse_args()
    trainings = complete(Rows(options.rows, COLUMNS).read())
    references = {name: trainings[name].accuracies.mean(axis=0) for name in REFERENCES if name in trainings}
    print_references(trainings, references)
    rows = [row for name in PROTOCOLS if name in trainings for row in judged(name, trainings[name], references)]
    print_table(rows, list(references))
    if options.figure:
        draw(rows, list(references)).savefig(options.figure, dpi=150)


def complete(rows: Iterable[Mapping[str, str]]) -> dict[str, Trained]:
    """Protocols by name, with those seeds that every function was trained with."""
    found: dict[str, dict[str, dict[str, Mapping[str, str]]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        found[row["protocol"]][row["seed"]][row["function"]] = row
    trainings = {}
    for protocol, by_seed in found.items():
        whole = [
            [by_function[f] for f in FUNCTIONS]
            for by_function in by_seed.values()
            if by_function.keys() >= FUNCTIONS.keys()
        ]
        if whole:
            trainings[protocol] = Trained(
                np.array([[float(row["val_accuracy"] or 0) for row in seed] for seed in whole]),
                np.array([[float(row["val_loss"] or "inf") for row in seed] for seed in whole]),
                float(np.median([float(row["cpu_seconds"]) for seed in whole for row in seed])),
            )
    return trainings


def judged(name: str, trained: Trained, references: Mapping[str, Scores]) -> list[tuple[str, float, list[Judged]]]:
    """One row for accuracy and one for loss, with one seed (mean over the seeds), and one for accuracy of all seeds."""
    seeds = len(trained.accuracies)
    scores = {
        f"{name}; accuracy": list(trained.accuracies),
        f"{name}; loss": list(-trained.losses),
        f"{name}; accuracy, {seeds} seeds": [trained.accuracies.mean(axis=0)],
    }
    cost = {text: trained.cpu_seconds * (seeds if text.endswith("seeds") else 1) for text in scores}
    return [
        (text, cost[text], [judge(found, reference) for reference in references.values()])
        for text, found in scores.items()
    ]


def judge(scores: Sequence[Scores], reference: Scores) -> Judged:
    """The mean over several scores of the same functions; the interval is of that mean."""
    rng = np.random.default_rng(0)
    functions = len(reference)
    resampled = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(functions, size=functions)
        resampled.append(mean_correlation([score[drawn] for score in scores], reference[drawn]))
    best = set(np.argsort(-reference, kind="stable")[:BEST])
    survivors = np.mean([len(best & set(np.argsort(-score, kind="stable")[:KEPT])) for score in scores])
    return Judged(mean_correlation(scores, reference), np.array(resampled), float(survivors))


def mean_correlation(scores: Sequence[Scores], reference: Scores) -> float:
    return float(np.mean([spearmanr(score, reference).statistic for score in scores]))


def print_references(trainings: Mapping[str, Trained], references: Mapping[str, Scores]) -> None:
    """Accuracies, how well a reference agrees with itself, and the references with each other."""
    print(f"| function | {' | '.join(references)} |\n| --- |{' --- |' * len(references)}")
    for k in np.argsort(-np.mean(list(references.values()), axis=0)):
        print(f"| {list(FUNCTIONS)[k]} | {' | '.join(trainings[name].spread(k) for name in references)} |")
    print()
    for name in references:
        found = trainings[name]
        print(f"{name}: Spearman between two of its seeds {found.agreement:.2f}; {found.cpu_seconds:.0f} s a training")
    for (a, x), (b, y) in combinations(references.items(), 2):
        low, high = judge([x], y).interval
        print(f"{a} and {b}: {spearmanr(x, y).statistic:.2f} ({low:.2f} to {high:.2f})")
    print()


def print_table(rows: Sequence[tuple[str, float, list[Judged]]], references: Sequence[str]) -> None:
    columns = [f"{name}: correlation | best {BEST} in {KEPT}" for name in references]
    print(f"| cheap score | CPU s | {' | '.join(columns)} | minus rate 0.2, 150 steps |")
    print(f"| --- | --- |{' --- | --- |' * len(references)} --- |")
    before = next(found for text, _, found in rows if text == BEFORE)
    for text, seconds, found in rows:
        cells = [f"{j.correlation:.2f} ({j.interval[0]:.2f} to {j.interval[1]:.2f}) | {j.survivors:.1f}" for j in found]
        print(f"| {text} | {seconds:.1f} | {' | '.join(cells)} | {compared(found, before) if text != BEFORE else ''} |")


def compared(found: Sequence[Judged], before: Sequence[Judged]) -> str:
    """The mean correlation over the references minus that of the default before, with its interval."""
    gain = np.mean([a.correlation - b.correlation for a, b in zip(found, before, strict=True)])
    resampled = np.mean([a.resampled - b.resampled for a, b in zip(found, before, strict=True)], axis=0)
    low, high = np.nanquantile(resampled, (0.025, 0.975))
    return f"{gain:+.2f} ({low:+.2f} to {high:+.2f})"


def draw(rows: Sequence[tuple[str, float, list[Judged]]], references: Sequence[str]) -> Figure:
    """Correlation against cost, one panel a reference, accuracy of one seed only."""
    shown = [row for row in rows if row[0].endswith("; accuracy")]
    figure = Figure(figsize=(11, 0.34 * len(shown) + 1.2), layout="constrained")
    panels = figure.subplots(1, len(references), sharex=True, sharey=True, squeeze=False)[0]
    for k, (panel, reference) in enumerate(zip(panels, references, strict=True)):
        for height, (_, _, found) in enumerate(shown):
            panel.plot(found[k].interval, (height, height), color="#c9d8e6", linewidth=4, solid_capstyle="butt")
            panel.plot(found[k].correlation, height, "o", color="#0072B2")
        panel.set_title(reference, loc="left")
        panel.grid(axis="x", color="#e4e4e4")
    figure.supxlabel("how well one cheap training predicts it: Spearman's correlation over functions, 95 % interval")
    panels[0].set_yticks(
        range(len(shown)), [f"{text.removesuffix('; accuracy')}  ({seconds:.1f} s)" for text, seconds, _ in shown]
    )
    panels[0].invert_yaxis()
    return figure


if __name__ == "__main__":
    main()
