"""The table of controllers: cheap to look into, and each entry builds what it says."""

import subprocess
import sys

import pytest

from actsearch.config import RunConfig
from actsearch.errors import UnknownNameError
from actsearch.space import Space
from actsearch_controller.controllers import CONTROLLERS, build_controller, check_controller


def test_names_are_checked_without_torch() -> None:
    code = (
        "import sys; import actsearch_controller.search; from actsearch_controller.controllers import check_controller; "
        "check_controller('ppo'); assert 'torch' not in sys.modules; assert 'scipy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_controller_names_those_that_exist() -> None:
    with pytest.raises(UnknownNameError, match="no controller named 'pop'; known: ppo, random"):
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
