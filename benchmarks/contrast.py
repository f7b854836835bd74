"""Swish against ReLU in the default child, paired by seed: the table in README.md.

python benchmarks/contrast.py --steps 150 400 --seeds 3
"""

import argparse
from statistics import mean, stdev

import torch
from alone import trained_alone

from actsearch.config import ChildSettings
from actsearch_workers.children import child

FORMULAS = {"ReLU": ("relu", "relu", "max"), "Swish": ("scale", "identity", "gate")}


def accuracy(tokens: tuple[str, ...], name: str, steps: int, seed: int) -> float:
    """Validation accuracy, 0-1, of one child on the embedded images."""
    recipe = child(name).recipe.model_copy(update={"steps": steps})
    result = trained_alone(tokens, seed=seed, child=ChildSettings(name=name), recipe=recipe)
    return result.val_accuracy or 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--child", default="nf_resnet8")
    parser.add_argument("--steps", type=int, nargs="+", default=[150, 400])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for steps in options.steps:
        differences = []
        for seed in range(options.seeds):
            found = {name: accuracy(tokens, options.child, steps, seed) for name, tokens in FORMULAS.items()}
            differences.append(found["Swish"] - found["ReLU"])
            print(f"{steps} steps, seed {seed}:", *(f"{name} {value:.4f}" for name, value in found.items()), flush=True)
        error = stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else float("nan")
        print(f"{steps} steps: Swish - ReLU = {100 * mean(differences):.2f} points, standard error {100 * error:.2f}")


if __name__ == "__main__":
    main()
