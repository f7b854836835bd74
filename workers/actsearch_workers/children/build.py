"""From a child's settings to a network that has the candidate at every activation."""

import importlib
import inspect
from types import ModuleType
from typing import Any

from timm.layers import activations as timm_activations
from timm.layers import activations_me as timm_activations_me
from timm.models._efficientnet_blocks import SqueezeExcite
from torch import nn
from torch.nn.modules import activation as torch_activations

from actsearch.activation import activations
from actsearch.config import ChildSettings
from actsearch.errors import ConfigError
from actsearch_workers.children import Child, child
from actsearch_workers.children.spec import ActLayer, Spec
from actsearch_workers.user_code import call_users, user_function

_NOT_POINTWISE = (nn.MultiheadAttention, nn.Softmin, nn.Softmax, nn.Softmax2d, nn.LogSoftmax)


def _modules_of(source: ModuleType) -> set[type[nn.Module]]:
    """The module classes that a Python module defines itself."""
    classes = inspect.getmembers(source, inspect.isclass)
    return {c for _, c in classes if issubclass(c, nn.Module) and c.__module__ == source.__name__}


_STOCK = tuple(
    (_modules_of(torch_activations) | _modules_of(timm_activations) | _modules_of(timm_activations_me))
    - set(_NOT_POINTWISE)
)
"""Activations of torch and timm that must not be left where the candidate belongs."""


def build_child(
    settings: ChildSettings,
    act_layer: ActLayer,
    *,
    num_classes: int,
    in_chans: int,
    image_size: int,
    drop_path_rate: float = 0.0,
    allow_user_code: bool = False,
) -> nn.Module:
    """A freshly initialised child network; random numbers come from torch's global generator.

    Args:
        settings: which child; its gain is already in `act_layer`.
        act_layer: makes the candidate's activation, a plain function `(inplace=False)`.
        num_classes: outputs.
        in_chans: channels of the images.
        image_size: longer side of the images in pixels; at 64 and below published networks lose their first strides.
        drop_path_rate: stochastic depth; the user's own children see nothing of it.
        allow_user_code: whether the user's own `module:function(act_layer, num_classes, in_chans)` may be imported.

    Raises:
        UnknownNameError: no child of that name.
        ConfigError: the user's function is not allowed, cannot be imported, or makes no network with a candidate.
    """
    entry = child(settings.name, allow_user_code)
    if entry.is_users:
        return _users_child(entry, act_layer, num_classes, in_chans)
    spec = Spec(
        act_layer=act_layer,
        num_classes=num_classes,
        in_chans=in_chans,
        image_size=image_size,
        drop_path_rate=drop_path_rate,
        squeeze_excite=settings.squeeze_excite,
    )
    module, _, function = entry.build.partition(":")
    model: nn.Module = getattr(importlib.import_module(module), function)(spec, **entry.options)
    left = stock_activations(model, settings.squeeze_excite)
    assert not left, f"{entry.name} keeps activations of its own: {', '.join(left)}"
    return model


def _users_child(entry: Child, act_layer: ActLayer, num_classes: int, in_chans: int) -> nn.Module:
    function = user_function("child", entry.build, allow_user_code=True)  # child() has asked
    model: Any = call_users("child", entry.name, function, act_layer, num_classes, in_chans)
    if not isinstance(model, nn.Module):
        raise ConfigError(f"child {entry.name!r} returns an nn.Module, got {type(model).__name__}")
    if not activations(model):
        raise ConfigError(f"child {entry.name!r} makes no activation with act_layer: every candidate would be equal")
    return model


def stock_activations(model: nn.Module, squeeze_excite: str = "candidate") -> list[str]:
    """Paths of activations that are not the candidate: those of torch and timm, but squeeze-excite's gates.

    Args:
        model: any network.
        squeeze_excite: `fixed` where the activation inside squeeze-excite is meant to stay.
    """
    spared: set[nn.Module] = set()
    for module in model.modules():
        if isinstance(module, SqueezeExcite):
            spared |= {module.gate} | ({module.act1} if squeeze_excite == "fixed" else set())
    return [path for path, module in model.named_modules() if isinstance(module, _STOCK) and module not in spared]
