"""The plan of finals: the best function of each class by mean score, fresh seeds, recipes of the panel."""

from dataclasses import replace

import pytest

from actsearch.config import EarlyStoppingSettings, FinalsSettings, Recipe, RunConfig
from actsearch.errors import RunError
from actsearch.evaluation import Evaluation, Outcome
from actsearch.finals import FinalsPlan
from actsearch.store import Store
from actsearch_controller.finals.plan import make_plan
from actsearch_controller.finals.trainings import panel, screening
from tests.controller.finals.conftest import (
    CONFIG,
    COS,
    CUBE,
    RECIPES,
    RELU,
    SETTINGS,
    SILU,
    SIN,
    SWISH,
    SWISH_OF_2,
    TANH,
)


def plan_of(store: Store, settings: FinalsSettings = SETTINGS, config: RunConfig = CONFIG) -> FinalsPlan:
    return make_plan(config, settings, store.evaluations("first"), RECIPES)


def test_each_class_sends_its_best_function(store: Store) -> None:
    plan = plan_of(store)
    assert [c.tokens for c in plan.candidates] == [TANH, SIN, SWISH_OF_2, COS]
    assert [c.search_accuracy for c in plan.candidates] == [0.84, 0.83, 0.82, 0.80]
    assert plan.candidates[2].equivalence_class == "x*sigmoid(x)"
    assert [c.tokens for c in plan_of(store, SETTINGS.model_copy(update={"classes": 2})).candidates] == [TANH, SIN]


def test_what_never_trained_is_no_candidate(store: Store) -> None:
    everything = plan_of(store, SETTINGS.model_copy(update={"classes": 64}))
    assert CUBE not in [c.tokens for c in everything.candidates]


def test_controls_are_relu_and_silu(store: Store) -> None:
    controls = plan_of(store).controls
    assert [(c.tokens, c.names, c.is_control, c.search_accuracy) for c in controls] == [
        (RELU, ("ReLU",), True, None),
        (SILU, ("SiLU",), True, None),
    ]


def test_seeds_are_fresh(store: Store) -> None:
    plan = plan_of(store)
    used = {record.seed for record in store.evaluations("first")}
    seeds = [*plan.screen_seeds, *plan.final_seeds]
    assert len(set(seeds)) == len(seeds) == 2 + 6
    assert not used & set(seeds)
    assert plan == plan_of(store), "the same run, the same plan"


def test_recipes(store: Store) -> None:
    """Screening twice as long as the search; the panel by each child's own recipe, no shorter than the screening."""
    config = CONFIG.model_copy(update={"recipe": Recipe(steps=200, batch_size=64)})
    plan = make_plan(config, SETTINGS.model_copy(update={"steps": None}), store.evaluations("first"), RECIPES)
    assert plan.search.recipe == config.recipe
    assert plan.screen.recipe == Recipe(steps=400, batch_size=64)
    own, other = plan.panel
    assert (own.child.name, own.recipe) == ("nf_resnet8", Recipe(steps=400, batch_size=64))
    assert (other.child.name, other.recipe) == ("resnet20", RECIPES["resnet20"])
    fixed = make_plan(config, SETTINGS, store.evaluations("first"), RECIPES)
    assert [c.recipe.steps for c in fixed.panel] == [20, 20]
    short = SETTINGS.model_copy(update={"screen_steps": 300, "steps": None})
    assert make_plan(config, short, store.evaluations("first"), RECIPES).panel[0].recipe.steps == 300


def test_a_functions_score_is_the_mean_of_its_trainings(store: Store) -> None:
    """Of a function trained three times the luckiest seed does not count alone, and a failure counts as 0."""
    first = store.evaluations("first")
    sin = next(r for r in first if r.tokens == SIN)
    assert sin.evaluation is not None

    def again(number: int, accuracy: float | None) -> Evaluation:
        return Evaluation(
            run="first",
            evaluation=f"{number:016x}",
            outcome=Outcome.DIVERGED if accuracy is None else Outcome.TRAINED,
            val_accuracy=accuracy,
        )

    repeats = [
        replace(sin, number=100 + k, replicate=k, evaluation=again(k, accuracy))
        for k, accuracy in enumerate([0.79, None], start=1)
    ]
    plan = make_plan(CONFIG, SETTINGS, [*first, *repeats], RECIPES)
    scores = {c.tokens: c.search_accuracy for c in plan.candidates}
    assert scores[SIN] == pytest.approx((0.83 + 0.79 + 0) / 3)
    assert [c.tokens for c in plan.candidates] == [TANH, SWISH_OF_2, COS, SIN]
    assert SWISH not in scores


def test_children_of_finals_are_never_stopped(store: Store) -> None:
    config = CONFIG.model_copy(update={"early_stopping": EarlyStoppingSettings()})
    plan = plan_of(store, config=config)
    trainings = [*screening(plan, config.dataset), *panel(plan, plan.candidates, plan.final_seeds, config.dataset)]
    assert [training.job("first", config).rungs for training in trainings] == [()] * len(trainings)


def test_nothing_trained_is_one_line(store: Store) -> None:
    with pytest.raises(RunError, match="no function has been trained in the search"):
        make_plan(CONFIG, SETTINGS, [r for r in store.evaluations("first") if r.tokens == CUBE], RECIPES)
    with pytest.raises(RunError, match="no function has been trained"):
        make_plan(CONFIG, SETTINGS, [], RECIPES)


def test_an_unfinished_evaluation_is_no_candidate(store: Store) -> None:
    records = [replace(r, evaluation=None) if r.tokens == TANH else r for r in store.evaluations("first")]
    assert make_plan(CONFIG, SETTINGS, records, RECIPES).candidates[0].tokens == SIN
