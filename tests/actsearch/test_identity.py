"""Canonical form, names, gain, cost."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from scipy import integrate

from actsearch.config import ChildSettings, Recipe, SpaceSettings
from actsearch.evaluation import child_seed, evaluation_key
from actsearch.expression import expression_of
from actsearch.formula import Formula
from actsearch.identity import (
    canonical,
    canonical_text,
    is_constant,
    is_finite,
    is_strict_swish,
    is_swish_family,
    names,
    operation_count,
    unit_gain,
)
from actsearch.reader import read
from actsearch.space import Space
from tests.actsearch.strategies import formulas

POINTS = np.concatenate([np.linspace(-5.3, 5.1, 41), [-30.0, 25.0]])


@given(formulas(2))
@settings(deadline=None, max_examples=60)
def test_canonical_is_idempotent_and_the_same_function(formula: Formula) -> None:
    expression = expression_of(formula)
    form = canonical(expression)
    assert canonical(form) == form
    values = dict.fromkeys(expression.initial, 0.7)
    ours = expression.values(POINTS, **values)
    theirs = form.values(POINTS, **dict.fromkeys(form.initial, 0.7))
    usable = np.isfinite(ours) & np.isfinite(theirs) & (np.abs(ours) < 1e6)
    np.testing.assert_allclose(theirs[usable], ours[usable], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    "spellings",
    [
        ("x + x", "2*x", "x - -x"),
        (
            "max(x, 0)",
            "max(0, x)",
            "max(x, 0, atan(x))",
            "abs(x) + min(x, 0)",
            "min(abs(x), max(x, 0))",
            "(x + abs(x))/2",
        ),
        ("abs(x)", "max(x, -x)", "max(abs(x), tanh(x))"),
        ("x", "max(x, 0) + min(x, 0)", "max(x, min(x, 0))", "min(x, softplus(x))"),
        ("(x - sin(x))**2", "(sin(x) - x)**2"),
        ("beta*x + beta2*sin(x)", "beta2*x + beta*sin(x)"),
        ("x*sigmoid(beta*x)", "sigmoid(x*beta)*x"),
        ("cosh(x)", "max(cosh(x), x)", "max(cos(x), cosh(x))"),
    ],
)
def test_spellings_of_one_function_meet(spellings: tuple[str, ...]) -> None:
    assert len({canonical_text(read(text)) for text in spellings}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x**2", "x**3/(x + 1e-5)"),
        ("x + beta; beta=0", "x + beta; beta=1"),
        ("x*sigmoid(x)", "x*sigmoid(beta*x)"),
        ("min(beta*x, abs(x))", "beta*x"),
        ("max(x, sin(x))", "x"),
        ("tanh(x)", "erf(x)"),
    ],
)
def test_different_functions_stay_apart(one: str, other: str) -> None:
    assert canonical_text(read(one)) != canonical_text(read(other))


@pytest.mark.parametrize(
    "text",
    [
        "max(x, 100)",
        "min(max(x, 0), 100)",
        "max(x**2 - 4000, 0)",
        "max(beta, 25)*x",
        "max(0, 1 - 10000*(x - 0.52)**2)",
        "max(x, 1e6)",
    ],
)
def test_a_number_off_the_grid_is_never_pruned(text: str) -> None:
    function = read(text)
    x = np.array([0.0, 0.52, 3.0, 70.0, 200.0, 1e7])
    np.testing.assert_allclose(canonical(function).values(x, beta=50.0), function.values(x, beta=50.0))


@pytest.mark.slow
def test_pruning_holds_far_out() -> None:
    """The one-unit space's max and min at points that the pruning has not seen."""
    x = np.concatenate([s * np.geomspace(1e-7, 1e7, 997) for s in (-1, 1)])
    for formula in Space(SpaceSettings(binary=("max", "min"))).enumerate():
        expression = expression_of(formula)
        for beta in (-30.0, 0.1, 700.0):
            betas = dict.fromkeys(expression.initial, beta)
            ours, theirs = expression.values(x, **betas), canonical(expression).values(x, **betas)
            usable = np.isfinite(ours)
            np.testing.assert_allclose(theirs[usable], ours[usable], rtol=1e-9, atol=1e-12, err_msg=str(expression))


def test_one_unit_space_against_brute_force() -> None:
    """A sample of the 6,250 strings: equal canonical text exactly where values agree at several β."""
    rng = np.random.default_rng(5)
    space = Space(SpaceSettings())
    by_text: dict[str, np.ndarray] = {}
    for formula in [space.sample(rng) for _ in range(300)]:
        form = canonical(expression_of(formula))
        values = np.concatenate([form.values(POINTS, **dict.fromkeys(form.initial, b)) for b in (0.6, 1.7, -0.8)])
        seen = by_text.setdefault(form.full_text, values)
        np.testing.assert_allclose(values, seen, rtol=1e-9, equal_nan=True)


def test_swish_family_has_15_spellings_and_strict_swish_3() -> None:
    expressions = [expression_of(f) for f in Space(SpaceSettings()).enumerate()]
    candidates = [e for e in expressions if "sigmoid" in e.text]
    assert sum(map(is_swish_family, candidates)) == 15
    assert sum(map(is_strict_swish, candidates)) == 3


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("x", "identity"), ("max(0, x)", "ReLU"), ("x*sigmoid(x)", "SiLU"), ("x*sigmoid(beta*x)", "Swish"),
        ("x*sigmoid(1.702*x)", "GELU (sigmoid form)"), ("tanh(x)", "tanh"), ("sigmoid(x)", "sigmoid"),
        ("softplus(x)", "softplus"), ("sin(x)", "sine"), ("max(x, sigmoid(x))", "max(x, sigmoid)"), ("cos(x) - x", "cos(x) - x"),
        ("min(x, sin(x))", "min(x, sin x)"), ("atan(x)**2 - x", "atan² - x"), ("max(x, tanh(x))", "max(x, tanh x)"),
        ("x + sinc(x)", "sinc(x) + x"), ("x*asinh(x)**2", "x·asinh²"), ("-x*sigmoid(beta*x)", "Swish family"),
    ],
)  # fmt: skip
def test_names(text: str, name: str) -> None:
    assert names(read(text)) == (name,)


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
    assert not is_constant(read("beta*x"))
    assert is_finite(read("x"))


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
