"""A run packed by benchmarks/archive_runs.py: small, complete for whoever reads it, and honest about what it lacks."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from actsearch.errors import RunError
from actsearch.runs import RunFolder
from actsearch.store import RunState
from actsearch_cli.main import run as actsearch
from actsearch_controller.pipeline import Search
from tests.actsearch.stored_run import stored_run

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "archive_runs.py"


def packed(folder: RunFolder, into: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), str(folder.path), "--into", str(into)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_archive_reads_like_its_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = stored_run(tmp_path / "runs")
    with folder.open() as (store, name):
        store.set_state(name, RunState.DONE)
        before = store.evaluations(name)
    assert packed(folder, tmp_path / "packed").returncode == 0
    with tarfile.open(tmp_path / "packed" / "first.tar.xz") as tar:
        assert sorted(tar.getnames()) == ["first/config.toml", "first/store.sqlite"]
        tar.extractall(tmp_path / "there", filter="data")
    with RunFolder.at(tmp_path / "there" / "first").open() as (store, name):
        after = store.evaluations(name)
        with pytest.raises(RunError, match="no controller state any more"):
            Search(store, name)
    for old, new in zip(before, after, strict=True):
        assert old.evaluation is not None
        assert new.evaluation is not None
        layers = old.evaluation.layers if old.names else ()
        assert new.evaluation == old.evaluation.model_copy(update={"layers": layers})
    assert any(record.evaluation and record.evaluation.layers for record in after), "Swish has a name"
    documents = []
    for runs in ("runs", "there"):
        assert actsearch(["status", "first", "--json", "--runs-dir", str(tmp_path / runs)]) == 0
        documents.append(json.loads(capsys.readouterr().out))
    assert documents[0] == documents[1]


def test_a_search_that_goes_on_is_not_archived(tmp_path: Path) -> None:
    folder = stored_run(tmp_path)
    found = packed(folder, tmp_path)
    assert found.returncode == 1
    assert found.stderr.startswith(f"error: the search of {folder.path} is ")
    assert not (tmp_path / "first.tar.xz").exists()
