"""A run in numbers for Prometheus, on a port of the process that drives it: it sees all workers."""

from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Gauge, start_http_server

from actsearch.errors import ConfigError

if TYPE_CHECKING:
    from actsearch_workers.sight import QueueStatus

LOCALHOST = "127.0.0.1"


class Metrics:
    """Gauges of what a process drives, served until it ends.

    Args:
        where: `PORT` of localhost, or `HOST:PORT`; 0.0.0.0 stands for every address.

    Raises:
        ConfigError: not of that form, or a port that cannot be had.
    """

    def __init__(self, where: str) -> None:
        host, port = address(where)
        self._registry = CollectorRegistry()
        self._told = self._gauge("evaluations_told", "Evaluations that the store has a result of.")
        self._in_flight = self._gauge("evaluations_in_flight", "Evaluations asked for that have none yet.")
        self._queued = self._gauge("jobs_queued", "Jobs of the run's environment that wait for a worker, of all runs.")
        again = "Attempts of the run's jobs that came to nothing and were tried again: failed, lost or handed back."
        self._tried_again = self._gauge("attempts_tried_again", again)
        self._silent = self._gauge("leases_running_out", "Jobs whose worker says nothing any more.")
        self._stalled = self._gauge("stalled", "1 while nothing of the run moves though something should.")
        self._workers = self._gauge("workers", "Workers of the server, by what they do for this run.", "state")
        try:
            start_http_server(port, host, self._registry)
        except OSError as err:
            raise ConfigError(f"--metrics = {where!r}: {err.strerror or err}") from err

    def show(self, run: str, progress: Any, status: "QueueStatus", *, is_stalled: bool) -> None:
        """Sets all of them.

        Args:
            run: the run's name, a label of each.
            progress: of a search or of finals; has `told` and `in_flight`.
            status: what was seen of the queue.
            is_stalled: whether there is a reason why nothing moves.
        """
        fit = len(status.fitting)
        states = {
            "busy": status.busy,
            "elsewhere_or_idle": fit - status.busy,
            "other_environment": len(status.workers) - fit,
        }
        for gauge, value in (
            (self._told, progress.told),
            (self._in_flight, progress.in_flight),
            (self._queued, status.queued),
            (self._tried_again, status.retries),
            (self._silent, status.silent),
            (self._stalled, int(is_stalled)),
        ):
            gauge.labels(run=run).set(value)
        for state, count in states.items():
            self._workers.labels(run=run, state=state).set(count)

    def _gauge(self, name: str, what: str, *labels: str) -> Gauge:
        return Gauge(f"actsearch_{name}", what, ["run", *labels], registry=self._registry)


def address(where: str) -> tuple[str, int]:
    """Host and port of `[HOST:]PORT`; `ConfigError` for anything else."""
    host, _, port = where.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"--metrics = {where!r}: right would be PORT (of localhost) or HOST:PORT")
    return host.strip("[]") or LOCALHOST, int(port)
