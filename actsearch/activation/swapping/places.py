"""The places of a network that hold an activation: what counts as one, and which of them are chosen.

A place is a name in a parent module. One module under two names is two places; one parent under two names is one.
"""

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from actsearch.activation.module import Activation
from actsearch.errors import SwapError

ACTIVATIONS: tuple[type[nn.Module], ...] = (
    Activation, nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU, nn.Mish, nn.PReLU,
    nn.ReLU, nn.ReLU6, nn.RReLU, nn.SELU, nn.SiLU, nn.Softplus, nn.Softshrink, nn.Softsign, nn.Tanh, nn.Tanhshrink,
    nn.Threshold,
)  # fmt: skip
"""Replaced by default, with their subclasses. Sigmoid, Hardsigmoid, LogSigmoid and the softmaxes gate, attend or end a
network far more often than they activate: they are replaced only when named; GLU halves its input and never is."""

OTHER_NAMES = frozenset({
    "FastGELUActivation", "GELU", "GELUActivation", "GELUTanh", "HardMish", "HardMishMe", "HardSwish", "HardSwishMe",
    "Mish", "MishActivation", "MishMe", "NewGELUActivation", "PReLU", "PytorchGELUTanh", "QuickGELU",
    "QuickGELUActivation", "ReLUSquaredActivation", "SiLUActivation", "Swish", "SwishMe", "Tanh",
})  # fmt: skip
"""Classes of other libraries (timm's and transformers') that are replaced by default, known by name alone."""

FUNCTIONS = MappingProxyType({
    function: function.__name__
    for function in (
        F.celu, F.elu, F.gelu, F.hardswish, F.hardtanh, F.leaky_relu, F.mish, F.relu, F.relu6, F.selu, F.silu,
        F.softplus, F.softsign, F.tanh, torch.relu, torch.tanh, torch.relu_,
    )
})  # fmt: skip
"""Functions that a module may hold as an attribute, as `nn.TransformerEncoderLayer.activation` does."""


@dataclass(frozen=True, eq=False)
class Place:
    """One name in one parent; `held` is what stands there."""

    path: str
    parent: nn.Module
    name: str
    held: nn.Module | Callable[..., Any]

    @property
    def kind(self) -> str:
        """The class of the module, or the function's name."""
        return type(self.held).__name__ if isinstance(self.held, nn.Module) else FUNCTIONS[self.held]

    @property
    def is_activation(self) -> bool:
        """Whether it is replaced by default."""
        return not isinstance(self.held, nn.Module) or is_activation(self.held)

    def put(self, module: nn.Module) -> None:
        """Stands `module` here, and keeps the parent's order."""
        if not isinstance(self.held, nn.Module):
            self.parent.__dict__.pop(self.name, None)
        self.parent._modules[self.name] = module  # Module.__setattr__ has side effects in some containers

    def restore(self) -> None:
        """Puts back what was held."""
        if isinstance(self.held, nn.Module):
            self.parent._modules[self.name] = self.held
        elif self.parent._modules.pop(self.name, None) is not None:
            self.parent.__dict__[self.name] = self.held


def is_activation(module: nn.Module) -> bool:
    """Whether a module is replaced by default."""
    if isinstance(module, ACTIVATIONS):
        return True
    is_foreign = not type(module).__module__.startswith("torch.")
    return is_foreign and type(module).__name__ in OTHER_NAMES and not module._modules


def chosen(model: nn.Module, only: Sequence[str], skip: Sequence[str]) -> list[Place]:
    """The places to replace, in the model's order.

    Raises:
        SwapError: a pattern that matches nothing, or nothing left to replace.
    """
    places = _all_places(model)
    taken = _named(model, places, only, "only") if only else [place for place in places if place.is_activation]
    left = set(_named(model, places, skip, "skip", among=taken))
    held = {place.held for place in taken}  # an activation may hold a function of its own, as transformers' do
    kept = [place for place in taken if place not in left and place.parent not in held]
    if taken and not kept:
        raise SwapError(f"skip={list(skip)} leaves none of the model's {len(taken)} activations to replace")
    return kept


def _all_places(model: nn.Module) -> list[Place]:
    """Every name in every distinct parent: childless modules without own parameters, activations, functions."""
    places = []
    for prefix, parent in model.named_modules():
        stem = f"{prefix}." if prefix else ""
        for name, child in parent._modules.items():
            if child is not None and _is_replaceable(child):
                places.append(Place(f"{stem}{name}", parent, name, child))
        if not is_activation(parent):
            functions = [(name, value) for name, value in vars(parent).items() if _is_function(value)]
            places += [Place(f"{stem}{name}", parent, name, value) for name, value in functions]
    return places


def _is_replaceable(module: nn.Module) -> bool:
    return is_activation(module) or not (module._modules or module._parameters)


def _is_function(value: object) -> bool:
    return callable(value) and not isinstance(value, type | nn.Module) and any(value is f for f in FUNCTIONS)


def matches(path: str, pattern: str) -> bool:
    """Whether a pattern takes a path: it matches the path itself, or a module that holds it."""
    parts = path.split(".")
    return any(fnmatchcase(".".join(parts[:end]), pattern) for end in range(1, len(parts) + 1))


def _named(
    model: nn.Module, places: Sequence[Place], patterns: Iterable[str], argument: str, among: Sequence[Place] = ()
) -> list[Place]:
    """The places that any pattern takes: activations by path or class, whatever else by its class or whole path."""
    taken: set[Place] = set()
    for pattern in patterns:
        activations = among or [place for place in places if place.is_activation]
        found = {p for p in activations if matches(p.path, pattern) or fnmatchcase(p.kind, pattern)}
        if not among:
            found |= {p for p in places if pattern in (p.path, p.kind)}
        if not found:
            raise SwapError(_no_match(model, places, activations, pattern, argument))
        taken |= found
    return [place for place in places if place in taken]


def _no_match(
    model: nn.Module, places: Sequence[Place], activations: Sequence[Place], pattern: str, argument: str
) -> str:
    others = sorted({p.kind for p in places if not p.is_activation and matches(p.path, pattern)})
    if others and argument == "only":
        return (
            f"only={pattern!r} matches no activation, but {', '.join(others)}: gates and other modules are replaced "
            f"only by their class or whole path, such as only=({others[0]!r},)"
        )
    paths = [place.path for place in activations]
    near = difflib.get_close_matches(pattern.replace("*", ""), paths, n=4, cutoff=0.4) or paths[:4]
    kinds = sorted({place.kind for place in activations})
    held = f"near: {', '.join(near)}; classes: {', '.join(kinds)}" if near else f"{type(model).__name__} holds none"
    return f"{argument}={pattern!r} matches no activation; {held}"
