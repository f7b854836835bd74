"""PPO against closed forms, and against the ways in which earlier activation searches failed to learn."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load
from scipy.stats import ttest_rel
from torch import Tensor

from actsearch.config import PLAIN_PPO, PPOSettings, SpaceSettings
from actsearch.formula import Formula
from actsearch.space import Space
from actsearch_controller.baselines.random import RandomController
from actsearch_controller.policy import Policy
from actsearch_controller.ports import Proposer
from actsearch_controller.ppo import PPOController, clipped_surrogate
from actsearch_controller.shapes import shape
from tests.controller.synthetic import ONE_UNIT, smooth_reward

SMALL = Space(SpaceSettings(unary=("identity", "sigmoid", "tanh"), binary=("add", "multiply")))
FAST = PPOSettings(hidden=16, learning_rate=3e-3, **PLAIN_PPO)

batches = st.integers(1, 20).flatmap(
    lambda n: st.tuples(*(st.lists(st.floats(-4, 4, width=32), min_size=n, max_size=n) for _ in range(3)))
)


# --- the loss --------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(values=batches, clip_coef=st.floats(0.01, 0.99))
def test_the_loss_is_equation_7(values: tuple[list[float], list[float], list[float]], clip_coef: float) -> None:
    new, old, advantage = values
    total = 0.0
    for n, o, a in zip(new, old, advantage, strict=True):
        ratio = math.exp(n - o)
        total += min(ratio * a, min(max(ratio, 1 - clip_coef), 1 + clip_coef) * a)
    expected = -total / len(new)
    first, second, third = (torch.tensor(v, dtype=torch.float64) for v in values)
    assert float(clipped_surrogate(first, second, third, clip_coef)) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [
        (1.0, 2.0, -2.0, -2.0),
        (1.5, 2.0, -2.4, 0.0),  # already 1.2 times as likely: no further push
        (0.5, 2.0, -1.0, -1.0),  # a good formula that became less likely is pulled back, unclipped
        (0.5, -2.0, 1.6, 0.0),
        (1.5, -2.0, 3.0, 3.0),
    ],
)
def test_the_clip_stops_only_what_goes_too_far(ratio: float, advantage: float, loss: float, slope: float) -> None:
    new = torch.tensor([math.log(ratio)], dtype=torch.float64, requires_grad=True)
    value = clipped_surrogate(
        new, torch.zeros(1, dtype=torch.float64), torch.tensor([advantage], dtype=torch.float64), 0.2
    )
    torch.autograd.backward(value)
    assert float(value.detach()) == pytest.approx(loss)
    assert new.grad is not None
    assert float(new.grad) == pytest.approx(slope)  # d loss / d log-probability


@settings(deadline=None)
@given(values=batches)
def test_without_a_clip_it_is_the_policy_gradient_weighted_by_importance(
    values: tuple[list[float], list[float], list[float]],
) -> None:
    new, old, advantage = (torch.tensor(v, dtype=torch.float64) for v in values)
    new.requires_grad_()
    torch.autograd.backward(clipped_surrogate(new, old, advantage, 1e9))
    expected = -(new.detach() - old).exp() * advantage / len(new)
    torch.testing.assert_close(new.grad, expected)


def test_on_a_fresh_batch_the_first_gradient_is_plain_reinforce() -> None:
    policy = Policy(SMALL.slots, hidden=16, generator=torch.Generator().manual_seed(0))
    choices, log_prob = policy.sample(30, torch.Generator().manual_seed(1))
    advantage = torch.randn(30, generator=torch.Generator().manual_seed(2))

    def gradient(loss: Callable[[Tensor], Tensor]) -> list[Tensor]:
        return list(
            torch.autograd.grad(loss(policy(choices).log_prob.sum(dim=1)), list(policy.parameters()), allow_unused=True)
        )

    ppo = gradient(lambda new: clipped_surrogate(new, log_prob, advantage, 1e9))
    reinforce = gradient(lambda new: -(advantage * new).mean())
    for a, b in zip(ppo, reinforce, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


# --- the update ------------------------------------------------------------------------------------------------------


def probabilities(controller: PPOController) -> Tensor:
    """The policy's probability of every formula of SMALL."""
    choices = torch.tensor([SMALL.choices(formula) for formula in SMALL.enumerate()])
    with torch.no_grad():
        scores = controller._policy(choices)
    return torch.as_tensor(scores.log_prob.sum(dim=1).exp())


def learn(controller: PPOController, reward: Callable[[Formula], float], batches: int) -> list[dict[str, float]]:
    told = []
    for _ in range(batches):
        formulas = controller.ask(20)
        told.append(controller.tell(formulas, [reward(formula) for formula in formulas]))
    return told


def test_what_was_rewarded_becomes_likelier_and_goes_on_to() -> None:
    """Fails for a sign error, for a controller initialised anew at each update, and for one that takes the argmax."""
    target = [formula.units[0].binary == "multiply" for formula in SMALL.enumerate()]
    controller = PPOController(SMALL, FAST, seed=0)
    shares = []
    for _ in range(8):
        shares.append(float(probabilities(controller)[target].sum()))
        learn(controller, lambda formula: float(formula.units[0].binary == "multiply"), batches=4)
    shares.append(float(probabilities(controller)[target].sum()))
    assert shares[0] == pytest.approx(0.5, abs=0.1)
    assert all(after > before for before, after in pairwise(shares[:6]))
    assert shares[-1] > 0.95


def test_equal_rewards_teach_nothing_but_the_entropy_bonus() -> None:
    controller = PPOController(SMALL, FAST.model_copy(update={"entropy_coef": 0.0}), seed=0)
    before = probabilities(controller)
    learn(controller, lambda _: 0.7, batches=3)
    torch.testing.assert_close(probabilities(controller), before, atol=1e-6, rtol=1e-5)


def test_the_entropy_bonus_flattens_the_policy() -> None:
    controller = PPOController(SMALL, FAST.model_copy(update={"entropy_coef": 1.0}), seed=0)
    metrics = learn(controller, lambda _: 0.7, batches=30)
    assert metrics[-1]["entropy"] > metrics[0]["entropy"]
    assert metrics[-1]["entropy"] == pytest.approx((2 * math.log(3) + math.log(2)) / 3, abs=1e-3)  # uniform


def test_a_late_batch_is_weighed_against_the_policy_that_sampled_it() -> None:
    """With lag 2 batch B is told to a policy that has learned A since it wrote B: its first ratio is not 1."""
    settings = FAST.model_copy(update={"epochs": 1, "entropy_coef": 0.0, "learning_rate": 0.05})
    controller = PPOController(SMALL, settings, seed=0)
    first, second = controller.ask(20), controller.ask(20)
    choices = torch.tensor([SMALL.choices(formula) for formula in second])
    with torch.no_grad():
        sampled = controller._policy(choices).log_prob.sum(dim=1)
    rewards = [float(formula.units[0].binary == "add") for formula in first]
    controller.tell(first, rewards)
    torch.testing.assert_close(load(controller.state())["in_flight.0.log_prob"], sampled, atol=1e-6, rtol=1e-5)
    with torch.no_grad():
        learned = controller._policy(choices).log_prob.sum(dim=1)
    assert float((learned - sampled).abs().max()) > 0.05, "the test needs a policy that has moved"

    rewards_of_second = [float(formula.units[0].binary == "add") for formula in second]
    baseline = float(np.mean(rewards))
    for reward in rewards:
        baseline = 0.95 * baseline + 0.05 * reward
    total = 0.0
    for new, old, reward in zip(learned.tolist(), sampled.tolist(), rewards_of_second, strict=True):
        ratio, advantage = math.exp(new - old), reward - baseline
        total += min(ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage)
    assert controller.tell(second, rewards_of_second)["policy_loss"] == pytest.approx(-total / 20, rel=1e-4)


def test_the_baseline_is_a_moving_average_that_starts_at_the_first_mean() -> None:
    controller = PPOController(SMALL, FAST.model_copy(update={"baseline_decay": 0.9}), seed=0)
    expected = None
    for rewards in ([0.2, 0.8, 0.5], [1.0, 0.0, 0.9], [0.3, 0.3, 0.3]):
        metrics = controller.tell(controller.ask(3), rewards)
        expected = float(np.mean(rewards)) if expected is None else expected
        for reward in rewards:
            expected = 0.9 * expected + 0.1 * reward
        assert metrics["baseline"] == pytest.approx(expected, rel=1e-12)
        assert metrics["mean_reward"] == pytest.approx(np.mean(rewards), rel=1e-12)


def test_metrics_say_how_far_the_policy_moved() -> None:
    controller = PPOController(SMALL, FAST.model_copy(update={"learning_rate": 0.03}), seed=0)
    formulas = controller.ask(20)
    choices = torch.tensor([SMALL.choices(formula) for formula in formulas])
    old = controller._policy(choices).log_prob.sum(dim=1).detach()
    metrics = controller.tell(formulas, [float(i % 2) for i in range(20)])
    with torch.no_grad():
        scores = controller._policy(choices)
    ratios = (scores.log_prob.sum(dim=1) - old).exp().tolist()
    assert metrics["approx_kl"] == pytest.approx(np.mean([r - 1 - math.log(r) for r in ratios]), rel=1e-3)
    assert metrics["clip_fraction"] == pytest.approx(np.mean([abs(r - 1) > 0.2 for r in ratios]))
    assert metrics["clip_fraction"] > 0, "the test needs an update that goes far"
    assert metrics["entropy"] == pytest.approx(float(scores.entropy.mean()), rel=1e-5)
    assert metrics["entropy_binary"] == pytest.approx(float(scores.entropy[:, 2].mean()), rel=1e-5)
    assert metrics["entropy_unary1"] == pytest.approx(float(scores.entropy[:, 0].mean()), rel=1e-5)
    assert metrics["grad_norm"] > 0
    assert all(math.isfinite(value) for value in metrics.values())


def test_slots_without_a_choice_do_not_dilute_the_entropy() -> None:
    controller = PPOController(Space(SpaceSettings(units=2)), FAST, seed=0)
    metrics = controller.tell(controller.ask(5), [0.5] * 5)
    nearly_uniform = (2 * math.log(2) + 4 * math.log(25) + 2 * math.log(10)) / 8  # unit 1's inputs are x, always
    assert metrics["entropy"] == pytest.approx(nearly_uniform, rel=0.01)
    assert metrics["entropy_unit2.input2"] == pytest.approx(math.log(2), rel=0.01)
    assert "entropy_unit1.input1" not in metrics


# --- the port --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["ppo", "random"])
def make(request: pytest.FixtureRequest) -> Callable[[int], Proposer]:
    if request.param == "ppo":
        return lambda seed: PPOController(SMALL, FAST, seed=seed)
    return lambda seed: RandomController(SMALL, seed=seed)


def reward_of(formula: Formula) -> float:
    return sum(map(len, formula.tokens)) / 50


@settings(deadline=None, max_examples=15)
@given(script=st.lists(st.sampled_from(["ask", "tell", "move"]), max_size=25), name=st.sampled_from(["ppo", "random"]))
def test_a_controller_moved_to_another_process_at_any_time_goes_on_the_same(script: list[str], name: str) -> None:
    """State is whole: one that is saved and restored into a fresh one, of another seed, asks and learns alike."""

    def fresh(seed: int) -> Proposer:
        return PPOController(SMALL, FAST, seed=seed) if name == "ppo" else RandomController(SMALL, seed=seed)

    stayed, moved = fresh(1), fresh(1)
    waiting: list[list[Formula]] = []
    for action in script:
        if action == "ask":
            waiting.append(stayed.ask(3))
            assert moved.ask(3) == waiting[-1]
        elif action == "tell" and waiting:
            batch = waiting.pop(0)
            rewards = [reward_of(formula) for formula in batch]
            assert stayed.tell(batch, rewards) == moved.tell(batch, rewards)
        elif action == "move":
            state, moved = moved.state(), fresh(99)
            moved.restore(state)
            assert moved.state() == state == stayed.state()
    assert moved.state() == stayed.state()


def test_the_seed_decides_and_every_seed_differs(make: Callable[[int], Proposer]) -> None:
    assert make(3).ask(20) == make(3).ask(20)
    assert make(3).ask(20) != make(4).ask(20)
    controller = make(3)
    assert controller.ask(20) != controller.ask(20)


def test_the_number_of_torch_threads_decides_nothing() -> None:
    """Without care the controller's weights, and so the trace, would depend on the machine's number of cores."""
    states = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        try:
            controller = PPOController(ONE_UNIT, PPOSettings(), seed=0)
            for _ in range(3):
                formulas = controller.ask(20)
                controller.tell(formulas, [reward_of(formula) for formula in formulas])
            assert torch.get_num_threads() == threads, "others in the process keep theirs"
        finally:
            torch.set_num_threads(1)
        states.append(controller.state())
    assert states[0] == states[1] == states[2]


def test_only_formulas_that_have_a_reward_teach() -> None:
    """A batch of which every other formula came back leaves what a batch of those alone, as sampled, would leave."""
    whole, part = PPOController(SMALL, FAST, seed=0), PPOController(SMALL, FAST, seed=0)
    formulas = whole.ask(10)
    assert part.ask(10) == formulas
    kept, rewards = formulas[1::2], [0.1, 0.9, 0.4, 0.8, 0.2]
    slots = [1, 3, 5, 7, 9]
    rollout = whole._in_flight[0]
    whole._in_flight[0] = type(rollout)(rollout.choices[slots], rollout.log_prob[slots])
    assert whole.tell(kept, rewards) == part.tell(kept, rewards)
    torch.testing.assert_close(probabilities(whole), probabilities(part), atol=0, rtol=0)


def test_a_batch_without_any_reward_is_told_and_teaches_nothing() -> None:
    controller = PPOController(SMALL, FAST, seed=0)
    first, second = controller.ask(6), controller.ask(6)
    before = probabilities(controller)
    assert controller.tell([], []) == {}
    torch.testing.assert_close(probabilities(controller), before, atol=0, rtol=0)
    assert first != second
    assert controller.tell(second, [0.5] * 6)["mean_reward"] == 0.5


@pytest.mark.parametrize("told", ["nothing asked", "second first", "reordered", "too many"])
def test_batches_are_told_as_they_were_asked(told: str) -> None:
    controller = PPOController(SMALL, FAST, seed=0)
    if told == "nothing asked":
        with pytest.raises(ValueError, match="nothing was asked"):
            controller.tell([next(SMALL.enumerate())], [0.5])
        return
    first, second = controller.ask(6), controller.ask(6)
    assert first != second
    wrong = {
        "second first": second,
        "reordered": first[::-1],
        "too many": first + second[:1],
    }[told]
    with pytest.raises(ValueError, match="in the order asked"):
        controller.tell(wrong, [0.5] * len(wrong))
    controller.tell(first, [0.5] * 6)


def test_random_is_uniform_over_tokens() -> None:
    counts: dict[Formula, int] = {}
    for formula in RandomController(SMALL, seed=0).ask(18_000):
        counts[formula] = counts.get(formula, 0) + 1
    assert len(counts) == SMALL.size == 18
    assert all(abs(count - 1000) < 5 * math.sqrt(1000) for count in counts.values())


# --- theory as oracle ------------------------------------------------------------------------------------------------


def test_ppo_beats_random_on_a_smooth_landscape() -> None:
    """Six landscapes, 300 evaluations each, paired: the last 100 proposals and the best one found.

    The learning rate is ten times NASNet's, which suits 20,000 evaluations and barely moves in 300. Here tokens decide,
    not shapes: the surrogate has little to go by.
    """
    settings = PPOSettings(learning_rate=3e-3, **PLAIN_PPO)
    late, best = [], []
    for seed in range(6):
        rewards: dict[str, list[float]] = {}
        controllers: dict[str, Proposer] = {
            "ppo": PPOController(ONE_UNIT, settings, seed=seed),
            "thrifty": PPOController(
                ONE_UNIT, PPOSettings(learning_rate=3e-3), seed=seed, identify=lambda f: " ".join(f.tokens)
            ),
            "random": RandomController(ONE_UNIT, seed=seed),
        }
        for name, controller in controllers.items():
            rewards[name] = []
            for _ in range(15):
                formulas = controller.ask(20)
                told = [smooth_reward(formula, seed) for formula in formulas]
                controller.tell(formulas, told)
                rewards[name] += told
        late.append([float(np.mean(told[-100:])) for told in rewards.values()])
        best.append([max(told) for told in rewards.values()])
    *late_ppo, late_random = np.transpose(late)
    *best_ppo, best_random = np.transpose(best)
    # The thrifty one may not propose the best functions again, and draws half of what it proposes uniformly.
    for mine, its_best, lead in zip(late_ppo, best_ppo, (0.25, 0.08), strict=True):
        assert ttest_rel(mine, late_random, alternative="greater").pvalue < 1e-4
        assert mine.mean() > late_random.mean() + lead
        assert ttest_rel(its_best, best_random, alternative="greater").pvalue < 0.01


# --- what makes it thrifty -------------------------------------------------------------------------------------------


def function_of(formula: Formula) -> str:
    """As if the second unary function changed nothing: 250 functions of 25 spellings each."""
    return f"{formula.tokens[0]} {formula.tokens[2]}"


def told_by_shape(**settings: object) -> PPOController:
    """A controller that was told, of 60 functions, rewards by how little they differ from a sine."""
    controller = PPOController(
        ONE_UNIT, PPOSettings.parse(settings), seed=1, repeats=3, identify=lambda f: function_of(f)
    )
    formulas = controller.ask(60)
    controller.tell(formulas, [like_a_sine(formula) for formula in formulas])
    return controller


def like_a_sine(formula: Formula) -> float:
    sine = shape(Formula.from_tokens(("sin", "sin", "max")))
    return float(1 / (1 + np.mean((shape(formula) - sine) ** 2)))


def test_the_surrogate_keeps_the_best_candidates() -> None:
    chosen, any_ = (
        np.mean([like_a_sine(f) for f in told_by_shape(retrain=0, uniform=1, candidates=n).ask(20)]) for n in (8, 1)
    )
    assert chosen > 1.5 * any_


def test_only_the_best_come_again_and_no_other_spelling_does() -> None:
    controller = told_by_shape(retrain=0.2)
    first = controller._known.told
    best = [row for row, _ in sorted(first, key=lambda entry: -entry[1])[:2]]
    batch = [ONE_UNIT.choices(formula) for formula in controller.ask(10)]
    assert batch[:2] == best
    seen = {function_of(ONE_UNIT.formula(row)) for row, _ in first}
    new = [function_of(ONE_UNIT.formula(row)) for row in batch[2:]]
    assert len(set(new)) == 8
    assert not seen & set(new)
