"""Processes that end with the one that started them.

A server or a worker that outlives a killed search would go on writing into its run folder. Linux's parent-death
signal ends it, however the parent died. The signal follows the *thread* that forked, so start these from a thread
that lives as long as its process: the main one.
"""

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>

# Looked up once, here: between fork and exec a child should find everything ready.
_prctl = ctypes.CDLL(None, use_errno=True).prctl


def die_with_parent(parent: int, number: signal.Signals) -> None:
    """Have the kernel send `number` to this process when its parent ends; called in the child.

    Args:
        parent: the parent's process id. A child that finds another one is already an orphan, and exits.
        number: the signal.
    """
    _prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
