"""What each part of the PPO controller is worth: the controller with one thing changed, on a landscape, in pairs.

    python benchmarks/ablations.py --landscape one_unit --seeds 200 --evaluations 300 --output ablations.json

Every variant plays the same seeds, with the same noise of each function, so that a difference is over pairs: mean of
variant minus reference, in points of accuracy, and the p-value of Wilcoxon's signed-rank test, two-sided, not
corrected for their number. `--only` takes names with semicolons between.
"""

import argparse
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import wilcoxon

from actsearch.config import PLAIN_PPO, RunConfig
from actsearch.landscape import load
from actsearch_controller.comparison import BUDGETS, Comparison, compare

REFERENCE = "ppo"
VARIANTS: dict[str, dict[str, Any]] = {
    REFERENCE: {},
    "NASNet's settings, nothing added": {"controller": "ppo_plain"},
    "nothing added, this learning rate": {"ppo": dict(PLAIN_PPO)},
    "no surrogate": {"ppo": {"candidates": 1}},
    "no repeats": {"ppo": {"retrain": 0}},
    "neither surrogate nor repeats": {"ppo": {"candidates": 1, "retrain": 0}},
    "surrogate alone, no policy": {"ppo": {"uniform": 1}},
    "no uniform candidates": {"ppo": {"uniform": 0}},
    "uniform candidates 25 %": {"ppo": {"uniform": 0.25}},
    "uniform candidates 75 %": {"ppo": {"uniform": 0.75}},
    "reward - baseline, not ranks": {"ppo": {"advantage": "reward"}},
    "3 candidates": {"ppo": {"candidates": 3}},
    "8 candidates": {"ppo": {"candidates": 8}},
    "16 candidates": {"ppo": {"candidates": 16}},
    "retrain 10 %": {"ppo": {"retrain": 0.1}},
    "retrain 25 %": {"ppo": {"retrain": 0.25}},
    "3 trainings at most": {"repeats": 3},
    "learning rate 3e-3": {"ppo": {"learning_rate": 3e-3}},
    "learning rate 1e-2": {"ppo": {"learning_rate": 1e-2}},
    "1 epoch": {"ppo": {"epochs": 1}},
    "8 epochs": {"ppo": {"epochs": 8}},
    "entropy 0": {"ppo": {"entropy_coef": 0}},
    "entropy 0.03": {"ppo": {"entropy_coef": 0.03}},
    "entropy 0.1": {"ppo": {"entropy_coef": 0.1}},
    "hidden 32": {"ppo": {"hidden": 32}},
    "batches of 5": {"batch": 5},
    "batches of 20": {"batch": 20},
    "batches of 40": {"batch": 40},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--landscape", default="one_unit")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--evaluations", type=int, default=300)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", default="")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    names = [REFERENCE, *(n for n in args.only.split(";") if n)] if args.only else list(VARIANTS)
    base = {"evaluations": args.evaluations, "batch": args.batch, "controller": "ppo"}
    landscape = load(args.landscape)
    print(landscape, f"\n{args.seeds} seeds, {args.evaluations} evaluations, batches of {args.batch}\n", flush=True)
    found: dict[str, Comparison] = {}
    rows = []
    for name in names:
        config = RunConfig.parse(base | VARIANTS[name])
        found |= compare(landscape, {name: config}, seeds=args.seeds, processes=args.processes)
        rows.append(row(name, found))
        print(text(rows[-1]), flush=True)
    if args.output:
        args.output.write_text(json.dumps(rows, indent=1) + "\n")


def row(name: str, found: dict[str, Comparison]) -> dict[str, Any]:
    """One variant's numbers, with the differences from the reference."""
    mine, reference = found[name], found[REFERENCE]
    numbers: dict[str, Any] = {"variant": name, "seconds": mine.seconds}
    for budget in BUDGETS:
        if budget <= mine.budget:
            regrets = mine.regrets[:, budget - 1]
            numbers[f"regret_{budget}"] = float(regrets.mean())
            numbers[f"regret_{budget}_vs"] = paired(regrets, reference.regrets[:, budget - 1])
    for target in ("swish", "strict_swish"):
        needed = mine.needed(target)
        numbers[target] = [needed.median, needed.q25, needed.q75]
        numbers[f"{target}_vs"] = paired(capped(mine, target), capped(reference, target))
    return numbers


def capped(comparison: Comparison, target: str) -> np.ndarray:
    """Evaluations up to the target by seed, the budget + 1 where it was not found."""
    return np.array([min(play.found.get(target, math.inf), comparison.budget + 1) for play in comparison.plays])


def paired(mine: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Mean difference and Wilcoxon's p."""
    difference = mine - reference
    p = float(wilcoxon(difference).pvalue) if np.any(difference) else 1.0
    return float(difference.mean()), p


def text(numbers: dict[str, Any]) -> str:
    parts = [f"{numbers['variant']:<38}"]
    for budget in BUDGETS:
        if f"regret_{budget}" in numbers:
            difference, p = numbers[f"regret_{budget}_vs"]
            parts.append(f"{budget}: {100 * numbers[f'regret_{budget}']:.2f} ({100 * difference:+.2f}, p {p:.2g})")
    for target in ("swish", "strict_swish"):
        middle, q25, q75 = numbers[target]
        difference, p = numbers[f"{target}_vs"]
        parts.append(f"{target} {middle} ({q25}-{q75}) ({difference:+.0f}, p {p:.2g})")
    return " | ".join([*parts, f"{numbers['seconds']:.1f} s"])


if __name__ == "__main__":
    main()
