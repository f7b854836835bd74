"""From preset, TOML file and flags to one resolved configuration, checked before any work."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actsearch.config import FinalsSettings, Recipe, RunConfig, read_toml
from actsearch.errors import UnknownNameError
from actsearch.space import Space

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # Batches of 5, so that 60 evaluations hold ten told batches before the last proposal.
    "quick": {"evaluations": 60, "batch": 5, "lag": 2},
    # For two cores: the clock ends the search, and the finals are planned to take at most 50 minutes more, about 5,100
    # core-seconds. The number of evaluations is a cap out of reach.
    "rediscover": {
        "minutes": 40,
        "evaluations": 100_000,
        "finals": {
            "after_search": True,
            "classes": 32,
            "screen_seeds": 1,
            "screen_steps": 300,
            "finalists": 6,
            "seeds": 10,
            "steps": 300,
        },
    },
}
"""Settings by preset; everything not here is the default of `RunConfig`. A file and flags override them."""


def resolve(config_file: Path | None, preset: str | None, flags: Mapping[str, Any]) -> RunConfig:
    """The configuration of a new run.

    Args:
        config_file: a TOML file in the form of `RunConfig`.
        preset: a name of `PRESETS`; None: `quick` where no file is given.
        flags: settings by dotted key (`recipe.steps`); None means not given.

    Raises:
        CallerError: an unknown name or key, or a value out of range.
    """
    from actsearch_controller.controllers import check_controller
    from actsearch_workers.children import child

    if preset is None and config_file is None:
        preset = "quick"
    if preset is not None and preset not in PRESETS:
        raise UnknownNameError("preset", preset, PRESETS)
    settings = _merged({}, PRESETS[preset] if preset else {})
    settings = _merged(settings, read_toml(config_file) if config_file else {})
    settings = _merged(settings, _nested(flags))
    # A permission is given by whoever runs the command, never by a file that somebody else may have written.
    allowed = settings["allow_user_code"] = bool(flags.get("allow_user_code"))
    chosen = settings.get("child", {})
    if isinstance(chosen, Mapping):  # anything else is refused below, by its key
        name = str(chosen.get("name", RunConfig().child.name))
        entry = child(name, allow_user_code=allowed)
        settings = _merged({"recipe": entry.recipe.model_dump()}, settings)
    config = RunConfig.parse(settings)
    check_controller(config.controller)
    panel_recipes(config.finals, allow_user_code=allowed)
    Space(config.space)
    return config


def panel_recipes(finals: FinalsSettings, *, allow_user_code: bool) -> dict[str, Recipe]:
    """The recipe of each child of a panel; `CallerError` for one that is not there."""
    from actsearch_workers.children import child

    return {name: child(name, allow_user_code=allow_user_code).recipe for name in finals.children}


def _nested(flags: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in flags.items():
        if value is not None:
            table, _, last = key.rpartition(".")
            (nested.setdefault(table, {}) if table else nested)[last] = value
    return nested


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, table by table."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged
