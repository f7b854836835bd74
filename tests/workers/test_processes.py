"""What a process asks of the system for itself and its children."""

import signal
import subprocess
import sys

from actsearch_workers.processes import stop

CODE = """
import ctypes, resource, sys
if sys.argv[1] == "keep":
    from actsearch_workers.processes import keep_freed_memory
    keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def two_blocks():
    a, b = libc.malloc(4 << 20), libc.malloc(8 << 20)
    ctypes.memset(a, 1, 4 << 20), ctypes.memset(b, 1, 8 << 20)
    libc.free(a), libc.free(b)
two_blocks()
before = faults()
for _ in range(20):
    two_blocks()
print(faults() - before)
"""


def page_faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", CODE, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_freed_memory_is_reused_without_new_pages() -> None:
    assert page_faults("keep") < 100
    assert page_faults("plain") > 1_000


def test_processes_that_are_stopped_share_one_grace() -> None:
    code = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(float(sys.argv[1])), sys.exit()))
print(flush=True)
time.sleep(60)
"""
    command = [sys.executable, "-S", "-c", code]
    processes = [subprocess.Popen([*command, seconds], stdout=subprocess.PIPE) for seconds in ("0.5", "1.9")]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
    stop(processes, 1.5)
    assert [process.returncode for process in processes] == [0, -signal.SIGKILL], (
        "the second had a second and a half, too"
    )
