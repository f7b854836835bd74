"""What real searches held for best after some minutes, judged by the landscape of the same protocol.

    python benchmarks/live_searches.py runs/ppo-1 runs/random-1 runs/ppo-2 runs/random-2 --minutes 15

A search's incumbent is the function that led its leaderboard by then. Its regret is by the landscape's true rewards,
which come from other seeds than 0's search: the search's own score of its best is lucky, this is not. Searches of one
seed and of two controllers are a pair, also compared after as many evaluations as the slower of them had done.
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from actsearch.landscape import Landscape, load
from actsearch.leaderboard import leaderboard
from actsearch.rediscovery import belongs
from actsearch.runs import RunFolder
from actsearch.store import EvaluationRecord


@dataclass(frozen=True)
class Search:
    """A run's evaluations within the minutes, in the order in which they ended."""

    controller: str
    seed: int
    ended: tuple[EvaluationRecord, ...]
    minutes: tuple[float, ...]

    def found(self, landscape: Landscape, evaluations: int) -> str:
        """What it held for best after so many evaluations, and its regret."""
        best = leaderboard(self.ended[:evaluations])[0]
        truth = landscape.reward(best.record.tokens)
        assert truth is not None
        rewards = np.array(list(landscape.true_rewards.values()))
        return (
            f"{best.record.canonical} | {100 * best.reward:.2f} ({best.trainings}) | {100 * truth:.2f} | "
            f"{100 * (rewards.max() - truth):.2f} | {1 + int((rewards > truth).sum())}"
        )

    def first_swish(self) -> str:
        """Evaluation and minute of the first member of the Swish family."""
        for k, record in enumerate(self.ended):
            if "sigmoid" in record.canonical and belongs(record.tokens, "Swish family"):
                return f"{k + 1} ({self.minutes[k]:.1f} min)"
        return f">{len(self.ended)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--landscape", default="one_unit")
    args = parser.parse_args()
    landscape = load(args.landscape)
    searches = [read(folder, args.minutes) for folder in args.runs]
    print("| search | evaluations | first Swish | best | by the search (trainings) | true | regret | rank |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for search in searches:
        print(line(search, landscape, len(search.ended)))
    pairs: dict[int, list[Search]] = defaultdict(list)
    for search in searches:
        pairs[search.seed].append(search)
    print("\nafter as many evaluations as the slower one of each pair\n")
    for pair in pairs.values():
        for search in pair:
            print(line(search, landscape, min(len(other.ended) for other in pair)))
    print(f"\nSpearman's correlation of first trainings with the landscape: {agreement(searches, landscape)}")


def read(folder: Path, minutes: float) -> Search:
    """The run in a folder."""
    with RunFolder.at(folder).open() as (store, name):
        run = store.run(name)
        last = run.created_at + timedelta(minutes=minutes)
        records = [r for r in store.evaluations(name, layers=False) if r.finished_at and r.finished_at <= last]
    records.sort(key=lambda record: record.finished_at or last)
    ends = [((record.finished_at or last) - run.created_at).total_seconds() / 60 for record in records]
    return Search(run.config.controller, run.config.seed, tuple(records), tuple(ends))


def line(search: Search, landscape: Landscape, evaluations: int) -> str:
    return (
        f"| {search.controller}, seed {search.seed} | {evaluations} | {search.first_swish()} | "
        f"{search.found(landscape, evaluations)} |"
    )


def agreement(searches: Sequence[Search], landscape: Landscape) -> str:
    """Of functions that trained in both, over all searches; each search's first training of one."""
    pairs = []
    for search in searches:
        firsts = {r.canonical: r for r in sorted(search.ended, key=lambda r: -r.number)}
        for record in firsts.values():
            truth = landscape.reward(record.tokens)
            if record.evaluation and record.evaluation.val_accuracy is not None and truth:
                pairs.append((record.evaluation.val_accuracy, truth))
    return f"{spearmanr(np.array(pairs)).statistic:.2f} over {len(pairs)}"


if __name__ == "__main__":
    main()
