"""`actsearch bench`: controllers side by side on a landscape, without training."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actsearch.cores import usable_cores
from actsearch_cli.counting import counted
from actsearch_cli.options import Json

if TYPE_CHECKING:
    from actsearch.config import EarlyStoppingSettings
    from actsearch.landscape import Landscape
    from actsearch_controller.comparison import Comparison

NAME = "bench"

DEFAULT_LANDSCAPE = "one_unit"
DEFAULT_CONTROLLERS = "ppo,random,random_new,local,evolution"


def command(
    controllers: Annotated[
        str, typer.Option("--controllers", help="Names with commas between; a wrong one lists them all.")
    ] = DEFAULT_CONTROLLERS,
    evaluations: Annotated[int, typer.Option("--evaluations", help="New functions a search may evaluate.")] = 300,
    seeds: Annotated[int, typer.Option("--seeds", help="Searches per controller, with seeds 0, 1, …", min=1)] = 20,
    landscape: Annotated[
        str, typer.Option("--landscape", help="A packaged one, or a folder that `export --format landscape` wrote.")
    ] = DEFAULT_LANDSCAPE,
    batch: Annotated[int, typer.Option("--batch", help="Proposals per update of a controller.")] = 10,
    lag: Annotated[int, typer.Option("--lag", help="Batches in flight, as in a search.")] = 2,
    early_stopping: Annotated[
        bool,
        typer.Option(
            "--early-stopping",
            help="Play each search again with children that end early, at the steps of their curves up to the middle, "
            "until they have had as many steps as without.",
        ),
    ] = False,
    keep: Annotated[
        float | None,
        typer.Option("--keep", help="Share of the children that early stopping lets pass a step.", show_default="0.33"),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes", help="Processes; their number changes no result.", min=1, show_default="one per core"
        ),
    ] = None,
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Picture of the curves: .png, .svg or .pdf.", show_default="none")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="CSV of the curves, one row per controller and evaluation.", show_default="none"),
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
    masked: neither told nor counted. A second table sets every controller against the first that is named, seed by
    seed.

    actsearch bench --controllers ppo,random --seeds 50
    """
    from actsearch.config import RunConfig
    from actsearch.errors import ConfigError
    from actsearch.landscape import load
    from actsearch_cli.bench_text import as_csv, document, print_comparison
    from actsearch_controller.comparison import compare
    from actsearch_controller.savings import played_on, savings

    names = list(dict.fromkeys(name.strip() for name in controllers.split(",") if name.strip()))
    if not names:
        raise ConfigError("--controllers names at least one, such as ppo,random")
    config = RunConfig.parse({"evaluations": evaluations, "batch": batch, "lag": lag})
    _check_writable("--output", output)
    _check_writable("--figure", figure)
    draw = None if figure is None else _drawer(figure)
    table = load(landscape)
    processes = min(processes or usable_cores(), len(names) * seeds)
    stopping = _early_stopping(table, early_stopping, keep)
    configs = {name: config.model_copy(update={"controller": name}) for name in names}
    found = compare(table, configs, seeds=seeds, processes=processes, watch=counted)
    saved = {}
    if stopping is not None:
        stopped = played_on(table, configs, found, stopping, processes=processes, watch=counted)
        saved = {name: savings(found[name], stopped[name]) for name in names}
    if output is not None:
        output.write_text(as_csv(found), encoding="utf-8")
    if figure is not None and draw is not None:
        figure.write_bytes(draw(found))
    if as_json:
        print(json.dumps(document(table, config, seeds, found, saved), indent=2, ensure_ascii=False))
    else:
        print_comparison(table, config, seeds, found, saved)


def _early_stopping(landscape: "Landscape", wanted: bool, keep: float | None) -> "EarlyStoppingSettings | None":
    """The settings of early stopping; None where it is not wanted."""
    from actsearch.config import EarlyStoppingSettings, RunConfig
    from actsearch.errors import ConfigError
    from actsearch_controller.comparison import rung_steps

    if not wanted:
        if keep is not None:
            raise ConfigError("--keep goes with --early-stopping")
        return None
    if not rung_steps(EarlyStoppingSettings(), landscape):
        raise ConfigError(
            f"--early-stopping: landscape {landscape.name!r} has no learning curves up to half of a training"
        )
    settings = {} if keep is None else {"keep": keep}
    return RunConfig.parse({"early_stopping": settings}).early_stopping


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
        raise ConfigError("--figure needs matplotlib: pip install matplotlib") from err

    def draw(found: "Mapping[str, Comparison]") -> bytes:
        curves = [bench.Searches(name, c.regret_bands, c.found_share("swish")) for name, c in found.items()]
        return style.render(partial(bench.draw, curves), style.WIDE, path.suffix[1:])[0]  # type: ignore[arg-type]

    return draw
