"""How well the shape of a function predicts its reward, by kernel of the surrogate, on landscapes.

    python benchmarks/kernels.py one_unit prototype

For 40, 80 and 160 functions drawn at random, 40 times: Spearman's correlation of expected and true reward of others,
and the share of the true top tenth that is in the predicted top tenth, as means over the draws.
"""

import sys
from collections.abc import Callable
from itertools import product
from unittest.mock import patch

import numpy as np
from scipy.stats import spearmanr

from actsearch.formula import Formula
from actsearch.landscape import load
from actsearch_controller import surrogate
from actsearch_controller.shapes import shape
from actsearch_controller.surrogate import Surrogate

LEARNED_FROM = (40, 80, 160)
DRAWS = 40

Covariance = Callable[[np.ndarray], np.ndarray]
KERNELS: dict[str, Covariance] = {
    "exponential": lambda r: np.exp(-r),
    "Matérn 3/2": lambda r: (1 + np.sqrt(3) * r) * np.exp(-np.sqrt(3) * r),
}


def main() -> None:
    for name in sys.argv[1:] or ["one_unit", "prototype"]:
        landscape = load(name)
        ids = list(landscape.true_rewards)
        shapes = np.array([shape(Formula.from_tokens(landscape.functions[id_].spellings[0])) for id_ in ids])
        rewards = np.array([landscape.true_rewards[id_] for id_ in ids])
        print(f"{landscape.name}: {len(ids)} functions\n| kernel | slope weight | length | {LEARNED_FROM} |")
        for (kernel, covariance), weight, length in product(KERNELS.items(), (0.3, 1.0, 2.0), (0.4, 0.8, 1.5, 3.0)):
            with (
                patch.object(surrogate, "SLOPE_WEIGHT", weight),
                patch.object(surrogate, "LENGTH", length),
                patch.object(surrogate, "_covariance", covariance),
            ):
                print(f"| {kernel} | {weight} | {length} | {quality(shapes, rewards)} |", flush=True)


def quality(shapes: np.ndarray, rewards: np.ndarray) -> str:
    """Correlation/share for each number of functions learned from."""
    top = set(np.argsort(-rewards)[: len(rewards) // 10].tolist())
    cells = []
    for told in LEARNED_FROM:
        found = []
        for seed in range(DRAWS):
            order = np.random.default_rng(seed).permutation(len(rewards))
            known, others = order[:told], order[told:]
            expected = Surrogate(list(shapes[known]), rewards[known].tolist()).expected(list(shapes[others]))
            best = set(others[np.argsort(-expected)[: len(others) // 10]].tolist())
            hit = len(best & top) / len(top - set(known.tolist()))
            found.append((spearmanr(expected, rewards[others]).statistic, hit))
        correlation, share = np.mean(found, axis=0)
        cells.append(f"{correlation:.2f}/{share:.2f}")
    return " ".join(cells)


if __name__ == "__main__":
    main()
