"""The way from whoever drives a run to its workers, and what was last seen on it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from actsearch.errors import ConfigError
from actsearch.runs import RunFolder
from actsearch.store import Store

if TYPE_CHECKING:
    import redis

    from actsearch_cli.metrics import Metrics
    from actsearch_workers.connection import Address
    from actsearch_workers.queue import RqEvaluator

LOOK_SECONDS = 2.0
"""How often what is seen of the queue is written down for `status`."""
FIRST = "first"
"""Value of `--environment` that gives up the run's own, for that of the first worker."""


class Progress(Protocol):
    """Of a search or of finals."""

    @property
    def told(self) -> int: ...

    @property
    def in_flight(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Link:
    """A server with workers behind it.

    Attributes:
        address: the server.
        connection: a client of it.
        environment: fingerprint of the only environment whose workers will do; None keeps what the run is bound to.
        watch: looks after what was started for the run, every few seconds.
        metrics: where to serve the run's metrics, `[HOST:]PORT`; None: nowhere.
    """

    address: "Address"
    connection: "redis.Redis"
    environment: str | None = None
    watch: Callable[[], None] = lambda: None
    metrics: str | None = None

    def evaluator(self, store: Store, name: str) -> "RqEvaluator":
        """The evaluator of a run; the environment that its workers bind it to is kept in the store."""
        from actsearch_workers.matching import Wanted
        from actsearch_workers.queue import QueuedRun, RqEvaluator

        run = store.run(name)
        environment = None if self.environment == FIRST else self.environment or run.environment
        wanted = Wanted(dataset=run.config.dataset, environment=environment, user_code=run.config.allow_user_code)
        return RqEvaluator(
            self.connection,
            QueuedRun(id=run.id, name=name, wanted=wanted),
            watch=self.watch,
            on_environment=lambda found: store.set_environment(name, str(found)),
        )

    def sightings(
        self, folder: RunFolder, store: Store, name: str, evaluator: "RqEvaluator"
    ) -> Callable[[Progress], None]:
        """Called often with the progress, it writes down every two seconds what is seen of the run's queue."""
        from actsearch_workers.sight import Sighting

        run = store.run(name)
        most, address = run.config.batch * run.config.lag, str(self.address)
        metrics = self._metrics(name)
        due = 0.0

        def look(progress: Progress) -> None:
            nonlocal due
            if time.monotonic() < due:
                return
            due = time.monotonic() + LOOK_SECONDS
            seen = evaluator.status()
            sighting = Sighting(at=time.time(), address=address, run=run.id, in_flight_at_most=most, queue=seen)
            sighting.write(folder.queue)
            if metrics is not None:
                is_stalled = bool(evaluator.why_nothing_moves(progress.in_flight))
                metrics.show(progress, seen, run.id, is_stalled)

        return look

    def _metrics(self, name: str) -> "Metrics | None":
        if self.metrics is None:
            return None
        try:
            from actsearch_cli.metrics import Metrics
        except ModuleNotFoundError as err:
            raise ConfigError("--metrics needs prometheus_client: pip install 'actsearch[controller]'") from err
        return Metrics(self.metrics, name)


def check_environment(wanted: str | None) -> None:
    """`ConfigError` for what is no value of `--environment`."""
    is_fingerprint = wanted is not None and len(wanted) == 8 and not set(wanted) - set("0123456789abcdef")
    if wanted not in (None, FIRST) and not is_fingerprint:
        raise ConfigError(f"--environment = {wanted!r}: right would be 8 hex digits, as a worker logs them, or {FIRST}")
