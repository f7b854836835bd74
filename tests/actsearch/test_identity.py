"""Canonical form, names, gain, cost."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from scipy import integrate

from actsearch.config import ChildSettings, Recipe
from actsearch.evaluation import child_seed, evaluation_key, final_seeds
from actsearch.expression import expression_of
from actsearch.formula import Formula
from actsearch.identity import (
    canonical_text,
    equivalence_class,
    fingerprint,
    is_constant,
    is_finite,
    names,
    operation_count,
    unit_gain,
)
from actsearch.reader import read
from tests.actsearch.strategies import formulas


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x**2", "x**3/(x + 1e-5)"),
        ("x + beta; beta=0", "x + beta; beta=1"),
        ("x*sigmoid(x)", "x*sigmoid(beta*x)"),
        ("min(beta*x, abs(x))", "beta*x"),
        ("max(x, sin(x))", "x"),
        ("tanh(x)", "erf(x)"),
        ("max(x, 100)", "x"),
        ("min(x, 1e6)", "x"),
        ("max(x, 1e-6)", "max(x, 0)"),
        ("beta*x; beta=2", "beta*x"),
        ("beta*x", "x"),
        ("beta*x", "-beta*x"),
        ("beta*beta2*x", "beta*x"),
        ("beta*x + beta2*x**2; beta=0", "beta*x + beta2*x**2; beta2=0"),
        ("sinh(x)", "x + x**3/6 + x**5/120 + x**7/5040 + x**9/362880"),
        ("x*sigmoid(1.702*x)", "x*(1 + erf(x/sqrt(2)))/2"),
        ("erf(x)", "min((beta + x + sigmoid(x))**2, erf(x))"),
        ("min(cosh(x)*sigmoid(beta + x), erf(x))", "min((beta + x + sigmoid(x))**2, erf(x))"),
        ("asinh(x)", "min(sqrt(abs(x/(cos(x) + 1e-5)) + 1e-5), asinh(x))"),
        ("atan(x) - x - beta", "min(atan(x) - x - beta, cosh(x))"),
        ("x**2 - x + 0.2", "abs(x**2 - x + 0.2)"),
        ("min(exp(exp(-beta*(cos(x) - sinh(x))**2)), atan(x))", "min(exp(exp(-beta*(x + max(x, 0))**2)), atan(x))"),
    ],
)
def test_different_functions_stay_apart(one: str, other: str) -> None:
    assert fingerprint(read(one)) != fingerprint(read(other))
    assert canonical_text(read(one)) != canonical_text(read(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2*sigmoid(2*x) - 1", "tanh(x)"),
        ("sin(x)**2", "1 - cos(x)**2"),
        ("log(exp(x) + 1)", "softplus(x)"),
        ("exp(log(abs(x) + 1))", "abs(x) + 1"),
        ("sinh(x)*exp(x)", "(exp(2*x) - 1)/2"),
        ("(x + 1)**2", "x**2 + 2*x + 1"),
        ("(x + beta)*(x + beta2)", "x**2 + (beta + beta2)*x + beta*beta2"),
        ("(beta - beta2)*sin(x)", "beta2*sin(x) - beta*sin(x)"),
        ("x**2*(1 - tanh(x)**2)", "x**2/cosh(x)**2"),
        ("beta + beta2 + beta3 + beta4 + beta5 + x", "x + beta3 + beta9 + beta7 + beta6 + beta2"),
    ],
)
def test_the_fingerprint_meets_where_no_rule_does(one: str, other: str) -> None:
    assert fingerprint(read(one)) == fingerprint(read(other))


def test_a_fingerprint_is_16_hex_digits_and_the_same_for_all_time() -> None:
    """On any machine: exact arithmetic, rounded far below its precision. A change here changes every search's seeds."""
    assert fingerprint(read("x*sigmoid(beta*x)")) == "707ab073b1bff792"
    assert fingerprint(read("max(x, 0)")) == "c9e062e4f24d24fa"


def test_a_function_that_no_arithmetic_holds_still_has_a_fingerprint() -> None:
    towers = [read(f"sin(exp(exp(exp(exp({c}*x)))))") for c in (1, 2)]
    assert fingerprint(towers[0]) != fingerprint(towers[1])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("x", "identity"), ("max(0, x)", "ReLU"), ("x*sigmoid(x)", "SiLU"), ("x*sigmoid(beta*x)", "Swish"),
        ("x*sigmoid(1.702*x)", "GELU (sigmoid form)"), ("tanh(x)", "tanh"), ("sigmoid(x)", "sigmoid"),
        ("softplus(x)", "softplus"), ("sin(x)", "sine"), ("max(x, sigmoid(x))", "max(x, sigmoid)"), ("cos(x) - x", "cos(x) - x"),
        ("min(x, sin(x))", "min(x, sin x)"), ("atan(x)**2 - x", "atan² - x"), ("max(x, tanh(x))", "max(x, tanh x)"),
        ("x + sinc(x)", "sinc(x) + x"), ("x*asinh(x)**2", "x·asinh²"), ("-x*sigmoid(beta*x)", "Swish family"),
        ("x - x*sigmoid(-beta*x)", "Swish"), ("x/(1 + exp(-x))", "SiLU"), ("beta*x*sigmoid(x)", "Swish family"),
        ("x*sigmoid(beta*x); beta=0.5", "Swish"), ("max(x, x/100)", "leaky ReLU"), ("max(x, beta*x)", "max(x, βx)"),
        ("beta*x + (1 - beta)*max(x, 0)", "PReLU"), ("beta*max(x, 0) + (1 - beta)*min(x, 0)", ""), ("log(1 + exp(x))", "softplus"),
        ("max(x, min(exp(x) - 1, 0))", "ELU"), ("max(x, 0) + exp(min(x, 0)) - 1", "ELU"),
        ("x*(1 + erf(x/sqrt(2)))/2", "GELU"), ("0.5*x + 0.5*x*erf(x*sqrt(0.5))", "GELU"), ("x*tanh(log(1 + exp(x)))", "Mish"),
        ("x/(abs(x) + 1)", "softsign"), ("min(max(0, x), 6)", "ReLU6"), ("max(x, 0)*abs(x)", "squared ReLU"),
        ("log(sigmoid(x))", "log-sigmoid"), ("2*sigmoid(2*x) - 1", "tanh"), ("max(x, -x)", "absolute value"),
        ("x*min(max(x + 3, 0), 6)/6", "hard swish"), ("x*sinc(x)", "sine"),
        ("1.0507009873554804935*max(x, 0) + 1.0507009873554804935*1.6732632423543772848*(exp(min(x, 0)) - 1)", "SELU"),
        ("-x", "negative identity"), ("1/exp(-x)", "exponential"), ("atan(x)", "arctan"), ("asinh(x)", "asinh"),
        ("sign(x)", "sign"), ("step(x)", "step"), ("log(1 + exp(beta*x))/beta", "softplus with β"),
        ("x*(1 + x**2)**-0.5", "ISRU"),
        ("0.5*x*(1 + tanh(0.7978845608028654*(x + 0.044715*x**3)))", "GELU (tanh form)"),
        ("x*sigmoid(2*sqrt(2/pi)*(x + 0.044715*x**3))", "GELU (tanh form)"),
        ("max(x, 0.2*x)", "leaky ReLU"), ("max(x, 0) + 0.3*min(x, 0)", "leaky ReLU"), ("0.6*x + 0.4*abs(x)", "leaky ReLU"),
        ("max(x, 2*x)", ""), ("max(x, -x/2)", ""), ("max(x, x/2, 3)", ""), ("1/max(x, x/2)", ""),
    ],
)  # fmt: skip
def test_names(text: str, name: str) -> None:
    assert names(read(text)) == ((name,) if name else ())


@pytest.mark.parametrize(
    ("text", "plainest"),
    [
        ("-x*sigmoid(beta*x)", "x*sigmoid(x)"), ("beta*x*sigmoid(-beta2*x)", "x*sigmoid(x)"),
        ("x*sigmoid(1.702*x)", "x*sigmoid(x)"), ("-2*min(x, 0)", "max(x, 0)"), ("beta*tanh(x)", "tanh(x)"),
        ("x - x*sigmoid(x)", "x*sigmoid(x)"), ("beta*x + (1 - beta)*sin(x)", "beta*sin(x) + x*(1 - beta)"),
        ("beta*sin(x) + (1 - beta)*x", "beta*sin(x) + x*(1 - beta)"), ("x - cos(x)", "x + cos(x)"),
        ("min(x, tanh(x))", "max(x, tanh(x))"), ("min(beta + x, erf(x))", "max(beta + x, erf(x))"),
        ("min(beta, x)", "max(beta, x)"), ("sin(x) + min(x, 0)", "sin(x) + max(x, 0)"),
        ("(beta + x)*sigmoid(-x)", "(beta + x)*sigmoid(x)"), ("min(beta*x, sin(x))", "max(beta*x, sin(x))"),
    ],
)  # fmt: skip
def test_equivalence_class(text: str, plainest: str) -> None:
    assert equivalence_class(read(text)) == plainest


@settings(max_examples=60, deadline=None)
@given(formulas(1))
def test_the_plainest_function_of_a_class_is_a_multiple_of_f_or_of_its_mirror_image(formula: Formula) -> None:
    f = expression_of(formula)
    x = np.linspace(-3.1, 3.3, 41)
    plainest = read(equivalence_class(f))
    assume(len(f.initial) == len(plainest.initial) <= 1)
    # β may have been mirrored, or counted from 1: these are all the moves there are for a single one.
    values = [0.7] if f.initial else [0.0]
    wanted = scaled(plainest.values(x, **dict.fromkeys(plainest.initial, values[0])))
    assume(np.isfinite(wanted).all())
    moved = [0.7, -0.7, 0.3, 1.7, -0.3] if f.initial else values
    found = [scaled(f.values(b * x, **dict.fromkeys(f.initial, m))) for m in moved for b in (1, -1, 2, -2, 0.5, -0.5)]
    assert any(np.allclose(s * other, wanted, rtol=1e-5) for other in found for s in (1, -1))


def scaled(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """By the largest, so that it is 1; NaN where they are not all finite, or all 0."""
    with np.errstate(all="ignore"):
        result: npt.NDArray[np.float64] = values / np.abs(values).max()
    return result


def test_classes_that_no_scale_joins_stay_apart() -> None:
    texts = ["x", "max(x, 0)", "abs(x)", "max(x, beta*x)", "x*sigmoid(x)", "x*tanh(x)", "tanh(x)", "x + beta", "x**2"]
    texts += ["max(x, tanh(x))", "max(x, erf(x))", "max(x, sin(x))", "sigmoid(x) - max(x, 0)", "sigmoid(x) + max(x, 0)"]
    assert len({equivalence_class(read(text)) for text in texts}) == len(texts)


def test_a_function_without_a_name_has_none() -> None:
    assert names(read("sinc(x) - softplus(x)")) == ()


def test_unit_gain_against_closed_forms_and_quadrature() -> None:
    assert unit_gain(read("x")) == pytest.approx(1, rel=1e-9)
    assert unit_gain(read("max(x, 0)")) == pytest.approx(math.sqrt(2), rel=1e-9)
    assert unit_gain(read("x**2")) == pytest.approx(1 / math.sqrt(3), rel=1e-9)
    assert unit_gain(read("exp(x)")) == pytest.approx(math.exp(-1), rel=1e-6)  # E exp(2z) = e²
    square, _ = integrate.quad(
        lambda z: (z / (1 + math.exp(-z))) ** 2 * math.exp(-z * z / 2) / math.sqrt(2 * math.pi), -40, 40
    )
    assert unit_gain(read("x*sigmoid(beta*x)")) == pytest.approx(1 / math.sqrt(square), rel=1e-9)


def test_unit_gain_where_there_is_no_scale() -> None:
    assert unit_gain(read("x/(x - x**2)")) == 1.0
    assert unit_gain(read("1e-4*x")) == 1.0
    assert unit_gain(read("exp(x**2)")) == 1.0


def test_constants_and_non_functions() -> None:
    assert is_constant(read("beta + 1"))
    assert is_constant(expression_of(Formula.from_tokens(["sin", "sin", "subtract"])))
    assert is_constant(read("sin(x)**2 + cos(x)**2"))
    assert not is_constant(read("beta*x"))
    assert not is_constant(read("min(x, 1e6)"))
    assert not is_constant(read("max(x, 1e6)"))
    assert is_finite(read("x"))
    assert is_finite(read("1/x"))
    assert not is_finite(read("log(-1 - x**2)"))
    assert not is_finite(read("exp(1000 + x)"))


def test_operation_count() -> None:
    assert operation_count(read("x")) == 0
    assert operation_count(read("sin(x)")) == 1
    assert operation_count(read("x*sigmoid(beta*x)")) == 3


def test_seeds_and_keys_depend_on_everything_that_matters() -> None:
    assert child_seed(0, "x", 0) == child_seed(0, "x", 0)
    seeds = {child_seed(r, t, k) for r in range(3) for t in ("x", "sin(x)") for k in range(3)}
    assert len(seeds) == 18
    assert all(0 <= s < 2**31 for s in seeds)
    base = evaluation_key("x", ChildSettings(), Recipe(), "digits", 1)
    assert base == evaluation_key("x", ChildSettings(), Recipe(), "digits", 1)
    others = [
        evaluation_key("sin(x)", ChildSettings(), Recipe(), "digits", 1),
        evaluation_key("x", ChildSettings(name="resnet20"), Recipe(), "digits", 1),
        evaluation_key("x", ChildSettings(), Recipe(steps=151), "digits", 1),
        evaluation_key("x", ChildSettings(), Recipe(), "cifar10", 1),
        evaluation_key("x", ChildSettings(), Recipe(), "digits", 2),
    ]
    assert len({base, *others}) == 6


def test_final_seeds_are_fresh_and_the_same_for_every_function() -> None:
    seeds = final_seeds(7, "finals", 50, used=())
    assert len(set(seeds)) == 50
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert final_seeds(7, "finals", 20, used=()) == seeds[:20]
    assert not set(seeds) & set(final_seeds(7, "screening", 50, used=()))
    assert not set(seeds) & set(final_seeds(8, "finals", 50, used=()))
    assert final_seeds(7, "finals", 48, used={seeds[0], seeds[9]}) == (*seeds[1:9], *seeds[10:])
