"""Which backend a search computes a function with: a rule, so that the same function always rounds the same way.

The backends themselves are in actsearch.activation.backends; this part needs no torch.
"""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Literal

from actsearch.identity import canonical_text
from actsearch.reader import read

_NATIVE = MappingProxyType({
    "x": "clone",
    "-x": "neg",
    "abs(x)": "abs",
    "max(x, 0)": "relu",
    "x*sigmoid(x)": "silu",
    "tanh(x)": "tanh",
    "sin(x)": "sin",
    "cos(x)": "cos",
    "exp(x)": "exp",
    "x**2": "square",
    "x*(1 + erf(x/sqrt(2)))/2": "gelu",
})  # fmt: skip
"""Functions that torch has itself, by its name.

Only those whose value and derivative are exact in every dtype and follow the rules for kinks: torch's `leaky_relu` has
another derivative at 0, its `softplus` is x beyond 20, its `sigmoid` loses the derivative's digits where it is near 1.
"""


@cache
def _by_text() -> Mapping[str, str]:
    return MappingProxyType({canonical_text(read(text)): name for text, name in _NATIVE.items()})


def native_name(canonical_text: str) -> str | None:
    """Torch's name of the function with that canonical text, or None where it has no such function."""
    return _by_text().get(canonical_text)


def backend_of(canonical_text: str) -> Literal["symbolic", "native"]:
    """The backend of a function in a search and its finals: torch's own function, else sympy's gradient."""
    return "symbolic" if native_name(canonical_text) is None else "native"
