"""The look in float64 that spares exact arithmetic: it may only leave out what would change nothing."""

import math
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy

from actsearch.config import SpaceSettings
from actsearch.exact import value
from actsearch.exact.values import _Program
from actsearch.expression import Expression, X, expression_of
from actsearch.identity import canonical
from actsearch.identity.points import POINTS, Look, betas_at, rounded
from actsearch.identity.rules import substituted
from actsearch.reader import read
from actsearch.space import Space

TWO_UNITS = Space(SpaceSettings(units=2))


def drawn(count: int, seed: int) -> list[Expression]:
    rng = np.random.default_rng(seed)
    return [canonical(expression_of(TWO_UNITS.sample(rng))) for _ in range(count)]


def exact_values(expression: Expression, names: tuple[str, ...]) -> list[str]:
    return [rounded(expression, x, dict(zip(names, betas_at(k), strict=False))) for k, x in enumerate(POINTS)]


def test_one_run_beside_a_look_gives_the_digits_of_two_that_agree() -> None:
    for expression in drawn(60, 1):
        names = tuple(expression.initial)
        assert Look(expression.expr, names).exact(expression) == exact_values(expression, names), expression


def test_a_look_spares_a_second_run_where_nothing_is_rounded_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """One run a point of |x| and of x·|x|: an absolute value equals its operand and has lost nothing of it."""
    runs, run = [0], _Program.run

    def counted(*args: Any) -> Any:
        runs[0] += 1
        return run(*args)

    monkeypatch.setattr(_Program, "run", counted)
    for text in ("abs(x)", "x*abs(x) + sin(x)"):
        expression = read(text)
        Look(expression.expr, ()).exact(expression)
    assert runs[0] == 2 * len(POINTS)
    tanh = read("tanh(abs(x))")
    Look(tanh.expr, ()).exact(tanh)
    assert runs[0] > 3 * len(POINTS), "tanh(131.57) is 1 to 60 digits"


def test_what_a_look_shows_is_there() -> None:
    """An argument or a β that it says to matter changes an exact value at some point."""
    arguments = betas = 0
    for expression in drawn(40, 2):
        names = tuple(expression.initial)
        look, before = Look(expression.expr, names), exact_values(expression, names)
        for node in expression.expr.atoms(sympy.Max, sympy.Min):
            for argument, shows in zip(node.args, look.shows_arguments(node), strict=True):
                others = [a for a in node.args if a != argument]
                other = Expression(substituted(expression.expr, {node: node.func(*others, evaluate=False)}))
                if shows:
                    assert exact_values(other, names) != before, (expression, node)
                    arguments += 1
        for k, name in enumerate(names):
            if look.shows_beta(name):
                moved = [
                    rounded(expression, x, dict(zip(names, betas_at(p), strict=False)) | {name: betas_at(p)[k] + 0.5})
                    for p, x in enumerate(POINTS)
                ]
                assert moved != before, (expression, name)
                betas += 1
    assert arguments > 10
    assert betas > 20


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max(x, 0)", {"x": True, "0": True}),
        ("min((beta + x + sigmoid(x))**2, erf(x))", {"(beta + x + sigmoid(x))**2": False, "erf(x)": True}),
        ("x*abs(x)", {"u": True, "-u": True}),
        ("abs(x - 50)", {"u": True, "-u": False}),
    ],
)
def test_which_arguments_and_signs_show(text: str, expected: dict[str, bool]) -> None:
    """Near points end at 4: abs(x - 50) is 50 - x there, and u or -u for it is clearly another function or not."""
    expression = read(text)
    (node,) = expression.expr.atoms(sympy.Max, sympy.Min, sympy.Abs)
    shows = Look(expression.expr, tuple(expression.initial)).shows_arguments(node)
    names = ["u", "-u"] if isinstance(node, sympy.Abs) else map(str, node.args)
    assert dict(zip(names, shows, strict=True)) == expected


def test_a_beta_without_effect_does_not_show() -> None:
    assert not Look(read("min(cosh(beta*x), sinc(x))").expr, ("beta",)).shows_beta("beta")
    assert Look(read("x*sigmoid(beta*x)").expr, ("beta",)).shows_beta("beta")


@pytest.mark.parametrize("about", [0.0, 1.0, -1e-40, math.nan, math.inf])
def test_a_wrong_look_decides_nothing(about: float) -> None:
    """(1 + exp(-x)) - 1 at 100 has too few of the first run's 60 digits, and is nothing in float64."""
    expression = Expression(sympy.Add(sympy.exp(-X) + 1, -1, evaluate=False))
    with mpmath.workdps(60):
        expected = mpmath.exp(-100)
        assert abs(value(expression, 100.0, digits=30, about=about) / expected - 1) < mpmath.mpf(10) ** -30


@pytest.mark.parametrize(
    ("text", "x", "expected"),
    [
        ("exp(exp(-x)*log(1 + exp(x)))", -167.31, math.e),
        ("exp(log(tanh(x))*cosh(x)**2)", 90.0, math.exp(-0.5)),
        ("exp((1 - cos(x))/x**2)", 1e-40, math.exp(0.5)),
        ("exp(exp(x)*(softplus(x) - x))", 150.0, math.e),
    ],
)
def test_sixty_digits_and_float64_may_be_wrong_alike(text: str, x: float, expected: float) -> None:
    """Both have 1 for tanh(90), and make the same of it; that is no agreement to rely on. Limits by hand."""
    expression = read(text)
    wrong = float(expression.values(x))
    assert float(value(expression, x, about=wrong)) == pytest.approx(expected, rel=1e-9)
    assert wrong != pytest.approx(expected, rel=1e-3)


def test_no_look_decides_on_which_side_of_a_jump_a_point_lies() -> None:
    """At -167 log(1 + exp(x)) is 0 at 60 digits as in float64, and step(0) is 1/2."""
    step = sympy.Heaviside(sympy.log(1 + sympy.exp(X)), sympy.S.Half, evaluate=False)
    k = POINTS.index(-167.31)
    expression = Expression(sympy.Mul(X, step, evaluate=False))
    assert Look(expression.expr, ()).values[k] == -167.31 / 2
    assert Look(expression.expr, ()).exact(expression)[k] == rounded(Expression(X), -167.31, {})
