"""The controllers that a run may name.

Light to import: what one of them needs (torch) is imported when it is built.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from actsearch.config import PLAIN_PPO, RunConfig
from actsearch.errors import ConfigError, UnknownNameError
from actsearch.identity import formula_fingerprint
from actsearch.space import Space
from actsearch_controller.ports import Identify, Proposer

NASNET_LEARNING_RATE = 3.5e-4
"""arXiv 1707.07012, appendix A."""


@dataclass(frozen=True)
class Controller:
    """One entry of the table.

    Attributes:
        summary: what it does, one line for people.
        build: a fresh one for a run's settings and space, given what tells which function a formula is.
        repeats: trainings of one function at most, where the run's settings leave that open.
        every_draw_counts: whether a comparison counts free repeats as evaluations too, for they are the method.
    """

    summary: str
    build: Callable[[RunConfig, Space, Identify], Proposer]
    repeats: int = 1
    every_draw_counts: bool = False


def _ppo(config: RunConfig, space: Space, identify: Identify) -> Proposer:
    from actsearch_controller.ppo import PPOController

    return PPOController(space, config.ppo, seed=config.seed, repeats=repeats_of(config), identify=identify)


def _ppo_plain(config: RunConfig, space: Space, identify: Identify) -> Proposer:
    from actsearch_controller.ppo import PPOController

    settings = config.ppo.model_copy(update={"learning_rate": NASNET_LEARNING_RATE, **PLAIN_PPO})
    return PPOController(space, settings, seed=config.seed)


def _random(config: RunConfig, space: Space, identify: Identify) -> Proposer:
    from actsearch_controller.baselines.random import RandomController

    return RandomController(space, seed=config.seed)


def _random_new(config: RunConfig, space: Space, identify: Identify) -> Proposer:
    from actsearch_controller.baselines.random_new import RandomNewController

    return RandomNewController(space, seed=config.seed, identify=identify)


def _exhaustive(config: RunConfig, space: Space, identify: Identify) -> Proposer:
    from actsearch_controller.baselines.exhaustive import ExhaustiveController

    return ExhaustiveController(
        space, seed=config.seed, repeats=repeats_of(config), repeat_best=config.repeat_best, identify=identify
    )


def _evolution(config: RunConfig, space: Space, identify: Identify) -> Proposer:
    from actsearch_controller.baselines.evolution import EvolutionController

    return EvolutionController(space, seed=config.seed)


def _local(config: RunConfig, space: Space, identify: Identify) -> Proposer:
    from actsearch_controller.baselines.local import LocalController

    return LocalController(space, seed=config.seed)


def _reinforce(config: RunConfig, space: Space, identify: Identify) -> Proposer:
    from actsearch_controller.baselines.reinforce import ReinforceController

    return ReinforceController(space, config.ppo, seed=config.seed)


def _pqt(config: RunConfig, space: Space, identify: Identify) -> Proposer:
    from actsearch_controller.baselines.pqt import PQTController

    return PQTController(space, config.ppo, seed=config.seed)


def _tpe(config: RunConfig, space: Space, identify: Identify) -> Proposer:
    try:
        from actsearch_controller.baselines.tpe import TPEController
    except ModuleNotFoundError as err:
        if err.name != "optuna":
            raise
        raise ConfigError("controller = 'tpe' needs Optuna: pip install optuna") from err

    return TPEController(space, seed=config.seed)


CONTROLLERS: Mapping[str, Controller] = MappingProxyType({
    "ppo": Controller("LSTM policy trained by PPO, with memory, surrogate and repeats", _ppo, repeats=10),
    "ppo_plain": Controller("the policy alone, without those, with NASNet's learning rate", _ppo_plain),
    "random": Controller("uniform random token sequences, repeats included", _random, every_draw_counts=True),
    "random_new": Controller("uniform random token sequences of functions not proposed before", _random_new),
    "exhaustive": Controller("every function of the space once, in random order, then the best again", _exhaustive),
    "evolution": Controller("regularized evolution (Real et al. 2019)", _evolution),
    "local": Controller("local search with restarts (White et al. 2020)", _local),
    "reinforce": Controller("the same policy as ppo, plain policy gradient (Williams 1992)", _reinforce),
    "pqt": Controller("the same policy, imitating the best so far (Abolafia et al. 2018)", _pqt),
    "tpe": Controller("tree-structured Parzen estimator of Optuna (extra `baselines`)", _tpe),
})  # fmt: skip
"""The controllers by name."""


def check_controller(name: str) -> None:
    """`UnknownNameError` where no controller has that name."""
    if name not in CONTROLLERS:
        raise UnknownNameError("controller", name, CONTROLLERS)


def repeats_of(config: RunConfig) -> int:
    """Trainings of one function at most: as the run's settings say, else as suits its controller."""
    return config.repeats or CONTROLLERS[config.controller].repeats


def build_controller(config: RunConfig, space: Space, identify: Identify = formula_fingerprint) -> Proposer:
    """A fresh controller as the run's settings name it, seeded with the run's seed.

    Args:
        config: the run's settings.
        space: what it proposes from.
        identify: which function a formula is, for controllers that ask; a landscape knows it without computing.
    """
    check_controller(config.controller)
    return CONTROLLERS[config.controller].build(config, space, identify)
