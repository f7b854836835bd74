"""Server and workers as processes: started so that they end with the search, stopped, and what Linux says of memory."""

import ctypes
import mmap
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from actsearch.orphans import die_with_parent


def start(
    command: Sequence[str],
    *,
    log: Path,
    death_signal: signal.Signals,
    environment: Mapping[str, str] | None = None,
    keep_open: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a process that dies with this one, in a process group of its own.

    The group keeps a terminal's Ctrl-C away from it: the parent decides when it stops.

    Args:
        command: program and arguments. Never a password: `ps` shows them.
        log: file that its output is appended to; its folder exists.
        death_signal: what it gets when this process dies.
        environment: variables on top of this process's own.
        keep_open: file descriptors that it inherits.
    """
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603  (our own command lines)
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            process_group=0,
            pass_fds=keep_open,
            preexec_fn=partial(die_with_parent, os.getpid(), death_signal),
        )


def stop(processes: Sequence[subprocess.Popen[bytes]], grace_seconds: float) -> None:
    """SIGTERM to all, then SIGKILL to those still there when the grace, which they share, is over."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + grace_seconds
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def last_line(log: Path) -> str:
    """The last line that says something in a log, at most 300 characters; "(empty log)" without one."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 8192))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    return next((line[:300] for line in reversed(lines) if line), "(empty log)")


class Shared:
    """A whole number that this process and its forks share, so that a fork that is killed leaves its last word."""

    def __init__(self, value: int) -> None:
        self._memory = mmap.mmap(-1, 8)
        self.value = value

    @property
    def value(self) -> int:
        return int.from_bytes(self._memory[:8], "little", signed=True)

    @value.setter
    def value(self, value: int) -> None:
        self._memory[:8] = value.to_bytes(8, "little", signed=True)


def out_of_memory_kills() -> int:
    """How many processes the kernel has killed for want of memory since it started; 0 where it does not say."""
    with suppress(OSError):
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
"""Parameters of mallopt(3)."""


def keep_freed_memory() -> None:
    """Lets this process and its forks reuse freed memory in place of giving it back to the system and asking anew.

    A child's activations are blocks of about a megabyte, which glibc maps and unmaps each time: the kernel then clears
    every page again, which costs as much as the arithmetic. Measured on one core, 60 steps of `nf_resnet8` with
    max(sinc x, min(x, 0)): 57 to 72 ms a step by default, 40 to 46 with this. Does nothing without glibc.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_MMAP_THRESHOLD, 32 * 2**20)  # the largest that glibc accepts
        libc.mallopt(_TRIM_THRESHOLD, 2**30)
