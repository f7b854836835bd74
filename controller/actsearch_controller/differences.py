"""Whether one controller beats another: the same measures of both, seed by seed, and a test of the difference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import wilcoxon

from actsearch_controller.arena import TARGETS
from actsearch_controller.comparison import BUDGETS, Comparison
from actsearch_controller.finals.statistics import holm

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """Of one measure between two controllers that searched with the same seeds.

    Attributes:
        mean: over seeds, the one minus the other, in units of the measure.
        p: of Wilcoxon's signed-rank test, two-sided, adjusted by Holm for all that were tested together.
    """

    mean: float
    p: float


def differences(found: Mapping[str, Comparison]) -> dict[str, dict[str, Difference]]:
    """Every controller but the first, minus the first, by name and measure.

    Args:
        found: comparisons with the same seeds and budget.
    """
    (_, reference), *others = found.items()
    theirs = measures(reference)
    gaps = {(name, what): mine - theirs[what] for name, other in others for what, mine in measures(other).items()}
    adjusted = holm(np.array([signed_rank_p(gap) for gap in gaps.values()]))
    rows: dict[str, dict[str, Difference]] = {name: {} for name, _ in others}
    for ((name, what), gap), p in zip(gaps.items(), adjusted, strict=True):
        rows[name][what] = Difference(float(gap.mean()), float(p))
    return rows


def measures(comparison: Comparison) -> dict[str, Array]:
    """What is compared, a number a seed: regret after some budgets (0-1), and evaluations up to each target.

    A target that was not found counts as found one evaluation after the budget.
    """
    budgets = sorted({*(n for n in BUDGETS if n < comparison.budget), comparison.budget})
    regrets = {f"regret at {n:,}": comparison.regrets[:, n - 1] for n in budgets}
    never = comparison.budget + 1
    needed = {
        target: np.array([float(play.found.get(target, never)) for play in comparison.plays]) for target in TARGETS
    }
    return regrets | needed


def signed_rank_p(gaps: Sequence[float] | Array) -> float:
    """P-value of Wilcoxon's signed-rank test that the differences lie about 0, two-sided; 1 where all are 0."""
    return float(wilcoxon(gaps).pvalue) if np.any(gaps) else 1.0
