"""This machine as a whole: a server and workers, started for one run and gone with it."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from actsearch.cores import usable_cores
from actsearch.runs import RunFolder
from actsearch_cli.interrupt import stopping
from actsearch_cli.link import Link

if TYPE_CHECKING:
    from actsearch_workers.connection import Address

GRACE_SECONDS = 6
"""What a worker that is told to end takes for the child at hand; `LocalWorkers` gives it 10 s in all."""


@dataclass(frozen=True)
class Machine:
    """What a command line asks for, checked before anything is made or started.

    Attributes:
        devices: the device of each worker.
        address: a server that is there; None: one is started for the run.
        allow_user_code: whether workers may import the user's `module:function`.
    """

    devices: list[str]
    address: "Address | None"
    allow_user_code: bool

    @classmethod
    def of(
        cls,
        *,
        device: str,
        workers: int | None,
        redis_url: str | None,
        redis_password_file: Path | None,
        allow_user_code: bool,
    ) -> "Machine":
        """The machine that the flags describe; `CallerError` for a device or server that is not there."""
        from actsearch_workers.connection import connect, find_address
        from actsearch_workers.environment import PROCESS_ENVIRONMENT
        from actsearch_workers.server import find_program

        os.environ.update(PROCESS_ENVIRONMENT)
        devices = _devices(device, workers)
        address = find_address(redis_url, redis_password_file, os.environ)
        if address is None:
            find_program()  # before a run is made that no server could serve
        else:
            connect(address).close()
        return cls(devices, address, allow_user_code)

    @contextmanager
    def started(
        self, folder: RunFolder, environment: str | None = None, datasets: Sequence[str] = ()
    ) -> Iterator[Link]:
        """The way to server and workers, which live until the end of the `with`.

        Args:
            folder: the run's.
            environment: as in `Link`.
            datasets: what the workers train on beside the run's own.
        """
        from actsearch_workers.connection import connect, environment_of
        from actsearch_workers.data import folder_of
        from actsearch_workers.pool import LocalWorkers
        from actsearch_workers.server import LocalServer

        with folder.open() as (store, name):
            datasets = [store.run(name).config.dataset, *datasets]
        with ExitStack() as stack:
            address = self.address
            watched: list[Callable[[], None]] = []
            if address is None:
                server = stack.enter_context(LocalServer(folder.redis))
                address = server.address
                watched.append(server.check)
            worker = [sys.executable, "-m", "actsearch_cli.main", "worker"]
            worker += ["--grace", str(GRACE_SECONDS)]
            worker += ["--allow-user-code"] if self.allow_user_code else []
            for data_root in filter(None, map(folder_of, datasets)):
                worker += ["--data-root", str(data_root)]
            commands = [[*worker, "--device", chosen] for chosen in self.devices]
            pool = stack.enter_context(LocalWorkers(commands, folder.logs, {**environment_of(address), **_NO_STORE}))
            watched.append(pool.check)

            def watch() -> None:
                for check in watched:
                    check()

            try:
                yield Link(
                    address=address,
                    connection=connect(address, patient=False),
                    environment=environment,
                    watch=watch,
                    workers_may_come=self.address is not None,
                )
            finally:
                with stopping():  # workers take their grace: a second request must not end the command's last words
                    stack.close()


_NO_STORE = {"ACTSEARCH_STORE_URL": "", "ACTSEARCH_STORE_PASSWORD_FILE": "", "PGPASSWORD": ""}
"""Workers are not told the store's password: only the controller writes to it."""


def _devices(wanted: str, workers: int | None) -> list[str]:
    """The device of each worker: one a GPU where there are GPUs and they are wanted, else one a core for our use."""
    from actsearch_workers.devices import check_device

    gpus = check_device(wanted)
    if wanted == "auto" and gpus:
        return [f"cuda:{k % gpus}" for k in range(workers or gpus)]
    return ["cpu" if wanted == "auto" else wanted] * (workers or usable_cores())
