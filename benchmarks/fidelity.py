"""How well cheap trainings predict expensive ones: makes the rows of benchmarks/fidelity.csv.

    python benchmarks/fidelity.py --processes 2

Every function is trained under every protocol with every seed, once: rows already in the file are left out, so the same
command goes on where it was stopped. benchmarks/fidelity_table.py reads the rows.
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time
from typing import Any, Literal

from alone import trained_alone
from rows import Rows

from actsearch.config import ChildSettings
from actsearch_workers.children import child

ROWS = Path(__file__).with_name("fidelity.csv")
COLUMNS = ("protocol", "function", "seed", "outcome", "val_accuracy", "val_loss", "cpu_seconds")


@dataclass(frozen=True)
class Protocol:
    """One way to train a function: a child, its gain, changes to the child's own recipe, and the seeds."""

    child: str
    gain: Literal["unit", "as_is"] = "unit"
    recipe: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (100, 101)


REFERENCES = {
    "resnet20, 1,000 steps": Protocol("resnet20", recipe={"steps": 1_000}, seeds=(0, 1, 2)),
    "efficientnet_tiny, 1,000 steps": Protocol("efficientnet_tiny", recipe={"steps": 1_000}, seeds=(0, 1, 2)),
}
"""What the search is for, as far as two cores can afford it."""

PROTOCOLS = {
    "nf_resnet8, 75 steps": Protocol("nf_resnet8", recipe={"learning_rate": 0.2, "steps": 75}),
    "nf_resnet8, 150 steps": Protocol("nf_resnet8", recipe={"learning_rate": 0.2, "steps": 150}),
    "nf_resnet8, 300 steps": Protocol("nf_resnet8", recipe={"learning_rate": 0.2, "steps": 300}),
    "nf_resnet8, 150 steps, gain as is": Protocol("nf_resnet8", "as_is", {"learning_rate": 0.2, "steps": 150}),
    "nf_resnet8, 300 steps, gain as is": Protocol("nf_resnet8", "as_is", {"learning_rate": 0.2, "steps": 300}),
    "nf_resnet8, 150 steps, rate 0.1": Protocol("nf_resnet8", recipe={"steps": 150, "learning_rate": 0.1}),
    "nf_resnet8, 150 steps, rate 0.4": Protocol("nf_resnet8", recipe={"steps": 150, "learning_rate": 0.4}),
    "nf_resnet8, 150 steps, rate 0.8": Protocol("nf_resnet8", recipe={"steps": 150, "learning_rate": 0.8}),
    "nf_resnet8, 300 steps, rate 0.4": Protocol("nf_resnet8", recipe={"steps": 300, "learning_rate": 0.4}),
    "nf_resnet8, 150 steps, weights averaged": Protocol(
        "nf_resnet8", recipe={"learning_rate": 0.2, "steps": 150, "ema_decay": 0.95}
    ),
    "nf_resnet20, 150 steps": Protocol("nf_resnet20", recipe={"steps": 150}),
    "nf_resnet20, 300 steps": Protocol("nf_resnet20", recipe={"steps": 300}),
    "resnet8, 150 steps": Protocol("resnet8", recipe={"steps": 150}),
    "resnet8, 300 steps": Protocol("resnet8", recipe={"steps": 300}),
    "resnet8, 300 steps, gain as is": Protocol("resnet8", "as_is", {"steps": 300}),
    "resnet8, 300 steps, rate 0.3": Protocol("resnet8", recipe={"steps": 300, "learning_rate": 0.3}),
}
"""Each differs in one thing from its neighbours; `nf_resnet8` has rate 0.2, which was its own, where none is named.

Their seeds are none of the references'. Rate 0.8 and 300 steps at rate 0.4 were added after the first seed of all
others, which had rate 0.4 far ahead of 0.2.
"""

FUNCTIONS: Mapping[str, tuple[str, ...]] = {
    # Known ones.
    "ReLU": ("identity", "relu", "max"),
    "SiLU": ("identity", "identity", "gate"),
    "Mish": ("x", "x", "softplus", "softplus", "max", "x", "unit1", "identity", "tanh", "multiply"),
    "softplus": ("softplus", "softplus", "max"),
    "tanh": ("tanh", "tanh", "max"),
    "identity": ("identity", "identity", "max"),
    # The best eight of the paper (arXiv 1710.05941 v2, section 3.2).
    "Swish": ("scale", "identity", "gate"),
    "max(x, sigmoid(x))": ("identity", "sigmoid", "max"),
    "cos(x) - x": ("cos", "identity", "subtract"),
    "min(x, sin(x))": ("identity", "sin", "min"),
    "atan(x)^2 - x": ("x", "x", "atan", "atan", "max", "unit1", "x", "square", "identity", "subtract"),
    "max(x, tanh(x))": ("identity", "tanh", "max"),
    "sinc(x) + x": ("sinc", "identity", "add"),
    "x asinh(x)^2": ("x", "x", "asinh", "asinh", "max", "x", "unit1", "identity", "square", "multiply"),
    # The best six of landscape one_unit that are not above, of several with one shape the first.
    "sinc(x) - softplus(x)": ("sinc", "softplus", "subtract"),
    "max(beta x, sin(x))": ("scale", "sin", "max"),
    "beta sin(x)": ("scale", "sinc", "multiply"),
    "sin(x) sigmoid(max(x, 0))": ("relu", "sin", "gate"),
    "beta - softplus(x)": ("constant", "softplus", "subtract"),
    "max(x, 0) - sinc(x)": ("relu", "sinc", "subtract"),
    # Middling ones of it: ranks 400, 800, 1,200 and 1,600 of 4,079.
    "atan(x)": ("abs", "atan", "min"),
    "sigmoid(x) - |x|": ("sigmoid", "abs", "subtract"),
    "beta x sigmoid(cosh(x))": ("cosh", "scale", "gate"),
    "max(-x, sqrt(x))": ("negative", "sqrt", "max"),
}
"""Token sequences by name."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2, help="trainings at a time, one thread each")
    parser.add_argument("--rows", type=Path, default=ROWS, help="the file that is read and added to")
    options = parser.parse_args()
    rows = Rows(options.rows, COLUMNS)
    done = {(row["protocol"], row["function"], int(row["seed"])) for row in rows.read()}
    rows.add([task for task in tasks() if task not in done], trained, processes=options.processes)


def tasks() -> Iterator[tuple[str, str, int]]:
    """Protocol, function and seed of every training, all functions of a protocol and seed before the next."""
    protocols = REFERENCES | PROTOCOLS
    for turn in range(max(len(protocol.seeds) for protocol in protocols.values())):
        for name, protocol in protocols.items():
            yield from ((name, function, seed) for seed in protocol.seeds[turn : turn + 1] for function in FUNCTIONS)


def trained(task: tuple[str, str, int]) -> dict[str, object]:
    """One row of the file."""
    name, function, seed = task
    protocol = (REFERENCES | PROTOCOLS)[name]
    recipe = child(protocol.child).recipe.model_copy(update=dict(protocol.recipe))
    settings = ChildSettings(name=protocol.child, gain=protocol.gain)
    began = process_time()
    result = trained_alone(FUNCTIONS[function], seed=seed, child=settings, recipe=recipe)
    seconds = round(process_time() - began, 2)
    measured = (result.outcome.value, result.val_accuracy, result.val_loss, seconds)
    return dict(zip(COLUMNS, (*task, *measured), strict=True))


if __name__ == "__main__":
    main()
