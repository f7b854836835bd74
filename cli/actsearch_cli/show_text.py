"""A function's properties as lines of text for a terminal of 80 columns."""

import math
import re
import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from actsearch.properties import Extremum, Interval, Properties
from actsearch.properties.asymptotes import Asymptote
from actsearch.properties.signs import WINDOW

WIDTH = 80
_LABEL = 13
_MOST_LISTED = 7
_HARD = "\N{NO-BREAK SPACE}"


def lines(document: Mapping[str, Any], found: Properties) -> Iterator[str]:
    """Label and value in two columns, wrapped at spaces."""
    known = document["properties"]
    betas = ", ".join(f"{name} = {value:g}" for name, value in known["beta_initial"].items())
    yield from _row("formula", document["formula"])
    yield from _row("canonical", document["canonical"])
    yield from _row("names", ", ".join(document["names"]) or "none known")
    yield from _row("class", f"{document['class']}   (up to factors of f and x)")
    yield from _row("fingerprint", document["fingerprint"])
    yield from _row("derivative", document["derivative"])
    for name, text in document["derivative_by_beta"].items():
        yield from _row(f"by {name}", text)
    yield from _row("LaTeX", document["latex"])
    yield from _row("β starts at", betas or "no β")
    yield ""
    for label, value in _shape(found):
        yield from _row(label, value)
    yield from _row("gain", _gain(found, known["unit_gain"]))
    yield from _row("range", _range(known["range"]))
    yield from _row("operations", str(known["operations"]))
    yield from _cost(document["cost"])


def _row(label: str, value: str) -> list[str]:
    for spaced in ("x → ", "x = ", "x ≤ ", "x ≥ ", "x < ", "x > ", "x in ", "N(0, 1)"):
        value = value.replace(spaced, spaced.replace(" ", _HARD))
    value = re.sub(r"([\[(][^\[\](), ]+), (?=[^\[\](), ]+[\])])", rf"\1,{_HARD}", value)
    wrapped = textwrap.wrap(
        value,
        WIDTH,
        initial_indent=f"{label:<{_LABEL}}",
        subsequent_indent=" " * _LABEL,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_HARD, " ") for line in wrapped]


def _shape(found: Properties) -> Iterator[tuple[str, str]]:
    left, right = (_end(limit) for limit in found.limits)
    yield "limits", f"{left} as x → ±∞" if left == right else f"{left} as x → -∞; {right} as x → ∞"
    if found.undefined:
        yield "undefined", "for " + _listed(_interval(i, found.defined_ends) for i in found.undefined)
    if found.poles:
        yield "poles", "without bound near x = " + _listed(map(number, found.poles))
    yield "zeros", _zeros(found)
    yield "minimum", _extremum(found.minimum, "below", _line(found))
    yield "maximum", _extremum(found.maximum, "above", _line(found))
    yield "monotone", _monotone(found)
    yield "Lipschitz", _lipschitz(found)
    yield "smooth", _smooth(found)


def number(value: float) -> str:
    """Six digits, and multiples of π by name: 1.09984, -π/2, 0."""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    for below in (1, 2, 3, 4):
        times = value * below / math.pi
        if round(times) and abs(times - round(times)) < 1e-11 * abs(times) and abs(times) < 100:
            whole = f"{round(times)}".replace("1", "", 1) if abs(round(times)) == 1 else f"{round(times)}"
            return f"{whole}π" + (f"/{below}" if below > 1 else "")
    text = f"{0.0 if abs(value) < 1e-14 else value:.6g}"
    return re.sub(r"e([-+])0", r"e\1", text).replace("e+", "e")


def _end(limit: Asymptote) -> str:
    match limit.kind:
        case "converges" | "to infinity":
            return f"→ {number(limit.low)}"
        case "oscillates":
            return f"oscillates between {number(limit.low)} and {number(limit.high)}"
        case "unbounded":
            return "oscillates without bound"
        case "undefined":
            return "undefined"
    return "not determined"


def _line(found: Properties) -> str:
    """The interval in which turns and zeros are counted."""
    start = max(found.slopes[0].start, -WINDOW) if found.slopes else -WINDOW
    end = min(found.slopes[-1].end, WINDOW) if found.slopes else WINDOW
    return f"[{start:.4g}, {end:.4g}]"


def _zeros(found: Properties) -> str:
    if not found.zeros:
        return "none"
    points = [z for z in found.zeros if z[0] == z[1]]
    if len(points) > _MOST_LISTED:
        return f"{len(points)} in {_line(found)}: " + _listed(_interval(z) for z in _nearest(points))
    return _listed(_interval(z) for z in found.zeros)


def _extremum(extremum: Extremum, direction: str, line: str) -> str:
    if extremum.kind == "unbounded":
        return f"none: unbounded {direction}"
    value = number(extremum.value)
    if extremum.kind == "approached":
        return f"none: approaches {value} as x → {number(extremum.where[0][0])}"
    where = list(extremum.where)
    if where and math.isinf(where[0][0]) and where[0][0] == where[0][1]:
        return f"{value}, again and again beyond {line}"
    places = _listed(_interval(i, extremum.open_ends) for i in where)
    text = f"{value} {'at' if where[0][0] == where[0][1] else 'for'} {places}"
    return text if extremum.kind == "attained" else f"{text}, of {line}; further out not determined"


def _monotone(found: Properties) -> str:
    words = {-1: "falls", 0: "level", 1: "rises"}
    if not found.slopes:
        return "not determined"
    if len(found.slopes) == 1 and not found.undefined and math.isinf(found.slopes[0].start):
        return f"{words[found.slopes[0].sign]} everywhere".replace("level", "constant")
    turns = len(found.slopes) - 1
    if turns > _MOST_LISTED:
        return f"no: turns {turns} times in {_line(found)}"
    return ", ".join(f"{words[p.sign]} for {_interval((p.start, p.end))}" for p in found.slopes)


def _lipschitz(found: Properties) -> str:
    if math.isnan(found.lipschitz):
        return "not determined"
    near = round(found.steepest, 6)
    x = number(near if abs(found.steepest - near) < 1e-7 else found.steepest)
    if math.isfinite(found.lipschitz):
        return f"{number(found.lipschitz)}   (sup |f′|, {'at x =' if math.isfinite(found.steepest) else 'for x →'} {x})"
    if any(k.order == 0 and k.x == found.steepest for k in found.kinks):
        return f"no bound: f jumps at x = {x}"
    return f"no bound: |f′| → ∞ as x → {x}"


def _smooth(found: Properties) -> str:
    if not found.kinks:
        return "infinitely differentiable" + (" where it is defined" if found.poles or found.undefined else "")
    order = min(k.order for k in found.kinks)
    name = ("f", "f′", "f″", "f‴")[order]
    kind = "not continuous" if order == 0 else f"C{'⁰¹²'[order - 1]}"
    worst = sorted((k for k in found.kinks if k.order == order), key=lambda k: abs(k.x))
    parts = []
    for verb, is_infinite in (("is infinite", True), ("jumps", False)):
        points = [f"x = {number(k.x)}" for k in worst if k.infinite == is_infinite]
        if points:
            parts.append(f"{verb} at {_listed(points)}")
    return f"{kind}: {name} {' and '.join(parts)}"


def _gain(found: Properties, unit: float) -> str:
    gain = found.gain
    if math.isfinite(gain.root_mean_square):
        slope = f", of f′ {gain.slope_root_mean_square:.4g}" if math.isfinite(gain.slope_root_mean_square) else ""
        mean = 0.0 if abs(gain.mean) < 1e-12 else gain.mean
        text = f"mean {mean:.4g}, root mean square {gain.root_mean_square:.4g}{slope} for x ~ N(0, 1); "
        means = " (×f has mean square 1)"
    else:
        text = f"no {'moments' if found.undefined else 'finite mean square'} for x ~ N(0, 1); "
        means = " (of a grid that misses the pole)" if found.poles else ""
    is_fallback = unit == 1 and not abs(gain.root_mean_square - 1) < 1e-3
    return f"{text}unit gain {unit:.6g}" + (": no scale to speak of" if is_fallback else means)


def _range(flags: Mapping[str, list[str]]) -> str:
    where: dict[str, list[str]] = {}
    for dtype, found in flags.items():
        for flag in found:
            where.setdefault(flag, []).append(dtype)
    bad = ", ".join(f"{flag} in {' and '.join(dtypes)}" for flag, dtypes in where.items())
    return (bad or "fits float32 and float64") + " for |x| ≤ 100"


def _cost(cost: Mapping[str, Any]) -> Iterator[str]:
    if "reason" in cost:
        yield from _row("cost", f"not measured: {cost['reason']}")
        return
    shape = ", ".join(map(str, cost["shape"]))
    yield from _row("cost", f"ns an element, {cost['dtype']} [{shape}], one thread of {cost['machine']}")
    yield f"{'':<{_LABEL}}{'':<6}{'forward':>9}{'backward':>10}{'both':>8}"
    for name, timing in cost["nanoseconds"].items():
        times = f"{timing['forward']:>9.2f}{timing['backward']:>10.2f}{timing['total']:>8.2f}"
        yield f"{'':<{_LABEL}}{name:<6}{times}"


def _interval(interval: Interval, open_ends: Collection[float] = ()) -> str:
    start, end = interval
    if start == end:
        return f"x = {number(start)}"
    if math.isinf(start) and math.isinf(end):
        return "every x"
    if math.isinf(start):
        return f"x {'<' if end in open_ends else '≤'} {number(end)}"
    if math.isinf(end):
        return f"x {'>' if start in open_ends else '≥'} {number(start)}"
    opening, closing = "(" if start in open_ends else "[", ")" if end in open_ends else "]"
    return f"x in {opening}{number(start)}, {number(end)}{closing}"


def _nearest(points: Iterable[Interval]) -> list[Interval]:
    return sorted(points, key=lambda i: abs(i[0]))


def _listed(texts: Iterable[str]) -> str:
    found = list(texts)
    short = [t if k == 0 else t.removeprefix("x = ") for k, t in enumerate(found)]
    return ", ".join(short[:_MOST_LISTED]) + (", …" if len(short) > _MOST_LISTED else "")
