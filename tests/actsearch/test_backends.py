"""Backends: all compute one function, symbolic keeps x and β alone, the choice is fixed in a search and measured outside."""

import copy
import json
import math
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from actsearch.activation import Activation, backends, dense, machine
from actsearch.activation.backends import BACKENDS, fastest
from actsearch.activation.native import native
from actsearch.activation.program import backward_program, forward_program
from actsearch.activation.symbolic import apply_symbolic
from actsearch.activation.vectors import Lanes
from actsearch.backend import backend_of
from actsearch.errors import ConfigError
from actsearch.expression import X, expression_of
from actsearch.formula import Formula
from actsearch.identity import canonical
from actsearch.reader import read
from tests.actsearch.strategies import formulas

SWISH = canonical(read("x*sigmoid(beta*x)"))
TEXTS = [
    "x*sigmoid(beta*x)", "x*sigmoid(x)", "sinc(x) - softplus(x)", "min(beta*x, asinh(x))", "beta*x + (1 - beta)*sin(x)",
    "exp(-beta*abs(x - tanh(x)))", "cosh(x)*erf(x)", "beta", "x + beta; beta=0", "max(x, beta*x, tanh(x))",
    "beta*sinh(x)/(cosh(x) + 1e-5)", "abs(x)**1.5", "atan(x)**3 - log(abs(x) + 1e-5)", "step(x - beta)*x", "sqrt(abs(x) + 1e-5)",
]  # fmt: skip


def slopes(module: Activation, x: Tensor, grad: Tensor) -> list[Tensor]:
    """The value and the gradients by x and every β; zeros for what the value does not depend on."""
    inputs = (x.detach().requires_grad_(), *module.parameters())
    y = module(inputs[0])
    found = torch.autograd.grad(y, inputs, grad, allow_unused=True) if y.requires_grad else [None] * len(inputs)
    return [y.detach(), *(torch.zeros_like(p) if g is None else g for g, p in zip(found, inputs, strict=True))]


@pytest.mark.parametrize("text", TEXTS)
def test_symbolic_is_eager_in_every_layout(text: str) -> None:
    """Rows, columns, dense orders that no format names, gaps, one channel, one element; each against autograd."""
    make = torch.Generator().manual_seed(3)
    layouts: list[tuple[Tensor, int]] = [
        (torch.randn(2, 3, 17, 19, generator=make), 1),  # rows of 323, not a multiple of the register
        (torch.randn(1, 2, 70, 71, generator=make), 1),  # rows cut into pieces
        (torch.randn(3, 5, 7, 9, generator=make), 1),  # columns, 63 of a channel side by side
        (torch.randn(3, 5, 2, 3, generator=make), 1),
        (torch.randn(1001, 3, generator=make), 1),  # columns of more rows than a block
        (torch.randn(8, 4, 6, 6, generator=make).to(memory_format=torch.channels_last), 1),
        (torch.randn(4, 6, 5, generator=make), -1),
        (torch.randn(40, 7, generator=make), 1),
        (torch.randn(6, 4, 8, generator=make).permute(2, 0, 1), 0),  # dense, in no standard order
        (torch.randn(6, 8, 10, generator=make)[:, ::2, 1:], 1),  # gaps
        (torch.randn(5, 1, 6, generator=make), 1),
        (torch.randn(1, 1, generator=make), 1),
        (torch.randn(0, 3, 4, generator=make), 1),
        (torch.randn(3, 0, 4, generator=make), 1),
        (torch.randn(4, 8, generator=make)[:0, ::2], 1),  # empty with gaps
        (torch._neg_view(torch.randn(3, 5, 7, generator=make)), 1),  # memory holds -x
    ]
    for x, channel_dim in layouts:
        x = x.double()
        channels = x.shape[channel_dim]
        grad = torch.randn(x.shape, generator=make, dtype=torch.float64)
        eager, symbolic = (
            Activation(text, gain=1.7, channel_dim=channel_dim, channels=channels, backend=name).double()
            for name in ("eager", "symbolic")
        )
        for one in (eager, symbolic):
            for k, beta in enumerate(one.parameters()):
                beta.data = torch.linspace(0.6 + 0.2 * k, 1.4, channels, dtype=torch.float64)
        for ours, theirs in zip(slopes(symbolic, x, grad), slopes(eager, x, grad), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(
    "shape", [(2**22, 2), (200_000, 3), (50, 2, 70, 70), (3000, 5, 7, 7), (2, 2, 2**18), (1, 2, 1_000_003)]
)
def test_sums_over_many_elements_keep_their_digits(shape: tuple[int, ...]) -> None:
    """β's gradient of beta*x is the sum of x, which float32 would not hold one by one."""
    module = Activation("beta*x", channels=shape[1], backend="symbolic")
    varied = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    for x, accuracy in ((varied, 2e-7), (torch.full(shape, 0.1), 5e-6)):  # equal numbers are all rounded the same way
        sums = slopes(module, x, torch.ones_like(x))[2].double()
        exact = x.double().sum([d for d in range(x.ndim) if d != 1])
        torch.testing.assert_close(sums, exact, rtol=accuracy, atol=0)


def test_gradients_of_any_kind_are_taken() -> None:
    module = Activation("beta*x**2", channels=3, backend="symbolic")
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    dense_grad = torch.zeros(4, 3)
    dense_grad[1, 2] = -2.0
    expected = slopes(module, x, dense_grad)
    for grad in (torch._neg_view(-dense_grad), dense_grad.to_sparse(), dense_grad.t().contiguous().t()):
        for ours, theirs in zip(slopes(module, x, grad), expected, strict=True):
            assert torch.equal(ours, theirs)


def test_working_memory_is_the_cpus_whatever_torchs_default_is() -> None:
    module = Activation("x + beta", channels=3, backend="symbolic")
    x, grad = torch.ones(4, 3), torch.ones(4, 3)
    with torch.device("meta"):
        assert slopes(module, x, grad)[2].tolist() == [4.0, 4.0, 4.0]


@given(formulas(3))
@settings(deadline=None, max_examples=25)
def test_machine_code_and_torch_agree(formula: Formula) -> None:
    form = canonical(expression_of(formula))
    x = torch.linspace(-3.1, 3.3, 34, dtype=torch.float64).reshape(17, 2)
    grad = torch.linspace(1, -1, 34, dtype=torch.float64).reshape(17, 2)
    eager, symbolic = (Activation(form, channels=2, backend=name).double() for name in ("eager", "symbolic"))
    for ours, theirs in zip(slopes(symbolic, x, grad), slopes(eager, x, grad), strict=True):
        usable = torch.isfinite(theirs) & (theirs.abs() < 1e12)
        torch.testing.assert_close(ours[usable], theirs[usable], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("text", ["x*sigmoid(beta*x)", "sinc(x) - softplus(x)", "beta", "exp(-beta*x**2)"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(text: str, dtype: torch.dtype) -> None:
    x = torch.linspace(-4, 4, 60).reshape(5, 4, 3)
    grad = torch.ones_like(x)
    module = Activation(text, channels=4, backend="symbolic")
    for ours, theirs in zip(
        slopes(module, x.to(dtype), grad.to(dtype)), slopes(module, x.to(dtype).float(), grad), strict=True
    ):
        torch.testing.assert_close(ours.float(), theirs.to(ours.dtype).float())


@pytest.mark.parametrize("text", TEXTS)
def test_without_machine_code_the_gradient_is_the_same(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.linspace(-3, 3, 60, dtype=torch.float64).reshape(5, 4, 3)
    grad = torch.linspace(-1, 2, 60, dtype=torch.float64).reshape(5, 4, 3)
    module = Activation(text, channels=4, backend="symbolic").double()
    with_it = slopes(module, x, grad)
    monkeypatch.setattr(dense, "is_possible", lambda x: False)
    for ours, theirs in zip(slopes(module, x, grad), with_it, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("text", ["x*sigmoid(beta*x)", "sinc(x) - softplus(x)", "cosh(x)*erf(x) + beta*atan(x)**2"])
def test_one_tensor_of_xs_size_and_beta_are_kept(text: str) -> None:
    kept: list[Tensor] = []

    def keep(t: Tensor) -> Tensor:
        kept.append(t)
        return t

    module = Activation(text, channels=3, backend="symbolic")
    x = torch.randn(4, 3, 5, 5, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        module(x)
    assert sorted(t.numel() for t in kept) == [*[3] * len(list(module.parameters())), x.numel()]


@pytest.mark.parametrize("backend", ["eager", "symbolic"])
@pytest.mark.parametrize(
    "text",
    [
        "x*sigmoid(beta*x) + beta2*sin(x)",
        "beta*softplus(x)*sinh(x)",
        "cosh(x) - asinh(beta*x)",
        "sinc(x)*max(x, beta*x**2)",
    ],
)
def test_first_and_second_derivative_by_finite_differences(text: str, backend: str) -> None:
    module = Activation(text, channels=2, backend=backend).double()
    x = torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(6, 2).requires_grad_()
    assert torch.autograd.gradcheck(module, (x,))
    assert torch.autograd.gradgradcheck(module, (x,))


def test_threads_share_a_pass() -> None:
    """The same numbers from 1, 2 and 3 threads; sums over β may differ in their last bits."""
    make, swish = torch.Generator().manual_seed(0), "x*sigmoid(beta*x)"
    x = torch.randn(40, 6, 32, 32, generator=make)
    wide = torch.randn(1, 4096, 4, 4, generator=make)  # one row of memory with many channels
    before = torch.get_num_threads()
    for text, tensor in (
        (swish, x),
        (swish, x.to(memory_format=torch.channels_last)),
        ("x*sin(x)", x),
        (swish, wide),
    ):
        module = Activation(text, channels=tensor.shape[1], backend="symbolic")
        for beta in module.parameters():
            beta.data = torch.linspace(0.3, 2, len(beta))
        found = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            try:
                found.append(slopes(module, tensor, torch.ones_like(tensor)))
            finally:
                torch.set_num_threads(before)
        for other in found[1:]:
            assert torch.equal(other[0], found[0][0])
            assert torch.equal(other[1], found[0][1])
            for a, b in zip(other[2:], found[0][2:], strict=True):
                torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    "text", ["x*sigmoid(beta*x)", "sinc(x) - softplus(x)", "min(beta*x, asinh(x))", "x**beta2*erf(x)"]
)
def test_narrow_registers_compute_the_same(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a processor without AVX-512 runs; without libmvec's functions even the same bits."""
    if machine.unavailable() or machine.lanes(np.float32).bits < 512:
        pytest.skip("no AVX-512 here to compare with")
    make = torch.Generator().manual_seed(1)
    for shape in ((3, 4, 9, 9), (40, 4)):
        x = torch.rand(shape, generator=make) * 4 - (0 if "**" in text else 2)
        module = Activation(text, channels=4, backend="symbolic")
        found = []
        for bits in (256, 512):
            monkeypatch.setattr(machine, "lanes", lambda dtype, bits=bits: Lanes(dtype, bits))
            found.append(slopes(module, x, torch.ones_like(x)))
            monkeypatch.undo()
        for narrow, wide in zip(*found, strict=True):
            torch.testing.assert_close(narrow, wide, rtol=2e-6, atol=2e-5)
        if text == "x*sigmoid(beta*x)":
            assert torch.equal(found[0][1], found[1][1])


@given(st.floats(-104, 89, width=32))
@settings(deadline=None, max_examples=300)
def test_inline_exp_is_within_two_units(x: float) -> None:
    if machine.unavailable():
        pytest.skip("no machine code here")
    y = float(apply_symbolic(canonical(read("exp(x)/1 + 0*x")), torch.tensor([[x]]), [], 1.0, 1))
    true = math.exp(x)
    if true > float(np.finfo(np.float32).max):
        assert y == math.inf
        return
    assert abs(y - true) <= 2 * float(np.spacing(np.float32(true)))


@pytest.mark.parametrize(
    "text",
    [
        "exp(x)",
        "sigmoid(x)",
        "softplus(x)",
        "max(x, 0)",
        "min(x, 1)",
        "sinc(x)",
        "abs(x)",
        "tanh(x)",
        "sign(x)",
        "step(x)",
    ],
)
@pytest.mark.parametrize("backend", ["eager", "symbolic"])
def test_nan_stays_nan(text: str, backend: str) -> None:
    """A child that diverges must show it, whatever its activation."""
    y = Activation(f"{text} + 0*beta", channels=1, backend=backend)(torch.tensor([[math.nan], [0.5]]))
    assert math.isnan(y[0, 0].item())
    assert math.isfinite(y[1, 0].item())


def test_programs_take_what_depends_on_beta_alone_out_of_the_loop() -> None:
    program = forward_program(canonical(read("exp(-beta)*x + (1 - beta2)*x**2")))
    assert len(program.coefficients) == 2
    assert all(X not in c.free_symbols for c in program.coefficients)
    assert len(backward_program(SWISH).outputs) == 2


def test_native_functions_are_torchs_own() -> None:
    assert native(canonical(read("sigmoid(x)*x"))) is torch.nn.functional.silu
    assert native(canonical(read("max(0, x)"))) is torch.nn.functional.relu
    assert native(SWISH) is None
    with pytest.raises(ConfigError, match="torch has no function of its own"):
        Activation(SWISH, channels=1, backend="native")(torch.zeros(1, 1))


@pytest.mark.parametrize(
    "text", ["x", "-x", "abs(x)", "max(x, 0)", "x*sigmoid(x)", "tanh(x)", "sin(x)", "cos(x)", "exp(x)", "x**2"]
)
def test_native_is_the_same_function(text: str) -> None:
    x = torch.tensor([[-3.0, -1.0, 0.0, 0.5, 4.0]], dtype=torch.float64)
    grad = torch.ones_like(x)
    ours, theirs = (slopes(Activation(text, backend=name, gain=0.5), x, grad) for name in ("native", "eager"))
    torch.testing.assert_close(ours, theirs)


def test_the_rule_of_a_search_needs_no_clock() -> None:
    assert backend_of("x*sigmoid(x)") == "native"
    assert backend_of(SWISH.full_text) == "symbolic"
    assert set(BACKENDS) == {"eager", "symbolic", "native", "compile"}


def test_an_unknown_backend_is_named() -> None:
    with pytest.raises(ConfigError, match="backend = 'fast': right would be auto, eager, symbolic, native, compile"):
        Activation("x", backend="fast")


def forget() -> None:
    """As another process: nothing measured in memory."""
    backends._measured.cache_clear()
    backends._fastest.cache_clear()


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    forget()
    yield tmp_path / "actsearch" / "backends.json"
    forget()


def test_the_fastest_is_measured_once_a_machine(cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.zeros(2, 3)
    calls = []

    def measure(*args: object) -> str:
        calls.append(args)
        return "eager"

    monkeypatch.setattr(backends, "_measure", measure)
    assert fastest(SWISH, x) == fastest(SWISH, x) == "eager"
    forget()
    assert fastest(SWISH, x) == "eager"
    assert len(calls) == 1
    assert fastest(SWISH, x.double()) == "eager"
    assert len(calls) == 2
    assert fastest(canonical(read("x*sigmoid(x)")), x) == "native"


@pytest.mark.parametrize("content", ["", "[1]", "{", '{"other machine": {}}', "\x00"])
def test_a_broken_cache_is_measured_anew(content: str, cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache_folder.parent.mkdir()
    cache_folder.write_text(content)
    monkeypatch.setattr(backends, "_measure", lambda *args: "symbolic")
    assert fastest(SWISH, torch.zeros(1, 1)) == "symbolic"
    assert "symbolic" in json.dumps(json.loads(cache_folder.read_text()))


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    forget()
    assert fastest(SWISH, torch.zeros(1, 1)) in BACKENDS
    forget()


@pytest.mark.parametrize("backend", ["eager", "symbolic", "auto"])
def test_copies_and_pickles_compute_the_same(backend: str) -> None:
    module = Activation("x*sigmoid(beta*x)", channels=2, backend=backend)
    x = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    twins: list[Callable[[Tensor], Tensor]] = [copy.deepcopy(module), pickle.loads(pickle.dumps(module))]
    for twin in twins:
        assert torch.equal(twin(x), module(x))


def test_per_sample_gradients_by_vmap() -> None:
    module = Activation("x*sigmoid(beta*x)", channels=2, channel_dim=0, backend="symbolic")
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    single = torch.func.vmap(torch.func.grad(lambda row: module(row).sum()))(x)
    x.requires_grad_()
    (expected,) = torch.autograd.grad(torch.stack([module(row).sum() for row in x]).sum(), x)
    torch.testing.assert_close(single, expected)


@pytest.mark.parametrize("backend", ["eager", "symbolic", "auto"])
def test_one_beta_may_serve_all_channels(backend: str) -> None:
    x = torch.randn(3, 5, 2, 2, generator=torch.Generator().manual_seed(0))
    shared, own = (Activation("x*sigmoid(beta*x)", channels=n, backend=backend) for n in (1, 5))
    value, slope, total = slopes(shared, x, torch.ones_like(x))
    expected = slopes(own, x, torch.ones_like(x))
    torch.testing.assert_close([value, slope, total], [*expected[:2], expected[2].sum().view(1)])


@pytest.mark.parametrize("backend", ["eager", "symbolic", "auto"])
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 4), r"beta has 3 channels, dimension 1 of an input of shape \(2, 4\) has 4"),
        (torch.zeros(3), r"channel_dim = 1: the input has the shape \(3,\)"),
        (torch.zeros(2, 3, dtype=torch.int64), "floating-point input, got torch.int64"),
        (torch.zeros(2, 3, device="meta"), "beta is on cpu, the input on meta"),
    ],
)
def test_an_input_that_does_not_fit_is_named(x: Tensor, message: str, backend: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Activation("x*sigmoid(beta*x)", channels=3, backend=backend)(x)


def test_a_beta_put_in_between_is_refused_by_the_gradient() -> None:
    module = Activation("x*sigmoid(beta*x)", channels=3, backend="symbolic")
    y = module(torch.ones(2, 3, requires_grad=True))
    module.betas()["beta"].data = torch.ones(1)
    with pytest.raises((ValueError, RuntimeError), match="shape"):
        y.sum().backward()


@pytest.mark.parametrize("has_machine_code", [True, False])
@pytest.mark.parametrize("backend", ["eager", "symbolic", "auto"])
def test_a_function_without_beta_takes_any_shape(
    backend: str, has_machine_code: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_machine_code:
        monkeypatch.setattr(dense, "is_possible", lambda x: False)
    for shape in ((), (5,), (0,), (2, 3, 4, 5, 6)):
        x = torch.full(shape, 0.7, requires_grad=True)
        y = Activation("x*sin(x)", backend=backend)(x)
        torch.testing.assert_close(y, x * x.sin())
        (slope,) = torch.autograd.grad(y.sum(), x)
        torch.testing.assert_close(slope, x.detach().sin() + x.detach() * x.detach().cos())


def test_tensors_without_memory_of_their_own_are_computed_by_torch() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True):
        y = Activation("x*sin(x)", backend="symbolic")(torch.empty(4, 3, 5))
    assert y.shape == (4, 3, 5)


@pytest.mark.parametrize("text", ["silu(cosh(0.5))", "min(sin(x), 0.5**1.5) - 2*beta*0.5**0.5", "x*atan(asinh(-2))"])
def test_constants_inside_are_numbers(text: str) -> None:
    x = torch.linspace(-1, 1, 6, dtype=torch.float64).view(3, 2)
    expected = torch.from_numpy(read(text).values(x.numpy()))
    for backend in ("eager", "symbolic"):
        torch.testing.assert_close(Activation(text, channels=2, backend=backend).double()(x).detach(), expected)


@pytest.mark.parametrize("text", ["x + beta", "beta*x", "exp(beta)*x + beta2*sin(x)", "beta*x*sigmoid(beta2*x)"])
@pytest.mark.parametrize("shape", [(37, 5), (3, 7, 3), (2, 3, 5, 7), (41, 1, 3)])
def test_a_pass_stays_within_its_working_memory(
    text: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    if machine.unavailable():
        pytest.skip("no machine code here")
    fence, fenced = 64, []
    signalling_nan = 0x7F80_0001  # which any arithmetic changes, even + 0

    def allocate(size: int, dtype: torch.dtype, device: str) -> Tensor:
        memory = torch.full((size // 4 + fence,), signalling_nan, dtype=torch.int32)
        fenced.append((memory, size // 4))
        return memory.view(dtype)

    module = Activation(text, channels=shape[1], backend="symbolic")
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    expected = slopes(module, x, torch.ones_like(x))
    monkeypatch.setattr(torch, "empty", allocate)
    found = slopes(module, x, torch.ones_like(x))
    monkeypatch.undo()
    assert fenced
    assert all(bool((memory[size:] == signalling_nan).all()) for memory, size in fenced)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs)
