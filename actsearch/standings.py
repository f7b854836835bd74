"""Which function stands first, where some were trained more than once.

The best of many single trainings is mostly luck. A function trained again is judged by its mean, and every function by
that mean less its standard error, with one standard deviation pooled over all functions trained more than once. Where
none was, the highest reward leads. Trainings that were stopped early do not belong here: theirs are forecasts.
"""

from dataclasses import dataclass
from math import sqrt
from statistics import fmean


@dataclass(frozen=True)
class Standing:
    """Where one function stands.

    Attributes:
        function: its name.
        rewards: of its trainings, in the order added, 0-1.
        mean: of the rewards.
        bound: the mean less its standard error: what it is ranked by.
    """

    function: str
    rewards: tuple[float, ...]
    mean: float
    bound: float


class Standings:
    """Rewards by function as they come; the first and all in order at any time."""

    def __init__(self) -> None:
        self._rewards: dict[str, list[float]] = {}
        self._leaders: dict[int, str] = {}  # the best by mean among those with so many trainings
        self._squares, self._freedom = 0.0, 0

    def add(self, function: str, reward: float) -> None:
        """Takes one training's reward."""
        rewards = self._rewards.setdefault(function, [])
        trainings = len(rewards)
        if trainings:  # Welford 1962, Technometrics 4, 419-420
            before = fmean(rewards)
            self._squares += (reward - before) * (reward - fmean([*rewards, reward]))
            self._freedom += 1
        rewards.append(reward)
        if trainings and self._leaders[trainings] == function:
            self._replace_leader(trainings)
        leader = self._leaders.get(trainings + 1)
        if leader is None or fmean(rewards) > fmean(self._rewards[leader]):
            self._leaders[trainings + 1] = function

    def _replace_leader(self, trainings: int) -> None:
        others = [function for function, rewards in self._rewards.items() if len(rewards) == trainings]
        del self._leaders[trainings]
        if others:
            self._leaders[trainings] = max(others, key=lambda function: fmean(self._rewards[function]))

    @property
    def sd(self) -> float:
        """Standard deviation of one training's reward, pooled; 0 where no function was trained twice."""
        return sqrt(max(self._squares, 0.0) / self._freedom) if self._freedom else 0.0

    @property
    def first(self) -> Standing | None:
        """The function that stands first, None before any; of several with one bound the one trained most."""
        return max(
            (self._standing(function) for function in self._leaders.values()),
            key=lambda standing: (standing.bound, len(standing.rewards)),
            default=None,
        )

    @property
    def ranked(self) -> list[Standing]:
        """All, best first; ties in the order first added."""
        return sorted(map(self._standing, self._rewards), key=lambda standing: -standing.bound)

    def _standing(self, function: str) -> Standing:
        rewards = self._rewards[function]
        mean = fmean(rewards)
        return Standing(function, tuple(rewards), mean, mean - self.sd / sqrt(len(rewards)))
