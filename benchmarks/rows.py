"""Trainings side by side that leave a row each in a CSV file, so that the same command goes on where it was stopped."""

import csv
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import torch
from rich.progress import track

Task = TypeVar("Task")


@dataclass(frozen=True)
class Rows:
    """The rows of one file.

    Attributes:
        path: the file; it need not exist yet.
        columns: its header.
    """

    path: Path
    columns: tuple[str, ...]

    def read(self) -> list[dict[str, str]]:
        """The rows that are there."""
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def append(self, row: Mapping[str, object]) -> None:
        """Adds one row, and the header to a new file."""
        is_new = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns)
            if is_new:
                writer.writeheader()
            writer.writerow(row)

    def add(self, tasks: Sequence[Task], train: Callable[[Task], Mapping[str, object]], *, processes: int) -> None:
        """Appends the row of each task as it comes, from so many processes of one thread each."""
        with ProcessPoolExecutor(
            processes, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            jobs = as_completed([pool.submit(train, task) for task in tasks])
            try:
                for job in track(jobs, f"{len(self.read())} rows are there", total=len(tasks)):
                    self.append(job.result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)  # else all the others are trained, for nothing
                raise
