"""Activation modules that serve several places: told from blocks that run several times, and split."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from actsearch.activation.swapping.dry_run import CopyingStandIn, DryRun, StandIn, call, dry_run, standing_in
from actsearch.activation.swapping.places import Place
from actsearch.activation.swapping.retracing import split
from actsearch.errors import SwapError


def separated(
    model: nn.Module, places: Sequence[Place], example_input: Any, undo: ExitStack
) -> tuple[list[Place], DryRun]:
    """The places and a dry run in which each call of one forward has a place of its own.

    A block that runs several times with weights of its own keeps one activation for all of them.

    Args:
        model: the network; its calling modules are given new forwards where that is needed.
        places: the chosen places.
        example_input: what the model takes.
        undo: gets what takes the new forwards back.

    Raises:
        SwapError: the model fails on the example, it needs an activation to overwrite its input, or a shared
            activation cannot be split.
    """
    run = dry_run(model, places, example_input)
    _refuse_overwriting(model, places, run, example_input)
    paths = {module: path for path, module in model.named_modules()}
    _refuse_several_callers(run, paths)
    shared = {place: count for place in places if (count := _uses(run, place)) > 1}
    if not shared:
        return list(places), run
    callers = {place: run.calls[place][0].caller for place in shared}
    added: dict[Place, list[Place]] = {}
    for caller in dict.fromkeys(callers.values()):
        uses = {place: count for place, count in shared.items() if callers[place] is caller}
        absent = frozenset.intersection(*(call.absent for place in uses for call in run.calls[place]))
        with standing_in(places, StandIn):
            new, undo_split = split(caller, uses, absent, paths.get(caller, ""))
        undo.callback(undo_split)
        added |= new
    every = [p for place in places for p in (place, *added.get(place, ()))]
    names = ", ".join(dict.fromkeys(_name(caller, paths) for caller in callers.values()))
    unlike = f"torch.fx does not follow the forward of {names}, which call an activation twice; {_REMEDY}"
    try:
        again = dry_run(model, every, example_input)
    except SwapError as err:
        raise SwapError(unlike) from err
    if not _alike(run, again):
        raise SwapError(unlike)
    return every, again


def _uses(run: DryRun, place: Place) -> int:
    """How often the place is called in one call of its caller, at most."""
    return max(Counter(call.serial for call in run.calls[place]).values(), default=0)


def _refuse_overwriting(model: nn.Module, places: Sequence[Place], run: DryRun, example_input: Any) -> None:
    """Refuses `self.act(h); return h`: after the swap, which overwrites nothing, h would pass unchanged."""

    def differs(copying: Sequence[Place]) -> bool:
        with standing_in(copying, CopyingStandIn):
            return not _same(run.output, call(model, example_input))

    in_place = [place for place in places if place in run.in_place]
    if in_place and differs(in_place):
        relied_on = [place for place in in_place if differs([place])] or in_place
        named = ", ".join(f"{place.path} ({place.kind})" for place in relied_on[:4])
        more = f" and {len(relied_on) - 4} places more" if len(relied_on) > 4 else ""
        raise SwapError(
            f"the forward relies on {named}{more} overwriting the input, which the new activation does not: "
            "use what the call returns (h = self.act(h)), or skip it"
        )


def _refuse_several_callers(run: DryRun, paths: Mapping[nn.Module, str]) -> None:
    for place, calls in run.calls.items():
        names = [_name(m, paths) for m in dict.fromkeys(call.caller for call in calls)]
        if len(names) > 1:
            raise SwapError(f"{place.path} is called by {' and '.join(names)}; {_REMEDY}")
        for caller in {use.caller for use in calls if not list(use.caller.parameters())}:
            # one call of the caller's caller in which it runs more than once
            serials = Counter(above for above, _ in {(call.above, call.serial) for call in calls})
            if max(serials.values()) > 1:
                raise SwapError(
                    f"{place.path} serves several places through {_name(caller, paths)}, which holds no weights; "
                    f"{_REMEDY}"
                )


_REMEDY = "give each use a module of its own, or skip it"


def _name(module: nn.Module, paths: Mapping[nn.Module, str]) -> str:
    return f"{paths.get(module) or 'the model'} ({type(module).__name__})"


def _alike(before: DryRun, after: DryRun) -> bool:
    """Whether the traced forwards compute what the model's own did, with one call a place.

    A forward that asks what kind its input is, say, is traced into another function.
    """
    return _same(before.output, after.output) and all(_uses(after, place) == 1 for place in after.calls)


def _same(one: Any, other: Any) -> bool:
    """Whether two outputs hold the same tensors, up to rounding."""
    pairs = zip(tree_leaves(one), tree_leaves(other), strict=False)
    tensors = [(a, b) for a, b in pairs if isinstance(a, Tensor)]
    return all(
        a.shape == b.shape and (a.is_meta or torch.allclose(a, b, 1e-3, 1e-5, equal_nan=True)) for a, b in tensors
    )
