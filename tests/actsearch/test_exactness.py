"""Values and gradients of every backend against exact arithmetic, and exact arithmetic against its own references."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import mpmath
import numpy as np
import pytest
import scipy.special
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actsearch import exact
from actsearch.activation import kernels
from actsearch.activation.native import native
from actsearch.config import SpaceSettings
from actsearch.errors import InexactError, OutOfRangeError, UndefinedError
from actsearch.exact.conditioning import conditioning, flags, kinks
from actsearch.expression import Expression, expression_of
from actsearch.graph import graph
from actsearch.identity import canonical, canonical_text, is_finite
from actsearch.reader import read
from actsearch.space import Space
from tests.actsearch.exactness import BACKENDS, BETAS, DTYPES, Array, Findings, check
from tests.actsearch.strategies import SPACES

mp = mpmath.MPContext()
mp.dps = 150


# --- exact arithmetic itself -----------------------------------------------------------------------------------------

CLOSED_FORMS = {
    "x*sigmoid(x)": lambda x: x / (1 + mp.exp(-x)),
    "softplus(x)": lambda x: mp.log(1 + mp.exp(x)),
    "exp(-x**2)": lambda x: mp.exp(-x * x),
    "log(abs(x) + 1e-5)": lambda x: mp.log(abs(x) + mp.mpf(1) / 100_000),
    "sqrt(abs(x) + 1e-5)": lambda x: mp.sqrt(abs(x) + mp.mpf(1) / 100_000),
    "atan(x)**2 - x": lambda x: mp.atan(x) ** 2 - x,
    "max(x, tanh(x))": lambda x: max(x, mp.tanh(x)),
    "min(x, sin(x))": lambda x: min(x, mp.sin(x)),
    "erf(x)/(cosh(x) + 1e-5)": lambda x: mp.erf(x) / (mp.cosh(x) + mp.mpf(1) / 100_000),
    "x*asinh(x)**2 - sinh(x)": lambda x: x * mp.asinh(x) ** 2 - mp.sinh(x),
    "sinc(x) + cos(x)/3": lambda x: mp.sinc(x) + mp.cos(x) / 3,
    "x**3/(2 + x**2)**(1/2)": lambda x: x**3 / mp.sqrt(2 + x * x),
    "sign(x)*step(x - 1) + abs(x)": lambda x: mp.sign(x) * mp.mpf(x > 1) + abs(x) + mp.mpf(x == 1) / 2,
    "(2 + x**2)**beta": lambda x: (2 + x * x) ** mp.mpf(0.7),
    "exp(1)*pi*x": lambda x: mp.e * mp.pi * x,
}


@pytest.mark.parametrize("text", CLOSED_FORMS)
def test_values_are_those_of_the_closed_form(text: str) -> None:
    for x in (-100.0, -3.7, -1.0, -1e-8, 1e-8, 0.3, 1.0, 20.0):
        actual = exact.value(read(text), x, {"beta": 0.7})
        expected = CLOSED_FORMS[text](mp.mpf(x))
        assert abs(mp.mpf(actual) - expected) <= mp.mpf(10) ** -29 * abs(expected), x


@pytest.mark.parametrize(("text", "function"), [
    ("sigmoid(x)", scipy.special.expit), ("softplus(x)", lambda x: np.logaddexp(0, x)), ("erf(x)", scipy.special.erf),
    ("sinc(x)", lambda x: scipy.special.spherical_jn(0, x)), ("sinc_slope(x)", lambda x: -scipy.special.spherical_jn(1, x)),
])  # fmt: skip
def test_values_are_those_of_scipy(text: str, function: np.ufunc) -> None:
    x = np.array([0.0, 1e-100, 1e-8, 1e-3, 0.4, 1.0, 4.0, 20.0, 100.0])
    actual = [float(exact.value(read(text), point)) for point in x]
    np.testing.assert_allclose(actual, function(x), rtol=1e-13)


@given(st.integers(0, 10**6), st.floats(-3, 3).filter(lambda x: abs(x) > 1e-3))
@settings(deadline=None, max_examples=25)
def test_derivatives_are_mpmaths_differences(seed: int, x: float) -> None:
    expression = expression_of(SPACES[1].sample(np.random.default_rng(seed)))
    if any(abs(x - kink) < 1e-3 for kink in kinks(expression)):
        return

    def function(point: mpmath.mpf) -> mpmath.mpf:
        with mpmath.workdps(120):
            return exact.value(expression, point, digits=100)

    with mpmath.workdps(100):
        expected = mpmath.diff(function, mpmath.mpf(x))
    actual = exact.value(expression.derivative(), x)
    assert abs(actual - expected) <= 1e-24 * max(1, abs(expected))


@pytest.mark.parametrize(("text", "x", "expected"), [
    ("sinc(x)", 0, 1), ("sinc_slope(x)", 0, 0), ("sign(x)", 0, 0), ("step(x)", 0, mpmath.mpf(1) / 2), ("max(x, -x)", 0, 0),
    ("exp(-exp(x))", 100, 0), ("tanh(exp(x))", -100, "3.72007597602083596295969538e-44"),
    ("1 - tanh(x)**2", 100, "5.535586106946950122594726e-87"), ("x*sigmoid(x)", -100, "-3.720075976020835962959696e-42"),
    ("sinc_slope(x)", 1e-200, "-3.333333333333333e-201"), ("softplus(x)", -1000, "5.075958897549456765291809e-435"),
])  # fmt: skip
def test_hard_points(text: str, x: float, expected: object) -> None:
    assert mpmath.almosteq(exact.value(read(text), x), mpmath.mpf(expected), rel_eps=1e-15)


def test_a_gradient_at_a_kink_follows_the_rules() -> None:
    slopes = {
        text: exact.value(read(text).derivative(), 0) for text in ("max(x, 0)", "min(x, 0)", "abs(x)", "max(x, -2*x)")
    }
    assert slopes == {"max(x, 0)": 0, "min(x, 0)": 0, "abs(x)": 0, "max(x, -2*x)": -0.5}


@pytest.mark.parametrize(("text", "x", "error"), [
    ("exp(exp(exp(x)))", 20, OutOfRangeError), ("cosh(x**8)", 100, OutOfRangeError), ("sinh(x**8)", -1e30, OutOfRangeError),
    ("log(x)", 0, UndefinedError), ("log(x)", -1, UndefinedError), ("sqrt(x)", -1, UndefinedError), ("1/x", 0, UndefinedError),
    ("x**beta", -2, UndefinedError), ("x", float("nan"), UndefinedError), ("sin(exp(x))", 2000, InexactError),
    ("cosh(x) - sinh(x)", 300, InexactError),
])  # fmt: skip
def test_what_has_no_value_says_so_at_once(text: str, x: float, error: type[Exception]) -> None:
    with pytest.raises(error):
        exact.value(read(text), x, {"beta": 0.5})


@pytest.mark.parametrize(("text", "expected"), [
    ("min(exp(exp(exp(x))), sinc(x))", mp.sinc(100)), ("max(-exp(exp(exp(x))), 2)", 2), ("tanh(exp(exp(exp(x))))", 1),
    ("min(x, 3 + 2*exp(exp(exp(x))))", 100), ("sigmoid(x - exp(exp(exp(x))))", 0), ("exp(-exp(exp(exp(x)))) + 1", 1),
    ("max(1, sinh(-exp(exp(exp(x)))))", 1), ("min(1, abs(-exp(exp(exp(x)))))", 1), ("sign(-2*cosh(exp(exp(x))))", -1),
    ("max(1, x*(-exp(exp(exp(x)))))", 1), ("max(2, min(-exp(exp(exp(x))), exp(exp(exp(x)))))", 2), ("erf(beta*(-x)**3*exp(exp(exp(x))))", -1),
])  # fmt: skip
def test_a_number_out_of_range_still_has_a_sign(text: str, expected: object) -> None:
    assert mpmath.almosteq(exact.value(read(text), 100), mpmath.mpf(expected), rel_eps=1e-15)


@pytest.mark.parametrize("text", [
    "min(1, exp(exp(exp(x))))*exp(exp(exp(x)))", "min(1, exp(exp(exp(x))) - exp(exp(exp(2*x))))", "min(1, exp(-x)*exp(exp(exp(x))))",
    "max(1, exp(exp(exp(x))))", "max(1, cos(exp(exp(exp(x)))))",
])  # fmt: skip
def test_where_the_size_is_not_known_there_is_no_value(text: str) -> None:
    with pytest.raises((OutOfRangeError, InexactError)):
        exact.value(read(text), 100)


def test_one_pole_does_not_hide_the_other_results() -> None:
    pole, plain = exact.values([read("1/x"), read("cos(x)")], 0)
    assert isinstance(pole, UndefinedError)
    assert plain == 1


def test_numbers_are_rounded_as_asked() -> None:
    single = exact.value(read("x + 1e-5"), 0, rounding=lambda v: float(np.float32(float(v))))
    assert single == float(np.float32(1e-5))
    assert exact.value(read("x + 1e-5"), 0) != single


def test_precision_outside_is_left_alone() -> None:
    before = mpmath.mp.prec
    exact.value(read("1 - tanh(x)**2"), 50)
    assert mpmath.mp.prec == before


# --- bounds and properties -------------------------------------------------------------------------------------------


def test_shared_subexpressions_are_one_node() -> None:
    nodes, (root,) = graph([read("sin(x*beta)**2 + cos(x*beta)").expr])
    assert [node.expr for node in nodes].count(read("x*beta").expr) == 1
    assert root == len(nodes) - 1


def test_bounds_of_a_product_by_hand() -> None:
    bounds = conditioning(read("x*exp(x)"), [3.0])  # nodes exp and the product: 2·x·exp(x)
    assert float(bounds.relative[0]) == pytest.approx(2 * 3 * np.exp(3))
    assert float(bounds.absolute[0]) == pytest.approx(3 + 3 * np.exp(3))


def test_a_cancelled_sum_has_its_own_rounding_error() -> None:
    bounds = conditioning(read("(sin(x)**2 + cos(x)**2 - 1)**2"), [1.0])
    assert 1e-25 < float(bounds.room[0]) < 1e-22


@pytest.mark.parametrize(("text", "float64", "float32"), [
    ("x*sigmoid(x)", (), ()), ("exp(-x**2)", (), ()), ("x*exp(x)", (), ("overflows",)), ("exp(exp(x))", ("overflows",), ("overflows",)),
    ("sin(exp(x))", ("ill-conditioned",), ("overflows", "ill-conditioned")), ("sinc(x**3)*cos(x)", (), ()), ("1/x", ("overflows",), ("overflows",)),
])  # fmt: skip
def test_properties(text: str, float64: tuple[str, ...], float32: tuple[str, ...]) -> None:
    assert flags(read(text)) == float64
    assert flags(read(text), np.float32) == float32


@pytest.mark.parametrize(("text", "expected"), [
    ("x", []), ("max(x, 0)", [0]), ("max(x**2, abs(x))", [-1, 0, 1]), ("abs(x - beta)", [1]), ("1/(x + 1)", []),
    ("max(x, sin(x))", [0]), ("max(cos(x), x)", [0.7390851332151607]), ("step(1/(x + 1/3))", []),
])  # fmt: skip
def test_kinks(text: str, expected: list[float]) -> None:
    assert kinks(read(text)) == pytest.approx(expected, abs=1e-15)


# --- the backends ----------------------------------------------------------------------------------------------------


def test_named_traps() -> None:
    """Those that a naive form gets wrong: σ and softplus at ±100, sinc at 0, the logarithm at 0, asinh's slope far out."""
    texts = ["sigmoid(x)", "softplus(x)", "x*sigmoid(x)", "sinc(x)", "log(abs(x) + 1e-5)", "sqrt(abs(x) + 1e-5)", "asinh(exp(x))",
             "max(x, 0)", "abs(x)", "max(x, -x/2)", "max(x, x**2, abs(x))", "sinh(x)*exp(-x**2)", "x*tanh(softplus(x))",
             "max(cos(x), cosh(x))", "erf(x)*asinh(x)", "sinc(beta*x)*x", "max(exp(x), cos(1))", "min(x, x**2)", "min(-x, softplus(x))", "exp(-beta*abs(x - beta2)); beta=0.5"]  # fmt: skip
    assert_exact(check(canonical(read(text)), BACKENDS) for text in texts)


def test_torchs_own_functions_are_exact() -> None:
    texts = ["x", "-x", "abs(x)", "x**2", "max(x, 0)", "x*sigmoid(x)", "tanh(x)", "sin(x)", "cos(x)", "exp(x)",
             "x*(1 + erf(x/sqrt(2)))/2"]  # fmt: skip
    forms = [canonical(read(text)) for text in texts]
    assert all(native(form) is not None for form in forms)
    assert_exact(check(form, {}) for form in forms)


def sample(units: int, count: int, seed: int) -> list[Expression]:
    """Distinct canonical forms of random formulas that are real functions."""
    rng = np.random.default_rng(seed)
    space = Space(SpaceSettings(units=units))
    found: dict[str, Expression] = {}
    while len(found) < count:
        expression = canonical(expression_of(space.sample(rng)))
        if is_finite(expression):
            found[canonical_text(expression)] = expression
    return list(found.values())


def assert_exact(results: Iterable[Findings]) -> Counter[str]:
    """No fault, and what nothing could be asked of is the exception."""
    findings = Findings()
    for result in results:
        findings.faults += result.faults
        findings.counts += result.counts
    assert not findings.faults, f"{len(findings.faults)} faults:\n" + "\n".join(findings.faults[:20])
    total = findings.counts.total()
    assert findings.counts["compared"] > 0.8 * total, findings.counts
    assert findings.counts["excused"] < 0.1 * total, findings.counts
    assert findings.counts["unknown"] < 0.002 * total, findings.counts
    return findings.counts


@pytest.mark.timeout(400)  # 5 s by itself
def test_a_sample_of_the_space() -> None:
    """100 formulas; each in one dtype at one choice of β, a third of them in machine code too. All of it is slow, below."""
    formulas = [*sample(1, 84, seed=1), *sample(2, 8, seed=2), *sample(3, 8, seed=3)]
    assert_exact(_lighter(i, expression) for i, expression in enumerate(formulas))


def _lighter(i: int, expression: Expression) -> Findings:
    backends = {n: b for n, b in BACKENDS.items() if n == "eager" or (n == "symbolic" and i % 3 == 0)}
    return check(expression, backends, dtypes=[DTYPES[i // 3 % 2]], betas=[BETAS[i % 3]], most_kinks=2)


def one_unit_forms() -> list[Expression]:
    """Every function of the one-unit space that is a real function, once."""
    forms = {canonical_text(e): canonical(e) for e in map(expression_of, SPACES[1].enumerate()) if is_finite(e)}
    assert len(forms) > 2_000
    return list(forms.values())


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_function_of_the_one_unit_space() -> None:
    """Each at one choice of β; at all three by hand."""
    assert_exact(_in_processes(_at_one_beta, one_unit_forms()))


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_function_of_the_one_unit_space_at_every_beta() -> None:
    assert_exact(_in_processes(_at_every_beta, one_unit_forms()))


@pytest.mark.parametrize(
    "count", [pytest.param(100, marks=pytest.mark.slow), pytest.param(300, marks=pytest.mark.long)]
)
@pytest.mark.timeout(3600)
def test_larger_formulas(count: int) -> None:
    """So many of two units and as many of three."""
    assert_exact(_in_processes(_at_one_beta, [*sample(2, count, seed=4), *sample(3, count, seed=5)]))


def _in_processes(job: Callable[[int, Expression], Findings], expressions: Sequence[Expression]) -> Iterator[Findings]:
    with ProcessPoolExecutor(
        os.cpu_count(), mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        yield from pool.map(job, range(len(expressions)), expressions, chunksize=16)


def _at_every_beta(i: int, expression: Expression) -> Findings:
    return check(expression, {name: b for name, b in BACKENDS.items() if name != "numpy" or i % 4 == 0})


def _at_one_beta(i: int, expression: Expression) -> Findings:
    backends = {name: b for name, b in BACKENDS.items() if name != "numpy" or i % 4 == 0}
    return check(expression, backends, betas=[BETAS[i % 3]])


def _naive_softplus(x: torch.Tensor) -> torch.Tensor:
    return torch.log(1 + torch.exp(x))


BROKEN = {
    "softplus without its guard": ("softplus", _naive_softplus, "softplus(x)"),
    "sinc by division": ("sinc", lambda x: torch.sin(x) / x, "sinc(x)"),
    "sinc's slope by its closed form": ("sinc_slope", lambda x: torch.cos(x) / x - torch.sin(x) / x**2, "sinc_slope(x)"),
    "torch's own sigmoid": ("sigmoid", torch.sigmoid, "sigmoid(x)"),
    "a tie that goes to the first": ("maximum", lambda a, b: torch.where(a >= b, a, b), "max(x, -x/2)"),
    "asinh by its formula": ("asinh", lambda x: torch.log(x + torch.sqrt(x * x + 1)), "asinh(x)"),
    "cosh that loses the sign of its slope": ("cosh", lambda x: torch.cosh(x.abs().detach()) + 0 * x, "cosh(x)"),
    "sinh from two exps": ("sinh", lambda x: (torch.exp(x) - torch.exp(-x)) / 2, "sinh(x)"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_kernel_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, broken, text = BROKEN[name]
    eager = {"eager": BACKENDS["eager"]}
    assert not check(canonical(read(text)), eager).faults
    monkeypatch.setattr(kernels, kernel, broken)
    assert check(canonical(read(text)), eager).faults


def test_a_wrong_rule_at_a_kink_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def half_at_zero(expression: Expression, x: Array, betas: Mapping[str, Array]) -> tuple[Array, Mapping[str, Array]]:
        value, grads = BACKENDS["eager"](expression, x, betas)
        return value, {"x": np.where(x == 0, 0.5, grads["x"])}

    assert check(canonical(read("max(x, 0)")), {"half": half_at_zero}).faults


def test_asinh_has_a_slope_where_its_square_overflows() -> None:
    x = torch.tensor([1e25, -3e30], requires_grad=True)
    (slope,) = torch.autograd.grad(kernels.asinh(x).sum(), x)
    torch.testing.assert_close(slope, 1 / x.detach().abs(), rtol=1e-6, atol=0)


def test_float16_has_no_nan() -> None:
    x = torch.tensor([0.0, 1e-7, 1.0, 300.0, 60_000.0], dtype=torch.float16, requires_grad=True)
    for kernel in (kernels.asinh, kernels.sinc, kernels.sigmoid, kernels.softplus):
        y = kernel(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
        assert torch.isfinite(y).all()
        assert torch.isfinite(slope).all()
