"""The table of controllers: cheap to look into, and each entry builds what it says and keeps to the port."""

import random
import subprocess
import sys

import pytest

from actsearch.config import RunConfig
from actsearch.errors import ConfigError, UnknownNameError
from actsearch.formula import Formula
from actsearch.space import Space
from actsearch_controller.controllers import CONTROLLERS, build_controller, check_controller


def test_names_are_checked_without_torch() -> None:
    code = (
        "import sys; import actsearch_controller.search; from actsearch_controller.controllers import check_controller; "
        "check_controller('ppo'); assert 'torch' not in sys.modules; assert 'scipy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_controller_names_those_that_exist() -> None:
    with pytest.raises(UnknownNameError, match="no controller named 'pop'; known: ppo, ppo_plain, random"):
        check_controller("pop")


@pytest.mark.parametrize("name", CONTROLLERS)
def test_every_controller_proposes_learns_and_moves(name: str) -> None:
    config = RunConfig(controller=name, seed=11)
    space = Space(config.space)
    controller = build_controller(config, space)
    formulas = controller.ask(6)
    assert all(space.formula(space.choices(formula)) == formula for formula in formulas)
    metrics = controller.tell(formulas, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert metrics["mean_reward"] == pytest.approx(0.35)
    moved = build_controller(config.model_copy(update={"seed": 12}), space)
    moved.restore(controller.state())
    assert moved.ask(6) == controller.ask(6)
    assert build_controller(config, space).ask(6) == formulas


@pytest.mark.parametrize("name", CONTROLLERS)
def test_a_controller_moved_at_any_time_goes_on_the_same_whatever_part_of_a_batch_it_is_told(name: str) -> None:
    config = RunConfig(controller=name, seed=1)
    space = Space(config.space)
    rng = random.Random(0)
    stayed, moved = build_controller(config, space), build_controller(config, space)
    waiting: list[list[Formula]] = []
    for action in ["ask", "ask", *rng.choices(["ask", "tell", "move"], k=22), "move"]:
        if action == "ask":
            waiting.append(stayed.ask(4))
            assert moved.ask(4) == waiting[-1]
        elif action == "tell" and waiting:
            batch = [formula for formula in waiting.pop(0) if rng.random() < 0.6]
            rewards = [rng.random() for _ in batch]
            metrics = stayed.tell(batch, rewards)
            assert metrics == moved.tell(batch, rewards)
            assert ("mean_reward" in metrics) == bool(batch)
        elif action == "move":
            state, moved = moved.state(), build_controller(config.model_copy(update={"seed": 99}), space)
            moved.restore(state)
            assert moved.state() == state == stayed.state()


def test_tpe_without_optuna_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "actsearch_controller.baselines.tpe", raising=False)
    with pytest.raises(ConfigError, match=r"needs Optuna: pip install optuna"):
        build_controller(RunConfig(controller="tpe"), Space(RunConfig().space))
