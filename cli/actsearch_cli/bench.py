"""`actsearch bench`: controllers side by side on a landscape, without training."""

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actsearch_cli.counting import counted
from actsearch_cli.options import Json

if TYPE_CHECKING:
    from rich.table import Table

    from actsearch.config import EarlyStoppingSettings
    from actsearch.landscape import Landscape
    from actsearch_controller.comparison import Comparison, Needed
    from actsearch_controller.savings import Savings

NAME = "bench"

DEFAULT_LANDSCAPE = "one_unit"
DEFAULT_CONTROLLERS = "ppo,random,random_new,local,evolution"
TARGETS = {"swish": "Swish family", "strict_swish": "strict Swish", "top_1_percent": "top 1 %"}
"""What a search is to find, as in `actsearch_controller.arena`, and what the table calls it."""
PIPED_WIDTH = 150
"""Columns of the table where the output is no terminal."""


def command(
    controllers: Annotated[
        str, typer.Option("--controllers", help="Names with commas between; a wrong one lists them all.")
    ] = DEFAULT_CONTROLLERS,
    evaluations: Annotated[int, typer.Option("--evaluations", help="New functions a search may evaluate.")] = 300,
    seeds: Annotated[int, typer.Option("--seeds", help="Searches a controller, with seeds 0, 1, …", min=1)] = 20,
    landscape: Annotated[
        str, typer.Option("--landscape", help="A packaged one, or a folder that `export --format landscape` wrote.")
    ] = DEFAULT_LANDSCAPE,
    batch: Annotated[int, typer.Option("--batch", help="Proposals a controller update.")] = 10,
    lag: Annotated[int, typer.Option("--lag", help="Batches in flight, as in a search.")] = 2,
    early_stopping: Annotated[
        bool,
        typer.Option(
            "--early-stopping",
            help="Play each search again with children that end early, at every step of the landscape's curves.",
        ),
    ] = False,
    keep: Annotated[
        float | None,
        typer.Option("--keep", help="Share of the children that early stopping lets pass a step.", show_default="0.2"),
    ] = None,
    processes: Annotated[
        int | None, typer.Option("--processes", help="They decide nothing.", min=1, show_default="one a core")
    ] = None,
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Picture of the curves: .png, .svg or .pdf.", show_default="none")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="CSV of the curves, a row a controller and evaluation.", show_default="none"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare controllers on a landscape: a table of rewards measured before, so that nothing is trained.

    Each search sees one training's reward, with the noise that was measured. Regret is the best true reward of the
    landscape minus that of the function which looked best so far, in points of accuracy: median and quartiles over
    the seeds. Where functions are trained again, as `ppo` does, the mean less one standard error says what looks
    best. Then the evaluations up to the first member of the Swish family a*x*sigmoid(b*x), of its strict part (a
    trainable beta inside sigmoid), and of the best hundredth: median (quartiles), and the share of seeds that found
    it. Functions known already are free, but for `random` every draw counts. What the landscape does not cover is
    masked: neither told nor counted.

    actsearch bench --controllers ppo,random --seeds 50
    """
    from actsearch.config import RunConfig
    from actsearch.errors import ConfigError
    from actsearch.landscape import load
    from actsearch_controller.comparison import compare
    from actsearch_controller.savings import savings

    names = list(dict.fromkeys(name.strip() for name in controllers.split(",") if name.strip()))
    if not names:
        raise ConfigError("--controllers names at least one, such as ppo,random")
    config = RunConfig.parse({"evaluations": evaluations, "batch": batch, "lag": lag})
    _check_writable("--output", output)
    _check_writable("--figure", figure)
    draw = None if figure is None else _drawer(figure)
    table = load(landscape)
    processes = min(processes or len(os.sched_getaffinity(0)), len(names) * seeds)
    stopping = _early_stopping(table, early_stopping, keep)
    configs = {name: config.model_copy(update={"controller": name}) for name in names}
    found = compare(table, configs, seeds=seeds, processes=processes, watch=counted)
    saved = {}
    if stopping is not None:
        again = {name: whole.model_copy(update={"early_stopping": stopping}) for name, whole in configs.items()}
        stopped = compare(table, again, seeds=seeds, processes=processes, watch=counted)
        saved = {name: savings(found[name], stopped[name]) for name in names}
    if output is not None:
        output.write_text(_csv(found), encoding="utf-8")
    if figure is not None and draw is not None:
        figure.write_bytes(draw(found))
    if as_json:
        document = _document(table, config, seeds, found)
        document |= {"early_stopping": {name: asdict(row) for name, row in saved.items()}} if saved else {}
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        _print(table, config, seeds, found)
        _print_savings(saved)


def _early_stopping(landscape: "Landscape", wanted: bool, keep: float | None) -> "EarlyStoppingSettings | None":
    """The settings of early stopping; None where it is not wanted."""
    from actsearch.config import RunConfig
    from actsearch.errors import ConfigError

    if not wanted:
        if keep is not None:
            raise ConfigError("--keep goes with --early-stopping")
        return None
    if not landscape.recorded_steps:
        raise ConfigError(f"--early-stopping: landscape {landscape.name!r} has no learning curves")
    settings = {} if keep is None else {"keep": keep}
    return RunConfig.parse({"early_stopping": settings}).early_stopping


def _print_savings(saved: "Mapping[str, Savings]") -> None:
    if saved:
        print("\nwith early stopping")
    for name, row in saved.items():
        error = "" if row.standard_error is None else f" ± {100 * row.standard_error:.3f}"
        fewer = row.steps / max(row.steps_stopping, 1)
        print(
            f"{name}: {row.steps_stopping:,.0f} steps in place of {row.steps:,.0f} ({fewer:.2f} times fewer), "
            f"{row.stopped:.0%} of the children stopped, regret {100 * row.regret_difference:+.3f}{error} points; "
            f"{row.fewer_steps:.2f} times fewer at equal regret"
        )


def _check_writable(flag: str, path: Path | None) -> None:
    """Refuses a file whose folder is missing before minutes are spent."""
    from actsearch.errors import ConfigError

    if path is not None and not path.parent.is_dir():
        raise ConfigError(f"{flag} {path}: there is no folder {path.parent}")


def _drawer(path: Path) -> "Callable[[Mapping[str, Comparison]], bytes]":
    """What turns comparisons into the bytes of a picture; refuses a format or a missing library before any work."""
    from actsearch.errors import ConfigError

    if path.suffix not in (".png", ".svg", ".pdf"):
        raise ConfigError(f"--figure {path}: a picture ends in .png, .svg or .pdf")
    try:
        from actsearch_reports.figures import bench, style
    except ModuleNotFoundError as err:
        raise ConfigError("--figure needs matplotlib: pip install 'actsearch[reports]'") from err

    def draw(found: "Mapping[str, Comparison]") -> bytes:
        curves = [bench.Searches(name, c.regret_bands, c.found_share("swish")) for name, c in found.items()]
        return style.render(partial(bench.draw, curves), style.WIDE, path.suffix[1:])[0]  # type: ignore[arg-type]

    return draw


def _document(landscape: "Landscape", config: Any, seeds: int, found: "Mapping[str, Comparison]") -> dict[str, Any]:
    return {
        "landscape": landscape.name,
        "completeness": asdict(landscape.completeness),
        "noise_sd": landscape.description.noise_sd,
        "seeds": seeds,
        "evaluations": config.evaluations,
        "batch": config.batch,
        "lag": config.lag,
        "controllers": {name: _measures(comparison) for name, comparison in found.items()},
    }


def _measures(comparison: "Comparison") -> dict[str, Any]:
    from actsearch_controller.comparison import BUDGETS

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


def _csv(found: "Mapping[str, Comparison]") -> str:
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


def _print(landscape: "Landscape", config: Any, seeds: int, found: "Mapping[str, Comparison]") -> None:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPED_WIDTH)
    print(landscape)
    print(f"{seeds} seeds, {config.evaluations} evaluations, batches of {config.batch}, lag {config.lag}\n")
    console.print(_table(config.evaluations, found))
    for name, comparison in found.items():
        if comparison.over:
            print(f"{name}: {comparison.over:.0%} of the searches had nothing new left before their budget was used up")


def _table(budget: int, found: "Mapping[str, Comparison]") -> "Table":
    from rich.table import Table

    from actsearch_controller.comparison import BUDGETS

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


def _cells(comparison: "Comparison", shown: list[int]) -> Iterator[str]:
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


def _needed(needed: "Needed", budget: int, share: float) -> str:
    """Median (quartiles) and share; what too few seeds found within the budget is more than that."""
    q25, middle, q75 = (f">{budget:,}" if n is None else f"{n:,}" for n in (needed.q25, needed.median, needed.q75))
    return f"{middle} ({q25}-{q75}) {share:.0%}" if needed.q25 else f"{q25} {share:.0%}"
