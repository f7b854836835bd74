"""Whether numbers that cost one step tell bad functions before they are trained, on a landscape of the one-unit space.

    python benchmarks/screens.py landscape --functions 1000

Each function goes into the untrained default child, which sees one batch of 128 training images. A feature screens by
an interval: what lies outside is not trained. The interval is the narrowest that keeps all good functions of one half;
what it rejects is counted on the other half, for 100 splits. Good is the best tenth of the functions that the landscape
covers, bad a reward below one half, functions without a finite first loss left out: they are not trained anyway.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: one thread, as a worker has

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from rich.progress import track
from scipy.stats import spearmanr
from torch import Tensor, nn

from actsearch.activation import act_layer, activations, materialize
from actsearch.config import ChildSettings
from actsearch.evaluation import Outcome
from actsearch.expression import expression_of
from actsearch.formula import Formula
from actsearch.identity import unit_gain
from actsearch.landscape import load
from actsearch_workers.batches import Standardiser, on_device
from actsearch_workers.children.build import build_child
from actsearch_workers.data import load as load_data

CPU = torch.device("cpu")
SPLITS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("landscape", help="a packaged one, or a folder")
    parser.add_argument("--functions", type=int, default=1000, help="drawn at random")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    landscape = load(options.landscape)
    failed = {m.function for m in landscape.measurements if m.outcome in (Outcome.NONFINITE, Outcome.CONSTANT)}
    rewards = {id_: reward for id_, reward in landscape.true_rewards.items() if id_ not in failed}
    good_from = float(np.quantile(list(rewards.values()), 0.9))
    drawn = np.random.default_rng(options.seed).permutation(sorted(rewards))[: options.functions]
    images, labels = first_batch()
    rows = [features(landscape.functions[id_].spellings[0], images, labels) for id_ in track(drawn, "one step each")]
    truth = np.array([rewards[id_] for id_ in drawn])
    print(f"{len(drawn)} functions, good from {100 * good_from:.1f} %, {np.mean(truth < 0.5):.0%} bad")
    print("| feature | Spearman with the reward | bad ones rejected | good ones rejected |\n| --- | --- | --- | --- |")
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        rejected = shares(values, truth >= good_from, truth < 0.5)
        correlation = spearmanr(values, truth).statistic
        print(f"| {name} | {correlation:.2f} | {rejected[0]:.0%} | {rejected[1]:.1%} |")


def first_batch() -> tuple[Tensor, Tensor]:
    """128 images, standardised, and their labels."""
    part = load_data("fashion-mini", data_dir=Path()).train
    images, labels = on_device(part, CPU)
    return Standardiser.of(part, CPU)(images[:128]), labels[:128]


def features(tokens: tuple[str, ...], images: Tensor, labels: Tensor) -> Mapping[str, float]:
    """Of one function in the untrained child; logarithms to base 10, infinite where a number is not finite."""
    expression = expression_of(Formula.from_tokens(tokens))
    torch.manual_seed(0)
    layer = act_layer(expression, gain=unit_gain(expression), backend="symbolic")
    model = build_child(ChildSettings(), layer, num_classes=10, in_chans=1, image_size=images.shape[-1])
    materialize(model, images[:2])
    inputs: list[Tensor] = []
    for activation in activations(model).values():
        activation.register_forward_pre_hook(lambda _, args: inputs.append(args[0].detach()))
    loss = F.cross_entropy(model(images), labels)
    torch.autograd.backward(loss)
    norms = [gradient.norm() for gradient in weight_gradients(model)]
    return {
        "loss": log10(loss.detach()),
        "gradient norm": log10(torch.stack(norms).norm()),
        "gradient norm, first layer over last": log10(norms[0] / norms[-1]),
        "standard deviation of the last pre-activation": log10(inputs[-1].std()),
    }


def weight_gradients(model: nn.Module) -> list[Tensor]:
    return [p.grad for p in model.parameters() if p.ndim in (2, 4) and p.grad is not None]


def log10(value: Tensor) -> float:
    found = float(torch.log10(value))
    return found if np.isfinite(found) else float("inf")


def shares(
    values: npt.NDArray[np.float64], good: npt.NDArray[np.bool_], bad: npt.NDArray[np.bool_]
) -> tuple[float, float]:
    """Shares of the bad and of the good functions of one half outside the interval that holds the other half's good."""
    rejected = []
    for seed in range(SPLITS):
        chosen = np.random.default_rng(seed).random(len(values)) < 0.5
        kept = values[chosen & good]
        outside = (values < kept.min()) | (values > kept.max())
        rejected.append((outside[~chosen & bad].mean(), outside[~chosen & good].mean()))
    return tuple(np.mean(rejected, axis=0))


if __name__ == "__main__":
    main()
