"""Baselines against what their papers say they do."""

import json
import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from safetensors.torch import load

from actsearch.config import PLAIN_PPO, PPOSettings, SpaceSettings
from actsearch.formula import Formula
from actsearch.space import Space
from actsearch_controller.baselines import reinforce
from actsearch_controller.baselines.evolution import POPULATION, TOURNAMENT, EvolutionController
from actsearch_controller.baselines.local import LocalController
from actsearch_controller.baselines.neighbours import mutated, neighbours
from actsearch_controller.baselines.pqt import QUEUE, PQTController
from actsearch_controller.baselines.random import RandomController
from actsearch_controller.baselines.random_new import RandomNewController
from actsearch_controller.baselines.reinforce import ReinforceController
from actsearch_controller.baselines.tpe import TPEController
from actsearch_controller.ports import Proposer
from actsearch_controller.ppo import PPOController
from tests.controller.synthetic import ONE_UNIT, smooth_reward

SMALL = Space(SpaceSettings(unary=("identity", "sigmoid", "tanh"), binary=("add", "multiply")))
FAST = PPOSettings(hidden=16, **PLAIN_PPO)


def differences(first: Formula, second: Formula) -> int:
    return sum(a != b for a, b in zip(first.tokens, second.tokens, strict=True))


# --- neighbours ------------------------------------------------------------------------------------------------------


def test_neighbours_are_all_formulas_that_differ_in_one_token() -> None:
    for space in (SMALL, Space(SpaceSettings(units=2, unary=("identity", "sin"), binary=("add",)))):
        everything = list(space.enumerate())
        for formula in everything[::7]:
            found = [space.formula(choices) for choices in neighbours(space, space.choices(formula))]
            assert len(found) == len(set(found))
            assert set(found) == {other for other in everything if differences(formula, other) == 1}
    assert len(neighbours(ONE_UNIT, (0, 0, 0))) == 24 + 24 + 9


def test_a_mutation_takes_each_slot_and_each_other_token_alike() -> None:
    rng = np.random.default_rng(0)
    counts = Counter(mutated(SMALL, (0, 1, 0), rng) for _ in range(6_000))
    assert set(counts) == set(neighbours(SMALL, (0, 1, 0)))
    for choices, count in counts.items():
        expected = 6_000 / 3 / (1 if choices[2] == 1 else 2)  # slots of 3, 3 and 2 tokens
        assert abs(count - expected) < 5 * math.sqrt(expected)
    alone = Space(SpaceSettings(unary=("sin",), binary=("add",)))
    assert mutated(alone, (0, 0, 0), rng) == (0, 0, 0)


# --- random_new ------------------------------------------------------------------------------------------------------


def test_random_new_never_repeats_a_function_and_stops_when_there_is_none_left() -> None:
    controller = RandomNewController(SMALL, seed=0, identify=lambda formula: " ".join(sorted(formula.tokens)))
    first = controller.ask(5)
    rest = controller.ask(100)
    found = [" ".join(sorted(formula.tokens)) for formula in first + rest]
    assert len(found) == len(set(found)) == 12  # unordered pairs of three, times two
    assert controller.ask(1) == []


# --- evolution -------------------------------------------------------------------------------------------------------


def test_evolution_is_random_until_it_has_a_population_and_then_breeds_from_the_youngest() -> None:
    controller = EvolutionController(ONE_UNIT, seed=0)
    old, young = controller.ask(POPULATION), controller.ask(POPULATION)
    controller.tell(old, [1.0] * POPULATION)
    controller.tell(young, [0.5] * POPULATION)  # the old were better, and are forgotten all the same
    for child in controller.ask(200):
        assert 1 in {differences(child, parent) for parent in young}


def test_the_best_of_a_tournament_has_the_child() -> None:
    """The best member is drawn with probability T/P, the worst one has a child only where it is drawn alone: never."""
    controller = EvolutionController(ONE_UNIT, seed=0)
    members = [ONE_UNIT.formula((2 * k, 2 * k, k)) for k in range(POPULATION)]  # pairwise three tokens apart
    controller.tell(members, [k / 10 for k in range(POPULATION)])
    counts = Counter(
        next(k for k, member in enumerate(members) if differences(member, child) == 1)
        for child in controller.ask(3_000)
    )
    for k in range(POPULATION):
        expected = 3_000 * math.comb(k, TOURNAMENT - 1) / math.comb(POPULATION, TOURNAMENT)
        assert abs(counts[k] - expected) <= 5 * math.sqrt(max(expected, 1))
    assert counts[0] == counts[1] == 0


# --- local search ----------------------------------------------------------------------------------------------------


def test_local_search_asks_all_neighbours_of_the_best_start_and_then_starts_anew() -> None:
    controller = LocalController(SMALL, seed=1)
    formulas = controller.ask(3)
    assert len(set(formulas)) == 3, "the test needs a seed that draws three formulas"
    rewards = [0.5, 0.9, 0.1]
    controller.tell(formulas, rewards)
    best = formulas[1]
    near = [SMALL.formula(choices) for choices in neighbours(SMALL, SMALL.choices(best))]
    unasked = [formula for formula in near if formula not in formulas]
    climb = controller.ask(len(unasked))
    assert set(climb) == set(unasked)
    others = controller.ask(4)  # everything near is on its way
    controller.tell(climb, [0.2] * len(climb))
    controller.tell(others, [0.3, 0.4, 0.35, 0.3])
    state = json.loads(controller.state())
    assert SMALL.formula(state["current"]) == others[1]  # nothing near is better: the best of the random ones


def test_local_search_moves_to_the_best_improvement_of_a_batch() -> None:
    controller = LocalController(ONE_UNIT, seed=1)
    (first,) = controller.ask(1)
    controller.tell([first], [0.1])
    batch = controller.ask(5)
    assert all(differences(first, formula) == 1 for formula in batch)
    controller.tell(batch, [0.05, 0.2, 0.4, 0.3, 0.0])
    assert all(differences(batch[2], formula) == 1 for formula in controller.ask(20))


def test_local_search_goes_on_where_neighbours_had_no_answer() -> None:
    controller = LocalController(SMALL, seed=0)
    controller.tell(controller.ask(1), [0.5])
    for _ in range(30):
        controller.ask(4)
        controller.tell([], [])
    assert len(controller.ask(4)) == 4


# --- controllers with a policy ---------------------------------------------------------------------------------------


def weights(controller: Proposer) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in load(controller.state()).items() if name.startswith("policy.")}


def test_reinforce_is_one_unclipped_ppo_step_on_a_fresh_batch() -> None:
    plain = ReinforceController(SMALL, FAST, seed=0)
    settings = FAST.model_copy(update={"epochs": 1, "learning_rate": reinforce.LEARNING_RATE})
    ppo = PPOController(SMALL, settings, seed=0)
    formulas = plain.ask(20)
    assert ppo.ask(20) == formulas
    rewards = [smooth_reward(formula, 0) for formula in formulas]
    plain.tell(formulas, rewards)
    ppo.tell(formulas, rewards)
    before = weights(PPOController(SMALL, settings, seed=0))
    for name, tensor in weights(plain).items():
        torch.testing.assert_close(tensor, weights(ppo)[name], atol=2e-5, rtol=0)
    assert any(not torch.equal(tensor, before[name]) for name, tensor in weights(plain).items())


def test_the_queue_holds_the_best_distinct_formulas() -> None:
    controller = PQTController(ONE_UNIT, FAST, seed=0)
    told: dict[Formula, float] = {}
    for _ in range(4):
        formulas = controller.ask(8)
        rewards = [smooth_reward(formula, 0) for formula in formulas]
        controller.tell(formulas, rewards)
        told |= dict(zip(formulas, rewards, strict=True))
    queue = load(controller.state())["queue.choices"].tolist()
    best = sorted(told, key=lambda formula: -told[formula])[:QUEUE]
    assert [ONE_UNIT.formula(choices) for choices in queue] == best


def test_priority_queue_training_knows_ranks_only() -> None:
    states = []
    for power, scale in ((1, 1.0), (5, 0.1)):
        controller = PQTController(ONE_UNIT, FAST, seed=0)
        for _ in range(3):
            formulas = controller.ask(6)
            controller.tell(formulas, [scale * smooth_reward(formula, 1) ** power for formula in formulas])
        states.append(weights(controller))
    for name, tensor in states[0].items():
        torch.testing.assert_close(tensor, states[1][name], atol=0, rtol=0)


# --- all of them -----------------------------------------------------------------------------------------------------

LEARNERS: dict[str, tuple[Callable[[int], Proposer], int]] = {
    "evolution": (lambda seed: EvolutionController(ONE_UNIT, seed=seed), 8),
    "local": (lambda seed: LocalController(ONE_UNIT, seed=seed), 8),
    "reinforce": (lambda seed: ReinforceController(ONE_UNIT, PPOSettings(), seed=seed), 8),
    "pqt": (lambda seed: PQTController(ONE_UNIT, PPOSettings(), seed=seed), 8),
    "tpe": (lambda seed: TPEController(ONE_UNIT, seed=seed), 3),
}


def late_rewards(controller: Proposer, seed: int) -> float:
    """Mean reward of the last 100 of 300 proposals on a smooth landscape, told at once."""
    rewards: list[float] = []
    for _ in range(15):
        formulas = controller.ask(20)
        told = [smooth_reward(formula, seed) for formula in formulas]
        controller.tell(formulas, told)
        rewards += told
    return float(np.mean(rewards[-100:]))


@pytest.mark.parametrize("name", LEARNERS)
def test_what_learns_proposes_better_formulas_than_random(name: str) -> None:
    make, seeds = LEARNERS[name]
    learned = [late_rewards(make(seed), seed) for seed in range(seeds)]
    drawn = [late_rewards(RandomController(ONE_UNIT, seed=seed), seed) for seed in range(seeds)]
    assert np.mean(learned) > np.mean(drawn) + 2 * np.std(np.subtract(learned, drawn)) / seeds**0.5
