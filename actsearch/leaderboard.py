"""A run's functions, best first, each once, however often it was trained."""

from collections.abc import Iterable
from dataclasses import dataclass

from actsearch.evaluation import Evaluation, Outcome
from actsearch.standings import Standing, Standings
from actsearch.store import EvaluationRecord, FinalsRecord


@dataclass(frozen=True)
class Entry:
    """One function that trained at least once.

    Attributes:
        record: its first evaluation that trained.
        evaluation: what came of that.
        standing: what it is ranked by; a training that failed counts with its reward, 0, a stopped one not at all.
    """

    record: EvaluationRecord
    evaluation: Evaluation
    standing: Standing

    @property
    def reward(self) -> float:
        """Mean over the trainings that count, 0-1."""
        return self.standing.mean

    @property
    def trainings(self) -> int:
        return len(self.standing.rewards)


def leaderboard(records: Iterable[EvaluationRecord]) -> list[Entry]:
    """The functions that trained, by `actsearch.standings`, ties in the order asked."""
    standings = Standings()
    trained: dict[str, tuple[EvaluationRecord, Evaluation]] = {}
    for record in sorted(records, key=lambda record: record.number):
        if record.evaluation is None or record.evaluation.outcome is Outcome.STOPPED:
            continue
        standings.add(record.canonical, record.evaluation.reward)
        if record.evaluation.outcome is Outcome.TRAINED:
            trained.setdefault(record.canonical, (record, record.evaluation))
    return [Entry(*trained[s.function], s) for s in standings.ranked if s.function in trained]


def finals_first(entries: Iterable[Entry], finals: FinalsRecord | None) -> list[Entry]:
    """The same functions, those that done finals compared in front and in their order; without finals as they were."""
    rows = finals.result.rows if finals and finals.result else ()
    places = {row.candidate.canonical: place for place, row in enumerate(rows)}
    return sorted(entries, key=lambda entry: places.get(entry.record.canonical, len(places)))
