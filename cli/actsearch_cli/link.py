"""The way from whoever drives a run to its workers, and what was last seen on it."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol

from actsearch.errors import ConfigError
from actsearch.runs import RunFolder
from actsearch.store import Store, VerificationRecord

if TYPE_CHECKING:
    import redis

    from actsearch_cli.metrics import Metrics
    from actsearch_workers.connection import Address
    from actsearch_workers.matching import Wanted
    from actsearch_workers.queue import RqEvaluator
    from actsearch_workers.run_queue import QueuedRun

log = logging.getLogger("actsearch.look")
log.addHandler(logging.NullHandler())  # nothing goes to stderr, where a view may be, unless logs are set up

LOOK_SECONDS = 2.0
"""How often what is seen of the queue is written down for `status`."""
FIRST = "first"
"""Value of `--environment` that gives up the run's own, for that of the first worker."""


Part = Literal["search", "finals"] | VerificationRecord
"""What of a run is driven: each part has a queue, and so results, of its own."""


class Progress(Protocol):
    """Of a search, finals or a verification."""

    @property
    def told(self) -> int: ...

    @property
    def in_flight(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Link:
    """A server with workers behind it.

    Attributes:
        address: the server.
        connection: a client of it, which is not patient: whoever drives the run waits for the server itself.
        environment: fingerprint of the only environment whose workers will do; None keeps what the run is bound to.
        watch: looks after what was started for the run, every few seconds.
        workers_may_come: whether others than those started for the run may come.
        metrics: shown to Prometheus; None: not.
    """

    address: "Address"
    connection: "redis.Redis"
    environment: str | None = None
    watch: Callable[[], None] = lambda: None
    workers_may_come: bool = True
    metrics: "Metrics | None" = None

    def evaluator(self, store: Store, name: str, part: Part = "search") -> "RqEvaluator":
        """The evaluator of a part of a run; the environment that its workers bind it to is kept in the store.

        A verification trains on data of its own: it is bound to an environment of its own, which the server keeps.
        """
        from actsearch_workers.queue import RqEvaluator

        run = self._run(store, name, part) if isinstance(part, str) else self._verification(store, name, part)
        evaluator = partial(RqEvaluator, self.connection, run, watch=self.watch, workers_may_come=self.workers_may_come)
        if not isinstance(part, str):
            return evaluator()
        return evaluator(on_environment=lambda found: store.set_environment(name, str(found)))

    def _run(self, store: Store, name: str, part: Literal["search", "finals"]) -> "QueuedRun":
        from actsearch_workers.matching import Wanted

        run = store.run(name)
        environment = None if self.environment == FIRST else self.environment or run.environment
        wanted = Wanted(datasets=(run.config.dataset,), environment=environment, user_code=run.config.allow_user_code)
        return self._queued(run.id if part == "search" else f"{run.id}-finals", name, wanted)

    def _verification(self, store: Store, name: str, verification: VerificationRecord) -> "QueuedRun":
        from actsearch_workers.matching import Wanted
        from actsearch_workers.user_code import is_user_code

        settings = verification.plan.settings
        wanted = Wanted(
            datasets=settings.data,
            environment=None if self.environment == FIRST else self.environment,
            user_code=any(is_user_code(one) for one in (*settings.data, *settings.children)),
        )
        return self._queued(f"{store.run(name).id}-verify{verification.number}", name, wanted)

    def _queued(self, id: str, name: str, wanted: "Wanted") -> "QueuedRun":  # noqa: A002
        from actsearch_workers.run_queue import QueuedRun

        return QueuedRun(id=id, name=name, wanted=wanted, is_bound_anew=self.environment == FIRST)

    def sightings(
        self, folder: RunFolder, evaluator: "RqEvaluator", in_flight_at_most: int | None
    ) -> Callable[[Progress], None]:
        """Called often with the progress, it writes down every two seconds what is seen of the run's queue."""
        from actsearch_workers.sight import Sighting

        run, address = evaluator.run.name, str(self.address)
        due = 0.0

        def look(progress: Progress) -> None:
            nonlocal due
            if time.monotonic() < due:
                return
            due = time.monotonic() + LOOK_SECONDS
            seen = evaluator.status()
            sighting = Sighting(
                at=time.time(),
                address=address,
                in_flight=progress.in_flight,
                in_flight_at_most=in_flight_at_most,
                queue=seen,
            )
            try:
                sighting.write(folder.queue)
            except OSError as err:  # the search goes on without: the file serves `status` alone
                log.warning("cannot write %s: %s", folder.queue, err)
            if self.metrics is not None:
                is_stalled = bool(evaluator.why_nothing_moves(progress.in_flight))
                self.metrics.show(run, progress, seen, is_stalled=is_stalled)

        return look


def serve_metrics(where: str | None) -> "Metrics | None":
    """Metrics on `[HOST:]PORT`; None where none are asked for. `ConfigError` where they cannot be served."""
    if where is None:
        return None
    try:
        from actsearch_cli.metrics import Metrics
    except ModuleNotFoundError as err:
        raise ConfigError("--metrics needs prometheus_client: pip install prometheus-client") from err
    return Metrics(where)


def check_environment(wanted: str | None) -> None:
    """`ConfigError` for what is no value of `--environment`."""
    is_fingerprint = wanted is not None and len(wanted) == 8 and not set(wanted) - set("0123456789abcdef")
    if wanted not in (None, FIRST) and not is_fingerprint:
        raise ConfigError(f"--environment = {wanted!r}: right would be 8 hex digits, as a worker logs them, or {FIRST}")
