"""Rediscovery of Swish, told: what became of each kind in a search and its finals, as words and as rows.

Every statement says what is not known, and a search that found nothing says how likely random search was to find it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actsearch.evaluation import LayerRecord, evaluation_key
from actsearch.finals import ChildProtocol, FinalsPlan
from actsearch.rediscovery import Sighting
from actsearch.store import EvaluationRecord, Store
from actsearch_reports.formulas import trained_expression
from actsearch_reports.layers import beta_names
from actsearch_reports.summary import estimate, p_value, percent, plural

SHOWN = 3
"""Functions that are listed by name where several stand above."""


@dataclass(frozen=True)
class RediscoveryRow:
    """One kind of Swish, for the CSV file; chances and accuracies in 0–1, empty where nothing is known."""

    kind: str
    functions: int
    first: str
    first_evaluation: int | None
    first_proposal: int | None
    evaluations: int
    proposals: int
    spellings: int | None
    strings: int | None
    random_median_draws: float | None
    random_chance_by_draws: float | None
    random_median_evaluations: float | None
    random_chance_by_evaluations: float | None
    best: str
    search_rank: int | None
    val_accuracy: float | None
    final: str
    final_place: int | None
    is_tied: bool | None
    is_better: bool | None
    p_holm: float | None
    beaten_by: tuple[str, ...]


def rediscovery_rows(sightings: Sequence[Sighting]) -> list[RediscoveryRow]:
    """One row a kind."""
    return [
        RediscoveryRow(
            kind=s.kind,
            functions=s.functions,
            first=s.first,
            first_evaluation=s.evaluation,
            first_proposal=s.proposal,
            evaluations=s.evaluations,
            proposals=s.proposals,
            spellings=s.odds.spellings if s.odds else None,
            strings=s.odds.strings if s.odds else None,
            random_median_draws=s.odds.median_draws if s.odds else None,
            random_chance_by_draws=s.random_by_draws,
            random_median_evaluations=s.odds.median_evaluations if s.odds else None,
            random_chance_by_evaluations=s.random_by_evaluations,
            best=s.best.record.canonical if s.best else "",
            search_rank=s.rank,
            val_accuracy=s.best.reward if s.best else None,
            final=s.final.candidate.canonical if s.final else "",
            final_place=s.final_place,
            is_tied=s.final.is_tied if s.final else None,
            is_better=s.final.is_better if s.final else None,
            p_holm=s.final.p_holm if s.final else None,
            beaten_by=s.beaten_by,
        )
        for s in sightings
    ]


def told(sighting: Sighting, *, ranked: int, finals: str, finalists: int, reference: str) -> Mapping[str, str]:
    """What became of one kind, in words by question.

    Args:
        sighting: what became of it.
        ranked: functions on the search's leaderboard.
        finals: `none`, `begun` or `done`.
        finalists: functions in the last stage that were not dropped.
        reference: that all are compared with there.
    """
    return {
        "First proposed": _first(sighting),
        "Uniform random draws": _draws(sighting),
        "Random without repeats": _without_repeats(sighting),
        "By search score": _rank(sighting, ranked),
        "In finals": _final(sighting, finals, finalists),
        "Tied with the best": _tied(sighting),
        f"Better than {reference}": _better(sighting),
        "What stands before it": _beaten(sighting),
    }


def _first(s: Sighting) -> str:
    if not s.is_found:
        return f"not found in {plural(s.evaluations, 'evaluation')}, {plural(s.proposals, 'proposal')}"
    return f"evaluation {s.evaluation:,}, proposal {s.proposal:,}: {s.first}"


def _draws(s: Sighting) -> str:
    if s.odds is None:
        return "not known: nobody has counted how often it is spelled in a space of several units"
    share = f"{s.odds.spellings:,} of {s.odds.strings:,} token sequences"
    if s.odds.median_draws is None:
        return f"{share}: it cannot be found in this space"
    return (
        f"{share}: half of such searches have met it after {round(s.odds.median_draws):,} draws, "
        f"{percent(s.odds.by_draws(s.proposals), 1)} after {s.proposals:,}, as many as here"
    )


def _without_repeats(s: Sighting) -> str:
    if s.odds is None or s.odds.median_evaluations is None:
        return "not known: different functions are counted of the whole one-unit space only"
    return (
        f"half of such searches have evaluated it after {round(s.odds.median_evaluations):,} functions, "
        f"{percent(s.random_by_evaluations or 0.0, 1)} after {s.evaluations:,}, the evaluations here"
    )


def _rank(s: Sighting, ranked: int) -> str:
    if s.best is None or s.rank is None:
        return "none trained to the end" if s.is_found else "–"
    trainings = plural(s.best.trainings, "training")
    return f"{s.rank:,} of {ranked:,}: {s.best.record.canonical}, {percent(s.best.reward)}, {trainings}"


def _final(s: Sighting, finals: str, finalists: int) -> str:
    if finals == "none":
        return "no finals have been run"
    if s.final is not None:
        if s.final_place is None:
            return f"{s.final.candidate.canonical}: dropped as hopeless after {plural(s.final.seeds, 'seed')}"
        return f"{s.final_place} of {finalists} by mean rank: {s.final.candidate.canonical}"
    if s.was_screened:
        return "screened, not promoted" if finals == "done" else "among those screened; not done"
    return "not among the functions screened; of a class f ~ a·f(b·x) one goes there" if s.is_found else "–"


def _tied(s: Sighting) -> str:
    return "–" if s.final is None else "yes" if s.final.is_tied else "no"


def _better(s: Sighting) -> str:
    if s.final is None:
        return "–"
    verdict = "yes" if s.final.is_better else "not shown"
    return f"{verdict}: {estimate(s.final.difference)} points, Holm p {p_value(s.final.p_holm)}"


def _beaten(s: Sighting) -> str:
    if s.final is not None:
        if not s.beaten_by:
            return "nothing, by mean rank"
        names = _listed(s.beaten_by)
        if s.final.is_dropped:
            return f"{names}: all that were not dropped"
        return f"{names}, by mean rank{'; none is shown to be better' if s.final.is_tied else ''}"
    if s.rank is None:
        return "–"
    return f"{_listed(s.above)}, by search score: luck in part" if s.above else "nothing, by search score"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


@dataclass(frozen=True)
class TrainedSwish:
    """A member with a trainable β, as one child had it after training."""

    tokens: tuple[str, ...]
    canonical: str
    layers: tuple[LayerRecord, ...]
    initial: Mapping[str, float]
    training: str
    """Which training that was, in words."""


def trained_swish(store: Store, run: str, sightings: Sequence[Sighting]) -> TrainedSwish | None:
    """The member whose β the page shows: of finals where one is there, else of the search; strict Swish before others.

    Args:
        store: where the run is.
        run: its name.
        sightings: of the run.
    """
    finals, config = store.finals.get(run), store.run(run).config
    strict_first = tuple(reversed(sightings))
    for s in strict_first:
        if finals is not None and s.final is not None:
            protocol = _shown_child(finals.plan)
            seed = finals.plan.final_seeds[0]
            key = evaluation_key(s.final.candidate.fingerprint, protocol.child, protocol.recipe, config.dataset, seed)
            found = store.finals.layers(run, key)
            if beta_names(found):
                where = f"finals, {protocol.child.name}, {protocol.recipe.steps} steps, the first of its seeds"
                return _trained(s.final.candidate.tokens, s.final.candidate.canonical, found, where)
    for s in strict_first:
        if s.best is not None and beta_names(s.best.evaluation.layers):
            record: EvaluationRecord = s.best.record
            where = f"the search, {config.child.name}, {config.recipe.steps} steps, one seed"
            return _trained(record.tokens, record.canonical, s.best.evaluation.layers, where)
    return None


def _shown_child(plan: FinalsPlan) -> ChildProtocol:
    """The search's child where the panel has it, else the panel's first."""
    return next((p for p in plan.panel if p.child.name == plan.search.child.name), plan.panel[0])


def _trained(tokens: tuple[str, ...], canonical: str, layers: tuple[LayerRecord, ...], where: str) -> TrainedSwish:
    return TrainedSwish(tokens, canonical, layers, trained_expression(tokens).initial, where)
