"""Makes the packaged landscape `prototype` of its measurements: prototype.csv.gz, described in docs/landscape.md.

python benchmarks/import_prototype.py prototype.csv.gz

The file lists the functions that were trained, with all spellings that its author found equal. Here the rest of the
6,250 spellings is grouped too, by the same rule (equal values when both slots have the same β), so that the landscape
knows every function of the space, measured or not. Takes about a minute.
"""

import argparse
import csv
import gzip
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import variance

import numpy as np
import numpy.typing as npt

from actsearch.config import SpaceSettings
from actsearch.evaluation import FLOOR_REWARD, Outcome
from actsearch.expression import Expression, X, beta_symbol, expression_of
from actsearch.formula import Formula
from actsearch.identity import canonical_text
from actsearch.landscape import Description, Landscape, LandscapeFunction, Measurement, Protocol, save
from actsearch.landscape.measured import swish_kind
from actsearch.primitives import BINARY, UNARY
from actsearch.space import Space

Tokens = tuple[str, str, str]

BETAS = (1.3, 0.6, -0.8)
"""β of both slots and of the binary function; of the values tried these agree best with the file's own groups."""
POINTS = np.concatenate([np.linspace(-6, 6, 97) + 0.0137, 3 * np.random.default_rng(0).normal(size=200)])
DIGITS = 6

PROTOCOL = Protocol(
    child="nf_resnet8: width 8, one block a stage, α = 0.5, no normalisation layers",
    recipe="150 steps of 128 images, SGD 0.2, Nesterov momentum 0.9, weight decay 5e-4 on tensors of 2 or 4 "
    "dimensions, gradient clipped at norm 1, 10 % warm-up then cosine, horizontal flips, float32, channels_last, "
    "one thread, seed 0",
    dataset="Fashion-MNIST (MIT licence) averaged to 14x14, standardised",
    split="50,000 training and 10,000 validation images; the reward is accuracy on all of the latter, the curve's "
    "points on 2,000 of them",
    gain="1/√E f(z)² over 20,000 normal samples, clamped to 0.1-10",
    betas="the primitives' initial values",
    grouping="equal values when both slots have the same β",
    screening="none; functions that are not finite or constant were left out",
)
STEPS = 150
CURVE = (40, 80, 120)
NOISE_FROM = 0.7
"""Accuracy from which functions tell the noise: those that train badly vary ten times as much, and decide nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", type=Path, help="prototype.csv.gz")
    default = Path(__file__).parents[1] / "actsearch" / "landscape" / "packaged" / "prototype"
    parser.add_argument("--output", type=Path, default=default)
    options = parser.parse_args()
    with gzip.open(options.csv, "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    measured = [spellings(row) for row in rows]
    by_beta = [all_values(POINTS, beta) for beta in BETAS]
    values = {tokens: np.stack([found[tokens] for found in by_beta]) for tokens in by_beta[0]}  # (β, points)
    rest, mixed = remaining_groups(measured, values)
    functions = [function(number, group, values) for number, group in enumerate([*measured, *rest], 1)]
    measurements = [measurement(f.id, row) for f, row in zip(functions, rows, strict=False)]
    sd, pairs = mirrored_sd(functions[: len(rows)], measurements)
    trainable = sum(f.finite and not f.constant for f in functions)
    description = Description(
        name="prototype",
        space=SpaceSettings(),
        protocol=PROTOCOL,
        environment={"torch": "2.14.1", "device": "CPU"},
        noise_sd=round(sd, 4),
        noise=f"pooled over {pairs} groups of functions without β that are mirror images, ±f(±x), all above "
        f"{NOISE_FROM}; functions that train badly vary more",
        coverage=f"{len(rows)} of {trainable:,} functions that are finite and not constant (its author counted 4,033) "
        "were measured: a uniform random sample, with the whole Swish family and ReLU put in on purpose, so that it "
        "flatters every search for them. The spellings of the others were grouped here, by values; of the groups "
        f"{mixed} should be part of a measured function",
    )
    landscape = Landscape(description, functions, measurements)
    save(landscape, options.output)
    print(landscape)


def spellings(row: Mapping[str, str]) -> list[Tokens]:
    """The token sequences of a row, the trained one first; the file writes them as mathematics."""
    texts = [(row["unary1"], row["unary2"], row["binary"])]
    for text in row["other_spellings"].split(" ; "):
        if text:
            unary1, unary2, binary = (part.strip() for part in text.split(" , "))
            texts.append((unary1, unary2, binary))
    return [(UNARY_NAMES[u1], UNARY_NAMES[u2], BINARY_NAMES[b]) for u1, u2, b in texts]


UNARY_NAMES = {p.text.replace(" ", ""): p.name for p in UNARY.values()} | {"log(1+exp(x))": "softplus"}
BINARY_NAMES = {p.text.replace(" ", ""): p.name for p in BINARY.values()}


def remaining_groups(
    measured: Sequence[Sequence[Tokens]], values: Mapping[Tokens, npt.NDArray[np.float64]]
) -> tuple[list[list[Tokens]], int]:
    """The spellings that the file does not list, grouped by values; how many groups a trained function belongs to."""
    known = {tokens for group in measured for tokens in group}
    keys = {tokens: text_of(v.ravel()) for tokens, v in values.items()}
    groups: dict[str, list[Tokens]] = defaultdict(list)
    for formula in Space(SpaceSettings()).enumerate():
        unary1, unary2, binary = formula.tokens
        tokens = unary1, unary2, binary
        if tokens not in known:
            groups[keys[tokens]].append(tokens)
    trained = {keys[tokens] for tokens in known}
    return list(groups.values()), sum(key in trained for key in groups)


def text_of(values: npt.NDArray[np.float64]) -> str:
    finite = np.isfinite(values)
    return " ".join(
        f"{v:.{DIGITS}g}" if ok and abs(v) > 1e-9 else "0" if ok else "-" for v, ok in zip(values, finite, strict=True)
    )


def all_values(x: npt.NDArray[np.float64], beta: float) -> dict[Tokens, npt.NDArray[np.float64]]:
    """Values of all 6,250 formulas with one β everywhere; a hundred times faster than formula by formula."""
    b, x2 = beta_symbol("beta"), beta_symbol("beta2")
    inner = {name: Expression(p.form(X, b)).values(x, beta=beta) for name, p in UNARY.items()}
    outer = {name: Expression(p.form(X, x2, b)) for name, p in BINARY.items()}
    return {
        (first, second, name): expression.values(inner[first], beta=beta, beta2=inner[second])
        for first in UNARY
        for second in UNARY
        for name, expression in outer.items()
    }


def function(
    number: int, group: Sequence[Tokens], values: Mapping[Tokens, npt.NDArray[np.float64]]
) -> LandscapeFunction:
    """The function that some spellings share; the first of them is the one that is trained and named."""
    found = [expression_of(Formula.from_tokens(tokens)) for tokens in group]
    kinds = {swish_kind(expression) for expression in found}
    finite = np.isfinite(values[group[0]])
    return LandscapeFunction(
        id=f"p{number:04}",
        canonical=canonical_text(found[0]),
        constant=bool(finite.all() and np.ptp(values[group[0]], axis=1).max() < 1e-6),
        finite=bool(finite.any()),
        swish=max(kinds),  # "" < "family" < "strict"
        spellings=tuple(group),
    )


def measurement(function: str, row: Mapping[str, str]) -> Measurement:
    """The one training of a function; a row without accuracy diverged."""
    accuracy = float(row["val_accuracy"]) if row["val_accuracy"] else None
    return Measurement(
        function=function,
        replicate=0,
        seed=0,
        outcome=Outcome.DIVERGED if accuracy is None else Outcome.TRAINED,
        reward=FLOOR_REWARD if accuracy is None else accuracy,
        val_accuracy=accuracy,
        val_loss=float(row["val_loss"]) if row["val_loss"] else None,
        gain=float(row["gain"]),
        steps=int(row["diverged_at_step"]) if row["diverged_at_step"] else STEPS,
        seconds=float(row["seconds"]),
        curve={step: float(row[f"accuracy_at_{step}"]) for step in CURVE if row[f"accuracy_at_{step}"]},
    )


def mirrored_sd(functions: Iterable[LandscapeFunction], measurements: Iterable[Measurement]) -> tuple[float, int]:
    """Standard deviation of one training, from functions that a network cannot tell apart: f(x), f(-x), -f(x), -f(-x).

    Only functions without β count, since a trained β would have to be mirrored too, and only from `NOISE_FROM` on.

    Returns:
        The pooled standard deviation of the reward, and the number of groups of mirror images behind it.
    """
    z = np.linspace(-4, 4, 801)
    images: dict[str, list[float]] = defaultdict(list)
    for f, m in zip(functions, measurements, strict=False):
        expression = expression_of(Formula.from_tokens(f.spellings[0]))
        if m.val_accuracy is not None and not expression.initial:
            values = expression.values(z)
            images[min(text_of(v) for v in (values, values[::-1], -values, -values[::-1]))].append(m.val_accuracy)
    groups = [rewards for rewards in images.values() if len(rewards) > 1 and min(rewards) >= NOISE_FROM]
    degrees = sum(len(rewards) - 1 for rewards in groups)
    return (sum((len(rewards) - 1) * variance(rewards) for rewards in groups) / degrees) ** 0.5, len(groups)


if __name__ == "__main__":
    main()
