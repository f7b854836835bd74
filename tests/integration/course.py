"""A run from its first proposal to its last, to compare with another; and the processes below one."""

import os
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from actsearch.errors import RunError
from actsearch.runs import RunFolder
from actsearch.store import BatchRecord, ProposalRecord, RunState

RUN = "run"


@dataclass(frozen=True)
class Course:
    """A run from its first proposal to its last; equal to another one whatever clocks and names of workers say."""

    trace: str
    evaluations: list[dict[str, Any]]
    """In the order asked, each with its curve, the values of β and the histograms of every layer."""
    proposals: list[ProposalRecord]
    batches: list[BatchRecord]
    """With the digest of the controller's state after each."""
    arrivals: list[int] = field(compare=False)
    """Numbers of the evaluations, in the order in which their results came."""
    workers: set[str] = field(compare=False)


def course(runs_dir: Path) -> Course:
    """The run `RUN`, which must be done, in a folder of runs."""
    with RunFolder(runs_dir / RUN).open() as (store, run):
        head, records = store.run(run), store.evaluations(run)
        proposals, batches = store.proposals(run), store.batches(run)
    assert head.state is RunState.DONE
    evaluations, arrived, workers = [], {}, set()
    for record in records:
        assert record.evaluation is not None
        assert record.finished_at is not None
        arrived[record.number] = record.finished_at
        workers.add(record.evaluation.worker)
        result = record.evaluation.model_dump(exclude={"seconds", "seconds_per_step", "worker"})
        evaluations.append({**vars(record), "evaluation": result, "asked_at": None, "finished_at": None})
    return Course(
        trace=head.trace,
        evaluations=evaluations,
        proposals=proposals,
        batches=[replace(batch, told_at=datetime.min.replace(tzinfo=UTC)) for batch in batches],
        arrivals=sorted(arrived, key=lambda number: arrived[number]),
        workers=workers,
    )


def told(runs_dir: Path, run: str = RUN) -> int:
    """Results that the store has of a run's search, and of its finals; 0 before it is made."""
    with suppress(RunError, sqlite3.Error), RunFolder(runs_dir / run).open() as (store, name):
        return store.summary(name).told + store.finals.told(name)
    return 0


def trainings(workers: Iterable[int]) -> list[int]:
    """Process ids of the children in training: forks of the workers, each in a process group of its own."""
    return [pid for worker in workers for pid in children(worker) if leads_group(pid)]


def children(pid: int) -> list[int]:
    """Process ids of a process's children."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def leads_group(pid: int) -> bool:
    """Whether a process leads a process group: a training does."""
    with suppress(ProcessLookupError):
        return os.getpgid(pid) == pid
    return False
