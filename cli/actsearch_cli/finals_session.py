"""One sitting at a run's finals: begin or go on with them, drive them, show how it goes."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from actsearch.config import FinalsSettings
from actsearch.errors import ConfigError
from actsearch.runs import RunFolder
from actsearch_cli.link import Link
from actsearch_cli.live import FinalsLines
from actsearch_cli.options import data_dir
from actsearch_cli.settings import panel_recipes
from actsearch_cli.sitting import sit


def is_done(folder: RunFolder) -> bool:
    """Whether a run has finals that came to their end."""
    with folder.open() as (store, name):
        record = store.finals.get(name)
    return record is not None and record.result is not None


def begin(
    folder: RunFolder, changes: Mapping[str, Any], *, allow_user_code: bool, dataset_here: bool, console: Console
) -> None:
    """Begins a run's finals, or makes sure that those begun are the ones asked for.

    Args:
        folder: the run; the caller holds its lock.
        changes: settings that differ from the run's own, or from those of the finals begun; None keeps these.
        allow_user_code: whether the run's own `module:function` may be imported.
        dataset_here: whether the data must be on this machine, because it trains here.
        console: where to say what is being done.

    Raises:
        CallerError: whatever is wrong with settings or run, before anything is begun.
    """
    from actsearch_controller.finals.loop import begin as begin_finals
    from actsearch_workers.data import check_dataset

    with folder.open() as (store, name):
        config, begun = store.run(name).config, store.finals.get(name)
        if config.allow_user_code and not allow_user_code:
            raise ConfigError(f"run {folder.name!r} has user code in it; go on with --allow-user-code")
        base = config.finals if begun is None else begun.plan.settings
        given = {key: value for key, value in changes.items() if value is not None}
        settings = FinalsSettings.parse(base.model_dump(mode="json") | given)
        recipes = panel_recipes(settings, allow_user_code=allow_user_code)
        if dataset_here:
            check_dataset(config.dataset, data_dir=data_dir(), allow_user_code=allow_user_code)
        if begun is None and console.is_terminal:
            console.print("looking for the best classes of functions …")
        begin_finals(store, name, settings, recipes)


def drive(folder: RunFolder, link: Link, *, console: Console) -> int:
    """Drives finals that were begun to their end on the workers behind a server; returns the exit code.

    Args:
        folder: the run; the caller holds its lock.
        link: the way to its workers.
        console: where to show how it goes.
    """
    from actsearch_controller.finals.loop import drive as drive_finals

    return sit(folder, link, FinalsLines(), drive_finals, console=console, part="finals")
