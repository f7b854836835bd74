"""Whole searches as a person starts them: own processes, a real server, real children on the embedded digits."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import actsearch
from actsearch.store import Store
from tests.integration.conftest import PATIENCE_SECONDS, command, eventually
from tests.integration.course import told

pytestmark = [pytest.mark.slow, pytest.mark.timeout(6 * PATIENCE_SECONDS)]

SMALL = ["--dataset", "digits", "--steps", "8", "--batch", "3", "--workers", "2"]


def run(folder: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    line = command(*arguments, "--json")
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=2 * PATIENCE_SECONDS)
    assert done.returncode == code, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def evaluations(folder: Path, name: str) -> list[dict[str, Any]]:
    done = subprocess.run(command("export", name), cwd=folder, capture_output=True, text=True, check=True)
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, run(folder, "search", *SMALL, "--evaluations", "12", "--run", "first")


def test_a_search_stores_every_evaluation_and_reports(undisturbed: tuple[Path, dict[str, Any]]) -> None:
    folder, document = undisturbed
    assert document["state"] == "done"
    assert document["evaluations"]["told"] == 12
    assert (folder / document["report"]).read_text().startswith("<!DOCTYPE html>")
    rows = evaluations(folder, "first")
    assert len(rows) == len({row["evaluation"] for row in rows}) == len({row["canonical"] for row in rows}) == 12
    best = max(row["reward"] for row in rows)
    assert document["best"]["reward"] == best
    assert actsearch.load(folder / "runs/first").best().val_accuracy == best
    with Store.open(folder / "runs/first/store.sqlite", create=False) as store:
        trained = [
            r.evaluation for r in store.evaluations("first") if r.evaluation and r.evaluation.outcome == "trained"
        ]
        assert all(len(e.layers) == 7 and e.curve[-1].step == 8 for e in trained)


def test_no_process_and_no_socket_is_left(undisturbed: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = undisturbed
    ours = [p for p in Path("/proc").glob("[0-9]*/cwd") if _links_to(p, folder)]
    assert ours == []


def _links_to(link: Path, folder: Path) -> bool:
    try:
        return link.resolve().is_relative_to(folder)
    except OSError:
        return False


def test_a_done_run_goes_on_with_a_larger_budget(undisturbed: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = undisturbed
    assert run(folder, "search", "--resume", "first", "--evaluations", "14")["evaluations"]["told"] == 14
    done = subprocess.run(
        command("search", "--resume", "first", "--evaluations", "3"),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "has asked for 14 already" in done.stderr


@pytest.mark.parametrize("child", ["efficientnet_tiny", "resnet20"])
def test_other_children(child: str, tmp_path: Path) -> None:
    document = run(
        tmp_path, "search", "--child", child, "--dataset", "digits", "--steps", "3", "--evaluations", "4", "--batch", "2"
    )  # fmt: skip
    assert document["evaluations"]["told"] == 4
    assert document["evaluations"]["by_outcome"]["trained"] >= 1


def test_two_units_and_random(tmp_path: Path) -> None:
    document = run(tmp_path, "search", *SMALL, "--units", "2", "--controller", "random", "--evaluations", "4")
    assert document["evaluations"]["told"] == 4


def test_a_users_child_and_data(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "from torch import nn\n"
        "def net(act_layer, num_classes, in_chans):\n"
        "    return nn.Sequential(nn.Conv2d(in_chans, 4, 3), act_layer(), nn.Flatten(), nn.LazyLinear(num_classes))\n"
        "def data():\n"
        "    rng = np.random.default_rng(0)\n"
        "    def part(n): return rng.integers(0, 256, (n, 1, 6, 6), dtype=np.uint8), np.arange(n) % 3\n"
        "    return part(300), part(90), part(90)\n"
    )
    arguments = ["search", "--child", "mine:net", "--dataset", "mine:data", "--steps", "3", "--evaluations", "3"]
    refused = subprocess.run(command(*arguments), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "--allow-user-code" in refused.stderr
    document = run(tmp_path, *arguments, "--batch", "3", "--workers", "1", "--allow-user-code")
    assert document["evaluations"]["told"] == 3


def test_a_run_whose_data_its_workers_cannot_read_pauses(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def data(): raise OSError('no disk')")
    arguments = ["search", "--dataset", "mine:data", "--allow-user-code", "--run", "first"]
    done = subprocess.run(command(*arguments), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no worker fits the run (" in done.stderr
    assert "OSError: no disk" in done.stderr
    assert run(tmp_path, "status", "first")["state"] == "paused"


def test_stop_from_another_terminal(tmp_path: Path) -> None:
    search = subprocess.Popen(
        command("search", *SMALL, "--evaluations", "500", "--run", "first"), cwd=tmp_path, stdout=subprocess.PIPE
    )
    eventually(lambda: told(tmp_path / "runs", "first"))
    subprocess.run(command("stop", "first"), cwd=tmp_path, check=True, capture_output=True)
    out, _ = search.communicate(timeout=PATIENCE_SECONDS)
    assert search.returncode == 130
    assert b"actsearch search --resume first" in out
