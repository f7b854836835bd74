"""`actsearch finals`: what it prints of finals that are done, what status says, and what bad input gets."""

import fcntl
import json
from dataclasses import replace
from pathlib import Path

import pytest

from actsearch.config import FinalsSettings, Recipe, RunConfig
from actsearch.evaluation import Evaluation, Job, Outcome
from actsearch.runs import RunFolder, create_run
from actsearch.store import RunState
from actsearch_cli import settings
from actsearch_cli.live import FinalsLines
from actsearch_cli.main import run as actsearch
from actsearch_controller import driving
from actsearch_controller.finals.finals import Finals
from actsearch_controller.finals.loop import begin, drive
from actsearch_controller.finals.progress import FinalsProgress
from actsearch_workers.sight import QueueStatus, WorkerState
from tests.actsearch.stored_run import stored_run
from tests.cli.programs import assert_as_promised
from tests.controller.synthetic import ShuffledEvaluator

SMALL = FinalsSettings(finalists=2, seeds=3, children=("nf_resnet8", "resnet20"), steps=5)
RECIPES = dict.fromkeys(SMALL.children, Recipe())


def trained(job: Job) -> Evaluation:
    """Accuracy by the formula alone, but for a little that child and seed decide."""
    accuracy = 0.7 + 0.1 * ("gate" in job.tokens) + 0.001 * (job.seed % 7)
    return Evaluation(
        run=job.run,
        evaluation=job.evaluation,
        outcome=Outcome.TRAINED,
        val_accuracy=accuracy,
        test_accuracy=accuracy - 0.05 if job.measures_test else None,
        seconds=1.0,
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run whose search is done."""
    monkeypatch.setattr(driving, "POLL_SECONDS", 0.0)
    monkeypatch.setenv("ACTSEARCH_RUNS", str(tmp_path))
    found = stored_run(tmp_path)
    with found.open() as (store, name):
        store.set_state(name, RunState.DONE)
    return found


def finals(folder: RunFolder) -> None:
    """Plays its finals to the end."""
    with folder.open() as (store, name):
        begin(store, name, SMALL, RECIPES)
        drive(store, name, ShuffledEvaluator(0, 5, trained))


def half(folder: RunFolder) -> None:
    """Begins its finals and leaves them in the screening, as a kill does."""
    with folder.open() as (store, name):
        begin(store, name, SMALL, RECIPES)
        state = Finals(store, name)
        state.tell([trained(job) for job in state.ask()[:2]])


def test_a_second_call_prints_what_is_there(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    finals(folder)
    assert actsearch(["finals", "first"]) == 0
    out = capsys.readouterr().out
    lines = {line.split("  ")[0].strip(): line for line in out.splitlines()}
    assert "finals: 3 paired seeds in nf_resnet8, resnet20" in out
    assert "reference" in lines["max(x, 0)"]
    # 0.1 better with every seed; search 95 %, again 80.3 %
    swish = lines["beta*x*sigmoid(x)"]
    assert "+10.00 (+10.00 to +10.00)" in swish
    assert "<0.0001" in swish
    assert "yes" in swish
    assert "95.00%" in swish
    assert "best by mean rank: beta*x*sigmoid(x) (the search's own); 2 in the group tied with it" in out
    assert "1 of 2 finalists better than ReLU at 5 %" in out
    assert "test accuracy: measured once, 20" in out
    assert not (folder.report / "report.html").exists(), "nothing is new"
    assert actsearch(["finals", "first", "--seeds", "3"]) == 0


def test_json_has_every_number(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    finals(folder)
    assert actsearch(["finals", "first", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    document = printed["finals"]
    assert_as_promised("finals", printed, document, *document["functions"])
    assert (document["state"], document["reference"], document["seeds"]) == ("done", "ReLU", 3)
    assert document["children"] == list(SMALL.children)
    assert document["settings"]["finalists"] == 2
    assert document["best"] == "beta*x*sigmoid(x)"
    assert document["tied"] == ["beta*x*sigmoid(x)", "x*sigmoid(x)"]
    swish = document["functions"][0]
    assert swish["names"] == ["Swish family"]
    assert (swish["is_found"], swish["is_control"], swish["is_better"], swish["is_tied"]) == (True, False, True, True)
    assert swish["difference"]["mean"] == pytest.approx(0.1)
    assert swish["search_accuracy"] == 0.95
    assert swish["shrinkage"] == pytest.approx(0.95 - swish["again_accuracy"])
    assert swish["test_accuracy"] == pytest.approx(swish["children"][0]["accuracy"] - 0.05, abs=0.003)
    assert [child["child"] for child in swish["children"]] == list(SMALL.children)
    silu = next(f for f in document["functions"] if f["formula"] == "x*sigmoid(x)")
    assert (silu["is_found"], silu["is_control"], silu["p_holm"]) == (False, True, None)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--seeds", "4"], "were begun with seeds = 3, not 4; a run has one finals"),
        (["--children", "resnet8"], "were begun with children = nf_resnet8,resnet20, not resnet8"),
    ],
)
def test_other_finals_are_refused(
    arguments: list[str], expected: str, folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    finals(folder)
    assert actsearch(["finals", "first", *arguments]) == 2
    err = capsys.readouterr().err
    assert expected in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--finalists", "0"], "finalists = '0': input should be greater than or equal to 1"),
        (["--seeds", "1"], "seeds = '1': input should be greater than or equal to 2"),
        (["--classes", "-3"], "classes = '-3'"),
        (["--steps", "0"], "steps = '0'"),
        (["--children", "resnet9"], "no child named 'resnet9'; known: nf_resnet8, "),
        (["--children", ","], "children = '[]'"),
        (["--children", "resnet8,resnet8"], "a panel has each child once"),
        (["--children", "mine:net"], "imported only with --allow-user-code"),
        (["--device", "cuda:99"], "--device = 'cuda:99': this machine has"),
    ],
)
def test_bad_input_begins_nothing(
    arguments: list[str], expected: str, folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert actsearch(["finals", "first", *arguments]) == 2
    err = capsys.readouterr().err
    assert expected in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    with folder.open() as (store, name):
        assert store.finals.get(name) is None


def test_a_run_without_a_trained_function(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    create_run(tmp_path, "empty", RunConfig())
    assert actsearch(["finals", "empty", "--runs-dir", str(tmp_path)]) == 2
    assert "no function has been trained in the search" in capsys.readouterr().err


def test_a_run_that_is_being_driven(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    with (folder.path / "lock").open("w", encoding="ascii") as lock:
        lock.write("4711")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert actsearch(["finals", "first"]) == 2
    assert "run 'first' is being driven by process 4711; stop it first" in capsys.readouterr().err


def test_status_shows_finals(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    def status() -> dict[str, object] | None:
        assert actsearch(["status", "first", "--json"]) == 0
        found: dict[str, object] | None = json.loads(capsys.readouterr().out)["finals"]
        return found

    assert status() is None
    half(folder)
    with (folder.path / "lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert status() == {"state": "running", "reason": "", "told": 2, "best": None}
        assert actsearch(["status", "first"]) == 0
        assert "finals        running, 2 trainings\n" in capsys.readouterr().out
    killed = status()
    assert killed is not None
    assert (killed["state"], killed["told"]) == ("interrupted", 2)
    assert "`actsearch finals first` goes on with nothing lost" in str(killed["reason"])
    finals(folder)
    done = status()
    assert done is not None
    assert (done["state"], done["reason"]) == ("done", "")
    assert done["best"] == {"formula": "beta*x*sigmoid(x)", "names": ["Swish family"]}


def test_stop_names_the_command_that_goes_on(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    half(folder)
    with (folder.path / "lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert actsearch(["stop", "first"]) == 0
    assert "`actsearch finals first` goes on" in capsys.readouterr().out
    assert folder.stop_file.exists()


def test_progress_is_a_line() -> None:
    progress = FinalsProgress(
        run="first",
        stage="seeds 5 to 7 of 10",
        told=120,
        budget=400,
        in_flight=9,
        standing=9,
        dropped=5,
        failures=1,
        seconds=60.0,
        seconds_left=5400.0,
    )
    lines = FinalsLines()
    assert lines.line(progress) == (
        "finals: 120/400 trainings, seeds 5 to 7 of 10, 9 functions, 5 dropped, 90 min left"
    )
    status = QueueStatus(workers=(WorkerState(name="a", evaluation="ab", run="first"), WorkerState(name="b")), queued=7)
    assert lines.rows(progress, status)[2] == "workers      1 of 2 busy · 9 in flight"
    assert "not known yet" in lines.line(replace(progress, seconds_left=None))
    assert ", 12 s left" in lines.line(replace(progress, seconds_left=12.4))
    assert ", 2.5 h left" in lines.line(replace(progress, seconds_left=9000.0))


def test_finals_in_a_file_and_by_flag(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[finals]\nseeds = 5\nchildren = ['resnet8']\n")
    config = settings.resolve(file, None, {"finals.finalists": 4, "finals.after_search": True})
    assert config.finals == FinalsSettings(seeds=5, children=("resnet8",), finalists=4, after_search=True)
    assert not settings.resolve(None, None, {}).finals.after_search
