"""Early stopping: from the curves of evaluations told, the rungs of the jobs to come.

Whether a child stops is decided when its job is made, so that it hangs on no clock and on no other worker. As in
successive halving a rung lets through the best share of those that reached it. What a stopped child would have come to
is forecast from children of the run that were trained to the end: the first batches, made before anything was told,
stop nothing and calibrate the rest.
"""

from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from math import ceil

import numpy as np

from actsearch.config import EarlyStoppingSettings
from actsearch.evaluation import Rung


class EarlyStopping:
    """What a run has learned of its curves so far.

    Source: Li et al. 2020, arXiv 1810.05934, algorithm 2 (ASHA), of which it takes the rungs and the rule; there a
    stopped training may go on later, here it never does.
    """

    def __init__(self, settings: EarlyStoppingSettings, steps: Sequence[int]) -> None:
        """Nothing learned yet.

        Args:
            settings: the share that passes a rung, and how many children calibrate it.
            steps: those of the rungs, rising.
        """
        self._settings, self._steps = settings, tuple(steps)
        self._reached: dict[int, list[float]] = {step: [] for step in steps}  # accuracies of all children there, rising
        self._completed: dict[int, list[tuple[float, float]]] = {step: [] for step in steps}  # and after the last step

    @classmethod
    def of(cls, settings: EarlyStoppingSettings, recipe_steps: int) -> "EarlyStopping":
        """A fresh one for children of so many steps, its rungs at the settings' shares of them, rounded up."""
        steps = {ceil(share * recipe_steps) for share in settings.rungs}
        return cls(settings, sorted(step for step in steps if step < recipe_steps))

    def tell(self, curve: Mapping[int, float], val_accuracy: float | None) -> None:
        """Learns from one evaluation. The order in which evaluations are told decides nothing.

        Args:
            curve: validation accuracy (0-1) by step, as far as it came.
            val_accuracy: after the last step, 0-1; None unless it was trained to the end.
        """
        for step in self._reached.keys() & curve.keys():
            insort(self._reached[step], curve[step])
            if val_accuracy is not None:
                insort(self._completed[step], (curve[step], val_accuracy))

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """Those of a job made now; each stops nothing while too few children have passed it and come to their end."""
        return tuple(self._rung(step) for step in self._steps)

    def _rung(self, step: int) -> Rung:
        completed = self._completed[step]
        if len(completed) < self._settings.calibration:
            return Rung(step=step)
        stop_below = round(float(np.quantile(self._reached[step], 1 - self._settings.keep)), 6)
        return Rung(step=step, stop_below=stop_below, forecast=_below(stop_below, isotonic(completed)))


def isotonic(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Isotonic regression of y on x: the means of the pools of points whose y, averaged, rises with x.

    Linear interpolation between them keeps different x apart, which the step function of the theory would not.

    Source: pool adjacent violators, Barlow, Bartholomew, Bremner, Brunk 1972, section 1.2.
    """
    pools: list[_Pool] = []
    for x, y in sorted(points):
        pools.append((x, y, 1))
        while len(pools) > 1 and not _rises(pools[-2], pools[-1]):
            (x1, y1, n1), (x2, y2, n2) = pools.pop(-2), pools.pop()
            pools.append((x1 + x2, y1 + y2, n1 + n2))
    return [(x / n, y / n) for x, y, n in pools]


_Pool = tuple[float, float, int]
"""Sum of x, sum of y, and number of the points."""


def _rises(left: _Pool, right: _Pool) -> bool:
    return left[0] / left[2] < right[0] / right[2] and left[1] / left[2] < right[1] / right[2]


def _below(stop_below: float, fit: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """The part of a forecast that stopped children need: up to the threshold, so that none is worth more than that."""
    at = float(np.interp(stop_below, [x for x, _ in fit], [y for _, y in fit]))
    knots = {round(x, 6): round(y, 6) for x, y in fit}  # few digits, for they travel in every job
    return *((x, y) for x, y in knots.items() if x < stop_below), (stop_below, round(at, 6))
