"""The metric that every controller reports of a batch it is told."""

from collections.abc import Sequence
from statistics import fmean


def mean_reward(rewards: Sequence[float]) -> dict[str, float]:
    """The batch's mean reward by that name; nothing where no formula of the batch had an answer."""
    return {"mean_reward": fmean(rewards)} if rewards else {}
