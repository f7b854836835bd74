"""`actsearch show`: what a function is."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from actsearch_cli.options import Json

NAME = "show"
PLOTS = (".png", ".svg", ".pdf")


def command(
    expression: Annotated[str, typer.Argument(help="A function of x, e.g. 'x*sigmoid(beta*x)'.", show_default=False)],
    as_json: Json = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw f and f′ as .png, .svg or .pdf.", show_default=False),
    ] = None,
    cost: Annotated[bool, typer.Option(help="Time it against ReLU and SiLU, which takes two seconds.")] = True,
) -> None:
    """Show a function: names, derivative, limits, zeros, extremes, slope, scale and cost.

    An expression holds x, beta, beta2, … (trainable, one a channel), numbers, pi, + - * / **, and calls such as
    max(x, 0), sigmoid(x), softplus(x), sin(x). β starts at 1 unless said, and everything shown holds there:
    'x*sigmoid(beta*x); beta=0.5' shows another.
    """
    from actsearch.errors import ConfigError
    from actsearch.identity import canonical
    from actsearch.properties import properties
    from actsearch.reader import read
    from actsearch_cli.show_text import lines

    if plot is not None and plot.suffix.lower() not in PLOTS:
        raise ConfigError(f"--plot = {str(plot)!r}: right would be a name that ends in {', '.join(PLOTS)}")
    function = read(expression)
    form = canonical(function)
    found = properties(form)
    if plot is not None:
        _draw(form, found, plot)
    document = _document(function, form, found)
    document["cost"] = _cost(form) if cost else {"reason": "--no-cost"}
    if as_json:
        print(json.dumps(_plain(document), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print("\n".join(lines(document, found)))


def _document(function: Any, form: Any, found: Any) -> dict[str, Any]:
    from dataclasses import asdict

    from actsearch import identity
    from actsearch.exact.conditioning import flags

    return {
        "formula": function.full_text,
        "latex": form.latex,
        "canonical": form.full_text,
        "fingerprint": identity.fingerprint(form),
        "class": identity.equivalence_class(form),
        "names": list(identity.names(form)),
        "derivative": form.derivative().text,
        "derivative_by_beta": {name: form.derivative(name).text for name in form.initial},
        "properties": {
            "constant": identity.is_constant(form),
            "finite": identity.is_finite(form),
            "swish_family": identity.is_swish_family(form),
            "strict_swish": identity.is_strict_swish(form),
            "operations": identity.operation_count(form),
            "unit_gain": identity.unit_gain(form),
            "beta_initial": dict(form.initial),
            "range": {dtype: list(flags(form, dtype)) for dtype in ("float32", "float64")},
            **asdict(found),
        },
    }


def _plain(value: Any) -> Any:
    """JSON has no infinities: they become "inf" and "-inf", and NaN null."""
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and value != value:
        return None
    return str(value) if value in (float("inf"), float("-inf")) else value


def _cost(form: Any) -> dict[str, Any]:
    """Nanoseconds an element of the function, ReLU and SiLU; a reason where they cannot be measured."""
    from dataclasses import asdict

    try:
        from torch.nn import functional

        from actsearch.activation import Activation
        from actsearch.activation.timing import measure
    except ImportError:
        return {"reason": "torch is not installed"}
    shape = (64, 64, 16, 16)
    functions: dict[str, Any] = {
        "f": Activation(form, channels=shape[1]),
        "ReLU": functional.relu,
        "SiLU": functional.silu,
    }
    times = measure(functions, shape, seconds=0.7)
    return {"shape": shape, "dtype": "float32", "threads": 1, "machine": _machine()} | {
        "nanoseconds": {name: asdict(timing) for name, timing in times.items()}
    }


def _machine() -> str:
    import platform

    try:
        with Path("/proc/cpuinfo").open() as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _draw(form: Any, found: Any, path: Path) -> None:
    from actsearch.errors import ConfigError

    try:
        from actsearch_reports.figures import function, style
    except ImportError as err:
        raise ConfigError("--plot draws with matplotlib: pip install matplotlib") from err
    from functools import partial

    suffix: Any = path.suffix.lower().removeprefix(".")
    (picture,) = style.render(partial(function.draw, form, found), style.WIDE * 0.7, suffix)
    path.write_bytes(picture)
