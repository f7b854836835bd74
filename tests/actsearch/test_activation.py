"""The module: β trains, shapes and dtypes hold, any formula of the space runs."""

import copy
import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import nn

from actsearch.activation import Activation, act_layer, activations, beta_parameters, materialize
from actsearch.expression import expression_of
from actsearch.formula import Formula
from actsearch.reader import read
from tests.actsearch.strategies import formulas

SWISH = Formula.from_tokens(["scale", "identity", "gate"])


@given(formulas(2))
@settings(deadline=None, max_examples=120)
def test_torch_agrees_with_numpy(formula: Formula) -> None:
    module = Activation(formula, backend="eager")
    x = torch.linspace(-4.1, 4.3, 58, dtype=torch.float64).reshape(29, 2)
    expected = module.expression.values(x.numpy())
    actual = module(x).detach().numpy()
    usable = np.isfinite(expected) & (np.abs(expected) < 1e12)
    np.testing.assert_allclose(actual[usable], expected[usable], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("text", "function"), [
    ("x*sigmoid(x)", nn.functional.silu), ("max(x, 0)", nn.functional.relu), ("softplus(x)", nn.functional.softplus),
    ("x*tanh(softplus(x))", nn.functional.mish), ("tanh(x)", torch.tanh),
])  # fmt: skip
def test_torchs_own_functions(text: str, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    x = torch.linspace(-15, 15, 301)[:, None]
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    a, b = Activation(text)(ours), function(theirs)
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    slopes = torch.autograd.grad(a.sum(), ours), torch.autograd.grad(b.sum(), theirs)
    torch.testing.assert_close(*slopes, rtol=1e-5, atol=1e-6)


def test_beta_is_per_channel_and_its_gradient_is_the_closed_form() -> None:
    module = Activation(SWISH, channels=3)
    with torch.no_grad():
        module.betas()["beta"].copy_(torch.tensor([0.5, 1.0, -2.0]))
    x = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    module(x).sum().backward()
    s = torch.sigmoid(x * module.betas()["beta"].detach().view(1, 3, 1, 1))
    torch.testing.assert_close(module.betas()["beta"].grad, (x**2 * s * (1 - s)).sum(dim=(0, 2, 3)))


def test_beta_moves_under_an_optimizer() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), Activation(SWISH))
    materialize(network, torch.zeros(1, 1, 8, 8))
    (beta,) = beta_parameters(network)
    assert beta.shape == (4,)
    assert beta.dtype == torch.float32
    before = beta.detach().clone()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network(torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))).square().sum().backward()
    optimizer.step()
    assert (beta != before).all()


def test_each_beta_token_is_its_own_parameter_with_its_initial_value() -> None:
    module = Activation(Formula.from_tokens(["shift", "scale", "mix"]), channels=2)
    assert {p[0].item() for p in module.betas().values()} == {0.0, 0.5, 1.0}
    assert [tuple(p.shape) for p in module.parameters()] == [(2,)] * 3


def test_materialize_leaves_the_network_as_it_was() -> None:
    norm = nn.BatchNorm2d(4)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), norm, Activation("x + beta; beta=0"), nn.Dropout(0.5))
    network[3].eval()
    state = torch.get_rng_state()
    materialize(network, torch.ones(2, 1, 8, 8))
    assert torch.equal(torch.get_rng_state(), state)
    assert norm.running_mean is not None
    assert torch.equal(norm.running_mean, torch.zeros(4))
    assert [m.training for m in network] == [True, True, True, False]


def test_copies_and_state() -> None:
    module = Activation(SWISH)
    materialize(module, torch.zeros(1, 5))
    twin = copy.deepcopy(module)
    with torch.no_grad():
        module.betas()["beta"].fill_(3.0)
    assert twin.betas()["beta"].tolist() == [1.0] * 5
    fresh = Activation(SWISH)
    fresh.load_state_dict(module.state_dict())
    assert fresh.betas()["beta"].tolist() == [3.0] * 5
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    buffer.seek(0)
    assert torch.load(buffer, weights_only=True)["beta"].tolist() == [3.0] * 5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize(
    "text", ["x*sigmoid(beta*x)", "beta", "exp(-beta*x**2)", "1 + x - x", "sinc(x)*log(abs(x) + 1e-5)"]
)
def test_output_has_the_inputs_shape_and_dtype(text: str, dtype: torch.dtype) -> None:
    x = torch.ones(2, 3, 4, 4, dtype=dtype)
    y = Activation(text)(x)
    assert (y.shape, y.dtype) == (x.shape, dtype)


def test_autocast_keeps_the_inputs_dtype() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert Activation("exp(-beta*x**2)")(torch.ones(2, 3, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_gain_and_channels_last() -> None:
    x = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    plain, doubled = (
        Activation("x*sigmoid(beta*x)", channel_dim=-1),
        Activation("x*sigmoid(beta*x)", gain=2, channel_dim=-1),
    )
    torch.testing.assert_close(doubled(x), 2 * plain(x))
    assert plain.betas()["beta"].shape == (7,)


def test_act_layer_is_what_timm_takes() -> None:
    make = act_layer(SWISH, gain=1.5)
    assert type(make).__name__ == "function"
    first, second = make(inplace=True), make()
    assert first is not second
    network = nn.Sequential(first, second)
    assert list(activations(network)) == ["0", "1"]
    assert activations(network)["0"].gain == 1.5


def test_the_canonical_form_is_compiled() -> None:
    assert Activation("abs(x) + min(x, 0)").expression == read("max(x, 0)")
    one, other = (
        Activation(Formula.from_tokens(t))
        for t in (["identity", "sigmoid", "multiply"], ["identity", "identity", "gate"])
    )
    x = torch.randn(1000, 1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(one(x), other(x))


def test_gradcheck_on_a_two_unit_formula() -> None:
    tokens = ["x", "x", "scale", "tanh", "mix", "unit1", "x", "sinc", "identity", "gate"]
    module = Activation(expression_of(Formula.from_tokens(tokens)), channels=2).double()
    x = torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(6, 2).requires_grad_()
    assert torch.autograd.gradcheck(module, (x,))
