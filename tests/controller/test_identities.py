"""Identities of a batch: the same from helper processes as computed here, and helpers that die are noticed."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from subprocess import PIPE

import pytest

from actsearch.errors import RunPausedError
from actsearch.formula import Formula
from actsearch_controller import identities, identity_pool
from actsearch_controller.identities import Identity, identity_of
from actsearch_controller.identity_pool import ATTEMPTS, IdentityPool

FORMULAS = [
    Formula.from_tokens(tokens)
    for tokens in (
        ("scale", "identity", "gate"),
        ("identity", "scale", "gate"),
        ("relu", "relu", "max"),
        ("shift", "sin", "add"),
    )
]


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[IdentityPool]:
    """Two helpers, which two formulas are enough for, a formula a share."""
    monkeypatch.setattr(identity_pool, "LARGE", 2)
    monkeypatch.setattr(identity_pool, "SHARE", 1)
    helped = IdentityPool(2)
    yield helped
    helped.close()


def test_helpers_say_what_is_computed_here(pool: IdentityPool) -> None:
    answers = [pool.of([*FORMULAS, FORMULAS[0]]), pool.of(FORMULAS[:3])]
    assert not answers[0].is_ready, "they take a second to start"
    assert [helper.process.poll() for helper in pool._helpers] == [None, None]
    while not answers[1].is_ready:
        time.sleep(0.01)
    expected = {formula: identity_of(formula) for formula in FORMULAS}
    assert answers[0].take() == expected
    assert list(answers[1].take()) == FORMULAS[:3]


def test_helpers_that_die_are_replaced_and_lose_nothing(pool: IdentityPool) -> None:
    answer = pool.of(FORMULAS[:2])
    time.sleep(0.2)  # each has been given its share, and takes a second to start
    for helper in pool._helpers:
        helper.process.kill()
    assert answer.take() == {formula: identity_of(formula) for formula in FORMULAS[:2]}
    for _ in range(2):
        assert pool.of(FORMULAS[:2]).take() == {formula: identity_of(formula) for formula in FORMULAS[:2]}
        for helper in pool._helpers:  # idle ones are missed by nobody
            helper.process.kill()
            helper.process.wait()


def test_helpers_that_die_again_and_again_pause_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a formula needs more memory than there is."""
    started: list[subprocess.Popen[str]] = []

    def dying() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", "input()"]
        started.append(subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True, process_group=0))
        return started[-1]

    monkeypatch.setattr(identity_pool, "_started", dying)
    monkeypatch.setattr(identity_pool, "LARGE", 1)
    helped = IdentityPool(1)
    try:
        with pytest.raises(RunPausedError, match="processes that compute identities died 3 times in a row"):
            helped.of(FORMULAS[:1]).take()
        assert len(started) == ATTEMPTS
    finally:
        helped.close()


def test_a_helper_that_cannot_be_started_again_is_an_error(pool: IdentityPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where memory is short: nobody must wait for it for ever."""
    pool.of(FORMULAS[:2]).take()
    for helper in pool._helpers:
        helper.process.kill()
        helper.process.wait()

    def fail(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", fail)
    with pytest.raises(RunPausedError, match=r"no process that computes identities can be started: .*unavailable"):
        pool.of(FORMULAS[:2]).take()
    with pytest.raises(RunPausedError, match="no process that computes identities can be started"):
        IdentityPool(2).of(FORMULAS[:2])


def test_nothing_is_left_of_a_closed_pool(pool: IdentityPool) -> None:
    answer = pool.of(FORMULAS)
    helpers = list(pool._helpers)
    pool.close()
    assert [helper.process.wait(5) for helper in helpers] == [-signal.SIGKILL] * 2
    for helper in helpers:
        helper.thread.join(5)
        assert not helper.thread.is_alive()
    with pytest.raises((CancelledError, RunPausedError)):
        answer.take()
    assert len(pool.of(FORMULAS).take()) == len(FORMULAS), "others are started"


def test_a_formula_without_identity_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a bug must be found from the message alone: it comes back whenever the run goes on."""
    broken = (
        "from actsearch_controller import identities; identities.names = lambda expression: 1 / 0; identities._help()"
    )
    command = [sys.executable, "-c", broken]
    monkeypatch.setattr(
        identity_pool,
        "_started",
        lambda: subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True, process_group=0),
    )
    monkeypatch.setattr(identity_pool, "LARGE", 1)
    helped = IdentityPool(1)
    try:
        for _ in range(2):
            with pytest.raises(
                RunPausedError, match=r"no identity of scale identity gate \(ZeroDivisionError.*report it"
            ):
                helped.of(FORMULAS).take()
    finally:
        helped.close()


def test_a_formula_that_takes_for_ever_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities, "LIMIT_SECONDS", 0.05)
    monkeypatch.setattr(identities, "names", lambda _: time.sleep(20))
    identities._computed.cache_clear()
    with pytest.raises(RunPausedError, match=r"no identity of scale identity gate \(TimeoutError: it takes more than"):
        identity_of(FORMULAS[0])


def test_a_unit_that_is_not_used_costs_nothing() -> None:
    unused = ("x", "x", "erf", "cosh", "rbf", "x", "x", *FORMULAS[3].tokens)
    found = identity_of(FORMULAS[3])
    assert identity_of(Formula.from_tokens(unused)) is found


def test_a_small_batch_needs_no_helper() -> None:
    alone = IdentityPool(2)
    assert alone.of(FORMULAS).take()[FORMULAS[1]].names == ("Swish family",)
    assert alone._helpers == []


def test_an_identity_says_what_the_parts_say() -> None:
    assert identity_of(FORMULAS[2]) == Identity(
        fingerprint=identity_of(Formula.from_tokens(("identity", "relu", "max"))).fingerprint,
        formula="max(x, 0)",
        canonical="max(x, 0)",
        names=("ReLU",),
    )
