"""`actsearch status`: what it says of a run, to people and to programs."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from actsearch.config import EarlyStoppingSettings, RunConfig
from actsearch.evaluation import Evaluation, Outcome
from actsearch.runs import create_run
from actsearch.store import Advance, BatchRecord, NewEvaluation
from actsearch_cli.main import run as actsearch
from tests.actsearch.stored_run import stored_run

METRICS = {"entropy": 0.2, "entropy_unary1": 0.1, "approx_kl": 0.0123, "grad_norm": 0.5, "clip_fraction": 0.25}


def told_run(runs_dir: Path, metrics: dict[str, float] | None) -> None:
    """A run that was told its only batch, or none yet."""
    with stored_run(runs_dir).open() as (store, run):
        if metrics is not None:
            told = BatchRecord(batch=0, told_at=datetime(2026, 1, 1, tzinfo=UTC), metrics=metrics, digest="ab")
            store.advance(run, Advance(told=told, proposed={}, new=(), controller=b"", trace="cd" * 32, seconds=12.0))


def test_json_has_the_controllers_health(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told_run(tmp_path, METRICS)
    assert actsearch(["status", "first", "--runs-dir", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["evaluations"] == {
        "budget": 5,
        "asked": 5,
        "told": 5,
        "by_outcome": {"trained": 4, "nonfinite": 1},
    }
    assert document["best"]["reward"] == 0.95
    assert document["trace"] == "cd" * 32
    health = document["controller"]
    assert (health["batch"], health["new_share"], health["metrics"]) == (0, 1.0, METRICS)
    assert health["uniform_entropy"] == pytest.approx(2.9135, abs=1e-4)
    assert health["warning"].startswith("collapsed: its entropy is 0.20 nats a token")


def test_people_get_it_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told_run(tmp_path, METRICS | {"entropy": 2.5})
    assert actsearch(["status", "first", "--runs-dir", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith("controller")]
    assert line.split(maxsplit=1)[1] == (
        "100% new functions lately, entropy 2.50, approx_kl 0.012, clip_fraction 25%, grad_norm 0.50"
    )


def test_a_run_that_was_told_nothing_has_no_health(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told_run(tmp_path, None)
    assert actsearch(["status", "first", "--runs-dir", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["controller"] is None


def test_it_says_what_early_stopping_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told_run(tmp_path, None)
    assert actsearch(["status", "first", "--runs-dir", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["early_stopping"] is None

    folder = create_run(tmp_path, "stopping", RunConfig(early_stopping=EarlyStoppingSettings()))
    new = [
        NewEvaluation(key=f"{k:016x}", tokens=("a", "b", "c"), formula="f", canonical="c", names=(), seed=k)
        for k in range(4)
    ]
    asked = Advance(told=None, proposed={}, new=tuple(new), controller=b"", trace="", seconds=1.0)
    with folder.open() as (store, run):
        store.advance(run, asked)
        for key, outcome, steps in [(0, "trained", 150), (1, "stopped", 15), (2, "stopped", 75), (3, "nonfinite", 0)]:
            store.record(Evaluation(run=run, evaluation=f"{key:016x}", outcome=Outcome(outcome), steps=steps))
    assert actsearch(["status", "stopping", "--runs-dir", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["early_stopping"]
    assert found == {"stopped": 2, "steps_saved": pytest.approx((135 + 75) / (150 + 150 + 150))}
    assert actsearch(["status", "stopping", "--runs-dir", str(tmp_path)]) == 0
    assert "stopped early 2, which saved 47% of the steps" in capsys.readouterr().out
