"""Which function each formula of a batch is, and what the store and a job say of it.

An identity takes some 11 ms of two units and 4 ms of one (exact values, sympy), and is a pure function of the formula.
So a large batch is shared out to helper processes that know nothing else, while its asker goes on; the same used units
always go to the same one, so that what it remembers is of use. They read JSON lines from a pipe and end with the
process at its other side.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import IO, Any

from actsearch.canonical import canonical
from actsearch.errors import RunPausedError
from actsearch.expression import expression_of
from actsearch.fingerprint import formula_fingerprint
from actsearch.formula import Formula
from actsearch.identity import names

LIMIT_SECONDS = 120.0
"""What one formula may take: ten thousand times as long as most. A search that waits for ever would not say why."""
LARGE = 64
"""Formulas from which on it pays to start helpers: they take a second to import sympy."""


@dataclass(frozen=True)
class Identity:
    """What is known of a formula without training it."""

    fingerprint: str
    formula: str
    """Plain mathematics, as spelled."""
    canonical: str
    """The canonical text."""
    names: tuple[str, ...]


def identity_of(formula: Formula) -> Identity:
    """A formula's identity, computed here and now; remembered, since random draws of one unit repeat.

    A formula of which one unit is used is one of few, however many units it has: a quarter of the draws of two units.

    Raises:
        RunPausedError: it cannot be computed in LIMIT_SECONDS, which no formula may cause: the error names it.
    """
    return _computed(formula.pruned)


@lru_cache(maxsize=2**15)
def _computed(formula: Formula) -> Identity:
    try:
        with _limited():
            expression = expression_of(formula)
            return Identity(
                fingerprint=formula_fingerprint(formula),
                formula=expression.text,
                canonical=canonical(expression).full_text,
                names=names(expression),
            )
    except Exception as err:
        described = f"{type(err).__name__}: {err}".splitlines()[0]
        raise RunPausedError(
            f"no identity of {' '.join(formula.tokens)} ({described}); every formula should have one: please report it"
        ) from err


@contextmanager
def _limited() -> Iterator[None]:
    """TimeoutError after LIMIT_SECONDS, where signals can be had: in a process's main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def give_up(*_: object) -> None:
        raise TimeoutError(f"it takes more than {LIMIT_SECONDS:g} s")

    before = signal.signal(signal.SIGALRM, give_up)
    others, _ = signal.setitimer(signal.ITIMER_REAL, LIMIT_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, others)
        signal.signal(signal.SIGALRM, before)


class Identities:
    """Computes identities, in helper processes once a batch is large.

    Args:
        helpers: how many at most; None: one a core for our use, none where there is a single one.
    """

    def __init__(self, helpers: int | None = None) -> None:
        cores = len(os.sched_getaffinity(0))
        self._wanted = (cores if cores > 1 else 0) if helpers is None else helpers
        self._helpers: list[subprocess.Popen[str]] = []

    def of(self, formulas: Sequence[Formula]) -> "Answer":
        """Asks for the identity of each formula. One answer is taken before the next is asked for.

        Raises:
            RunPausedError: a helper died.
        """
        distinct = list(dict.fromkeys(formulas))
        if len(distinct) < LARGE or not self._wanted:
            return Answer(distinct, {})
        if not self._helpers or any(helper.poll() is not None for helper in self._helpers):
            self.close()
            self._helpers = [_started() for _ in range(self._wanted)]
        shares: dict[subprocess.Popen[str], list[Formula]] = {helper: [] for helper in self._helpers}
        for formula in distinct:
            text = " ".join(formula.pruned.tokens)
            shares[self._helpers[zlib.crc32(text.encode()) % len(shares)]].append(formula)
        with _noticing_deaths(self._helpers):
            for helper, share in shares.items():
                _write(_stream(helper.stdin), [formula.tokens for formula in share])
        return Answer([], shares)

    def close(self) -> None:
        """Ends the helpers; `of` starts others."""
        for helper in self._helpers:
            helper.kill()
            helper.wait()
            for stream in (helper.stdin, helper.stdout):
                with suppress(OSError):
                    _stream(stream).close()
        self._helpers = []

    def __del__(self) -> None:
        self.close()


@dataclass(frozen=True)
class Answer:
    """The identities of one batch: of some formulas computed when they are taken, of others by helpers meanwhile."""

    _own: Sequence[Formula]
    _shares: Mapping[subprocess.Popen[str], Sequence[Formula]]

    @property
    def is_ready(self) -> bool:
        """Whether no helper is still at it."""
        streams = [_stream(helper.stdout) for helper in self._shares]
        return len(select.select(streams, [], [], 0)[0]) == len(streams)

    def take(self) -> Mapping[Formula, Identity]:
        """The identities, once; waits for the helpers.

        Raises:
            RunPausedError: a helper died, or a formula has no identity.
        """
        found = {formula: identity_of(formula) for formula in self._own}
        with _noticing_deaths(self._shares):
            answers = [json.loads(_stream(helper.stdout).readline()) for helper in self._shares]
        if failed := next((answer["error"] for answer in answers if "error" in answer), None):
            raise RunPausedError(failed)
        for share, answer in zip(self._shares.values(), answers, strict=True):
            for formula, fields in zip(share, answer, strict=True):
                found[formula] = Identity(**(fields | {"names": tuple(fields["names"])}))
        return found


@contextmanager
def _noticing_deaths(helpers: Iterable[subprocess.Popen[str]]) -> Iterator[None]:
    """RunPausedError where one has died; none is left then, since nobody knows which answers are still to come."""
    try:
        yield
    except (OSError, ValueError) as err:
        for helper in helpers:
            helper.kill()
            helper.wait()
        raise RunPausedError("a process that computes identities has died (out of memory?)") from err


def _started() -> subprocess.Popen[str]:
    # sympy reads it at its import: how much it remembers. Formulas of two units share most of their parts.
    environment = {"SYMPY_CACHE_SIZE": "10000"} | os.environ
    return subprocess.Popen(  # noqa: S603  (our own module)
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
        env=environment,
    )


def _stream(stream: IO[str] | None) -> IO[str]:
    assert stream is not None, "both are pipes"
    return stream


def _write(stream: IO[str], value: object) -> None:
    stream.write(json.dumps(value) + "\n")
    stream.flush()


def _help() -> None:
    """A helper: lists of token lists in, lists of identities or an error out, until there is nobody to ask."""
    for line in sys.stdin:
        answer: list[dict[str, Any]] | dict[str, str]
        try:
            answer = [asdict(identity_of(Formula.from_tokens(tokens))) for tokens in json.loads(line)]
        except RunPausedError as err:
            answer = {"error": str(err)}
        try:
            _write(sys.stdout, answer)
        except BrokenPipeError:
            os._exit(0)


if __name__ == "__main__":
    _help()
