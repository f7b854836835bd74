"""Which function a formula is, and what the store and a job say of it; in this process, or as a helper of another's.

An identity takes some 11 ms of two units and 4 ms of one (exact values, sympy), and is a pure function of the formula:
`identity_pool` shares out large batches to helpers, which know nothing else.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from actsearch.errors import RunPausedError
from actsearch.expression import expression_of
from actsearch.formula import Formula
from actsearch.identity import canonical, formula_fingerprint, names

LIMIT_SECONDS = 120.0
"""What one formula may take: ten thousand times as long as most. A search that waits for ever would not say why."""


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
    try:
        return _computed(formula.pruned)
    except Exception as err:
        described = f"{type(err).__name__}: {err}".splitlines()[0]
        raise RunPausedError(
            f"no identity of {' '.join(formula.tokens)} ({described}); every formula should have one: please report it"
        ) from err


@lru_cache(maxsize=2**15)
def _computed(formula: Formula) -> Identity:
    with _limited():
        expression = expression_of(formula)
        return Identity(
            fingerprint=formula_fingerprint(formula),
            formula=expression.text,
            canonical=canonical(expression).full_text,
            names=names(expression),
        )


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


def _help() -> None:
    """A helper: lists of token lists in, lists of identities or an error out, until there is nobody to ask."""
    for line in sys.stdin:
        answer: list[dict[str, Any]] | dict[str, str]
        try:
            answer = [asdict(identity_of(Formula.from_tokens(tokens))) for tokens in json.loads(line)]
        except RunPausedError as err:
            answer = {"error": str(err)}
        try:
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            os._exit(0)


if __name__ == "__main__":
    _help()
