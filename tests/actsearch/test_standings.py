"""Standings against brute force, and the store's best and the leaderboard against standings."""

from collections import defaultdict
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actsearch.config import RunConfig
from actsearch.evaluation import Evaluation, Outcome
from actsearch.leaderboard import leaderboard
from actsearch.standings import Standings
from actsearch.store import Advance, NewEvaluation, NewProposal, Store

trainings = st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 8).map(lambda k: k / 8)), max_size=40)


def bounds(told: list[tuple[str, float]]) -> dict[str, float]:
    """Mean less standard error, by the textbook's formula for a pooled variance."""
    rewards = defaultdict(list)
    for function, reward in told:
        rewards[function].append(reward)
    freedom = sum(len(r) - 1 for r in rewards.values())
    pooled = sum(float(np.var(r, ddof=1)) * (len(r) - 1) for r in rewards.values() if len(r) > 1)
    sd = sqrt(pooled / freedom) if freedom else 0.0
    return {function: float(np.mean(r)) - sd / sqrt(len(r)) for function, r in rewards.items()}


@given(trainings)
def test_the_first_has_the_highest_bound(told: list[tuple[str, float]]) -> None:
    standings = Standings()
    for k, (function, reward) in enumerate(told, start=1):
        standings.add(function, reward)
        expected = bounds(told[:k])
        first = standings.first
        assert first is not None
        assert first.bound == pytest.approx(max(expected.values()), abs=1e-9)
        assert expected[first.function] == pytest.approx(first.bound, abs=1e-9)
    assert {s.function: pytest.approx(s.bound, abs=1e-9) for s in standings.ranked} == bounds(told)
    assert [s.bound for s in standings.ranked] == sorted((s.bound for s in standings.ranked), reverse=True)


def test_without_repeats_the_highest_reward_leads_and_a_lucky_training_does_not_with_them() -> None:
    standings = Standings()
    assert standings.first is None
    for function, reward in (("steady", 0.80), ("lucky", 0.82)):
        standings.add(function, reward)
    assert standings.first is not None
    assert (standings.first.function, standings.sd) == ("lucky", 0.0)
    for reward in (0.79, 0.83):
        standings.add("steady", reward)
    assert standings.sd == pytest.approx(0.0208167, abs=1e-6)
    # 0.8067 - 0.0208/sqrt(3) = 0.7946 stands before 0.82 - 0.0208 = 0.7992? No: the lead is larger than the luck.
    assert standings.first.function == "lucky"
    standings.add("lucky", 0.76)
    assert standings.first.function == "steady"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0.0, 0.25, 0.5, 0.75, None])), max_size=12))
def test_the_store_and_the_leaderboard_agree_with_the_standings(told: list[tuple[str, float | None]]) -> None:
    """None: a training that was stopped, at an accuracy and with a forecast above all others, and counts for nothing."""
    names = {"a": "x", "b": "sin(x)", "c": "cos(x)"}
    with Store.open(Path(":memory:")) as store:
        store.create_run("r", RunConfig(), command="", versions={})
        count: defaultdict[str, int] = defaultdict(int)
        standings = Standings()
        for number, (letter, reward) in enumerate(told):
            key = f"{number:016x}"
            new = NewEvaluation(
                key=key, tokens=("identity", "identity", "add"), formula=names[letter], canonical=names[letter],
                names=(), seed=number, replicate=count[letter],
            )  # fmt: skip
            count[letter] += 1
            proposal = NewProposal(tokens=new.tokens, evaluation=key, is_new=True)
            store.advance(
                "r",
                Advance(told=None, proposed={number: (proposal,)}, new=(new,), controller=b"", trace="", seconds=0.0),
            )
            if reward is None:
                forecast = {"val_accuracy": 0.8, "predicted_accuracy": 0.9}
                store.record(Evaluation(run="r", evaluation=key, outcome=Outcome.STOPPED, **forecast))
                continue
            outcome = Outcome.TRAINED if reward else Outcome.DIVERGED
            store.record(Evaluation(run="r", evaluation=key, outcome=outcome, val_accuracy=reward or None))
            standings.add(names[letter], reward)
        best, first = store.best("r"), standings.first
        if first is None or first.mean == 0:
            assert best is None
        else:
            assert best is not None
            assert (best.reward, best.trainings) == (first.mean, len(first.rewards))
            counted = [
                k
                for k, (letter, reward) in enumerate(told, start=1)
                if reward is not None and names[letter] == best.canonical
            ]
            assert best.number == counted[0]
        entries = leaderboard(store.evaluations("r"))
        trained = {names[letter] for letter, reward in told if reward}
        assert [(e.record.canonical, e.reward) for e in entries] == [
            (s.function, s.mean) for s in standings.ranked if s.function in trained
        ]
