"""`actsearch status`: what it says of a run, to people and to programs."""

import json
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from actsearch.config import EarlyStoppingSettings, RunConfig
from actsearch.evaluation import Evaluation, Outcome
from actsearch.runs import RunFolder, create_run
from actsearch.store import Advance, BatchRecord, NewEvaluation
from actsearch_cli.main import run as actsearch
from actsearch_workers.sight import QueueStatus, Sighting, WorkerState
from tests.actsearch.stored_run import stored_run
from tests.cli.programs import assert_as_promised

METRICS = {
    "entropy": 0.2,
    "uniform_entropy": 2.9135,
    "entropy_unary1": 0.1,
    "approx_kl": 0.0123,
    "grad_norm": 0.5,
    "clip_fraction": 0.25,
}


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
    assert_as_promised("status", document)
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
    assert health["warning"].startswith("collapsed: its entropy is 0.20 nats a token")


def seen(folder: RunFolder, address: str, *workers: WorkerState) -> None:
    with folder.open() as (store, run):
        identity = store.run(run).id
    queue = QueueStatus(run=identity, workers=workers, retries=3)
    Sighting(at=time.time(), address=address, in_flight=1, in_flight_at_most=20, queue=queue).write(folder.queue)


def test_it_counts_workers_and_says_why_nothing_moves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the file that the run's controller keeps: no server is asked."""
    folder = create_run(tmp_path / "runs", "stuck", RunConfig())
    new = NewEvaluation(key="0" * 16, tokens=("a", "b", "c"), formula="f", canonical="c", names=(), seed=0)
    with folder.open() as (store, run):
        store.advance(run, Advance(told=None, proposed={}, new=(new,), controller=b"", trace="", seconds=1.0))
        identity = store.run(run).id

    def status() -> dict[str, Any]:
        capsys.readouterr()
        assert actsearch(["status", str(folder.path), "--json"]) == 0
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return document

    other = WorkerState(name="b", idles={identity: "device H100, not EPYC"})
    with socket.socket(socket.AF_UNIX) as server, folder.lock():
        server.bind(str(tmp_path / "s"))
        server.listen()
        seen(folder, f"unix://{tmp_path}/s")
        assert status()["waiting"] == ["no worker serves this server: start some with `actsearch worker`"]
        seen(folder, f"unix://{tmp_path}/s", other)
        assert "device H100, not EPYC" in status()["waiting"][0]
        seen(folder, f"unix://{tmp_path}/s", WorkerState(name="a", evaluation="0" * 16, run=identity), other)
        found = status()
        assert found["waiting"] == []
        workers = {key: value for key, value in found["workers"].items() if key != "age_seconds"}
        assert workers == {"all": 2, "fit": 1, "busy": 1, "queued": 0, "retries": 3}
        assert actsearch(["status", str(folder.path)]) == 0
        text = capsys.readouterr().out
        assert "1 of 1 busy with this run, 1 of another environment, 3 attempts tried again" in text
        server.close()
        assert "is down" in status()["waiting"][0]
    gone = status()
    assert (gone["state"], gone["workers"], gone["waiting"]) == ("interrupted", None, [])


def test_watch_prints_a_line_where_there_is_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told_run(tmp_path, METRICS)
    assert actsearch(["watch", "first", "--runs-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "first interrupted, 5 of 5 evaluations\n"


def test_people_get_it_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told_run(tmp_path, METRICS | {"entropy": 2.5})
    assert actsearch(["status", "first", "--runs-dir", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "best          95.00% (1 training)  beta*x*sigmoid(x) = Swish family" in lines
    (line,) = [line for line in lines if line.startswith("controller")]
    assert line.split(maxsplit=1)[1] == (
        "100% new trainings lately, entropy 2.50, approx_kl 0.012, clip_fraction 25%, grad_norm 0.50"
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
            accuracies = {"val_accuracy": 0.5, "predicted_accuracy": 0.6}
            store.record(
                Evaluation(run=run, evaluation=f"{key:016x}", outcome=Outcome(outcome), steps=steps, **accuracies)
            )
    assert actsearch(["status", "stopping", "--runs-dir", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["early_stopping"]
    assert found == {"stopped": 2, "steps_saved": pytest.approx((135 + 75) / (150 + 150 + 150))}
    assert actsearch(["status", "stopping", "--runs-dir", str(tmp_path)]) == 0
    assert "stopped early 2, which saved 47% of the steps" in capsys.readouterr().out
