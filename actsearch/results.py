"""A run's results from Python: `actsearch.load("runs/run1").best().activation()`."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from actsearch.errors import RunError
from actsearch.expression import Expression, expression_of
from actsearch.formula import Formula
from actsearch.identity import canonical
from actsearch.leaderboard import finals_first, leaderboard
from actsearch.runs import find_run
from actsearch.store import EvaluationRecord
from actsearch.store.address import find_store, parse_store, with_password

if TYPE_CHECKING:
    from actsearch.activation import Activation


@dataclass(frozen=True)
class Found:
    """One function that a run trained, with what it reached.

    Attributes:
        record: its row in the store, of its first training.
        val_accuracy: validation accuracy in the search's child, 0–1, mean over its trainings: partly luck.
        trainings: how many there were.
        gain: the constant that the child multiplied it by.
    """

    record: EvaluationRecord
    val_accuracy: float
    trainings: int
    gain: float

    @property
    def expression(self) -> Expression:
        """The function in canonical form."""
        return canonical(expression_of(Formula.from_tokens(self.record.tokens)))

    def activation(self, *, channels: int | None = None) -> "Activation":
        """The function as a fresh `nn.Module`, scaled as in the search; β takes its size from the first input."""
        from actsearch.activation import Activation

        return Activation(self.expression, gain=self.gain, channels=channels)

    def __str__(self) -> str:
        names = f"  = {', '.join(self.record.names)}" if self.record.names else ""
        return f"{self.record.canonical}{names}, {self.val_accuracy:.2%}"


class Run:
    """A run, read from its folder."""

    def __init__(self, name: str, found: Sequence[Found]) -> None:
        self.name = name
        self.found = tuple(found)
        """Every function that trained: by the result of its finals, then the others by its search."""

    def best(self) -> Found:
        """The best by finals, without them by the search, which is partly luck; `RunError` where none trained."""
        if not self.found:
            raise RunError(f"run {self.name!r} has no trained function yet")
        return self.found[0]


def load(run: str | Path, runs_dir: str | Path = "runs", *, store: str | None = None) -> Run:
    """The results of a run.

    Args:
        run: its folder, or its name under `runs_dir` or in `store`.
        runs_dir: the folder of all runs.
        store: a shared database, `postgresql://USER@HOST/DATABASE`; without it that of ACTSEARCH_STORE_URL, if it is
            set. The password may come from the file that ACTSEARCH_STORE_PASSWORD_FILE names.

    Raises:
        RunError: there is no such run.
    """
    given = None if store is None else with_password(parse_store(store, "store"), os.environ)
    database = given or find_store(None, os.environ)
    folder = find_run(Path(runs_dir), str(run), database=database)
    with folder.open() as (opened, name):
        records, finals = opened.evaluations(name, layers=False), opened.finals.get(name)
    entries = finals_first(leaderboard(records), finals)
    return Run(name, [Found(e.record, e.reward, e.trainings, e.evaluation.gain) for e in entries])
