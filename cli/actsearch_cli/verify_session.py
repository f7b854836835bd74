"""One sitting at a verification: which one is meant, begin it or go on, drive it, show how it goes."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from rich.console import Console

from actsearch.errors import ConfigError, DataMissingError
from actsearch.runs import RunFolder
from actsearch.store import VerificationRecord
from actsearch.verification import VerifySettings
from actsearch_cli.link import Link
from actsearch_cli.live import FinalsLines
from actsearch_cli.options import data_dir
from actsearch_cli.sitting import sit

WHERE_FETCHED = ("fashion-mnist", "cifar10")
"""Data sets that a verification takes by itself where they are on this machine."""


def settings_of(folder: RunFolder, given: Mapping[str, Any], *, allow_user_code: bool) -> VerifySettings:
    """The settings that a command line means: those of the newest verification where it gives none.

    Args:
        folder: the run.
        given: settings by name; None means not given.
        allow_user_code: whether the run's own `module:function` may be imported.

    Raises:
        CallerError: a value out of range, or user code without permission.
    """
    with folder.open() as (store, name):
        config, begun = store.run(name).config, store.verifications.of(name)
    if config.allow_user_code and not allow_user_code:
        raise ConfigError(f"run {folder.name!r} has user code in it; go on with --allow-user-code")
    changes = {key: value for key, value in given.items() if value is not None}
    if begun and not changes:
        return begun[-1].plan.settings
    return VerifySettings.parse({"data": _data_here(config.dataset)} | changes)


def _data_here(own: str) -> list[str]:
    """The run's data set, the embedded digits, and larger ones that were fetched."""
    from actsearch_workers.data import check_dataset

    found = [own, "digits"]
    for name in WHERE_FETCHED:
        try:
            check_dataset(name, data_dir=data_dir())
        except DataMissingError:
            continue
        found.append(name)
    return list(dict.fromkeys(found))


def _find(folder: RunFolder, settings: VerifySettings) -> VerificationRecord | None:
    with folder.open() as (store, name):
        found = [record for record in store.verifications.of(name) if record.plan.settings == settings]
    return found[-1] if found else None


def is_done(folder: RunFolder, settings: VerifySettings) -> bool:
    """Whether the run has a verification with these settings that came to its end."""
    record = _find(folder, settings)
    return record is not None and record.result is not None


def number_of(folder: RunFolder, settings: VerifySettings) -> int:
    """The number of the run's verification with these settings, which was begun."""
    record = _find(folder, settings)
    assert record is not None, "begun"
    return record.number


def begin(folder: RunFolder, settings: VerifySettings, *, allow_user_code: bool) -> VerificationRecord:
    """Begins a verification, or finds the one begun with these settings; `CallerError` before anything is begun.

    Args:
        folder: the run; the caller holds its lock.
        settings: where the functions are tried.
        allow_user_code: whether `module:function` may be imported.
    """
    from actsearch_controller.finals.verification import begin as begin_verification
    from actsearch_workers.children import child
    from actsearch_workers.data import check_dataset

    recipes = {name: child(name, allow_user_code=allow_user_code).recipe for name in settings.children}
    for name in settings.data:
        check_dataset(name, data_dir=data_dir(), allow_user_code=allow_user_code)
    with folder.open() as (store, run):
        return begin_verification(store, run, settings, recipes)


def drive(folder: RunFolder, link: Link, record: VerificationRecord, *, console: Console) -> int:
    """Drives a verification to its end on the workers behind a server; returns the exit code."""
    from actsearch_controller.finals.verification import drive as drive_verification

    go_on = partial(drive_verification, record=record)
    return sit(folder, link, FinalsLines("verify"), go_on, console=console, part=record)
