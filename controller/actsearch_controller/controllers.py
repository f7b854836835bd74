"""The controllers that a run may name.

Light to import: what one of them needs (torch) is imported when it is built.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from actsearch.config import RunConfig
from actsearch.errors import UnknownNameError
from actsearch.space import Space
from actsearch_controller.ports import Proposer


@dataclass(frozen=True)
class Controller:
    """One entry of the table.

    Attributes:
        summary: what it does, one line for people.
        build: a fresh one for a run's settings, space and seed.
    """

    summary: str
    build: Callable[[RunConfig, Space, int], Proposer]


def _ppo(config: RunConfig, space: Space, seed: int) -> Proposer:
    from actsearch_controller.ppo import PPOController

    return PPOController(space, config.ppo, seed=seed)


def _random(config: RunConfig, space: Space, seed: int) -> Proposer:
    from actsearch_controller.baselines.random import RandomController

    return RandomController(space, seed=seed)


def _exhaustive(config: RunConfig, space: Space, seed: int) -> Proposer:
    from actsearch_controller.baselines.exhaustive import ExhaustiveController

    return ExhaustiveController(space, seed=seed, repeats=config.repeats, repeat_best=config.repeat_best)


CONTROLLERS: Mapping[str, Controller] = MappingProxyType({
    "ppo": Controller("LSTM policy trained by PPO (Ramachandran, Zoph, Le 2017)", _ppo),
    "random": Controller("uniform random token sequences, repeats included", _random),
    "exhaustive": Controller("every function of the space once, in random order, then the best again", _exhaustive),
})  # fmt: skip
"""The controllers by name."""


def check_controller(name: str) -> None:
    """`UnknownNameError` where no controller has that name."""
    if name not in CONTROLLERS:
        raise UnknownNameError("controller", name, CONTROLLERS)


def build_controller(config: RunConfig, space: Space) -> Proposer:
    """A fresh controller as the run's settings name it, seeded with the run's seed."""
    check_controller(config.controller)
    return CONTROLLERS[config.controller].build(config, space, config.seed)
