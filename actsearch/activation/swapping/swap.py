"""Any ready network with a formula in place of its activations."""

import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from actsearch.activation.module import Activation
from actsearch.activation.swapping.dry_run import DryRun, arguments, call, dry_run
from actsearch.activation.swapping.places import Place, chosen, matches
from actsearch.activation.swapping.sharing import separated
from actsearch.errors import SwapError
from actsearch.expression import Expression
from actsearch.formula import Formula


def swap(
    model: nn.Module,
    expression: Formula | Expression | str,
    example_input: Tensor | Sequence[Any] | Mapping[str, Any],
    *,
    only: str | Sequence[str] = (),
    skip: str | Sequence[str] = (),
    gain: float = 1.0,
    backend: str = "auto",
    channel_dims: Mapping[str, int] | None = None,
) -> dict[str, Activation]:
    """Puts a fresh `Activation` at every place of a ready network that holds an activation module.

    The model is changed in place: the new modules stand under the old names, with β of one entry a channel (float32,
    on the device of the activation's input), its axis taken from the layer that feeds it. Nothing else changes: other
    parameters keep their values and their keys in `state_dict`. Swap before an optimizer, DDP or a compiler sees the
    model; keep β out of weight decay (`beta_parameters`).

    Replaced are `places.ACTIVATIONS` of torch, the classes of timm and transformers that `places.OTHER_NAMES` lists,
    and functions held as an attribute (`nn.TransformerEncoderLayer.activation`). Not replaced unless `only` names
    them: Sigmoid, Hardsigmoid, LogSigmoid, softmaxes, and any other class. A module that one forward calls several
    times (torchvision's ResNets: `relu`) is split by torch.fx into `relu`, `relu_2`, …, in the order of the calls; a
    block that runs several times with the same weights keeps one β. An activation called as a function (`F.relu(x)`
    in a forward) cannot be replaced: a warning lists such calls.

    Args:
        model: any `nn.Module`, in either mode; a few dry runs pass through it, in eval mode without gradient.
        expression: a formula, an expression, or its text, such as ``x*sigmoid(beta*x)``.
        example_input: a batch as the model takes it, any size, on its device; a tuple of several arguments, or a dict
            of named ones.
        only: patterns (fnmatch) of what to replace, over paths (`layer1.*`; `layer1` takes all it holds) and class
            names (`ReLU`). A class that is not replaced by default, such as `Sigmoid`, must be named by its class or
            its whole path, without wildcards.
        skip: patterns of what to keep.
        gain: multiplies the function.
        backend: how it is computed, as in `Activation`.
        channel_dims: β's axis by pattern, for places where it cannot be told or should be another.

    Returns:
        The new activations by path, in the model's order; those split off follow their first.

    Raises:
        SwapError: nothing to replace, a pattern that matches nothing, a forward that fails on the example, a place
            that the example never reaches, an axis that cannot be told, a shared module that cannot be split, a forward
            that relies on an activation overwriting its input. The model is then as it was.
        ExpressionError: a text that is no expression.
        ConfigError: a backend that is not there, or has no form of the function.
    """
    expression = Activation(expression, gain=gain, backend=backend).expression
    only, skip = ((p,) if isinstance(p, str) else tuple(p) for p in (only, skip))
    _check(model)
    arguments(example_input)
    places = chosen(model, only, skip)
    if not places:
        raise SwapError(_nothing(model, dry_run(model, (), example_input)))
    with ExitStack() as undo:
        places, run = separated(model, places, example_input, undo)
        dims = _channel_dims(places, run, channel_dims or {})
        made = {}
        for place in places:
            made[place] = _activation(place, run, dims[place], expression, gain, backend)
        _stand(made, undo)
        _rehearse(model, made, example_input)
        undo.pop_all()
    if not only:
        _warn_of_functions(run, skip)
    return {place.path: activation for place, activation in made.items()}


_WRAPPERS = frozenset({"DistributedDataParallel", "DataParallel", "FullyShardedDataParallel", "OptimizedModule"})


def _check(model: nn.Module) -> None:
    if not isinstance(model, nn.Module):
        raise SwapError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    for path, module in model.named_modules():
        name = f"{path or 'the model'} ({type(module).__name__})"
        if type(module).__name__ in _WRAPPERS or getattr(module, "_compiled_call_impl", None) is not None:
            raise SwapError(f"{name} is wrapped or compiled already; swap first")
        if isinstance(module, torch.jit.ScriptModule):
            raise SwapError(f"{name} is compiled by torch.jit, whose modules cannot be replaced; swap before scripting")
    for path, parameter in model.named_parameters():
        if isinstance(parameter, UninitializedParameter):
            raise SwapError(f"{path} is uninitialised; run the model once on an example, then swap")


def _nothing(model: nn.Module, run: DryRun) -> str:
    kind = type(model).__name__
    if run.functional:
        return (
            f"{kind} holds no activation module; it calls functions, which cannot be replaced ({_listed(run)}): "
            "make them modules such as nn.ReLU() in __init__"
        )
    return f"{kind} holds no activation module such as nn.ReLU"


def _listed(run: DryRun) -> str:
    uses = [f"{', '.join(sorted(names))} in {path}" for path, names in run.functional.items()]
    return "; ".join(uses[:4]) + (f"; and in {len(uses) - 4} modules more" if len(uses) > 4 else "")


def _warn_of_functions(run: DryRun, skip: Sequence[str]) -> None:
    kept = {
        where: names
        for where, names in run.functional.items()
        if not any(matches(where.split(" ")[0], pattern) for pattern in skip)
    }
    if kept:
        listed = _listed(DryRun({}, kept))
        warnings.warn(f"left as they are, since only modules can be replaced: {listed}", stacklevel=3)


def _channel_dims(places: Sequence[Place], run: DryRun, asked: Mapping[str, int]) -> dict[Place, int | None]:
    """β's axis at each place; None where neither the dry run nor the caller tells it."""
    dims = {place: _told(run, place) for place in places}
    for pattern, dim in asked.items():
        found = [place for place in places if matches(place.path, pattern)]
        if not found:
            near = ", ".join(place.path for place in places[:4])
            raise SwapError(f"channel_dims={pattern!r} matches none of the places to replace, such as {near}")
        dims |= dict.fromkeys(found, dim)
    return dims


def _told(run: DryRun, place: Place) -> int | None:
    """1 for channels after the batch, -1 for channels last, the same for all calls of the place."""
    calls = run.calls[place]
    # after flatten and the like: what stands beside the batch in two dimensions are features
    axes = [1 if call.axis is None and len(call.shape) == 2 else call.axis for call in calls]
    if not calls or None in axes:
        return None
    ndim = max(len(call.shape) for call in calls)
    # two dimensions alone do not tell 1 from -1: after a linear layer it is -1
    order = (-1, 1) if ndim == 2 else (1, -1, *range(ndim), *range(-ndim, 0))
    fits = (
        dim
        for dim in order
        if all(
            -len(c.shape) <= dim < len(c.shape) and dim % len(c.shape) == a for c, a in zip(calls, axes, strict=True)
        )
    )
    return next(fits, None)


def _activation(
    place: Place, run: DryRun, dim: int | None, expression: Expression, gain: float, backend: str
) -> Activation:
    """The activation for a place, with as many β as its input has channels.

    Raises:
        SwapError: the place was not reached, or gets inputs whose channels cannot be told or differ.
    """
    calls = run.calls[place]
    if not calls:
        raise SwapError(f"the example never reaches {place.path} ({place.kind}); skip it, or give another example")
    shapes = ", ".join(str(shape) for shape in dict.fromkeys(call.shape for call in calls))
    activation = Activation(expression, gain=gain, channel_dim=1 if dim is None else dim, backend=backend)
    if activation.expression.initial:
        if dim is None or not all(-len(call.shape) <= dim < len(call.shape) for call in calls):
            raise SwapError(
                f"where the channels are in {place.path}'s input {shapes} cannot be told; "
                f"give it, for instance channel_dims={{{place.path!r}: 1}}"
            )
        counts = {call.shape[dim] for call in calls}
        if len(counts) > 1:
            raise SwapError(
                f"{place.path} gets inputs of {shapes}, so of different numbers of channels; "
                "give each use a module of its own, or skip it"
            )
        activation = Activation(expression, gain=gain, channel_dim=dim, channels=counts.pop(), backend=backend)
    return activation.to(calls[0].device).train(getattr(place.held, "training", place.parent.training))


def _stand(made: Mapping[Place, Activation], undo: ExitStack) -> None:
    for place, activation in made.items():
        undo.callback(place.restore)
        place.put(activation)
        # in eval mode torch's own transformer layer computes relu or gelu inside one fused kernel unless this is 0
        fused = getattr(place.parent, "activation_relu_or_gelu", 0)
        if fused:
            undo.callback(setattr, place.parent, "activation_relu_or_gelu", fused)
            place.parent.activation_relu_or_gelu = 0  # type: ignore[assignment]


def _rehearse(model: nn.Module, made: Mapping[Place, Activation], example_input: Any) -> None:
    """Runs the changed model once: a model may hold a second reference to the old module, beside its children."""
    reached: set[nn.Module] = set()
    with ExitStack() as hooks:
        for activation in made.values():
            hooks.enter_context(activation.register_forward_pre_hook(lambda module, _: reached.add(module)))
        call(model, example_input)
    for place, activation in made.items():
        if activation not in reached:
            raise SwapError(f"{place.path} is called in another way than as a module held there; skip it")
