"""The batches of a search that were asked for and are not told yet, and what is known of their evaluations."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from actsearch.evaluation import Evaluation
from actsearch.store import EvaluationRecord, NewProposal, ProposalRecord, Store


@dataclass(frozen=True)
class Batch:
    """A batch asked for and not yet told."""

    number: int
    slots: tuple[NewProposal, ...]

    @property
    def keys(self) -> list[str]:
        return [slot.evaluation for slot in self.slots]

    @property
    def new_keys(self) -> list[str]:
        return [slot.evaluation for slot in self.slots if slot.is_new]


class InFlight:
    """Batches in the order asked, and the records of the evaluations that they wait for.

    No others are held: memory does not grow with the run.
    """

    def __init__(self, store: Store, run: str, told: int) -> None:
        """What of a run in the store is in flight.

        Args:
            store: where its proposals and evaluations stand.
            run: its name.
            told: the number of its batches that were told.
        """
        self._store = store
        self._run = run
        self._batches = deque(_batches(store.proposals(run, since=told)))
        self._records: dict[str, EvaluationRecord] = {}
        self._handed_out: set[str] = set()
        self._look_up()

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._batches)

    @property
    def waiting(self) -> list[EvaluationRecord]:
        """Evaluations without a result that were not handed out, in the order asked."""
        open_ones = (r for r in self._records.values() if r.evaluation is None and r.key not in self._handed_out)
        return sorted(open_ones, key=lambda record: record.number)

    @property
    def expects_results(self) -> bool:
        """Whether an evaluation was handed out and has no result."""
        return bool(self._handed_out)

    def hand_out(self, records: Iterable[EvaluationRecord]) -> None:
        """Takes note that whoever drives the search has them."""
        self._handed_out.update(record.key for record in records)

    def note(self, evaluation: Evaluation) -> EvaluationRecord:
        """The record of a result that the store now has; without layers, which nothing here asks for."""
        record = self._records[evaluation.evaluation]
        record = replace(record, evaluation=evaluation.model_copy(update={"layers": ()}))
        self._records[record.key] = record
        self._handed_out.discard(record.key)
        return record

    def record(self, key: str) -> EvaluationRecord:
        """What is known of an evaluation of a batch in flight, or of the one popped last."""
        return self._records[key]

    def pop_complete(self) -> Batch | None:
        """Takes the oldest batch out if all its results are there; its records stay until `accept`."""
        if not self._batches or any(self._records[key].evaluation is None for key in self._batches[0].keys):
            return None
        return self._batches.popleft()

    def accept(self, batch: Batch | None) -> None:
        """Adds a batch that the store has accepted, and forgets what no batch waits for any more."""
        if batch is not None:
            self._batches.append(batch)
        self._look_up()

    def _look_up(self) -> None:
        wanted = {key for batch in self._batches for key in batch.keys}
        kept = {key: record for key, record in self._records.items() if key in wanted}
        self._records = kept | self._store.lookup(self._run, sorted(wanted - kept.keys()))


def _batches(proposals: Sequence[ProposalRecord]) -> Iterable[Batch]:
    for number, slots in groupby(proposals, key=lambda proposal: proposal.batch):
        yield Batch(
            number, tuple(NewProposal(tokens=s.tokens, evaluation=s.evaluation, is_new=s.is_new) for s in slots)
        )
