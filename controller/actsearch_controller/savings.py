"""What early stopping is worth: the same searches with it and without, in pairs of as many training steps."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actsearch.config import EarlyStoppingSettings, RunConfig
from actsearch.landscape import Landscape
from actsearch_controller.arena import Play
from actsearch_controller.comparison import Comparison, compare

RESAMPLES = 1_000
"""Bootstrap over seeds."""

EVALUATIONS_AT_MOST = 10
"""Times as many evaluations as without: more would be a mean training of less than the first rung's steps."""


@dataclass(frozen=True)
class Savings:
    """One controller's searches with early stopping beside those without, of the same seeds; means over seeds.

    Attributes:
        regret: without early stopping after the last evaluation, in units of reward (0-1).
        steps: training steps of all children of a search without early stopping.
        steps_stopping: of one with it, after as many evaluations.
        regret_difference: regret after as many evaluations, with minus without.
        regret_error: standard error of that difference, from the pairs; None for a single seed.
        evaluations: evaluations with early stopping in as many steps as without.
        stopped: share of these that ended early, 0-1.
        fell_short: share of searches with it that ended before as many steps, 0-1: they had nothing new left to
            propose, or `EVALUATIONS_AT_MOST` times the evaluations.
        equal_steps_difference: regret after as many steps, with minus without.
        equal_steps_error: standard error of that difference, from the pairs; None for a single seed.
        fewer_steps: how many times fewer steps it took with early stopping until the mean regret was first as low as it
            is without in the end, where it may have been for a while; None where it was not within as many steps.
        fewer_steps_low: lower end of its 95 % interval, by bootstrap over seeds; None for a single seed, and where more
            than 2.5 % of the resamples were not as low within as many steps.
        fewer_steps_high: upper end, likewise.
    """

    regret: float
    steps: float
    steps_stopping: float
    regret_difference: float
    regret_error: float | None
    evaluations: float
    stopped: float
    fell_short: float
    equal_steps_difference: float
    equal_steps_error: float | None
    fewer_steps: float | None
    fewer_steps_low: float | None
    fewer_steps_high: float | None


def played_on(
    landscape: Landscape,
    configs: Mapping[str, RunConfig],
    whole: Mapping[str, Comparison],
    settings: EarlyStoppingSettings,
    *,
    processes: int,
    watch: Callable[[Iterable[Play], int], Iterable[Play]] = lambda plays, _: plays,
) -> dict[str, Comparison]:
    """Plays searches again with early stopping, each until its children have had as many steps as without it.

    Args:
        landscape: what is searched.
        configs: of the searches without early stopping.
        whole: those, by the same names.
        settings: of early stopping.
        processes: as in `compare`.
        watch: as in `compare`.
    """
    again = {
        name: config.model_copy(
            update={"early_stopping": settings, "evaluations": EVALUATIONS_AT_MOST * config.evaluations}
        )
        for name, config in configs.items()
    }
    steps = {name: [int(n) for n in comparison.steps[:, -1]] for name, comparison in whole.items()}
    seeds = max(len(of_seeds) for of_seeds in steps.values())
    return compare(landscape, again, seeds=seeds, processes=processes, steps=steps, watch=watch)


def savings(whole: Comparison, stopping: Comparison) -> Savings:
    """The comparison of searches with searches that were `played_on`, of the same seeds.

    Args:
        whole: without early stopping, at least one.
        stopping: with it, each until as many steps.
    """
    as_many, seeds = whole.budget - 1, len(whole.plays)
    at_equal_evaluations = stopping.regrets[:, as_many] - whole.regrets[:, -1]
    at_equal_steps = stopping.regrets[:, -1] - whole.regrets[:, -1]
    low = high = 0.0
    if seeds > 1:
        drawn = np.random.default_rng(0).multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES)
        ratios = [_fewer_steps(whole, stopping, times / seeds) for times in drawn]
        low, high = np.quantile(ratios, (0.025, 0.975), method="inverted_cdf")
    return Savings(
        regret=float(whole.regrets[:, -1].mean()),
        steps=float(whole.steps[:, -1].mean()),
        steps_stopping=float(stopping.steps[:, as_many].mean()),
        regret_difference=float(at_equal_evaluations.mean()),
        regret_error=_standard_error(at_equal_evaluations),
        evaluations=float(np.mean([len(play.regret) for play in stopping.plays])),
        stopped=float(np.mean([play.stopped / max(len(play.regret), 1) for play in stopping.plays])),
        fell_short=float((stopping.steps[:, -1] < whole.steps[:, -1]).mean()),
        equal_steps_difference=float(at_equal_steps.mean()),
        equal_steps_error=_standard_error(at_equal_steps),
        fewer_steps=_fewer_steps(whole, stopping, np.full(seeds, 1 / seeds)) or None,
        fewer_steps_low=float(low) or None,
        fewer_steps_high=float(high) or None,
    )


def _fewer_steps(whole: Comparison, stopping: Comparison, weights: npt.NDArray[np.float64]) -> float:
    """The ratio of steps at equal regret, with a weight for each seed; 0 where it was not as low."""
    target = float(weights @ whole.regrets[:, -1])
    without, needed = _steps_until(whole, target, weights), _steps_until(stopping, target, weights)
    return 0.0 if needed is None or without is None else without / max(needed, 1.0)


def _steps_until(searches: Comparison, regret: float, weights: npt.NDArray[np.float64]) -> float | None:
    """Mean steps at the first evaluation by which the mean regret is at most so much; None where it never is."""
    longest = max(len(play.regret) for play in searches.plays)  # behind it all is padding
    is_low = weights @ searches.regrets[:, :longest] <= regret + 1e-12  # a sum of the same terms may round apart
    return float(weights @ searches.steps[:, int(np.argmax(is_low))]) if is_low.any() else None


def _standard_error(differences: npt.NDArray[np.float64]) -> float | None:
    return float(differences.std(ddof=1) / len(differences) ** 0.5) if len(differences) > 1 else None
