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
        steps: training steps of all children of a search without early stopping.
        steps_stopping: of one with it, after as many evaluations.
        stopped: share of these evaluations that ended early, 0-1.
        regret_difference: regret after as many evaluations, with minus without, in units of reward (0-1).
        regret_error: standard error of that difference, from the pairs; None for a single seed.
        evaluations: evaluations with early stopping in as many steps as without.
        equal_steps_difference: regret after as many steps, with minus without, in units of reward (0-1).
        equal_steps_error: standard error of that difference, from the pairs; None for a single seed.
        fewer_steps: how many times fewer steps it took with early stopping until the mean regret was as low as without
            it in the end; None where it was not within as many steps.
        fewer_steps_low: lower end of its 95 % interval, by bootstrap over seeds; None where more than 2.5 % of the
            resamples were not as low within as many steps.
        fewer_steps_high: upper end, likewise.
    """

    steps: float
    steps_stopping: float
    stopped: float
    regret_difference: float
    regret_error: float | None
    evaluations: float
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
    as_many = whole.budget - 1
    seeds = len(whole.plays)
    drawn = np.random.default_rng(0).multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds
    low, high = np.quantile(_fewer_steps(whole, stopping, drawn), (0.025, 0.975), method="inverted_cdf")
    (ratio,) = _fewer_steps(whole, stopping, np.full((1, seeds), 1 / seeds))
    at_equal_evaluations = stopping.regrets[:, as_many] - whole.regrets[:, -1]
    at_equal_steps = stopping.regrets[:, -1] - whole.regrets[:, -1]
    return Savings(
        steps=float(whole.steps[:, -1].mean()),
        steps_stopping=float(stopping.steps[:, as_many].mean()),
        stopped=float(np.mean([play.stopped / max(len(play.regret), 1) for play in stopping.plays])),
        regret_difference=float(at_equal_evaluations.mean()),
        regret_error=_standard_error(at_equal_evaluations),
        evaluations=float(np.mean([len(play.regret) for play in stopping.plays])),
        equal_steps_difference=float(at_equal_steps.mean()),
        equal_steps_error=_standard_error(at_equal_steps),
        fewer_steps=float(ratio) or None,
        fewer_steps_low=float(low) or None,
        fewer_steps_high=float(high) or None,
    )


def _fewer_steps(whole: Comparison, stopping: Comparison, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The ratio of steps at equal regret for each row of weights of the seeds; 0 where it was not as low."""
    regrets, steps = weights @ stopping.regrets, weights @ stopping.steps
    reached = regrets <= (weights @ whole.regrets[:, -1])[:, None] + 1e-12  # a sum of the same terms may round apart
    needed = np.take_along_axis(steps, np.argmax(reached, axis=1)[:, None], axis=1)[:, 0]
    ratios: npt.NDArray[np.float64] = np.where(
        reached.any(axis=1), weights @ whole.steps[:, -1] / np.maximum(needed, 1.0), 0.0
    )
    return ratios


def _standard_error(differences: npt.NDArray[np.float64]) -> float | None:
    return float(differences.std(ddof=1) / len(differences) ** 0.5) if len(differences) > 1 else None
