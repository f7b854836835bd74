"""Controllers side by side on a landscape: many searches each, and what they amount to.

Every number is over seeds. A quantile of evaluations counts a seed that found nothing as one that needs infinitely
many, so that it is None where too few seeds found it.
"""

import math
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from statistics import fmean, median
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from actsearch.config import EarlyStoppingSettings, RunConfig
from actsearch.landscape import Landscape
from actsearch.orphans import die_with_parent
from actsearch.space import Space
from actsearch_controller.arena import Arena, Play
from actsearch_controller.controllers import CONTROLLERS, build_controller, check_controller, repeats_of
from actsearch_controller.early_stopping import EarlyStopping

BUDGETS = (100, 300, 1000)
"""Evaluations at which regret and shares are told."""
QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Needed:
    """Evaluations up to something, over seeds.

    Attributes:
        median: half of the seeds needed at most so many; None where fewer than half found it.
        q25: a quarter of them.
        q75: three quarters.
        found_by: share of seeds, 0-1, that had found it after so many evaluations; None beyond the budget.
    """

    median: int | None
    q25: int | None
    q75: int | None
    found_by: dict[str, float | None]


@dataclass(frozen=True)
class Regret:
    """Regret after some number of evaluations, over seeds, in units of reward (0-1)."""

    median: float
    q25: float
    q75: float
    mean: float


class Comparison:
    """One controller's searches of one landscape, one a seed."""

    def __init__(self, plays: Sequence[Play], budget: int, highest: float) -> None:
        """The plays of all seeds.

        Args:
            plays: at least one.
            budget: evaluations that each was allowed.
            highest: regret before the first evaluation: the landscape's best true reward.
        """
        self.plays, self.budget = tuple(plays), budget
        # A search that ended early keeps its incumbent.
        rows = [play.regret if len(play.regret) else np.array([highest]) for play in plays]
        self.regrets = np.stack([np.pad(row, (0, budget - len(row)), mode="edge") for row in rows])
        """Regret of each search after 1, 2, … evaluations, ``(seeds, budget)``."""
        rows_of_steps = [play.steps if len(play.steps) else np.array([0]) for play in plays]
        self.steps = np.stack([np.pad(row, (0, budget - len(row)), mode="edge") for row in rows_of_steps])
        """Steps that the children of each search were trained for up to then, ``(seeds, budget)``."""

    def needed(self, target: str) -> Needed:
        """Evaluations up to the first member of one of `arena.TARGETS`."""
        found = np.array([play.found.get(target, math.inf) for play in self.plays])
        # The smallest number that a share q of the seeds do not exceed: never between two, where one may be infinite.
        quarters = [float(np.quantile(found, q, method="inverted_cdf")) for q in QUARTILES]
        q25, middle, q75 = (int(value) if math.isfinite(value) else None for value in quarters)
        shares = {str(n): float((found <= n).mean()) if n <= self.budget else None for n in BUDGETS}
        return Needed(middle, q25, q75, shares)

    def found_share(self, target: str) -> npt.NDArray[np.float64]:
        """Share of seeds that had found it after 1, 2, … evaluations, ``(budget,)``."""
        found = np.array([play.found.get(target, math.inf) for play in self.plays])
        shares: npt.NDArray[np.float64] = (found[:, None] <= np.arange(1, self.budget + 1)).mean(axis=0)
        return shares

    def regret_after(self, evaluations: int) -> Regret | None:
        """Regret after so many evaluations; None beyond the budget."""
        if evaluations > self.budget:
            return None
        column = self.regrets[:, evaluations - 1]
        q25, middle, q75 = (float(value) for value in np.quantile(column, QUARTILES))
        return Regret(middle, q25, q75, float(column.mean()))

    @property
    def regret_bands(self) -> npt.NDArray[np.float64]:
        """Lower quartile, median and upper quartile of regret after 1, 2, … evaluations, ``(3, budget)``."""
        bands: npt.NDArray[np.float64] = np.quantile(self.regrets, QUARTILES, axis=0)
        return bands

    @property
    def repeats(self) -> float:
        """Share of proposals whose function had been proposed before, mean over seeds."""
        return fmean(play.repeats / max(play.proposals, 1) for play in self.plays)

    @property
    def not_covered(self) -> float:
        """Share of proposals that the landscape does not cover, mean over seeds."""
        return fmean(play.not_covered / max(play.proposals, 1) for play in self.plays)

    @property
    def entropy(self) -> float | None:
        """Median of the policy's entropy at the end, nats a token; None for controllers that have none."""
        values = [play.entropy for play in self.plays if play.entropy is not None]
        return median(values) if values else None

    @property
    def over(self) -> float:
        """Share of searches that had nothing new to propose before their budget was used up."""
        return fmean(play.is_over for play in self.plays)

    @property
    def evaluations(self) -> float:
        """Median of evaluations counted."""
        return median(len(play.regret) for play in self.plays)

    @property
    def seconds(self) -> float:
        """Processor time of one search, mean over seeds."""
        return fmean(play.seconds for play in self.plays)


def compare(
    landscape: Landscape,
    configs: Mapping[str, RunConfig],
    *,
    seeds: int,
    processes: int,
    steps: Mapping[str, Sequence[int]] = MappingProxyType({}),
    watch: Callable[[Iterable[Play], int], Iterable[Play]] = lambda plays, _: plays,
) -> dict[str, Comparison]:
    """Plays every kind of search with seeds 0, 1, …; the result does not depend on the number of processes.

    Args:
        landscape: what is searched.
        configs: by any name, the controller, evaluations, batch, lag and settings of each; its seed is replaced.
        seeds: searches of each.
        processes: processes that play at the same time; 1 plays in this one.
        steps: by the same names, training steps after which the search of each seed ends, if evaluations do not end it.
        watch: passes the searches on, given their number, and may show how far it is.

    Raises:
        UnknownNameError: no controller has one of the names.
    """
    for config in configs.values():
        check_controller(config.controller)
    games = [
        _Game(config.model_copy(update={"seed": seed}), steps[name][seed] if name in steps else None)
        for (name, config), seed in product(configs.items(), range(seeds))
    ]
    arena = Arena(landscape)
    plays = list(watch(_played(arena, games, processes), len(games)))
    return {
        name: Comparison(plays[k * seeds : (k + 1) * seeds], config.evaluations, arena.best)
        for k, (name, config) in enumerate(configs.items())
    }


@dataclass(frozen=True)
class _Game:
    """A search to be played: its settings, and the steps after which it ends."""

    config: RunConfig
    steps: int | None


def _played(arena: Arena, games: Sequence[_Game], processes: int) -> Iterator[Play]:
    """The plays, in order."""
    if processes == 1:
        yield from map(partial(_play, arena), games)
        return
    # Not forked: the parent may have started torch's threads, which a forked child lacks.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(arena.landscape, os.getpid())) as pool:
        yield from pool.map(_play_here, games)


def _play(arena: Arena, game: _Game) -> Play:
    config = game.config
    settings = config.early_stopping
    return arena.play(
        partial(build_controller, config, Space(arena.landscape.description.space)),
        seed=config.seed,
        evaluations=config.evaluations,
        batch=config.batch,
        lag=config.lag,
        repeats=repeats_of(config),
        every_draw_counts=CONTROLLERS[config.controller].every_draw_counts,
        early_stopping=None if settings is None else EarlyStopping(settings, rung_steps(settings, arena.landscape)),
        steps=game.steps,
    )


def rung_steps(settings: EarlyStoppingSettings, landscape: Landscape) -> list[int]:
    """The recorded steps of a landscape at which children may be stopped: up to a search's last rung."""
    return [step for step in landscape.recorded_steps if step <= max(settings.rungs) * landscape.steps]


_arena: list[Arena] = []
"""The arena of a process of the pool, made once."""


def _begin(landscape: Landscape, parent: int) -> None:
    die_with_parent(parent, signal.SIGKILL)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: the processes themselves fill the cores
    _arena.append(Arena(landscape))


def _play_here(game: _Game) -> Play:
    return _play(_arena[0], game)
