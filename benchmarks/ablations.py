"""What each part of the PPO controller is worth: the controller with one thing changed, on a landscape, in pairs.

    python benchmarks/ablations.py --landscape one_unit --seeds 200 --evaluations 300 --output ablations.json

Every variant plays the same seeds, with the same noise of each function, so that a difference is over pairs: mean of
variant minus reference, in points of accuracy, and the p-value of Wilcoxon's signed-rank test, two-sided, not
corrected for their number. `--only` takes names with semicolons between. A variant takes about four minutes of a core.
"""

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from actsearch.config import PLAIN_PPO, RunConfig
from actsearch.landscape import load
from actsearch_controller.arena import TARGETS
from actsearch_controller.comparison import Comparison, compare
from actsearch_controller.differences import measures, signed_rank_p

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
    "repeats from 50 evaluations": {"ppo": {"retrain_after": 50}},
    "repeats from 100 evaluations": {"ppo": {"retrain_after": 100}},
    "3 trainings at most": {"repeats": 3},
    "learning rate 3e-3": {"ppo": {"learning_rate": 3e-3}},
    "learning rate 1e-2": {"ppo": {"learning_rate": 1e-2}},
    "1 epoch": {"ppo": {"epochs": 1}},
    "8 epochs": {"ppo": {"epochs": 8}},
    "entropy 0": {"ppo": {"entropy_coef": 0}},
    "entropy 0.03": {"ppo": {"entropy_coef": 0.03}},
    "entropy 0.1": {"ppo": {"entropy_coef": 0.1}},
    "risk-seeking": {"ppo": {"advantage": "risk"}},
    "replay of the best, weight 0.1": {"ppo": {"replay": 0.1}},
    "replay of the best, weight 1": {"ppo": {"replay": 1}},
    "entropy 0.1 falling to 0.01": {"ppo": {"entropy_start": 0.1}},
    "the same in the binary slot alone": {"ppo": {"entropy_start": 0.1, "entropy_start_slots": "binary"}},
    "the same in the unary slots alone": {"ppo": {"entropy_start": 0.1, "entropy_start_slots": "unary"}},
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
        if name == REFERENCE:
            print(f"| changed | {' | '.join(rows[0]['mean'])} |\n|{' --- |' * (1 + len(rows[0]['mean']))}")
        print(text(rows[-1]), flush=True)
        if args.output:
            args.output.write_text(json.dumps(rows, indent=1) + "\n")


def row(name: str, found: dict[str, Comparison]) -> dict[str, Any]:
    """One variant's numbers, with the differences from the reference."""
    mine, reference = measures(found[name]), measures(found[REFERENCE])
    gaps = {what: mine[what] - reference[what] for what in mine}
    return {
        "variant": name,
        "seconds": found[name].seconds,
        "mean": {what: float(values.mean()) for what, values in mine.items()},
        "difference": {what: float(gap.mean()) for what, gap in gaps.items()},
        "p": {what: signed_rank_p(gap) for what, gap in gaps.items()},
        "needed": {target: asdict(found[name].needed(target)) for target in TARGETS},
    }


def text(numbers: dict[str, Any]) -> str:
    """One variant's line of the table."""
    cells = [numbers["variant"]]
    for what, mean in numbers["mean"].items():
        p = "" if numbers["variant"] == REFERENCE else f" (p {numbers['p'][what]:.1g})"
        if what in TARGETS:
            needed = numbers["needed"][what]
            median, low, high = (needed[name] or "never" for name in ("median", "q25", "q75"))
            cells.append(f"{median} ({low}–{high}){p}")
        else:
            cells.append(f"{100 * mean:.2f}{p}")
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
