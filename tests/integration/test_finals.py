"""Finals as a person starts them: after a search, killed in mid-round, gone on with another number of workers."""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import PATIENCE_SECONDS, command, eventually
from tests.integration.course import told
from tests.integration.test_search import run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(6 * PATIENCE_SECONDS)]

EVALUATIONS = 6
SEARCH = ["--dataset", "digits", "--steps", "8", "--batch", "3", "--evaluations", f"{EVALUATIONS}", "--run", "first"]
FINALS = [
    *("--classes", "3", "--screen-seeds", "1", "--finalists", "2", "--seeds", "2"),
    *("--children", "nf_resnet8,resnet8", "--steps", "8"),
]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run whose search is done."""
    folder = tmp_path_factory.mktemp("searched")
    run(folder, "search", *SEARCH)
    return folder


def timeless(finals: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in finals.items() if key not in ("seconds", "test_measured_at")}


def test_killed_in_mid_round_they_end_as_if_undisturbed(searched: Path, tmp_path: Path) -> None:
    shutil.copytree(searched / "runs", tmp_path / "runs")
    undisturbed = run(searched, "finals", "first", *FINALS, "--workers", "2")
    assert '<h2 id="finals">' in (searched / undisturbed["report"]).read_text()

    first = subprocess.Popen(
        command("finals", "first", *FINALS, "--workers", "2"), cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    eventually(lambda: told(tmp_path / "runs", "first") >= EVALUATIONS + 5)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    killed = run(tmp_path, "status", "first")["finals"]
    assert killed["state"] == "interrupted"
    assert killed["told"] >= 5
    assert "`actsearch finals first` goes on" in killed["reason"]

    done = run(tmp_path, "finals", "first", "--workers", "1")
    assert timeless(done["finals"]) == timeless(undisturbed["finals"])
    again = run(tmp_path, "finals", "first")
    assert again["finals"] == done["finals"], "a second call prints what is there, and when it was measured"


def test_a_search_goes_on_with_its_finals(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[finals]\nclasses = 3\nseeds = 2\nchildren = ['nf_resnet8']\nsteps = 8\n")
    document = run(tmp_path, "search", "mine.toml", *SEARCH, "--finals", "2", "--workers", "2")
    assert document["state"] == "done"
    assert document["finals"]["state"] == "done"
    assert document["finals"]["settings"]["finalists"] == 2
    assert sum(f["is_found"] for f in document["finals"]["functions"]) == 2
