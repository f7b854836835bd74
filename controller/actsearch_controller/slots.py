"""Which evaluation each formula of a batch asks for, and which of these the run has not asked for before."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain

from actsearch.config import RunConfig
from actsearch.evaluation import Rung, child_seed, evaluation_key
from actsearch.formula import Formula
from actsearch.store import NewEvaluation, NewProposal
from actsearch_controller.controllers import repeats_of
from actsearch_controller.identities import Identity


def assigned(
    formulas: Sequence[Formula],
    identities: Mapping[Formula, Identity],
    config: RunConfig,
    *,
    left: int,
    rungs: tuple[Rung, ...],
    asked_before: Callable[[Sequence[str]], Iterable[str]],
) -> tuple[tuple[NewProposal, ...], tuple[NewEvaluation, ...]]:
    """The slots of a batch, and the evaluations that are new with it.

    Args:
        formulas: as proposed; the one that reaches the budget is the last to get a slot.
        identities: of all of them.
        config: of the run.
        left: new evaluations until the budget is reached, at least 1.
        rungs: where a function's first training may end early.
        asked_before: those of some keys that the run has asked for.
    """
    keys = {formula: _keys(identities[formula].fingerprint, config) for formula in identities}
    known = set(asked_before(sorted({*chain.from_iterable(keys.values())})))
    slots: list[NewProposal] = []
    new: list[NewEvaluation] = []
    for formula in formulas:
        key, replicate = _choice(keys[formula], known)
        is_new = key not in known
        slots.append(NewProposal(tokens=formula.tokens, evaluation=key, is_new=is_new))
        if is_new:
            known.add(key)
            new.append(_evaluation(formula, key, identities[formula], replicate, config.seed, rungs))
            if len(new) == left:
                break
    return tuple(slots), tuple(new)


def _keys(identity: str, config: RunConfig) -> list[str]:
    """The keys of a function's evaluations, one for each replicate that the run allows."""
    seeds = [child_seed(config.seed, identity, replicate) for replicate in range(repeats_of(config))]
    return [evaluation_key(identity, config.child, config.recipe, config.dataset, seed) for seed in seeds]


def _choice(keys: Sequence[str], known: set[str]) -> tuple[str, int]:
    """Key and number of a function's first replicate not asked for yet; of the first one where all are."""
    return next(((key, replicate) for replicate, key in enumerate(keys) if key not in known), (keys[0], 0))


def _evaluation(
    formula: Formula, key: str, identity: Identity, replicate: int, run_seed: int, rungs: tuple[Rung, ...]
) -> NewEvaluation:
    return NewEvaluation(
        key=key,
        tokens=formula.tokens,
        formula=identity.formula,
        canonical=identity.canonical,
        names=identity.names,
        seed=child_seed(run_seed, identity.fingerprint, replicate),
        replicate=replicate,
        rungs=() if replicate else rungs,
    )
