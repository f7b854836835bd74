"""Questions answered in a fork: what comes back, and what a fork that fails or dies costs."""

import os
import re
import signal
import time
from pathlib import Path
from typing import NoReturn

import pytest

from actsearch.errors import ConfigError, DataMissingError
from actsearch_workers import forks
from actsearch_workers.forks import in_fork
from actsearch_workers.processes import Shared, out_of_memory_kills


def test_the_answer_comes_from_another_process_which_is_gone_then() -> None:
    pid = int(in_fork(lambda: str(os.getpid())))
    assert pid != os.getpid()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def missing() -> NoReturn:
    raise DataMissingError("no data here")


def fault() -> NoReturn:
    raise ZeroDivisionError("by zero")


def death() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("dead")


def test_an_error_of_ours_stays_one_and_others_are_the_machines() -> None:
    with pytest.raises(ConfigError, match="no data here"):
        in_fork(missing)
    with pytest.raises(OSError, match="ZeroDivisionError: by zero"):
        in_fork(fault)
    with pytest.raises(OSError, match="died"):
        in_fork(death)


def test_something_else_can_be_done_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "WAIT_SECONDS", 0.02)
    done = Shared(0)

    def wait_until_it_is_done_twice() -> str:
        while done.value < 2:
            time.sleep(0.01)
        return "done"

    assert in_fork(wait_until_it_is_done_twice, lambda: setattr(done, "value", done.value + 1)) == "done"


def test_a_killed_fork_leaves_its_last_word() -> None:
    step = Shared(-1)
    assert step.value == -1

    def train() -> str:
        step.value = 2**40
        return death()

    with pytest.raises(OSError, match="died"):
        in_fork(train)
    assert step.value == 2**40


def test_the_kernels_count_of_memory_kills_is_read() -> None:
    counted = re.findall(r"^oom_kill (\d+)$", Path("/proc/vmstat").read_text(), re.MULTILINE)
    assert [str(out_of_memory_kills())] == (counted or ["0"])
