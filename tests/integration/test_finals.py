"""Finals as a person starts them: after a search, killed in mid-round, gone on with another number of workers."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_search import command, run

pytestmark = pytest.mark.slow

SEARCH = ["search", "--dataset", "digits", "--steps", "8", "--batch", "3", "--evaluations", "9", "--run", "first"]
FINALS = [
    "--classes",
    "4",
    "--screen-seeds",
    "1",
    "--finalists",
    "2",
    "--seeds",
    "3",
    "--children",
    "nf_resnet8,resnet8",
    "--steps",
    "8",
]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed")
    run(folder, *SEARCH, "--workers", "2")
    document = run(folder, "finals", "first", *FINALS, "--workers", "2")
    assert '<h2 id="finals">' in (folder / document["report"]).read_text()
    return document


def timeless(finals: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in finals.items() if key not in ("seconds", "test_measured_at")}


def test_killed_in_mid_round_they_end_as_if_undisturbed(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    run(tmp_path, *SEARCH, "--workers", "1")
    first = subprocess.Popen(
        command("finals", "first", *FINALS, "--workers", "2"),
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert _wait_for(tmp_path, 7)["state"] == "running"
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    killed = _wait_for(tmp_path, 7)
    assert killed["state"] == "interrupted"
    assert "`actsearch finals first` goes on" in killed["reason"]
    done = run(tmp_path, "finals", "first", "--workers", "1")
    assert timeless(done["finals"]) == timeless(undisturbed["finals"])
    again = run(tmp_path, "finals", "first")
    assert again["finals"] == done["finals"], "a second call prints what is there, and when it was measured"


def _wait_for(folder: Path, told: int) -> dict[str, Any]:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        done = subprocess.run(
            command("status", "first", "--json"), cwd=folder, capture_output=True, text=True, check=True
        )
        finals: dict[str, Any] | None = json.loads(done.stdout)["finals"]
        if finals is not None and finals["told"] >= told:
            return finals
        time.sleep(0.2)
    raise AssertionError(f"no {told} trainings within three minutes")


def test_a_search_goes_on_with_its_finals(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[finals]\nclasses = 3\nseeds = 2\nchildren = ['nf_resnet8']\nsteps = 8\n")
    document = run(tmp_path, "search", "mine.toml", *SEARCH[1:], "--finals", "2", "--workers", "2")
    assert document["state"] == "done"
    assert document["finals"]["state"] == "done"
    assert document["finals"]["settings"]["finalists"] == 2
    assert sum(f["is_found"] for f in document["finals"]["functions"]) == 2
