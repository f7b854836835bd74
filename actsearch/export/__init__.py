"""Functions taken elsewhere: files that stand alone, in the forms that other programs read.

One module a format; the Python files carry exact numbers and check themselves. Nothing here imports torch or jax:
what it writes is text, made from the canonical sympy expression.
"""

from collections.abc import Callable
from types import MappingProxyType

from actsearch.export.function import ExportedFunction
from actsearch.export.jax_file import jax_file
from actsearch.export.latex_file import latex_file
from actsearch.export.onnx_model import onnx_model
from actsearch.export.sympy_file import sympy_file
from actsearch.export.torch_file import torch_file
from actsearch.export.winner import Beta, winner

TEXTS: MappingProxyType[str, Callable[[ExportedFunction], str]] = MappingProxyType({
    "torch": torch_file,
    "jax": jax_file,
    "sympy": sympy_file,
    "latex": latex_file,
})  # fmt: skip
"""Formats that are text; `onnx_model` gives bytes."""

__all__ = [
    "TEXTS",
    "Beta",
    "ExportedFunction",
    "jax_file",
    "latex_file",
    "onnx_model",
    "sympy_file",
    "torch_file",
    "winner",
]
