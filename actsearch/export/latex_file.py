"""A function as one line of LaTeX, with what a reader must know as comments above it."""

from collections.abc import Iterator
from types import MappingProxyType

from actsearch.export.document import plain
from actsearch.export.function import ExportedFunction

_MEANINGS = MappingProxyType({
    "sigmoid": r"\sigma(u) = 1/(1 + e^{-u})",
    "softplus": r"\operatorname{softplus}(u) = \log(1 + e^{u})",
    "sinc": r"\operatorname{sinc}(u) = \sin(u)/u",
    "sinc_slope": r"\operatorname{sinc'}(u) is the derivative of \sin(u)/u",
    "Heaviside": r"\theta(u) is 0 below 0, 1 above, 1/2 at 0",
})  # fmt: skip


def latex_file(function: ExportedFunction) -> str:
    """Comments and the line `f(x) = …`, without delimiters."""
    return "\n".join([*(f"% {plain(line)}" for line in _comments(function)), f"f(x) = {function.latex}"]) + "\n"


def _comments(function: ExportedFunction) -> Iterator[str]:
    known = f"  = {', '.join(function.names)}" if function.names else ""
    yield f"{function.text}{known}"
    yield from function.origin
    if function.gain != 1:
        yield f"the constant is {function.gain!r}: a mean square of 1 for x ~ N(0, 1), as in the search"
    used = {type(node).__name__ for node in function.expression.expr.atoms(*_functions(function))}
    yield from (meaning for name, meaning in _MEANINGS.items() if name in used)
    for name, start in function.betas.items():
        index = name.removeprefix("beta")
        yield rf"\beta{f'_{{{index}}}' if index else ''} is trainable, one a channel, and starts at {start:g}"


def _functions(function: ExportedFunction) -> tuple[type, ...]:
    return tuple({type(node) for node in function.expression.expr.find(lambda e: e.is_Function)})
