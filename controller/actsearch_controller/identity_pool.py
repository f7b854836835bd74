"""The identities of whole batches, by helper processes once a batch is large, while their asker goes on.

A batch is cut into shares. Each helper has a thread that takes shares from one queue, sends them as JSON lines through
a pipe and reads the answers; a helper ends with the process at the other side of its pipes.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO

from actsearch.cores import usable_cores
from actsearch.errors import RunPausedError
from actsearch.formula import Formula
from actsearch_controller import identities
from actsearch_controller.identities import Identity, identity_of

LARGE = 64
"""Formulas from which on it pays to start helpers: they take a second to import sympy."""
SHARE = 32
"""Formulas that a helper is given at a time: few enough that none has much left when the others are done."""

ATTEMPTS = 3
"""So many helpers may die over one share."""


@dataclass(frozen=True)
class Answer:
    """The identities of one batch: of some formulas computed when they are taken, of others by helpers meanwhile."""

    _own: Sequence[Formula]
    _shares: Sequence["_Share"]

    @property
    def is_ready(self) -> bool:
        """Whether no helper is still at it."""
        return all(share.answer.done() for share in self._shares)

    def take(self) -> Mapping[Formula, Identity]:
        """The identities; waits for the helpers.

        Raises:
            RunPausedError: a helper died, or a formula has no identity.
            CancelledError: the pool was closed before they were known.
        """
        found = {formula: identity_of(formula) for formula in self._own}
        for share in self._shares:
            found.update(zip(share.formulas, share.answer.result(), strict=True))
        return found


class IdentityPool:
    """Computes identities, in helper processes once a batch is large.

    Args:
        helpers: how many at most; None: one a core that is ours to use, none where there is a single one.
    """

    def __init__(self, helpers: int | None = None) -> None:
        cores = usable_cores()
        self._wanted = (cores if cores > 1 else 0) if helpers is None else helpers
        self._shares: SimpleQueue[_Share | None] = SimpleQueue()
        self._helpers: list[_Helper] = []

    def of(self, formulas: Sequence[Formula]) -> Answer:
        """Asks for the identity of each formula. Others may be asked for before they are taken.

        Raises:
            RunPausedError: no helper can be started.
        """
        distinct = list(dict.fromkeys(formulas))
        if len(distinct) < LARGE or not self._wanted:
            return Answer(distinct, ())
        while len(self._helpers) < self._wanted:
            self._helpers.append(_Helper(self._shares))
        shares = [_Share(distinct[k : k + SHARE], Future()) for k in range(0, len(distinct), SHARE)]
        for share in shares:
            self._shares.put(share)
        return Answer((), shares)

    def close(self) -> None:
        """Ends the helpers; what they have not answered yet is cancelled. `of` starts others."""
        with suppress(Empty):
            while share := self._shares.get_nowait():
                share.answer.cancel()
        for helper in self._helpers:
            self._shares.put(None)
            helper.end()
        self._helpers, self._shares = [], SimpleQueue()

    def __del__(self) -> None:
        self.close()


@dataclass(frozen=True)
class _Share:
    formulas: Sequence[Formula]
    answer: "Future[list[Identity]]"


class _Helper:
    """A process that computes identities, and the thread that feeds it shares until it gets None."""

    def __init__(self, shares: "SimpleQueue[_Share | None]") -> None:
        self._shares = shares
        self._is_ended = False
        self.process = _started()
        self.thread = Thread(target=self._serve, daemon=True)
        self.thread.start()

    def end(self) -> None:
        """Its process is killed, and no other takes its place."""
        self._is_ended = True
        self.process.kill()

    def _serve(self) -> None:
        while (share := self._shares.get()) is not None:
            try:
                share.answer.set_result(self._ask(share.formulas))
            except BaseException as err:
                share.answer.set_exception(err)  # whoever takes the answer sees it; this thread must go on
        _end(self.process)

    def _ask(self, formulas: Sequence[Formula]) -> list[Identity]:
        for _ in range(ATTEMPTS):
            if self.process.poll() is not None and not self._is_ended:
                _end(self.process)
                self.process = _started()
            try:
                stream = _stream(self.process.stdin)
                stream.write(json.dumps([formula.tokens for formula in formulas]) + "\n")
                stream.flush()
                answer = json.loads(_stream(self.process.stdout).readline())
            except (OSError, ValueError):
                _end(self.process)
            else:
                break
        else:
            raise RunPausedError(f"processes that compute identities died {ATTEMPTS} times in a row (out of memory?)")
        if "error" in answer:
            raise RunPausedError(answer["error"])
        return [Identity(**(fields | {"names": tuple(fields["names"])})) for fields in answer]


def _started() -> subprocess.Popen[str]:
    # sympy reads it at its import: how much it remembers. Formulas of two units share most of their parts.
    environment = {"SYMPY_CACHE_SIZE": "10000"} | os.environ
    try:
        return subprocess.Popen(  # noqa: S603  (our own module)
            [sys.executable, "-m", identities.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
            env=environment,
        )
    except OSError as err:
        raise RunPausedError(f"no process that computes identities can be started: {err}") from err


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        with suppress(OSError):
            _stream(stream).close()


def _stream(stream: IO[str] | None) -> IO[str]:
    assert stream is not None, "both are pipes"
    return stream
