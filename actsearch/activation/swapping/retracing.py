"""A new forward for a module that calls one activation several times: each call gets a name of its own.

torch.fx traces the calling module alone (what it holds stays closed), each call is given its own name, and the calling
module gets the traced forward. It keeps its object, its class as a base class, its attributes, parameters and hooks.
A forward that reads `self.training` is traced in both modes.
"""

import copy
import importlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from torch import fx, nn

from actsearch.activation.swapping.places import Place
from actsearch.errors import SwapError

Undo = Callable[[], None]


@dataclass(frozen=True)
class Source:
    """A forward's Python text, written by torch.fx, and what its globals are: objects, and modules by name."""

    text: str
    objects: Mapping[str, Any]
    modules: Mapping[str, str]

    @classmethod
    def of(cls, graph: fx.Graph) -> "Source":
        code = graph.python_code("self")
        modules = {name: value.__name__ for name, value in code.globals.items() if isinstance(value, ModuleType)}
        return cls(code.src, {k: v for k, v in code.globals.items() if k not in modules}, modules)

    def compiled(self) -> Callable[..., Any]:
        """The forward, a function of the module and its arguments."""
        namespace = dict(self.objects) | {name: importlib.import_module(path) for name, path in self.modules.items()}
        exec(self.text, namespace)  # noqa: S102  (torch.fx's own text of a forward that is here already, as GraphModule does)
        function: Callable[..., Any] = namespace["forward"]
        return function


class _Tracer(fx.Tracer):
    """Sees one module's own forward; whatever it holds is called, never entered."""

    def __init__(self, absent: frozenset[str]) -> None:
        super().__init__()
        self._absent = absent

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> Any:
        """Absent arguments are None while tracing, so that `if mask is None` takes the way that was seen."""
        function, args = super().create_args_for_root(root_fn, is_module, concrete_args)
        for position, arg in enumerate(args):
            if isinstance(arg, fx.Proxy) and arg.node.target in self._absent:
                self.create_proxy("call_function", must_be_none, (arg, arg.node.target), {})
                args[position] = None
        return function, args

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


def must_be_none(value: Any, name: str) -> None:
    """In a traced forward: an argument that the dry run did not give.

    Raises:
        SwapError: it has a value now.
    """
    if value is not None:
        raise SwapError(f"{name} was None when this forward was traced for swap; swap with an example that gives it")


def split(
    caller: nn.Module, uses: Mapping[Place, int], absent: frozenset[str], path: str
) -> tuple[dict[Place, list[Place]], Undo]:
    """Gives each call its own name in the place's parent, `relu`, `relu_2`, … in the order of the calls.

    Args:
        caller: the module whose forward calls the places; a stand-in of its own is at each of them.
        uses: how often the caller calls each place in one forward.
        absent: the forward's arguments that are None in every call seen; the new forward refuses other values.
        path: the caller's path in the model, for errors.

    Returns:
        The places added for each, which hold what the first one holds, and what undoes all of it.

    Raises:
        SwapError: torch.fx cannot trace the forward, or sees another number of calls.
    """
    added = {place: _added(place, count) for place, count in uses.items()}
    if isinstance(caller, fx.GraphModule):
        undo_forward = _retraced_graph(caller, added, path)
    else:
        undo_forward = _retraced_class(caller, added, absent, path)
    new = [place for places in added.values() for place in places]
    for place in new:
        place.restore()

    def undo() -> None:
        undo_forward()
        for place in new:
            place.parent._modules.pop(place.name, None)

    return added, undo


class Called(nn.Module):
    """A function as a module, until an activation replaces it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


def _added(place: Place, count: int) -> list[Place]:
    taken = {*place.parent._modules, *vars(place.parent)}
    names = (name for k in itertools.count(2) if (name := f"{place.name}_{k}") not in taken)
    stem = place.path.removesuffix(place.name)
    held = place.held if isinstance(place.held, nn.Module) else Called(place.held)
    return [Place(f"{stem}{name}", place.parent, name, held) for name in itertools.islice(names, count - 1)]


def _retraced_class(
    caller: nn.Module, added: Mapping[Place, Sequence[Place]], absent: frozenset[str], path: str
) -> Undo:
    sources = []
    for training in (True, False):
        with _mode(caller, training):
            graph = _graph(caller, absent, path)
        _rename_calls(graph, caller, added, path)
        sources.append(Source.of(graph))
    before = type(caller)
    caller.__class__ = _split_class(before, *sources)
    return lambda: setattr(caller, "__class__", before)


def _retraced_graph(caller: fx.GraphModule, added: Mapping[Place, Sequence[Place]], path: str) -> Undo:
    before = caller.graph
    graph = copy.deepcopy(before)
    _rename_calls(graph, caller, added, path)
    caller.graph = graph
    return lambda: setattr(caller, "graph", before)


@contextmanager
def _mode(module: nn.Module, training: bool) -> Iterator[None]:
    before, module.training = module.training, training
    try:
        yield
    finally:
        module.training = before


def _graph(caller: nn.Module, absent: frozenset[str], path: str) -> fx.Graph:
    attributes = set(vars(caller)) | set(caller._buffers)
    try:
        graph = _Tracer(absent).trace(caller)
    except Exception as err:
        line = f"{type(err).__name__}: {err}".splitlines()[0]
        raise SwapError(f"{_several(caller, path)} torch.fx cannot trace ({line}); {_REMEDY}") from err
    made = (set(vars(caller)) | set(caller._buffers)) - attributes
    for name in made:  # a tensor written in the forward becomes an attribute of the module traced
        delattr(caller, name)
    if made:
        raise SwapError(f"{_several(caller, path)} makes constant tensors, which torch.fx would freeze; {_REMEDY}")
    return graph


_REMEDY = "give each use a module of its own, or skip it"


def _several(caller: nn.Module, path: str) -> str:
    return f"{path or 'the model'} ({type(caller).__name__}) calls one activation several times and its forward"


def _rename_calls(graph: fx.Graph, caller: nn.Module, added: Mapping[Place, Sequence[Place]], path: str) -> None:
    """Points the calls of each place, in order, at its own name and the added ones."""
    called = {node: caller.get_submodule(node.target) for node in graph.nodes if node.op == "call_module"}
    for place, more in added.items():
        calls = [node for node, module in called.items() if module is place.parent._modules[place.name]]
        if len(calls) != len(more) + 1:
            raise SwapError(
                f"{_several(caller, path)} shows torch.fx {len(calls)} calls of {place.name} "
                f"instead of {len(more) + 1}; {_REMEDY}"
            )
        for node, other in zip(calls[1:], more, strict=True):
            node.target = f"{node.target.removesuffix(place.name)}{other.name}"


def _split_class(base: type[nn.Module], training: Source, evaluation: Source) -> type[nn.Module]:
    """A class like `base` with the traced forward; copies and pickles rebuild it from the text."""

    def __reduce_ex__(self: nn.Module, protocol: Any) -> Any:  # noqa: N807
        return _rebuild, (base, training, evaluation), self.__dict__

    trained, evaluated = training.compiled(), evaluation.compiled()

    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return trained(self, *args, **kwargs) if self.training else evaluated(self, *args, **kwargs)

    members = {
        "forward": trained if training.text == evaluation.text else forward,
        "__reduce_ex__": __reduce_ex__,
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
    }
    return type(base.__name__, (base,), members)


def _rebuild(base: type[nn.Module], training: Source, evaluation: Source) -> nn.Module:
    cls = _split_class(base, training, evaluation)
    return cls.__new__(cls)
