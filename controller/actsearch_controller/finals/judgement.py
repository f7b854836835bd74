"""The rules of finals: who is dropped at a look, who is better than the reference, who is tied with the best.

Each of the two statements has an error of at most 5 %. "Better than the reference": Holm counts every finalist,
dropped or not, so that dropping can only take rejections away. "Tied with the best": a function leaves the group when
the paired test of the best minus it rejects at a share of 5 %, Bonferroni over all other functions and over the looks.
The best is chosen from the same data, and the union bound holds whatever is chosen: for the function of highest true
mean to be left out, some other one must seem better than it at that level, which has a chance of at most 5 % in all.
Holm in place of Bonferroni would not keep this: it grants the last comparisons a higher level (docs/finals.md).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actsearch_controller.finals.statistics import Array, conditional_power, holm, mean_ranks, one_sided_p

ALPHA = 0.05
"""Error of each of the two statements."""
LOOKS_SHARE = 0.2
"""Share of ALPHA that the looks may spend on leaving functions out of the tied group; the rest is the end's."""
HOPELESS = 0.1
"""Conditional power below which a function is not worth more seeds for the test against the reference (Lachin 2005,
Statistics in Medicine 24, 2747–2764, has 0.1 to 0.3)."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Judge:
    """Finals of so many functions, in the order of the functions axis.

    Attributes:
        finalists: which of them are tested and may be dropped, ``(functions,)``.
        reference: index of the function that all are compared with.
        looks: numbers of seeds after which finalists are dropped, ascending.
        seeds: seeds in the end, above every look.
    """

    finalists: Mask
    reference: int
    looks: tuple[int, ...]
    seeds: int

    def kept(self, accuracies: Array, standing: Mask) -> Mask:
        """Who goes on after a look: all but the finalists that can hardly win either statement.

        Such a one is out of the tied group as of now, and its conditional power against the reference is below
        `HOPELESS`.

        Args:
            accuracies: 0–1 of the seeds so far, ``(…, functions, children, seen)``; of who was dropped ignored.
            standing: who was not dropped before, ``(…, functions)``.
        """
        level = ALPHA * LOOKS_SHARE / len(self.looks)
        power = conditional_power(self._over_reference(accuracies), self.seeds, ALPHA)
        is_out = ~self._tied(accuracies, standing, level)
        kept: Mask = standing & ~(self.finalists & is_out & (power < HOPELESS))
        return kept

    def p(self, accuracies: Array, standing: Mask) -> Array:
        """One-sided p-values against the reference, ``(…, functions)``; 1 for who was dropped."""
        p: Array = np.where(standing, one_sided_p(self._over_reference(accuracies)), 1.0)
        return p

    def p_holm(self, p: Array) -> Array:
        """Those of the finalists after Holm, ``(…, functions)``; NaN for all others."""
        adjusted = np.full_like(p, np.nan)
        adjusted[..., self.finalists] = holm(p[..., self.finalists])
        return adjusted

    def ranks(self, accuracies: Array, standing: Mask) -> Array:
        """Mean ranks over the children among those standing, ``(…, functions)``; NaN for who was dropped."""
        ranks: Array = np.where(standing, mean_ranks(_without(accuracies, standing)), np.nan)
        return ranks

    def best(self, accuracies: Array, standing: Mask) -> npt.NDArray[np.intp]:
        """Index of the best mean rank, ``(…)``; of several the one with the highest mean accuracy."""
        # Mean ranks differ by 1/(2·children) at least, accuracies by less than 1.
        order = self.ranks(accuracies, standing) - 1e-6 * accuracies.mean(axis=(-2, -1))
        best: npt.NDArray[np.intp] = np.nanargmin(order, axis=-1)
        return best

    def tied(self, accuracies: Array, standing: Mask) -> Mask:
        """The group tied with the best in the end, ``(…, functions)``: the best is in it, nobody who was dropped."""
        level = ALPHA * (1 - LOOKS_SHARE) if self.looks else ALPHA
        return standing & self._tied(accuracies, standing, level)

    def _tied(self, accuracies: Array, standing: Mask, level: float) -> Mask:
        panel = accuracies.mean(axis=-2)  # (…, functions, children, seeds) -> (…, functions, seeds)
        best = self.best(accuracies, standing)[..., None, None]
        p = one_sided_p(np.take_along_axis(panel, best, axis=-2) - panel)
        tied: Mask = p * (len(self.finalists) - 1) > level
        return tied

    def _over_reference(self, accuracies: Array) -> Array:
        """Each seed's mean over the panel of the difference from the reference, ``(…, functions, seeds)``."""
        panel = accuracies.mean(axis=-2)
        difference: Array = panel - panel[..., self.reference, None, :]
        return difference


def _without(accuracies: Array, standing: Mask) -> Array:
    """Accuracies with those of who was dropped below all others."""
    return np.where(standing[..., None, None], accuracies, -1.0)
