"""`actsearch show`: what a function is."""

import json
from typing import Annotated

import typer

from actsearch_cli.options import Json

NAME = "show"


def command(
    expression: Annotated[str, typer.Argument(help="A function of x, e.g. 'x*sigmoid(beta*x)'.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Show a function: canonical form, known names, derivative, properties.

    An expression holds x, beta, beta2, … (trainable, one a channel), numbers, pi, + - * / **, and calls such as
    max(x, 0), sigmoid(x), softplus(x), sin(x). β starts at 1 unless said: 'x + beta; beta=0'.
    """
    from actsearch import identity
    from actsearch.reader import read

    function = read(expression)
    form = identity.canonical(function)
    properties = {
        "constant": identity.is_constant(function),
        "finite": identity.is_finite(function),
        "swish_family": identity.is_swish_family(function),
        "strict_swish": identity.is_strict_swish(function),
        "operations": identity.operation_count(function),
        "unit_gain": identity.unit_gain(function),
        "beta_initial": dict(form.initial),
    }
    document = {
        "formula": function.full_text,
        "latex": form.latex,
        "canonical": form.full_text,
        "names": list(identity.names(function)),
        "derivative": form.derivative().text,
        "properties": properties,
    }
    if as_json:
        print(json.dumps(document, indent=2, ensure_ascii=False))
        return
    rows = {
        "formula": function.full_text,
        "canonical": form.full_text,
        "names": ", ".join(identity.names(function)) or "none known",
        "derivative": form.derivative().text,
        "LaTeX": form.latex,
        "β starts at": ", ".join(f"{name} = {value:g}" for name, value in form.initial.items()) or "no β",
        "unit gain": f"{properties['unit_gain']:.6g}   (×f has mean square 1 for x ~ N(0, 1))",
        "operations": str(properties["operations"]),
    }
    width = max(map(len, rows))
    for key, value in rows.items():
        print(f"{key:<{width}}  {value}")
