"""The policy is a distribution: it sums to one, samples what it says, and remembers nothing between batches."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor, nn

from actsearch.config import SpaceSettings
from actsearch.space import Slot, Space
from actsearch_controller.policy import INIT_RANGE, Policy


def slots(*sizes: int) -> tuple[Slot, ...]:
    return tuple(Slot("unary", 1, tuple(f"u{i}" for i in range(size))) for size in sizes)


def policy(sizes: tuple[int, ...], *, seed: int = 0, hidden: int = 8, sharpen: float = 1.0) -> Policy:
    """A policy whose weights are scaled up, so that it is far from uniform."""
    made = Policy(slots(*sizes), hidden=hidden, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(sharpen)
    return made


def everything(sizes: tuple[int, ...]) -> Tensor:
    """Choices of every formula, (size of the space, length)."""
    return torch.tensor(list(product(*map(range, sizes))))


sizes_of_a_space = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)


@settings(max_examples=40, deadline=None)
@given(sizes=sizes_of_a_space, seed=st.integers(0, 2**31 - 1), sharpen=st.floats(0, 30))
def test_probabilities_of_all_formulas_sum_to_one(sizes: tuple[int, ...], seed: int, sharpen: float) -> None:
    with torch.no_grad():
        scores = policy(sizes, seed=seed, sharpen=sharpen)(everything(sizes))
    total = scores.log_prob.double().sum(dim=1).exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-5)  # float32 logits


@settings(max_examples=40, deadline=None)
@given(sizes=sizes_of_a_space, seed=st.integers(0, 2**31 - 1), sharpen=st.floats(0, 30))
def test_entropies_of_the_tokens_add_up_to_the_entropy_of_formulas(
    sizes: tuple[int, ...], seed: int, sharpen: float
) -> None:
    with torch.no_grad():
        scores = policy(sizes, seed=seed, sharpen=sharpen)(everything(sizes))
    log_prob = scores.log_prob.double().sum(dim=1)
    entropy = -(log_prob.exp() * log_prob).sum()
    by_token = (log_prob.exp().unsqueeze(1) * scores.entropy.double()).sum()
    assert float(by_token) == pytest.approx(float(entropy), abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(sizes=sizes_of_a_space, seed=st.integers(0, 2**31 - 1), n=st.integers(1, 30))
def test_a_sample_comes_with_the_log_probability_that_scoring_gives_it(
    sizes: tuple[int, ...], seed: int, n: int
) -> None:
    made = policy(sizes, seed=seed, sharpen=20)
    choices, log_prob = made.sample(n, torch.Generator().manual_seed(seed))
    assert choices.shape == (n, len(sizes))
    torch.testing.assert_close(log_prob, made(choices).log_prob.sum(dim=1).detach(), atol=1e-5, rtol=1e-5)


def test_samples_follow_the_probabilities_and_are_no_argmax() -> None:
    sizes = (3, 2, 4)
    made = policy(sizes, seed=1, sharpen=12)
    probability = made(everything(sizes)).log_prob.double().sum(dim=1).exp().detach()
    assert float(probability.max() / probability.min()) > 5, "the test needs a policy that is not uniform"
    n = 20_000
    choices, _ = made.sample(n, torch.Generator().manual_seed(3))
    index = (choices * torch.tensor([8, 4, 1])).sum(dim=1)
    counts = torch.bincount(index, minlength=24).double()
    assert chisquare(counts, n * probability / probability.sum()).pvalue > 1e-3


def test_scores_equal_those_of_torchs_own_lstm() -> None:
    sizes, hidden = (5, 4, 3), 8
    made = policy(sizes, seed=2, hidden=hidden, sharpen=10)
    reference = nn.LSTM(hidden, hidden, batch_first=True)
    reference.load_state_dict({f"{name}_l0": value for name, value in made.cell.state_dict().items()})
    choices = everything(sizes)
    first, second = (made.embeddings[k](choices[:, k]) for k in range(2))
    inputs = torch.stack([made.start.expand(len(choices), -1), first, second], dim=1)
    outputs, _ = reference(inputs)
    for k in range(3):
        log_probs = torch.log_softmax(made.heads[k](outputs[:, k]), dim=1)
        expected = log_probs[torch.arange(len(choices)), choices[:, k]]
        torch.testing.assert_close(made(choices).log_prob[:, k], expected, atol=1e-5, rtol=1e-5)


def test_nothing_is_carried_from_one_formula_or_batch_to_the_next() -> None:
    sizes = (5, 4, 3)
    made = policy(sizes, sharpen=10)
    choices = everything(sizes)
    together = made(choices).log_prob
    made.sample(7, torch.Generator().manual_seed(0))
    alone = torch.cat([made(row.unsqueeze(0)).log_prob for row in choices])
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-5)


def test_a_later_token_depends_on_an_earlier_one() -> None:
    made = policy((5, 4), sharpen=10)
    with torch.no_grad():
        scores = made(torch.tensor([[0, 1], [3, 1]]))
    assert abs(float(scores.log_prob[0, 1] - scores.log_prob[1, 1])) > 1e-3


def test_the_generator_alone_decides_samples_and_weights() -> None:
    same = [policy((25, 25, 10), seed=5, hidden=100) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(same[0].parameters(), same[1].parameters(), strict=True))
    torch.manual_seed(1)
    first, _ = same[0].sample(10, torch.Generator().manual_seed(7))
    torch.manual_seed(2)
    second, _ = same[1].sample(10, torch.Generator().manual_seed(7))
    assert torch.equal(first, second)
    generator = torch.Generator().manual_seed(7)
    assert not torch.equal(same[0].sample(10, generator)[0], same[0].sample(10, generator)[0])


def test_weights_start_uniform_as_in_nasnet() -> None:
    weights = torch.cat([p.detach().flatten() for p in policy((25, 25, 10), hidden=100).parameters()])
    assert float(weights.abs().max()) <= INIT_RANGE
    assert float(weights.std()) == pytest.approx(0.2 / 12**0.5, rel=0.02)  # sd of a uniform of width 0.2
    assert len(weights) > 90_000


def test_every_weight_but_those_of_inputs_without_a_choice_gets_a_gradient() -> None:
    space = Space(SpaceSettings(units=2))
    made = Policy(space.slots, hidden=8, generator=torch.Generator().manual_seed(0))
    choices, _ = made.sample(200, torch.Generator().manual_seed(0))
    torch.autograd.backward(made(choices).log_prob.sum())
    still = {name for name, p in made.named_parameters() if p.grad is None or not p.grad.abs().sum()}
    assert still == {"heads.0.weight", "heads.0.bias", "heads.1.weight", "heads.1.bias"}
