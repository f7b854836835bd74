"""What early stopping saves: the same searches with it and without, compared in pairs."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actsearch_controller.comparison import Comparison


@dataclass(frozen=True)
class Savings:
    """One controller's searches with early stopping beside those without, of the same seeds; means over seeds.

    Attributes:
        steps: training steps of all children of a search, without early stopping.
        steps_stopping: the same with it.
        stopped: share of evaluations that ended early, 0-1.
        regret_difference: regret after the last evaluation, with minus without, in units of reward (0-1).
        standard_error: of that difference, from the pairs; None for a single seed.
        fewer_steps: how many times fewer steps it took with early stopping until the mean regret was as low as both
            reach: the larger of their last ones.
    """

    steps: float
    steps_stopping: float
    stopped: float
    regret_difference: float
    standard_error: float | None
    fewer_steps: float


def savings(whole: Comparison, stopping: Comparison) -> Savings:
    """The comparison of two sets of searches with the same seeds and budget, at least one."""
    differences = stopping.regrets[:, -1] - whole.regrets[:, -1]
    target = max(float(c.regrets[:, -1].mean()) for c in (whole, stopping))
    seeds = len(differences)
    return Savings(
        steps=float(whole.steps[:, -1].mean()),
        steps_stopping=float(stopping.steps[:, -1].mean()),
        stopped=float(np.mean([play.stopped / max(len(play.regret), 1) for play in stopping.plays])),
        regret_difference=float(differences.mean()),
        standard_error=float(differences.std(ddof=1) / seeds**0.5) if seeds > 1 else None,
        fewer_steps=_steps_until(whole, target) / max(_steps_until(stopping, target), 1.0),
    )


def _steps_until(searches: Comparison, regret: float) -> float:
    """Mean steps at the first evaluation by which the mean regret is at most so much; it is in the end."""
    means: npt.NDArray[np.float64] = searches.regrets.mean(axis=0)
    return float(searches.steps[:, int(np.argmax(means <= regret))].mean())
