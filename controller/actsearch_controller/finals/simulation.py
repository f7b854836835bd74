"""Simulated finals, where the truth is known: how often the statements of finals are wrong.

They go through the judge of real finals. Validation accuracies are made of a function's true mean, an effect of child
and seed that all functions share, as paired trainings do, and noise of their own.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from actsearch_controller.finals.judgement import ALPHA, Judge, Mask
from actsearch_controller.finals.statistics import Array, holm, interval, one_sided_p

LEVEL = 0.85
"""Accuracy of the reference."""
NOISE_SD = 0.003
"""Standard deviation of one training's own noise: about that of nf_resnet8 on fashion-mini."""
FAILING = 0.01
"""Share of trainings that fail where noise is `failing`."""
CHUNK = 2_000
"""Finals at a time; bounds the memory."""

Noise = Literal["normal", "heavy", "failing"]


@dataclass(frozen=True)
class Scenario:
    """A truth to be found out.

    Attributes:
        name: for tables.
        means: of each finalist, accuracy above the reference; both controls are at 0.
        spread: noise of each finalist, in `NOISE_SD`; None: 1 for all.
        noise: normal; heavy (Student's t with 3 degrees of freedom); failing (normal, and 1 % of all trainings fail).
        looks: as in `FinalsSettings`.
        seeds: paired seeds.
        children: of the panel.
    """

    name: str
    means: tuple[float, ...]
    spread: tuple[float, ...] | None = None
    noise: Noise = "normal"
    looks: tuple[int, ...] = (4, 7)
    seeds: int = 10
    children: int = 3


@dataclass(frozen=True)
class Simulated:
    """What came of many finals of one scenario; shares are 0–1.

    Attributes:
        family_wise_error: finals that call some function better than the reference which is not.
        power: functions better than the reference that are called so; 0 where there are none.
        coverage: intervals of functions not dropped that hold the true difference.
        holds_the_best: finals whose tied group holds the function of highest true mean; of several the one least often.
        holds_all_best: finals whose tied group holds all of those.
        holds_the_best_by_holm: as `holds_the_best`, with Holm in place of Bonferroni and no looks.
        tied: mean size of the tied group, controls included.
        seeds_used: trainings of finalists that the looks let happen.
        winner_bias: mean of what the best seems better than the reference minus what it is, in accuracy.
    """

    family_wise_error: float
    power: float
    coverage: float
    holds_the_best: float
    holds_all_best: float
    holds_the_best_by_holm: float
    tied: float
    seeds_used: float
    winner_bias: float


def simulate(scenario: Scenario, count: int, *, seed: int) -> Simulated:
    """Plays `count` finals of a scenario."""
    rng = np.random.default_rng(seed)
    parts = [_play(scenario, min(CHUNK, count - start), rng) for start in range(0, count, CHUNK)]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    means = _means(scenario)
    best = means == means.max()
    is_better = means > 0
    is_false = whole["finalists"] & ~is_better
    is_true = whole["finalists"] & is_better
    stands = whole["standing"] & (np.arange(len(means)) != len(means) - 1)
    return Simulated(
        family_wise_error=float((whole["better"] & is_false).any(axis=-1).mean()),
        power=float(whole["better"][is_true].mean()) if is_true.any() else 0.0,
        coverage=float(whole["covered"][stands].mean()),
        holds_the_best=float(whole["tied"][:, best].mean(axis=0).min()),
        holds_all_best=float(whole["tied"][:, best].all(axis=-1).mean()),
        holds_the_best_by_holm=float(whole["tied_by_holm"][:, best].mean(axis=0).min()),
        tied=float(whole["tied"].sum(axis=-1).mean()),
        seeds_used=float(whole["seeds_used"].mean()),
        winner_bias=float(whole["winner_bias"].mean()),
    )


def _means(scenario: Scenario) -> Array:
    """Of finalists, then SiLU and ReLU."""
    return np.array([*scenario.means, 0.0, 0.0])


def _play(scenario: Scenario, count: int, rng: np.random.Generator) -> dict[str, npt.NDArray[np.generic]]:
    means = _means(scenario)
    functions = len(means)
    finalists = np.arange(functions) < functions - 2
    judge = Judge(finalists, functions - 1, scenario.looks, scenario.seeds)
    accuracies = _accuracies(scenario, count, rng)
    standing = np.ones((count, functions), dtype=bool)
    used = np.zeros(count)
    for before, look in zip((0, *scenario.looks), (*scenario.looks, scenario.seeds), strict=True):
        used += standing[:, finalists].mean(axis=-1) * (look - before)
        if look < scenario.seeds:
            standing = judge.kept(accuracies[..., :look], standing)
    p_holm = judge.p_holm(judge.p(accuracies, standing))
    panel = accuracies.mean(axis=-2)
    differences = panel - panel[:, -1:]
    low, high = interval(differences)
    best = judge.best(accuracies, standing)
    over_reference = np.take_along_axis(differences.mean(axis=-1), best[:, None], axis=-1)[:, 0]
    return {
        "finalists": np.broadcast_to(finalists, standing.shape),
        "standing": standing,
        "better": np.nan_to_num(p_holm, nan=1.0) <= ALPHA,
        "covered": (low <= means) & (means <= high),
        "tied": judge.tied(accuracies, standing),
        "tied_by_holm": _tied_by_holm(judge, accuracies),
        "seeds_used": used / scenario.seeds,
        "winner_bias": over_reference - means[best],
    }


def _accuracies(scenario: Scenario, count: int, rng: np.random.Generator) -> Array:
    """``(count, functions, children, seeds)``."""
    shape = (count, len(scenario.means) + 2, scenario.children, scenario.seeds)
    # Student's t with 3 degrees of freedom has variance 3.
    own = rng.standard_t(3, size=shape) / np.sqrt(3) if scenario.noise == "heavy" else rng.normal(size=shape)
    spread = np.array([*(scenario.spread or (1.0,) * len(scenario.means)), 1.0, 1.0])
    shared = rng.normal(size=(count, 1, *shape[2:]))
    values = LEVEL + _means(scenario)[:, None, None] + NOISE_SD * (spread[:, None, None] * own + shared)
    if scenario.noise == "failing":
        values = np.where(rng.uniform(size=shape) < FAILING, 0.0, values)
    return values


def _tied_by_holm(judge: Judge, accuracies: Array) -> Mask:
    """The group that Holm over the comparisons with the best would leave, without looks."""
    standing = np.ones(accuracies.shape[:-2], dtype=bool)
    best = judge.best(accuracies, standing)[:, None]
    panel = accuracies.mean(axis=-2)
    p = one_sided_p(np.take_along_axis(panel, best[..., None], axis=-2) - panel)
    others = np.arange(p.shape[-1]) != best
    tied: Mask = np.ones(others.shape, dtype=bool)
    tied[others] = (holm(p[others].reshape(len(p), -1)) > ALPHA).ravel()
    return tied


@dataclass(frozen=True)
class Curse:
    """What the leader of a search seems better than it is, in accuracy: by its score there, and by finals."""

    search_bias: float
    final_bias: float


def winners_curse(*, functions: int, true_sd: float, search_sd: float, count: int, seed: int) -> Curse:
    """Searches with one training a function, and fresh seeds for the leader.

    Args:
        functions: evaluated in a search.
        true_sd: standard deviation of their true means.
        search_sd: standard deviation of one score.
        count: searches.
        seed: of the random numbers.
    """
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 1, size=(count, functions)) * true_sd
    scores = truth + rng.normal(0, search_sd, size=truth.shape)
    leader = scores.argmax(axis=-1)[:, None]
    true = np.take_along_axis(truth, leader, axis=-1)[:, 0]
    fresh = (true[:, None] + rng.normal(0, search_sd, size=(count, 10))).mean(axis=-1)
    seen = np.take_along_axis(scores, leader, axis=-1)[:, 0]
    return Curse(float((seen - true).mean()), float((fresh - true).mean()))
