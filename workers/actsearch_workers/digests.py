"""Digests of the data sets of this machine, found out in forks of a worker that must not load them itself."""

import time
from collections.abc import Callable

from actsearch.errors import ConfigError
from actsearch_workers.forks import in_fork
from actsearch_workers.jobs import WorkerSettings

ASK_AGAIN_SECONDS = 60.0
"""How long data that was missing counts as missing."""


class Digests:
    """Digests of data sets on this machine, each found out once, in a fork; a missing one is asked for again later.

    Args:
        settings: the worker's.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self.known: dict[str, str] = {}
        self.meanwhile: Callable[[], object] = lambda: None
        self._settings = settings
        self._missing: dict[str, tuple[float, str]] = {}

    def __call__(self, dataset: str) -> str:
        """The digest; `ConfigError` for data that is not here, or that this worker may not read or import."""
        if dataset in self.known:
            return self.known[dataset]
        until, reason = self._missing.get(dataset, (0.0, ""))
        if time.monotonic() < until:
            raise ConfigError(reason)
        try:
            self.known[dataset] = in_fork(lambda: self._digest(dataset), self.meanwhile)
        except (ConfigError, OSError) as err:
            self._missing[dataset] = (time.monotonic() + ASK_AGAIN_SECONDS, str(err))
            raise ConfigError(str(err)) from err
        return self.known[dataset]

    def _digest(self, dataset: str) -> str:
        self._settings.check_allowed(dataset)
        return self._settings.digest(dataset)
