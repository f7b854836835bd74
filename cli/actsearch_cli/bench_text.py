"""What a comparison of controllers says, as tables for people and as files for programs."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from actsearch.config import RunConfig
from actsearch.landscape import Landscape
from actsearch_controller.comparison import BUDGETS, Comparison, Needed
from actsearch_controller.differences import Difference, differences
from actsearch_controller.savings import Savings

TARGETS = {"swish": "Swish family", "strict_swish": "strict Swish", "top_1_percent": "top 1 %"}
"""What a search is to find, as in `actsearch_controller.arena`, and what the table calls it."""
PIPED_WIDTH = 150
"""Columns of the table where the output is no terminal."""


def document(
    landscape: Landscape,
    config: RunConfig,
    seeds: int,
    found: Mapping[str, Comparison],
    saved: Mapping[str, Savings],
) -> dict[str, Any]:
    """All of it for JSON; rewards and regrets 0-1.

    Args:
        landscape: that was searched.
        config: with the evaluations, batch and lag of each search.
        seeds: searches of each controller.
        found: comparison by controller; the first is what the others are set against.
        saved: what early stopping saved, by controller; empty where it was not played.
    """
    stopping = {"early_stopping": {name: asdict(row) for name, row in saved.items()}} if saved else {}
    against = {
        name: {measure: asdict(difference) for measure, difference in row.items()}
        for name, row in differences(found).items()
    }
    return {
        "landscape": landscape.name,
        "completeness": asdict(landscape.completeness),
        "noise_sd": landscape.description.noise_sd,
        "seeds": seeds,
        "evaluations": config.evaluations,
        "batch": config.batch,
        "lag": config.lag,
        "controllers": {name: _measures(comparison) for name, comparison in found.items()},
        "reference": next(iter(found)),
        "minus_reference": against,
        **stopping,
    }


def as_csv(found: Mapping[str, Comparison]) -> str:
    """Curves: a row a controller and evaluation."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["controller", "evaluations", "regret_q25", "regret", "regret_q75", *(f"found_{t}" for t in TARGETS)]
    )
    for name, comparison in found.items():
        shares = [comparison.found_share(target) for target in TARGETS]
        for k, regret in enumerate(comparison.regret_bands.T):
            writer.writerow([name, k + 1, *map(float, regret), *(float(share[k]) for share in shares)])
    return out.getvalue()


def print_comparison(
    landscape: Landscape,
    config: RunConfig,
    seeds: int,
    found: Mapping[str, Comparison],
    saved: Mapping[str, Savings],
) -> None:
    """Prints the tables; arguments as for `document`."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPED_WIDTH)
    print(landscape)
    print(f"{seeds} seeds, {config.evaluations} evaluations, batches of {config.batch}, lag {config.lag}\n")
    console.print(_table(config.evaluations, found))
    for name, comparison in found.items():
        if comparison.over:
            print(f"{name}: {comparison.over:.0%} of the searches had nothing new left before their budget was used up")
    if len(found) > 1:
        print(
            f"\nMinus {next(iter(found))}, mean over the seeds in pairs (p of Wilcoxon's signed-rank test, two-sided, "
            "adjusted by Holm for all below); a target not found counts as found just after the budget"
        )
        console.print(_differences_table(differences(found)))
    _print_savings(saved)


def _measures(comparison: Comparison) -> dict[str, Any]:
    regrets = {str(n): comparison.regret_after(n) for n in (*BUDGETS, comparison.budget)}
    return {
        **{f"evaluations_to_{target}": asdict(comparison.needed(target)) for target in TARGETS},
        "regret": {n: regret and regret.median for n, regret in regrets.items()},
        "regret_spread": {n: regret and asdict(regret) for n, regret in regrets.items()},
        "repeats": comparison.repeats,
        "not_covered": comparison.not_covered,
        "entropy": comparison.entropy,
        "evaluations": comparison.evaluations,
        "ended_early": comparison.over,
        "seconds": comparison.seconds,
    }


def _table(budget: int, found: Mapping[str, Comparison]) -> Table:
    shown = sorted({*(n for n in BUDGETS if n < budget), budget})
    table = Table(box=None, pad_edge=False)
    table.add_column("controller")
    for title in (*(f"regret at {n:,}" for n in shown), *TARGETS.values()):
        table.add_column(title, justify="right")
    for title in ("repeats", "masked", "entropy", "s a search"):
        table.add_column(title, justify="right")
    for name, comparison in found.items():
        table.add_row(name, *_cells(comparison, shown))
    return table


def _cells(comparison: Comparison, shown: list[int]) -> Iterator[str]:
    for n in shown:
        regret = comparison.regret_after(n)
        assert regret is not None, "the budgets shown are within the budget"
        yield f"{100 * regret.median:.2f} ({100 * regret.q25:.2f}-{100 * regret.q75:.2f})"
    for target in TARGETS:
        yield _needed(comparison.needed(target), comparison.budget, float(comparison.found_share(target)[-1]))
    yield f"{comparison.repeats:.0%}"
    yield f"{comparison.not_covered:.0%}"
    yield "" if comparison.entropy is None else f"{comparison.entropy:.2f}"
    yield f"{comparison.seconds:.2f}"


def _needed(needed: Needed, budget: int, share: float) -> str:
    """Median (quartiles) and share; what too few seeds found within the budget is more than that."""
    q25, middle, q75 = (f">{budget:,}" if n is None else f"{n:,}" for n in (needed.q25, needed.median, needed.q75))
    return f"{middle} ({q25}-{q75}) {share:.0%}" if needed.q25 else f"{q25} {share:.0%}"


def _differences_table(rows: Mapping[str, Mapping[str, Difference]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("controller")
    for measure in next(iter(rows.values())):
        table.add_column(TARGETS.get(measure, measure), justify="right")
    for name, row in rows.items():
        cells = (
            f"{difference.mean:+.0f}" if measure in TARGETS else f"{100 * difference.mean:+.2f}"
            for measure, difference in row.items()
        )
        table.add_row(name, *(f"{cell} (p {d.p:.2g})" for cell, d in zip(cells, row.values(), strict=True)))
    return table


def _print_savings(saved: Mapping[str, Savings]) -> None:
    if saved:
        print("\nwith early stopping")
    for name, row in saved.items():
        fewer = row.steps / max(row.steps_stopping, 1)
        print(
            f"{name}: {row.steps_stopping:,.0f} steps in place of {row.steps:,.0f} for as many evaluations "
            f"({fewer:.2f} times fewer), regret {_points(row.regret_difference, row.regret_error)}; in as many steps "
            f"{row.evaluations:,.0f} evaluations, {row.stopped:.0%} of the children stopped, regret "
            f"{_points(row.equal_steps_difference, row.equal_steps_error)}; {_as_low(row)}"
            + (f"; {row.fell_short:.0%} of the searches ended before as many steps" if row.fell_short else "")
        )


def _as_low(row: Savings) -> str:
    if row.fewer_steps is None:
        return "not as low"
    low, high = ("not as low" if end is None else f"{end:.2f}" for end in (row.fewer_steps_low, row.fewer_steps_high))
    interval = "" if row.regret_error is None else f" (95 % {low} to {high})"
    return f"as low after {row.fewer_steps:.2f} times fewer steps{interval}"


def _points(difference: float, error: float | None) -> str:
    return f"{100 * difference:+.3f}{'' if error is None else f' ± {100 * error:.3f}'} points"
