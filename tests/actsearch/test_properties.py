"""A function's properties against closed forms, and laws that hold for every function."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from scipy import integrate, optimize, special

from actsearch.expression import expression_of
from actsearch.formula import Formula
from actsearch.identity import canonical, is_finite, unit_gain
from actsearch.properties import Properties, properties
from actsearch.properties.asymptotes import asymptote
from actsearch.reader import read
from tests.actsearch.strategies import formulas

INF = math.inf


def of(text: str) -> Properties:
    return properties(canonical(read(text)))


@pytest.mark.parametrize(
    ("text", "left", "right"),
    [
        ("x*sigmoid(x)", ("converges", 0), ("to infinity", INF)),
        ("x*(1 + erf(x/sqrt(2)))/2", ("converges", 0), ("to infinity", INF)),
        ("tanh(x)", ("converges", -1), ("converges", 1)),
        ("atan(x)", ("converges", -math.pi / 2), ("converges", math.pi / 2)),
        ("softplus(x) - x", ("to infinity", INF), ("converges", 0)),
        ("x/(x + 1e-5)", ("converges", 1), ("converges", 1)),
        ("log(abs(x) + 1e-5)", ("to infinity", INF), ("to infinity", INF)),
        ("1/log(2 + abs(x))", ("converges", 0), ("converges", 0)),
        ("exp(exp(x))", ("converges", 1), ("to infinity", INF)),
        ("exp(-x**2)*x**9", ("converges", 0), ("converges", 0)),
        ("sinh(x)/cosh(x)", ("converges", -1), ("converges", 1)),
        ("x + 3*sin(x)", ("to infinity", -INF), ("to infinity", INF)),
        ("sinc(x)", ("converges", 0), ("converges", 0)),
        ("asinh(x) - x", ("to infinity", INF), ("to infinity", -INF)),
        ("log(x)", ("undefined", None), ("to infinity", INF)),
        ("x*sin(x)", ("unbounded", -INF), ("unbounded", -INF)),
        ("2*cos(x) + 1", ("oscillates", -1), ("oscillates", -1)),
        ("step(x)", ("converges", 0), ("converges", 1)),
    ],
)
def test_limits(text: str, left: tuple[str, float | None], right: tuple[str, float | None]) -> None:
    for side, (kind, value) in ((-1, left), (1, right)):
        found = asymptote(canonical(read(text)), side)
        assert found.kind == kind
        assert value is None or found.low == pytest.approx(value, abs=1e-12)


def test_what_oscillates_says_between_what() -> None:
    found = asymptote(read("sin(x)*cos(x) + 1/4"), 1)
    assert (found.kind, found.low, found.high) == ("oscillates", -0.25, 0.75)


@pytest.mark.parametrize(
    ("text", "zeros"),
    [
        ("x*sigmoid(x)", [0]),
        ("max(x, 0)", [(-INF, 0)]),
        ("min(max(x + 3, 0), 6)/6", [(-INF, -3)]),
        ("softplus(x)", []),
        ("sin(x)", [k * math.pi for k in range(-6, 7)]),
        ("abs(sin(x))", [k * math.pi for k in range(-6, 7)]),
        ("sinc(x)", [k * math.pi for k in range(-6, 7) if k]),
        ("cos(x) - x", [0.7390851332151607]),
        ("x - sin(x)", [0]),
        ("(x - 1)**2*(x + 2)", [-2, 1]),
        ("(x**2 - 2)**2", [-math.sqrt(2), math.sqrt(2)]),
        ("1/x", []),
        ("x/(x + 1e-5)", [0]),
        ("tanh(x) - 1", []),
        ("exp(-x**2)", []),
        ("max(abs(x) - 1, 0)", [(-1, 1)]),
    ],
)
def test_zeros(text: str, zeros: list[float | tuple[float, float]]) -> None:
    expected = [z if isinstance(z, tuple) else (z, z) for z in zeros]
    found = of(text).zeros
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a == pytest.approx(b, abs=1e-8)


@pytest.mark.parametrize(
    ("text", "kind", "value", "where"),
    [
        ("x*sigmoid(x)", "attained", -0.2784645427610738, (-1.2784645427610738,) * 2),
        ("x*sigmoid(beta*x); beta=2", "attained", -0.2784645427610738 / 2, (-1.2784645427610738 / 2,) * 2),
        ("x*(1 + erf(x/sqrt(2)))/2", "attained", -0.16997120747990369, (-0.7517915246935645,) * 2),
        ("x*tanh(softplus(x))", "attained", -0.30884341301724875, (-1.1924312145154956,) * 2),
        ("max(x, 0)", "attained", 0, (-INF, 0)),
        ("sin(x)", "attained", -1, (-math.pi / 2,) * 2),
        ("sinc(x)", "attained", -0.21723362821122166, (4.493409457909064,) * 2),
        ("x**2", "attained", 0, (0, 0)),
        ("x/(x**2 + 1e-5)", "attained", -0.5 * math.sqrt(1e5), (-math.sqrt(1e-5),) * 2),
        ("softplus(x)", "approached", 0, (-INF, -INF)),
        ("atan(x)", "approached", -math.pi / 2, (-INF, -INF)),
        ("x", "unbounded", -INF, None),
        ("1/x", "unbounded", -INF, None),
        ("log(x)", "unbounded", -INF, None),
        ("x*sin(x)", "unbounded", -INF, None),
        ("3", "attained", 3, (-INF, INF)),
    ],
)
def test_minimum(text: str, kind: str, value: float, where: tuple[float, float] | None) -> None:
    found = of(text).minimum
    assert found.kind == kind
    assert found.value == pytest.approx(value, abs=1e-12)
    if where is not None:
        assert min(abs(np.subtract(w, where)).max() if w != where else 0.0 for w in found.where) < 1e-7


def test_maximum() -> None:
    assert of("tanh(x)").maximum.kind == "approached"
    assert of("tanh(x)").maximum.value == 1
    assert of("exp(-x**2)").maximum.where == ((0, 0),)
    assert of("min(max(x, -1), 1)").maximum.where == ((1, INF),)


SILU_SLOPE = -optimize.minimize_scalar(
    lambda x: -(special.expit(x) * (1 + x * special.expit(-x))),
    bounds=(2, 3),
    method="bounded",
    options={"xatol": 1e-12},
).fun


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("x*sigmoid(x)", SILU_SLOPE),
        ("x*sigmoid(x)", 1.0998393194),
        ("x*(1 + erf(x/sqrt(2)))/2", 0.5 * (1 + math.erf(1)) + math.exp(-1) / math.sqrt(math.pi)),
        ("tanh(x)", 1),
        ("sigmoid(3*x)", 0.75),
        ("softplus(x)", 1),
        ("max(x, x/100)", 1),
        ("exp(-x**2)", math.sqrt(2) * math.exp(-0.5)),
        ("sin(7*x)", 7),
        ("log(abs(x) + 1e-5)", 1e5),
        ("cos(x) - x", 2),
        ("5", 0),
        ("x**2", INF),
        ("exp(x)", INF),
        ("exp(exp(x))", INF),
        ("sqrt(abs(x))", INF),
        ("step(x)", INF),
        ("1/x", INF),
        ("x*sin(x)", INF),
        ("asinh(x)*x", INF),
    ],
)
def test_lipschitz_bound(text: str, bound: float) -> None:
    assert of(text).lipschitz == pytest.approx(bound, rel=1e-9)


@pytest.mark.parametrize(
    ("text", "kinks"),
    [
        ("max(x, 0)", [(0, 1, False)]),
        ("x*sigmoid(x)", []),
        ("max(x, 0)**2", [(0, 2, False)]),
        ("x*abs(x)", [(0, 2, False)]),
        ("max(x, 0) + min(exp(x) - 1, 0)", [(0, 2, False)]),
        ("max(x, sin(x))", [(0, 3, False)]),
        ("sqrt(abs(x))", [(0, 1, True)]),
        ("abs(x)**1.5", [(0, 2, True)]),
        ("step(x - 1)", [(1, 0, False)]),
        ("min(max(x, -1), 1)", [(-1, 1, False), (1, 1, False)]),
        ("max(x, sigmoid(x))", [(0.6590460684074066, 1, False)]),
        ("abs(x)**2", []),
        ("min(sqrt(x), 1)", [(0, 1, True), (1, 1, False)]),
    ],
)
def test_kinks(text: str, kinks: list[tuple[float, int, bool]]) -> None:
    found = of(text).kinks
    assert [(k.order, k.infinite) for k in found] == [(order, infinite) for _, order, infinite in kinks]
    assert [k.x for k in found] == pytest.approx([x for x, _, _ in kinks], abs=1e-9)


def test_where_a_function_rises_and_falls() -> None:
    assert [(p.start, p.sign) for p in of("x*sigmoid(x)").slopes] == [(-INF, -1), (pytest.approx(-1.27846454276), 1)]
    assert [(p.start, p.end, p.sign) for p in of("x**3").slopes] == [(-INF, INF, 1)]
    assert [p.sign for p in of("max(x, 0)").slopes] == [0, 1]
    assert [(p.start, p.end, p.sign) for p in of("1/x").slopes] == [(-INF, 0, -1), (0, INF, -1)]
    assert [p.sign for p in of("exp(-x**2)").slopes] == [1, -1]
    turning = [p.start for p in of("sin(x)").slopes[1:]]
    np.testing.assert_allclose(turning, (np.arange(-6, 6) + 0.5) * np.pi, rtol=1e-12)


def test_poles_and_gaps() -> None:
    assert of("x/(x + 1e-5)").poles == pytest.approx([-1e-5])
    assert of("sin(x)/x").poles == ()
    assert of("log(x)").undefined == ((-INF, 0),)
    assert of("sqrt(1 - x**2)").undefined == ((-INF, -1), (1, INF))
    assert of("sqrt(x**2 - 2)").undefined[0] == pytest.approx((-math.sqrt(2), math.sqrt(2)), abs=1e-12)


@pytest.mark.parametrize(
    ("text", "minimum", "maximum"),
    [
        ("x**3/(x + 1e-5)", "unbounded", "unbounded"),
        ("x**4/(x + 1e-5)**2", "attained", "unbounded"),
        ("-sin(x)**4/(x - 1e-5)**2", "unbounded", "attained"),
    ],
)
def test_a_pole_beside_eps_where_the_function_is_small(text: str, minimum: str, maximum: str) -> None:
    found = of(text)
    assert np.abs(found.poles) == pytest.approx([1e-5])
    assert (found.minimum.kind, found.maximum.kind) == (minimum, maximum)
    assert found.kinks == ()
    assert found.lipschitz == INF


def test_which_ends_have_a_value() -> None:
    assert of("sqrt(x)").defined_ends == (0,)
    assert of("log(x)").defined_ends == of("1/sqrt(x)").defined_ends == ()
    assert of("sqrt(x**2 - 2)").defined_ends == pytest.approx((-math.sqrt(2), math.sqrt(2)))
    assert (of("sign(x)").minimum.where, of("sign(x)").minimum.open_ends) == (((-INF, 0),), (0,))
    assert of("max(x, 0)").minimum.open_ends == ()


@pytest.mark.parametrize("text", ["1/x", "1/(x - 3)**2", "x/(x**2 - 2)", "1/sqrt(abs(x))", "x/(x + 1e-5)", "log(x)"])
def test_no_moments_beside_a_pole(text: str) -> None:
    gain = of(text).gain
    assert np.isnan([gain.mean, gain.root_mean_square, gain.slope_root_mean_square]).all()


def test_moments_beside_a_logarithm_and_of_what_oscillates() -> None:
    gain = of("log(abs(x))").gain  # E log|z| = -(γ + log 2)/2
    assert gain.mean == pytest.approx(-(np.euler_gamma + math.log(2)) / 2, abs=2e-3)
    assert math.isnan(gain.slope_root_mean_square)
    assert math.isnan(of("sin(1/x)").gain.slope_root_mean_square)


@pytest.mark.parametrize("text", ["x*sigmoid(x)", "max(x, 0)", "exp(-x**2)", "cos(x) - x"])
def test_gain_against_quadrature(text: str) -> None:
    expression = canonical(read(text))

    def moment(power: int, f: str) -> float:
        curve = expression if f == "f" else expression.derivative()
        weighted = lambda z: float(curve.values(z)) ** power * math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)  # noqa: E731
        return float(integrate.quad(weighted, -9, 9, points=[0], limit=200)[0])

    gain = properties(expression).gain
    assert gain.mean == pytest.approx(moment(1, "f"), abs=1e-6)
    assert gain.root_mean_square == pytest.approx(math.sqrt(moment(2, "f")), rel=1e-6)
    assert gain.slope_root_mean_square == pytest.approx(math.sqrt(moment(2, "slope")), rel=1e-6)
    assert unit_gain(expression) == pytest.approx(1 / gain.root_mean_square)


def check_laws(formula: Formula) -> None:
    """What is reported holds at points that the search for it did not use."""
    expression = canonical(expression_of(formula))
    if not is_finite(expression):
        return
    found = properties(expression)
    rng = np.random.default_rng(0)
    x = np.sort(np.concatenate([rng.uniform(-19.9, 19.9, 600), rng.normal(0, 0.1, 100)]))
    x = x[np.all([np.abs(x - p) > 1e-3 for p in found.poles], axis=0)] if found.poles else x
    if found.slopes:  # what turns too fast is not followed
        x = x[(x > found.slopes[0].start) & (x < found.slopes[-1].end)]
    f = expression.values(x)
    x, f = x[np.isfinite(f)], f[np.isfinite(f)]
    room = 1e-9 * (1 + np.abs(f))
    assert np.all(f >= found.minimum.value - room)
    assert np.all(f <= found.maximum.value + room)
    for piece in found.slopes:
        inside = (x > piece.start) & (x < piece.end)
        steps = np.diff(f[inside]) * (piece.sign or 1)
        assert np.all(steps >= -room[inside][1:] - room[inside][:-1])
        if piece.sign == 0:
            assert np.all(np.abs(steps) <= room[inside][1:])
    if math.isfinite(found.lipschitz):
        assert np.all(np.abs(np.diff(f)) <= found.lipschitz * np.diff(x) * (1 + 1e-6) + room[1:] + room[:-1])
    for start, end in found.zeros:
        points = np.linspace(max(start, -20), min(end, 20), 5)
        assert np.all(np.abs(expression.values(points)) <= 1e-6 * (1 + np.max(np.abs(f))))


@given(formulas(1))
@settings(deadline=None, max_examples=4)
def test_laws_of_one_unit_formulas(formula: Formula) -> None:
    check_laws(formula)


@pytest.mark.long
@given(formulas(2))
@settings(deadline=None, max_examples=100)
def test_laws_of_two_unit_formulas(formula: Formula) -> None:
    check_laws(formula)
