"""Statistics of paired seeds, as pure functions on numpy arrays.

Seeds are the last axis, functions the one before it (with children between them where they are apart); axes in front
are batches, so that thousands of simulated finals go through the code that judges a real one.
"""

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[np.float64]


def paired_t(differences: Array) -> Array:
    """Student's t of the mean difference, ``(…, seeds)`` to ``(…)``.

    Where all seeds agree it is its limit: infinite, or 0 for a difference of 0.

    Args:
        differences: one number a seed, at least two; read to 12 decimals, since equal accuracies may differ beyond.
    """
    values = np.round(differences, 12)
    mean = values.mean(axis=-1)
    error = values.std(axis=-1, ddof=1) / np.sqrt(values.shape[-1])
    limit = np.where(np.abs(mean) < 1e-12, 0.0, np.copysign(np.inf, mean))
    t: Array = np.divide(mean, error, out=limit, where=error > 1e-12)
    return t


def one_sided_p(differences: Array) -> Array:
    """P-value of the paired t-test against "the mean difference is 0 or less", ``(…, seeds)`` to ``(…)``."""
    p: Array = stats.t.sf(paired_t(differences), differences.shape[-1] - 1)
    return p


def interval(differences: Array, confidence: float = 0.95) -> tuple[Array, Array]:
    """Both ends of the two-sided t interval of the mean difference, ``(…, seeds)`` to two of ``(…)``."""
    seeds = differences.shape[-1]
    mean = differences.mean(axis=-1)
    reach = stats.t.ppf((1 + confidence) / 2, seeds - 1) * differences.std(axis=-1, ddof=1) / np.sqrt(seeds)
    return mean - reach, mean + reach


def holm(p: Array) -> Array:
    """P-values adjusted for being several, ``(…, tests)``: rejecting those up to α has a family-wise error up to α.

    Source: Holm 1979, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6, 65–70.
    """
    tests = p.shape[-1]
    order = np.argsort(p, axis=-1, kind="stable")
    scaled = np.take_along_axis(p, order, axis=-1) * (tests - np.arange(tests))
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(np.maximum.accumulate(scaled, axis=-1), 1), axis=-1)
    return adjusted


def mean_ranks(accuracies: Array) -> Array:
    """Rank by mean accuracy in each child, 1 the best and ties their average, averaged over the children.

    Args:
        accuracies: ``(…, functions, children, seeds)``.

    Returns:
        ``(…, functions)``.
    """
    ranks: Array = stats.rankdata(-np.round(accuracies.mean(axis=-1), 12), axis=-2)
    mean: Array = ranks.mean(axis=-1)
    return mean


def conditional_power(differences: Array, seeds: int, alpha: float) -> Array:
    """Chance that the one-sided test at `alpha` rejects with `seeds` seeds, if the mean goes on as in those seen.

    A normal approximation: it decides what is worth more seeds, never what is claimed.

    Args:
        differences: of the seeds seen, ``(…, seen)``; ``2 <= seen < seeds``.
        seeds: seeds in the end.
        alpha: level of the test in the end.

    Source: Lan & Wittes 1988, The B-value: a tool for monitoring data, Biometrics 44, 579–585.
    """
    share = differences.shape[-1] / seeds
    critical = stats.t.ppf(1 - alpha, seeds - 1)
    power: Array = stats.norm.cdf((paired_t(differences) / np.sqrt(share) - critical) / np.sqrt(1 - share))
    return power


def spearman(one: Array, other: Array) -> tuple[float, float | None, float | None]:
    """Spearman's rank correlation of two numbers a function, ``(functions,)`` each, and its 95 % interval.

    The interval treats the functions as a sample of such functions, and asks nothing of how well each is measured. A
    perfect order, whose Fisher transform is infinite, is taken as half an exchange of neighbours short of perfect.

    Returns:
        The correlation, 0 where all numbers of one side are equal; both ends, None for fewer than 4 functions.

    Source: Bonett & Wright 2000, Sample size requirements for estimating Pearson, Kendall and Spearman correlations,
    Psychometrika 65, 23–28: standard error √((1 + ρ²/2)/(n - 3)) on Fisher's scale.
    """
    ranks = stats.rankdata(np.round(one, 12)), stats.rankdata(np.round(other, 12))
    if any(np.ptp(r) == 0 for r in ranks):
        return 0.0, None, None
    rho = float(np.corrcoef(*ranks)[0, 1])
    count = len(one)
    if count < 4:
        return rho, None, None
    limit = 1 - 6 / (count * (count**2 - 1))
    z = np.arctanh(np.clip(rho, -limit, limit))
    reach = stats.norm.ppf(0.975) * np.sqrt((1 + rho**2 / 2) / (count - 3))
    low, high = float(np.tanh(z - reach)), float(np.tanh(z + reach))
    return rho, -1.0 if rho < -limit else low, 1.0 if rho > limit else high
