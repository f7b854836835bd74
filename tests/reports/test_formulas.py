"""MathML: well-formed for every primitive, in the project's words, and safe to put into a page."""

from xml.etree import ElementTree as ET

import pytest

from actsearch.expression import Expression
from actsearch.primitives import BINARY, UNARY
from actsearch.reader import read
from actsearch_reports.formulas import mathml, trained_expression


def shown(expression: Expression) -> str:
    """The text of the markup without its tags, for comparison by eye."""
    # The two HTML entities that sympy writes; XML does not know them.
    markup = mathml(expression).replace("&InvisibleTimes;", "\N{INVISIBLE TIMES}").replace("&ApplyFunction;", "")
    text = "".join(ET.fromstring(markup).itertext())
    return text.replace("\N{INVISIBLE TIMES}", "").replace("\N{FUNCTION APPLICATION}", "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x*sigmoid(beta*x)", "xσ(βx)"),
        ("max(x, 0) - 1", "max(x,0)−1"),
        ("min(beta2, x)", "min(β2,x)"),
        ("asinh(x) + atan(x)", "asinh(x)+atan(x)"),
        ("exp(-x**2)", "e−x2"),
        ("log(abs(x) + 1e-5)", "log(|x|+10−5)"),
        ("sinc_slope(x)", "sinc′(x)"),
        ("step(x)", "step(x)"),
        ("exp(1)*x", "ex"),
    ],
)
def test_words(text: str, words: str) -> None:
    assert shown(read(text)) == words


@pytest.mark.parametrize("name", UNARY)
def test_every_unary_function_has_markup(name: str) -> None:
    expression = trained_expression((name, "gaussian", "add"))
    assert "x" in shown(expression)
    assert "_" not in shown(expression)


@pytest.mark.parametrize("name", BINARY)
def test_every_binary_function_has_markup(name: str) -> None:
    assert "x" in shown(trained_expression(("sin", "scale", name)))


def test_the_text_stands_in_for_who_cannot_see_it() -> None:
    root = ET.fromstring(mathml(read("max(x, sin(x))")))
    assert root.tag == "math"
    assert root.attrib == {"alttext": "max(x, sin(x))", "aria-label": "max(x, sin(x))"}


def test_what_is_shown_is_what_was_trained() -> None:
    # -(-x) is x: the canonical form, not the spelling.
    assert trained_expression(("negative", "identity", "multiply")).text == "-x**2"
    assert trained_expression(("relu", "min0", "add")).text == "x"
