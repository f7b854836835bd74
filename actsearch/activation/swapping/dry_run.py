"""One forward pass in which stand-ins note who calls each activation, where its channels are and how many."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from actsearch.activation.network import evaluating
from actsearch.activation.swapping.axes import ChannelAxes
from actsearch.activation.swapping.places import Place, is_activation
from actsearch.errors import SwapError

_FUNCTIONAL = frozenset({
    "_prelu_kernel", "celu", "elu", "gelu", "hardswish", "hardtanh", "leaky_relu", "mish", "prelu", "relu",
    "rrelu_with_noise", "silu", "softplus",
})  # fmt: skip
"""Operations that are an activation wherever they are met; sigmoid and tanh may be gates."""


@dataclass(frozen=True)
class Call:
    """One call of an activation.

    Attributes:
        caller: the module whose forward calls it.
        serial: a number of that call of the caller.
        above: the same of the call in which the caller was called itself.
        shape: the input's.
        axis: the input's dimension that holds channels, from 0; None where it cannot be told.
        device: the input's.
        absent: the caller's own arguments that were None or left at it.
    """

    caller: nn.Module
    serial: int
    above: int
    shape: tuple[int, ...]
    axis: int | None
    device: torch.device
    absent: frozenset[str]


@dataclass
class DryRun:
    """What one forward pass showed.

    Attributes:
        calls: each place's calls, in order.
        functional: activations called as functions: path of the calling module to the operations' names.
        in_place: the places that overwrite their input.
        output: what the model returned.
    """

    calls: dict[Place, list[Call]]
    functional: dict[str, set[str]] = field(default_factory=dict)
    in_place: set[Place] = field(default_factory=set)
    output: Any = None


class StandIn(nn.Module):
    """Stands at a place during a dry run and calls what is held there."""

    def __init__(
        self,
        place: Place,
        note: Callable[[Place, Tensor], None] = lambda place, x: None,
        note_in_place: Callable[[Place], None] = lambda place: None,
    ) -> None:
        super().__init__()
        # in a tuple, so that it is no child: paths stay as they are
        self._inside = (place.held, note, note_in_place, place)
        self.train(getattr(place.held, "training", False))

    def __getattr__(self, name: str) -> Any:
        """What the activation has (`inplace`, `weight`), for models that ask."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["_inside"][0], name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        held, note, note_in_place, place = self._inside
        x = next(iter(args or kwargs.values()), None)
        if isinstance(x, Tensor):
            note(place, x)
        result = held(*args, **kwargs)
        if not (isinstance(x, Tensor) and isinstance(result, Tensor) and result.shape == x.shape):
            raise SwapError(f"{place.path} ({place.kind}) is no elementwise function of one tensor; skip it")
        if result is x:
            note_in_place(place)
        return result


class CopyingStandIn(StandIn):
    """Calls what is held on a copy, as an activation that is not in place would."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return super().forward(*_copied(args), **_copied(kwargs))


@contextmanager
def standing_in(places: Sequence[Place], make: Callable[[Place], nn.Module]) -> Iterator[None]:
    """Puts `make(place)` at each place, and restores them at the end."""
    with ExitStack() as undo:
        for place in places:
            undo.callback(place.restore)
            place.put(make(place))
        yield


def dry_run(model: nn.Module, places: Sequence[Place], example_input: Any) -> DryRun:
    """Runs the model once in eval mode, without gradient and with a fixed seed, and leaves it as it was.

    Raises:
        SwapError: the model fails on the example, or a place's module is not elementwise.
    """
    run = DryRun({place: [] for place in places})
    stack = _CallStack(model)
    axes = ChannelAxes(lambda name: _note_function(run, stack, name))

    root = _Entry(model, 0, (), {})

    def note(place: Place, x: Tensor) -> None:
        above, caller, _ = [root, root, *stack.entries][-3:]  # the last is the stand-in
        run.calls[place].append(
            Call(caller.module, caller.serial, above.serial, tuple(x.shape), axes.axis(x), x.device, caller.absent())
        )

    stand_ins = standing_in(places, lambda place: StandIn(place, note, run.in_place.add))
    with evaluating(model), stand_ins, stack.following(), axes:
        run.output = call(model, example_input)
    return run


def call(model: nn.Module, example_input: Any) -> Any:
    """The model's output on the example, in eval mode, without gradient, with the same random numbers each time.

    Raises:
        SwapError: the model fails; the line names the error and the input.
    """
    args, kwargs = _copied(arguments(example_input))  # a first layer in place would change it
    gpus = sorted({p.device.index or 0 for p in model.parameters() if p.device.type == "cuda"})
    with evaluating(model), torch.random.fork_rng(devices=gpus):
        torch.manual_seed(0)
        try:
            return model(*args, **kwargs)
        except SwapError:
            raise
        except Exception as err:
            line = f"{type(err).__name__}: {err}".splitlines()[0]
            given = ", ".join(describe(x) for x in [*args, *kwargs.values()])
            raise SwapError(f"{type(model).__name__} fails on example_input ({given}): {line}") from err


def arguments(example_input: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The example as positional and named arguments of the model's forward.

    Raises:
        SwapError: neither a tensor, nor a tuple or list, nor a mapping with names.
    """
    if isinstance(example_input, Tensor):
        return (example_input,), {}
    if isinstance(example_input, Mapping) and example_input and all(isinstance(k, str) for k in example_input):
        return (), dict(example_input)
    if isinstance(example_input, tuple | list) and example_input:
        return tuple(example_input), {}
    raise SwapError(
        "example_input must be a tensor, a tuple of the forward's arguments or a dict of its named ones, "
        f"got {describe(example_input)}"
    )


def _copied(values: Any) -> Any:
    return tree_map(lambda x: x.clone() if isinstance(x, Tensor) else x, values)


def describe(value: Any) -> str:
    """A tensor by dtype and shape, anything else by its class."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    return type(value).__name__


@dataclass(frozen=True)
class _Entry:
    """A module whose forward is running, with a number that no other call has."""

    module: nn.Module
    serial: int
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def absent(self) -> frozenset[str]:
        """The names of arguments that are None."""
        bound = inspect.signature(self.module.forward).bind_partial(*self.args, **self.kwargs)
        bound.apply_defaults()
        return frozenset(name for name, value in bound.arguments.items() if value is None)


class _CallStack:
    """The modules whose forward is running, outermost first."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._count = 0
        self.entries: list[_Entry] = []

    @contextmanager
    def following(self) -> Iterator[None]:
        with ExitStack() as hooks:
            for module in self._model.modules():
                if not isinstance(module, torch.jit.ScriptModule):
                    hooks.enter_context(module.register_forward_pre_hook(self._enter, prepend=True, with_kwargs=True))
                    hooks.enter_context(module.register_forward_hook(self._leave, always_call=True))
            yield

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self._count += 1
        self.entries.append(_Entry(module, self._count, args, kwargs))

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        while self.entries.pop().module is not module:
            pass

    def path(self) -> str:
        """The innermost module's path and class."""
        module = self.entries[-1].module if self.entries else self._model
        path = next((path for path, m in self._model.named_modules() if m is module), "")
        return f"{path} ({type(module).__name__})" if path else f"the forward of {type(module).__name__} itself"


def _note_function(run: DryRun, stack: _CallStack, name: str) -> None:
    name = name.rstrip("_") if name not in _FUNCTIONAL else name
    module = stack.entries[-1].module if stack.entries else None
    if name in _FUNCTIONAL and not (isinstance(module, StandIn) or (module and is_activation(module))):
        run.functional.setdefault(stack.path(), set()).add(name)
