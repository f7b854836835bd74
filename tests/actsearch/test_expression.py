"""The safe reader, printing and numpy values."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actsearch.errors import ActsearchError, ExpressionError, FormulaError
from actsearch.expression import expression_of
from actsearch.formula import Formula
from actsearch.notation import match, write
from actsearch.reader import CALLS, read
from tests.actsearch.strategies import formulas


@given(formulas())
@settings(deadline=None, max_examples=150)
def test_a_formulas_expression_survives_text(formula: Formula) -> None:
    expression = expression_of(formula)
    try:
        again = read(expression.full_text)
    except ExpressionError as err:
        assert "finite" in str(err) or "at most" in str(err)  # noqa: PT017  (1/0 and towers of exp are no texts)
        return
    points = np.array([-2.3, -0.7, 0.4, 1.9])
    assert again.initial == expression.initial
    np.testing.assert_allclose(again.values(points), expression.values(points), rtol=1e-9, equal_nan=True)


@given(formulas())
@settings(deadline=None, max_examples=150)
def test_formula_to_text_to_formula_to_text_is_the_identity(formula: Formula) -> None:
    text = write(formula)
    assert write(match(text)) == text


@given(formulas(2))
@settings(deadline=None, max_examples=100)
def test_a_formulas_text_means_the_formula(formula: Formula) -> None:
    points = np.array([-1.3, -0.2, 0.6, 1.7])
    expression = expression_of(formula)
    try:
        written = read(write(formula))
    except ExpressionError:
        return
    # equal initial values make the numbering of β irrelevant
    ours = expression.values(points, **dict.fromkeys(expression.initial, 0.7))
    theirs = written.values(points, **dict.fromkeys(written.initial, 0.7))
    np.testing.assert_allclose(theirs, ours, rtol=1e-9, equal_nan=True)


def test_the_shortest_formula_with_a_text() -> None:
    assert match("sigmoid(beta*x)*x").tokens == ("scale", "identity", "gate")
    assert match("max(x, 0) + sin(x)").tokens == ("relu", "sin", "add")


@pytest.mark.parametrize("text", ["2*x", "x", "(x + beta)*sin(beta + x)", "x + y"])
def test_a_text_that_is_no_formula(text: str) -> None:
    with pytest.raises((FormulaError, ExpressionError)):
        match(text)


def test_initial_values_travel_in_the_text() -> None:
    assert dict(read("x + beta; beta=0").initial) == {"beta": 0.0}
    assert read("x + beta; beta=0").full_text == "beta + x; beta=0"
    assert read("x*sigmoid(beta*x)").full_text == "x*sigmoid(beta*x)"


def test_initial_values_are_kept_to_the_last_digit() -> None:
    for value in (0.123456789, 1e-7, 0.1 + 0.2):
        assert read(f"x + beta; beta={value!r}").full_text == f"beta + x; beta={value!r}"
        assert dict(read(read(f"x + beta; beta={value!r}").full_text).initial) == {"beta": value}


def test_derivatives_against_differences() -> None:
    x = np.linspace(-3, 3, 41) + 0.013
    for call, (arity, _) in CALLS.items():
        if call in ("log", "sqrt"):
            expression = read(f"{call}(x**2 + 1)")
        else:
            expression = read(f"{call}({'beta*x, x**2' if arity == 2 else 'beta*x'})")
        slope = (expression.values(x + 1e-6, beta=1.3) - expression.values(x - 1e-6, beta=1.3)) / 2e-6
        np.testing.assert_allclose(expression.derivative().values(x, beta=1.3), slope, rtol=1e-6, atol=1e-7)


def test_a_derivative_that_steps_at_a_beta() -> None:
    slope = read("max(beta, x, 0); beta=0.5").derivative()
    assert slope.values([-1.0, 0.25, 0.75, 2.0]).tolist() == [0, 0, 1, 1]
    assert slope.values([0.75, 2.0], beta=1.0).tolist() == [0, 1]


def test_latex() -> None:
    assert read("x*sigmoid(beta*x)").latex == r"x \sigma\left(\beta x\right)"
    assert read("log(abs(x) + 1e-5)").latex == r"\log{\left(\left|{x}\right| + 10^{-5} \right)}"


ATTACKS = [
    "", "x y", "__import__('os').getpid()", "x.__class__", "().__class__.__base__.__subclasses__()", "2**99999",
    "x**999", "(9**60)**60", "f(x)", "x if x else 1", "[x]", "x" * 5_000, "(" * 300 + "x" + ")" * 300,
    "-" * 1_500 + "x", "1/0", "sqrt(-1)", "log(0)", "max(x)", "max()", "exp(exp(exp(exp(9))))", "beta1", "beta100", "1e999",
    "True", "'a'", "b'a'", "lambda: x", "x@x", "x//2", "x%2", "x<1", "x and x", "{x}", "f'{x}'", "(y:=x)", "*x", "sin(x=x)",
    "sin(*x)", "eval('1')", "getattr(x, 'a')", "sin(sin)", "sin", "__builtins__", "1j", "...", "None", "x;beta", "x;beta=inf",
    "x;x=1", "x;beta=__import__('os')", "х*2", "sigmоid(x)", "ｘ", "x\x00", "x\n+1\n;import os", "0x10**0x7fffffff",
    "+".join(["x"] * 900), "sin(" * 60 + "x" + ")" * 60, "1_000_000_0", "x**-65", "x**(9**9**9)",
    "max(log(-1), 0)", "step(log(-1))", "max(0**-1, x)",
]  # fmt: skip


@pytest.mark.parametrize("text", ATTACKS, ids=lambda t: repr(t)[:30])
def test_what_is_no_plain_mathematics_gets_one_line(text: str) -> None:
    start = time.perf_counter()
    with pytest.raises(ExpressionError) as caught:
        read(text)
    assert time.perf_counter() - start < 0.5
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


@given(st.one_of(st.text(max_size=60), st.text("x()+-*/.,0123456789eabtsinmxp_ '", max_size=60)))
@settings(deadline=None, max_examples=400)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read(text)
    except ActsearchError as err:
        assert "\n" not in str(err)  # noqa: PT017
