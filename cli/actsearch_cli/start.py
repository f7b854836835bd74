"""The run that `search` and `controller` drive: a new one made from flags, or an existing one to go on with."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from actsearch.config import RunConfig
from actsearch.errors import ConfigError, RunError
from actsearch.runs import RunFolder, change_budget, create_run
from actsearch_cli.options import data_dir, existing_run, shared_store
from actsearch_cli.settings import resolve

SETTINGS = MappingProxyType({
    "evaluations": "evaluations",
    "minutes": "minutes",
    "seed": "seed",
    "controller": "controller",
    "units": "space.units",
    "child": "child.name",
    "gain": "child.gain",
    "dataset": "dataset",
    "steps": "recipe.steps",
    "batch": "batch",
    "lag": "lag",
    "repeats": "repeats",
    "finals": "finals.finalists",
})  # fmt: skip
"""Flags that set something of the run: parameter to key of `RunConfig`."""
CHANGEABLE = ("evaluations", "minutes", "finals")
"""Those that a resumed run may change."""


def run_to_drive(parameters: Mapping[str, Any], *, dataset_here: bool) -> RunFolder:
    """The folder of the run that a command line asks for, made if it asks for a new one.

    Args:
        parameters: the command's parameters by name.
        dataset_here: whether the data must be on this machine, because it trains here.

    Raises:
        CallerError: whatever is wrong with the command line, before anything is made.
    """
    if parameters["resume"] is None:
        return _new_run(parameters, dataset_here=dataset_here)
    return _existing_run(parameters)


def _new_run(parameters: Mapping[str, Any], *, dataset_here: bool) -> RunFolder:
    from actsearch_workers.data import check_dataset

    flags = {key: parameters[name] for name, key in SETTINGS.items()}
    flags["finals.after_search"] = None if parameters["finals"] is None else True
    flags["allow_user_code"] = parameters["allow_user_code"] or None
    flags["early_stopping"] = {} if parameters["early_stopping"] else None  # a table in the file keeps its settings
    config = resolve(parameters["config"], parameters["preset"], flags)
    if dataset_here:
        check_dataset(config.dataset, data_dir=data_dir(), allow_user_code=config.allow_user_code)
    return create_run(parameters["runs_dir"], parameters["run"], config, database=shared_store(parameters["store"]))


def _existing_run(parameters: Mapping[str, Any]) -> RunFolder:
    folder = existing_run(parameters["runs_dir"], parameters["resume"], parameters["store"])
    fixed = [name for name in ("config", "run", "preset", "early_stopping", *SETTINGS) if name not in CHANGEABLE]
    given = next((name for name in fixed if parameters[name] not in (None, False)), None)
    if given is not None:
        flag = "CONFIG.toml" if given == "config" else f"--{given.replace('_', '-')}"
        raise ConfigError(
            f"{flag} does not go with --resume: only --evaluations, --minutes and --finals of a run may change"
        )
    config, asked = _read(folder)
    if config.allow_user_code and not parameters["allow_user_code"]:
        raise ConfigError(f"run {folder.name!r} has user code in it; go on with --allow-user-code")
    evaluations = parameters["evaluations"]
    if evaluations is not None and evaluations < asked:
        raise RunError(f"--evaluations = {evaluations}: run {folder.name!r} has asked for {asked} already")
    return folder


def change_settings(folder: RunFolder, parameters: Mapping[str, Any]) -> None:
    """Gives a run that goes on the budget and finals of the command line; the caller holds its lock."""
    changes = {name: parameters[name] for name in CHANGEABLE if parameters[name] is not None}
    if parameters["resume"] is None or not changes:
        return
    with folder.open() as (store, name):
        change_budget(
            folder,
            store,
            name,
            evaluations=parameters["evaluations"],
            minutes=parameters["minutes"],
            finalists=parameters["finals"],
        )


def _read(folder: RunFolder) -> tuple[RunConfig, int]:
    with folder.open() as (store, name):
        return store.run(name).config, store.summary(name).asked
