"""Which function each formula of a batch is, and what the store and a job say of it.

An identity takes some 20 ms of two units and 5 ms of one (exact values, sympy), and is a pure function of the formula.
So a large batch is shared out to helper processes that know nothing else; the same formula always goes to the same one,
so that what it remembers is of use. They read JSON lines from a pipe and end with the process at its other side.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
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


@lru_cache(maxsize=2**14)
def identity_of(formula: Formula) -> Identity:
    """A formula's identity, computed here and now; remembered, since random draws of one unit repeat.

    Raises:
        RunPausedError: it cannot be computed in LIMIT_SECONDS, which no formula may cause: the error names it.
    """
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

    def of(self, formulas: Sequence[Formula]) -> Mapping[Formula, Identity]:
        """The identity of each formula.

        Raises:
            RunPausedError: a helper died, or a formula has no identity.
        """
        distinct = list(dict.fromkeys(formulas))
        if len(distinct) < LARGE or not self._wanted:
            return {formula: identity_of(formula) for formula in distinct}
        if not self._helpers:
            self._helpers = [_started() for _ in range(self._wanted)]
        shares: list[list[Formula]] = [[] for _ in self._helpers]
        for formula in distinct:
            shares[zlib.crc32(" ".join(formula.tokens).encode()) % len(shares)].append(formula)
        try:
            for helper, share in zip(self._helpers, shares, strict=True):
                _write(_stream(helper.stdin), [formula.tokens for formula in share])
            answers = [json.loads(_stream(helper.stdout).readline()) for helper in self._helpers]
        except (OSError, ValueError) as err:
            self.close()
            raise RunPausedError("a process that computes identities has died (out of memory?)") from err
        if failed := next((answer["error"] for answer in answers if "error" in answer), None):
            raise RunPausedError(failed)
        return {
            formula: Identity(**(found | {"names": tuple(found["names"])}))
            for share, answer in zip(shares, answers, strict=True)
            for formula, found in zip(share, answer, strict=True)
        }

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
