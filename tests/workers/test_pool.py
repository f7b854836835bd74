"""Workers of a search: they write their logs, are replaced when they die, and pause the run when that cannot help."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from actsearch.errors import RunPausedError
from actsearch_workers import pool
from actsearch_workers.pool import LocalWorkers

STAY = [sys.executable, "-c", "import os, time; print(dict(os.environ), flush=True); time.sleep(60)"]


def dying(code: int, says: str) -> list[str]:
    return [sys.executable, "-c", f"import sys; print({says!r}); sys.exit({code})"]


def check_until(workers: LocalWorkers, restarts: int, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while workers.restarts < restarts:
        assert time.monotonic() < deadline
        workers.check()
        time.sleep(0.02)


def wait_for(text: str, log: Path) -> None:
    deadline = time.monotonic() + 10
    while text not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_each_has_a_log_one_thread_and_a_group_of_its_own(tmp_path: Path) -> None:
    with LocalWorkers([STAY, STAY], tmp_path / "logs", {"ACTSEARCH_REDIS_URL": "unix:///x"}) as workers:
        for k in (1, 2):
            wait_for("'OMP_NUM_THREADS': '1'", tmp_path / "logs" / f"worker-{k}.log")
            wait_for("'ACTSEARCH_REDIS_URL': 'unix:///x'", tmp_path / "logs" / f"worker-{k}.log")
        pids = workers.pids
        # A terminal's Ctrl-C goes to the group in the foreground: ours, not theirs.
        assert len({os.getpgid(pid) for pid in (os.getpid(), *pids)}) == 3
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_killed_worker_is_replaced_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "FIRST_PAUSE_SECONDS", 0.01)
    with LocalWorkers([STAY, STAY], tmp_path) as workers:
        before = workers.pids
        workers.check()
        assert workers.pids == before
        os.kill(before[1], signal.SIGKILL)
        check_until(workers, 1)
        assert workers.pids[0] == before[0]
        assert workers.pids[1] != before[1]


def test_one_that_dies_again_and_again_pauses_the_run_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "FIRST_PAUSE_SECONDS", 0.001)
    with (
        LocalWorkers([dying(1, "ImportError: no timm")], tmp_path) as workers,
        pytest.raises(RunPausedError, match=r"died 5 times .*: ImportError: no timm \(log: .*worker-1\.log\)"),
    ):
        check_until(workers, 99)
    assert workers.restarts == 4


def test_one_that_refuses_its_command_line_is_not_tried_again(tmp_path: Path) -> None:
    with (
        LocalWorkers([dying(2, "error: --device = 'cuda:7'")], tmp_path) as workers,
        pytest.raises(RunPausedError, match="refuses to start: error: --device = 'cuda:7'"),
    ):
        check_until(workers, 1)
    assert workers.restarts == 0


def test_deaths_after_a_long_life_are_no_reason_to_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(pool, "EARLY_SECONDS", 0.0)
    with LocalWorkers([dying(1, "killed in the night")], tmp_path) as workers:
        check_until(workers, 6)


def test_one_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "STOP_SECONDS", 0.3)
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    with LocalWorkers([[sys.executable, "-c", stubborn]], tmp_path) as workers:
        wait_for("deaf", tmp_path / "worker-1.log")
        started = time.monotonic()
        workers.stop()
        assert 0.2 < time.monotonic() - started < 3
