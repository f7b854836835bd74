"""What every exported text shares: its head, its gain, and lines that cannot leave a comment."""

import textwrap
from collections.abc import Iterable, Iterator

import sympy

from actsearch.export.code import WIDTH
from actsearch.export.function import ExportedFunction


def head(function: ExportedFunction, needs: str) -> Iterator[str]:
    """Lines of a Python file's docstring: formula, LaTeX, names, origin.

    Args:
        function: what the file holds.
        needs: what the file needs and what running it does.
    """
    name = f"{function.class_name}: an activation function" if function.names else "An activation function"
    betas = f" with trainable {listed(function.betas)}" if function.betas else ""
    yield f'r"""{name}{betas}.'
    yield ""
    yield from _wrapped(f"f(x) = {function.text}", indent=4)
    yield ""
    for sentence in about(function):
        yield from _wrapped(sentence)
    yield from ("", *_wrapped(needs), '"""')


def about(function: ExportedFunction) -> Iterator[str]:
    """LaTeX, names and origin, a sentence each."""
    yield f"LaTeX: f(x) = {function.latex}"
    if function.names:
        yield f"Known as: {', '.join(function.names)}{'' if function.gain == 1 else ' (but for the constant)'}"
    yield from function.origin


def gain_line(function: ExportedFunction) -> list[str]:
    """The definition of `GAIN`, where the function has one."""
    if function.gain == 1:
        return []
    return [f"GAIN = {function.gain!r}  # gives f a mean square of 1 for x ~ N(0, 1), as in the search"]


def scaled(expr: sympy.Expr, function: ExportedFunction) -> sympy.Expr:
    """The expression times the symbol GAIN, or itself where the gain is 1."""
    return expr if function.gain == 1 else sympy.Symbol("GAIN", real=True) * expr


def docstring_start(function: ExportedFunction) -> list[str]:
    """The opening lines of the docstring of the class or function, one indent deep."""
    first, *rest = _wrapped(f"f(x) = {function.text}", indent=4)
    return [f'    """{first.lstrip()}', *rest]


def listed(names: Iterable[str]) -> str:
    """`beta`, `beta and beta2`, `beta, beta2 and beta3`."""
    *most, last = [*names, ""][:-1] or [""]
    return f"{', '.join(most)} and {last}" if most else last


def plain(text: str) -> str:
    """One line without anything that could end a comment or a docstring."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(line.replace('"""', "'''").split()).rstrip("\\")


def _wrapped(text: str, indent: int = 0) -> list[str]:
    space = " " * indent
    return textwrap.wrap(
        plain(text),
        WIDTH,
        initial_indent=space,
        subsequent_indent=space + "    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
