"""What became of Swish in each of several runs and their finals, as Markdown tables.

    python benchmarks/rediscovery.py runs/ppo-1 runs/random-1 runs/ppo-2 runs/random-2

Runs without finals, or with finals that are not done, have dashes there, and no row in the first table.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from tables import print_table, shown

from actsearch.evaluation import LayerRecord
from actsearch.finals import Candidate, FinalRow, FinalsResult
from actsearch.rediscovery import Sighting, sightings
from actsearch.runs import RunFolder
from actsearch.store import FinalsRecord, RunRecord, Store
from actsearch.verification import Correlation, VerificationResult
from actsearch_reports.rediscovery import trained_swish
from actsearch_reports.summary import estimate, p_value, percent, points

SEARCH = (
    "search", "evaluations", "minutes", "trained", "kind", "first evaluation (proposal)", "random by then",
    "best of it", "rank by search score", "trace",
)  # fmt: skip
FINALS = ("search", "kind", "in finals", "minus ReLU, points", "Holm p", "tied with the best", "before it")
IN_SHORT = (
    "search", "first strict Swish at evaluation", "random by then", "best by mean rank, minus ReLU, points (95 %)",
    "all finalists better than ReLU", "SiLU tied with the best",
)  # fmt: skip
LAST_STAGE = ("mean rank", "minus ReLU, points (95 %)", "Holm p", "tied with the best")
"""Between the function and a column for each child."""
BETA = ("search", "function", "training", "β", "at first", "trained: median by layer, first to last")
RELU, SILU = "max(x, 0)", "x*sigmoid(x)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    tables: dict[tuple[str, ...], list[Sequence[object]]] = {IN_SHORT: [], SEARCH: [], FINALS: [], BETA: []}
    results: list[tuple[str, FinalsResult]] = []
    verified: list[tuple[str, VerificationResult]] = []
    for folder in parser.parse_args().runs:
        with RunFolder.at(folder).open() as (store, name):
            run, finals = store.run(name), store.finals.get(name)
            found = seen(store, run, finals)
            tables[SEARCH] += search_rows(store, run, found)
            tables[FINALS] += [(named(run), *final_cells(s, finals)) for s in found if s.is_found]
            tables[IN_SHORT] += in_short(run, found, finals)
            tables[BETA] += beta_rows(store, run, found)
            if finals and finals.result:
                results.append((named(run), finals.result))
            verified += [(named(run), v.result) for v in store.verifications.of(name) if v.result]
    for head, rows in tables.items():
        print_table(head, rows)
    for title, result in results:
        head = (title, *LAST_STAGE, *result.children, "search score minus fresh seeds", "test accuracy")
        print_table(head, map(last_stage_cells, result.rows))
    for title, verification in verified:
        head = (f"{title}, verified", "in finals, minus ReLU", "here, mean over all (95 %)", *verification.grounds)
        print_table(head, verification_rows(verification))


def named(run: RunRecord) -> str:
    return f"{run.config.controller}, seed {run.config.seed}"


def seen(store: Store, run: RunRecord, finals: FinalsRecord | None) -> list[Sighting]:
    records, proposals = store.evaluations(run.name), store.proposals(run.name)
    plan, result = (finals.plan, finals.result) if finals else (None, None)
    return sightings(run.config.space, records, proposals, plan, result)


def search_rows(store: Store, run: RunRecord, found: Sequence[Sighting]) -> Iterator[Sequence[object]]:
    """Two rows a run, one a kind of Swish."""
    summary = store.summary(run.name)
    trained = sum(count for outcome, count in summary.by_outcome.items() if outcome.value == "trained")
    for s in found:
        first = f"{evaluation(s)} ({s.proposal})" if s.is_found else evaluation(s)
        best = f"{shown(s.best.record.canonical)}, {percent(s.best.reward)} ({s.best.trainings})" if s.best else "–"
        yield (
            named(run), summary.told, f"{run.seconds / 60:.1f}", trained, s.kind, first, chance(s), best, s.rank or "–",
            f"`{run.trace[:8]}`",
        )  # fmt: skip


def final_cells(s: Sighting, finals: FinalsRecord | None) -> Sequence[object]:
    if finals is None or finals.result is None:
        return s.kind, *"–––––"
    if s.final is None:
        return s.kind, "screened, not promoted" if s.was_screened else "not screened", *"––––"
    place = f"{s.final_place}: {shown(s.final.candidate.canonical)}" if s.final_place else "dropped"
    tied = "yes" if s.final.is_tied else "no"
    before = ", ".join(map(shown, s.beaten_by)) or "nothing"
    return s.kind, place, estimate(s.final.difference), p_value(s.final.p_holm), tied, before


def in_short(run: RunRecord, found: Sequence[Sighting], finals: FinalsRecord | None) -> Iterator[Sequence[object]]:
    """One row a run, for its strict Swish and its finals."""
    if finals is None or finals.result is None:
        return
    (strict,) = [s for s in found if s.kind == "Strict Swish"]
    best, rows = finals.result.best, finals.result.rows
    p = max(row.p_holm for row in rows if row.p_holm is not None)
    better = [row.is_better for row in rows if row.is_found]
    tied = next((("yes" if row.is_tied else "no") for row in rows if row.candidate.canonical == SILU), "–")
    first = f"{shown(best.candidate.canonical)}, {estimate(best.difference)}"
    yield (
        named(run), evaluation(strict), chance(strict), first,
        f"yes, p {at_most(p)}" if all(better) else f"{sum(better)} of {len(better)}", tied,
    )  # fmt: skip


def evaluation(s: Sighting) -> str:
    return str(s.evaluation) if s.is_found else f"not in {s.evaluations}"


def chance(s: Sighting) -> str:
    return "–" if s.random_by_evaluations is None else percent(s.random_by_evaluations, 0)


def at_most(p: float) -> str:
    """A bound of one digit that p is not above."""
    if p < 0.0001:
        return p_value(p)
    digit = 10.0 ** math.floor(math.log10(p))
    return f"≤ {math.ceil(p / digit) * digit:.1g}"


def last_stage_cells(row: FinalRow) -> Sequence[object]:
    """A function of the last stage; the reference has its accuracies where others have their differences."""
    is_reference = row.difference is None
    children = [percent(c.accuracy) if c.difference is None else points(c.difference.mean) for c in row.children]
    rank = "dropped" if row.mean_rank is None else f"{row.mean_rank:.2f}"
    luck = "" if row.shrinkage is None else points(row.shrinkage)
    difference, tested = ("", "") if is_reference else (estimate(row.difference), "not tested")
    return (
        function(row.candidate), rank, difference, tested if row.p_holm is None else p_value(row.p_holm),
        "yes" if row.is_tied else "", *children, luck, percent(row.test_accuracy),
    )  # fmt: skip


def verification_rows(result: VerificationResult) -> Iterator[Sequence[object]]:
    """The functions in the finals' order, and the rank correlations as the last row."""
    for row in result.rows:
        is_reference = row.difference is None
        grounds = [percent(g.accuracy) if is_reference else estimate(g.difference) for g in row.grounds]
        finals, mean = ("", "") if is_reference else (points(row.function.difference), estimate(row.difference))
        yield function(row.function.candidate), finals, mean, *grounds
    yield "rank correlation with the finals (95 %)", "", *(correlation(c) for c in result.correlations)


def correlation(c: Correlation) -> str:
    """Three numbers from -1 to 1, or one where there are too few functions."""
    if c.low is None or c.high is None:
        return f"{c.spearman:+.2f}".replace("-", "−")
    return f"{c.spearman:+.2f} ({c.low:+.2f} to {c.high:+.2f})".replace("-", "−")


def function(candidate: Candidate) -> str:
    """A candidate's formula, and what it is there for."""
    if candidate.canonical == RELU:
        return f"{shown(RELU)}, ReLU, the reference"
    name = ", SiLU" if candidate.canonical == SILU else ""
    return f"{shown(candidate.canonical)}{name}{', a control' if candidate.is_control else ''}"


def beta_rows(store: Store, run: RunRecord, found: Sequence[Sighting]) -> Iterator[Sequence[object]]:
    swish = trained_swish(store, run.name, found)
    if swish is None:
        return
    for name in swish.initial:
        medians = ", ".join(f"{m:.2f}" for m in by_layer(swish.layers, name))
        yield named(run), shown(swish.canonical), swish.training, shown(name), f"{swish.initial[name]:g}", medians


def by_layer(layers: Sequence[LayerRecord], name: str) -> Iterator[float]:
    """The median over the channels of each layer that has this β."""
    for layer in layers:
        if values := layer.betas.get(name):
            yield median(values)


if __name__ == "__main__":
    main()
