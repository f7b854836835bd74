"""Run folders: made whole or not at all, found by name or path, driven by one process at a time."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from actsearch.config import FinalsSettings, PPOSettings, RunConfig, read_toml
from actsearch.errors import ConfigError, RunError
from actsearch.runs import RunFolder, change_budget, create_run, find_run, run_folders, versions
from actsearch.store import Store

CONFIG = RunConfig(seed=4, minutes=1.5, ppo=PPOSettings(learning_rate=1e-3))


def test_a_new_run_has_its_settings_in_file_and_store(tmp_path: Path) -> None:
    folder = create_run(tmp_path / "runs", "first", CONFIG)
    assert folder == RunFolder(tmp_path / "runs" / "first")
    assert RunConfig.parse(read_toml(folder.config)) == CONFIG
    assert folder.logs.is_dir()
    with Store.open(folder.store, create=False) as store:
        record = store.run("first")
    assert record.config == CONFIG
    assert record.versions["python"] == sys.version.split()[0]
    assert record.versions["actsearch"]


def test_settings_that_are_none_are_left_out_of_the_file(tmp_path: Path) -> None:
    folder = create_run(tmp_path, "first", RunConfig())
    assert "minutes" not in tomllib.loads(folder.config.read_text())


def test_runs_without_a_name_are_numbered(tmp_path: Path) -> None:
    (tmp_path / "run2").mkdir()
    assert [create_run(tmp_path, None, CONFIG).name for _ in range(3)] == ["run1", "run3", "run4"]
    assert {folder.name for folder in run_folders(tmp_path)} == {"run1", "run3", "run4"}


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", ".hidden", "a b", "-a", "x" * 101, "ä"])
def test_a_name_that_is_no_folder_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError, match="a run's name has 1 to 100 letters"):
        create_run(tmp_path / "runs", name, CONFIG)
    assert list(tmp_path.iterdir()) == []


def test_a_taken_name_keeps_what_is_there(tmp_path: Path) -> None:
    first = create_run(tmp_path, "first", CONFIG)
    before = sorted(path.name for path in first.path.iterdir())
    with pytest.raises(RunError, match=r"there is a run named 'first' .* already"):
        create_run(tmp_path, "first", RunConfig(seed=9))
    assert sorted(path.name for path in first.path.iterdir()) == before
    assert RunConfig.parse(read_toml(first.config)) == CONFIG


def test_nothing_is_left_of_a_run_whose_store_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(RunError):
        create_run(tmp_path, "first", CONFIG, database=make_url("nonsense://nowhere"))
    assert list(tmp_path.iterdir()) == []


def test_a_runs_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(RunError, match="runs"):
        create_run(tmp_path / "runs", "first", CONFIG)


def test_a_run_is_found_by_name_and_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = create_run(tmp_path / "runs", "first", CONFIG)
    monkeypatch.chdir(tmp_path)
    for run in ("first", "runs/first", str(folder.path)):
        assert find_run(Path("runs"), run) == folder
    (tmp_path / "runs" / "second").mkdir()
    for run in ("second", "x", ""):
        with pytest.raises(RunError, match=f"no run named {run!r} in runs; known: first"):
            find_run(Path("runs"), run)


def test_a_run_is_driven_by_one_process_and_free_when_that_dies(tmp_path: Path) -> None:
    folder = create_run(tmp_path, "first", CONFIG)
    code = (
        "import sys, pathlib; from actsearch.runs import RunFolder\n"
        "with RunFolder(pathlib.Path(sys.argv[1])).lock(): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunError, match=f"run 'first' is being driven by process {holder.pid}"), folder.lock():
            pass
        holder.kill()
        holder.wait()
        with folder.lock():
            pass


def test_another_budget_stands_in_file_and_store_and_leaves_the_rest(tmp_path: Path) -> None:
    folder = create_run(tmp_path, "first", CONFIG)
    with Store.open(folder.store) as store:
        changed = change_budget(folder, store, folder.name, evaluations=100)
        assert changed == CONFIG.model_copy(update={"evaluations": 100})
        assert store.run("first").config == changed == RunConfig.parse(read_toml(folder.config))
        with pytest.raises(ConfigError, match="evaluations = '0'"):
            change_budget(folder, store, folder.name, evaluations=0)
        assert store.run("first").config == changed
        finals = change_budget(folder, store, folder.name, finalists=3)
        assert finals == changed.model_copy(update={"finals": FinalsSettings(finalists=3, after_search=True)})
        assert RunConfig.parse(read_toml(folder.config)) == finals


def test_versions_name_a_commit_only_of_a_checkout() -> None:
    found = versions()
    if "commit" in found:
        assert len(found["commit"].removesuffix("-dirty")) == 40
