"""Identities of a batch: the same from helper processes as computed here, and helpers that die are noticed."""

import subprocess
import sys
import time
from subprocess import PIPE

import pytest

from actsearch.errors import RunPausedError
from actsearch.formula import Formula
from actsearch_controller import identities
from actsearch_controller.identities import Identities, Identity, identity_of

FORMULAS = [
    Formula.from_tokens(tokens)
    for tokens in (
        ("scale", "identity", "gate"),
        ("identity", "scale", "gate"),
        ("relu", "relu", "max"),
        ("shift", "sin", "add"),
    )
]


def test_helpers_say_what_is_computed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities, "LARGE", 3)
    helped = Identities(2)
    try:
        answer = helped.of(FORMULAS)
        for helper in helped._helpers:
            helper.kill()  # long before it has answered: it takes a second to start
            helper.wait()
        with pytest.raises(RunPausedError, match="a process that computes identities has died"):
            answer.take()
        found = helped.of([*FORMULAS, FORMULAS[0]]).take()
        assert found == {formula: identity_of(formula) for formula in FORMULAS}, "others are started"
        assert len(helped._helpers) == 2
        again = helped.of(FORMULAS[:3]).take()
        assert again == {formula: found[formula] for formula in FORMULAS[:3]}
    finally:
        helped.close()


def test_nobody_waits_for_helpers_that_are_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities, "LARGE", 3)
    helped = Identities(2)
    try:
        answer = helped.of(FORMULAS)
        assert not answer.is_ready, "they take a second to start"
        assert [helper.poll() for helper in helped._helpers] == [None, None]
        while not answer.is_ready:
            time.sleep(0.01)
        assert answer.take() == {formula: identity_of(formula) for formula in FORMULAS}
    finally:
        helped.close()


def test_a_formula_without_identity_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a bug must be found from the message alone: it comes back whenever the run goes on."""
    broken = (
        "from actsearch_controller import identities; identities.names = lambda expression: 1 / 0; identities._help()"
    )
    command = [sys.executable, "-c", broken]
    monkeypatch.setattr(
        identities, "_started", lambda: subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True, process_group=0)
    )
    monkeypatch.setattr(identities, "LARGE", 1)
    helped = Identities(1)
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
    alone = Identities(2)
    assert alone.of(FORMULAS).take()[FORMULAS[1]].names == ("Swish family",)
    assert alone._helpers == []


def test_an_identity_says_what_the_parts_say() -> None:
    assert identity_of(FORMULAS[2]) == Identity(
        fingerprint=identity_of(Formula.from_tokens(("identity", "relu", "max"))).fingerprint,
        formula="max(x, 0)",
        canonical="max(x, 0)",
        names=("ReLU",),
    )
