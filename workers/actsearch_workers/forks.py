"""Questions answered in a process of their own: what they import, load and touch is gone with it."""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection

from actsearch.errors import ActsearchError, ConfigError
from actsearch.orphans import die_with_parent

WAIT_SECONDS = 2.0


def in_fork(question: Callable[[], str], meanwhile: Callable[[], object] = lambda: None) -> str:
    """The answer that a fork of this process gives.

    A worker asks so for its GPU's name and for digests of data: it must not touch a GPU or run a tensor operation
    itself, and user code may do anything.

    Args:
        question: called in the fork.
        meanwhile: called here every two seconds while the fork works.

    Raises:
        ConfigError: the question raised one of our errors, with its text.
        OSError: it raised another, or the fork died.
    """
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_answer, args=(question, sender, os.getpid()))
    process.start()
    sender.close()
    try:
        while not receiver.poll(WAIT_SECONDS):
            meanwhile()
        kind, text = json.loads(receiver.recv_bytes())
    except EOFError:
        raise OSError("a process that was to look at this machine died") from None
    finally:
        receiver.close()
        process.kill()
        process.join()
    if kind == "answer":
        return str(text)
    raise ConfigError(text) if kind == "error" else OSError(text)


def _answer(question: Callable[[], str], sender: Connection, parent: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    die_with_parent(parent, signal.SIGKILL)
    try:
        answer = ("answer", question())
    except ActsearchError as err:
        answer = ("error", str(err))
    except Exception as err:
        answer = ("fault", f"{type(err).__name__}: {err}")
    sender.send_bytes(json.dumps(answer).encode())
