"""Tables of a run: pure functions from the store's records to rows, one frozen dataclass a table.

Accuracies and rewards are fractions in 0–1; only the page prints percent. Rows are plain values, so that the page,
the CSV files and the command line's own tables read the same ones.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from actsearch.evaluation import FLOOR_REWARD, Evaluation, Outcome
from actsearch.leaderboard import leaderboard
from actsearch.standings import Standings
from actsearch.store import BatchRecord, EvaluationRecord, ProposalRecord
from actsearch_reports.layers import mean_betas


@dataclass(frozen=True)
class EvaluationRow:
    """One evaluation as it was asked; what the training gave is empty or None until it has finished."""

    number: int
    evaluation: str
    formula: str
    canonical: str
    names: tuple[str, ...]
    tokens: tuple[str, ...]
    outcome: str
    reason: str
    reward: float | None
    val_accuracy: float | None
    val_loss: float | None
    seed: int
    replicate: int
    steps: int | None
    gain: float | None
    parameters: int | None
    seconds: float | None
    seconds_per_step: float | None


@dataclass(frozen=True)
class TopRow:
    """One of the best functions: its mean accuracy over its trainings; the rest is of the first one that trained.

    `betas` are trained means over all channels of all layers.
    """

    rank: int
    number: int
    evaluation: str
    formula: str
    canonical: str
    names: tuple[str, ...]
    tokens: tuple[str, ...]
    val_accuracy: float
    trainings: int
    seed: int
    steps: int
    gain: float
    betas: dict[str, float]
    seconds_per_step: float | None


@dataclass(frozen=True)
class RewardRow:
    """One finished evaluation on the way of the search; `best` is the mean accuracy of what stands first after it."""

    number: int
    outcome: Outcome
    reward: float
    best: float | None


@dataclass(frozen=True)
class OutcomeRow:
    """Evaluations that ended alike; numbers that differ between their reasons are written as `…`."""

    outcome: Outcome
    reason: str
    count: int
    share: float
    examples: tuple[str, ...]


@dataclass(frozen=True)
class BatchRow:
    """One batch of proposals; what it was told is None or empty until then."""

    batch: int
    proposals: int
    new: int
    new_share: float
    mean_reward: float | None
    best_reward: float | None
    metrics: dict[str, float]


def finished(records: Sequence[EvaluationRecord]) -> list[tuple[EvaluationRecord, Evaluation]]:
    """Records that have their evaluation, with it, in the order asked."""
    return [(r, r.evaluation) for r in records if r.evaluation is not None]


def evaluation_rows(records: Sequence[EvaluationRecord]) -> list[EvaluationRow]:
    """Every evaluation in the order asked, the unfinished ones too."""
    return [_evaluation_row(record) for record in records]


def _evaluation_row(record: EvaluationRecord) -> EvaluationRow:
    done = record.evaluation
    return EvaluationRow(
        number=record.number,
        evaluation=record.key,
        formula=record.formula,
        canonical=record.canonical,
        names=record.names,
        tokens=record.tokens,
        outcome=done.outcome.value if done else "",
        reason=done.reason if done else "",
        reward=done.reward if done else None,
        val_accuracy=done.val_accuracy if done else None,
        val_loss=done.val_loss if done else None,
        seed=record.seed,
        replicate=record.replicate,
        steps=done.steps if done else None,
        gain=done.gain if done else None,
        parameters=done.parameters if done else None,
        seconds=done.seconds if done else None,
        seconds_per_step=done.seconds_per_step if done else None,
    )


def top_functions(records: Sequence[EvaluationRecord], count: int = 20) -> list[TopRow]:
    """The `count` functions that stand first, by few trainings each: a table of luck until finals."""
    return [
        TopRow(
            rank=rank,
            number=entry.record.number,
            evaluation=entry.record.key,
            formula=entry.record.formula,
            canonical=entry.record.canonical,
            names=entry.record.names,
            tokens=entry.record.tokens,
            val_accuracy=entry.reward,
            trainings=entry.trainings,
            seed=entry.record.seed,
            steps=entry.evaluation.steps,
            gain=entry.evaluation.gain,
            betas=mean_betas(entry.evaluation.layers),
            seconds_per_step=entry.evaluation.seconds_per_step,
        )
        for rank, entry in enumerate(leaderboard(records)[:count], start=1)
    ]


def reward_rows(records: Sequence[EvaluationRecord]) -> list[RewardRow]:
    """The finished evaluations in the order asked, each with the accuracy of what then stood first."""
    rows, standings = [], Standings()
    for record, evaluation in finished(records):
        if evaluation.outcome is not Outcome.STOPPED:
            standings.add(record.canonical, evaluation.reward)
        best = standings.first.mean if standings.first and standings.first.mean > FLOOR_REWARD else None
        rows.append(RewardRow(record.number, evaluation.outcome, evaluation.reward, best))
    return rows


_NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?", re.IGNORECASE)


def outcome_rows(records: Sequence[EvaluationRecord], examples: int = 3) -> list[OutcomeRow]:
    """Finished evaluations by outcome and reason: outcomes in the order of `Outcome`, frequent reasons first.

    Args:
        records: the run's evaluations.
        examples: formulas to show in each row, the first ones asked.
    """
    done = finished(records)
    groups: dict[tuple[Outcome, str], list[tuple[EvaluationRecord, Evaluation]]] = defaultdict(list)
    for record, evaluation in done:
        groups[evaluation.outcome, _NUMBER.sub("…", evaluation.reason)].append((record, evaluation))
    rows = []
    for (outcome, pattern), members in groups.items():
        reasons = {evaluation.reason for _, evaluation in members}
        rows.append(
            OutcomeRow(
                outcome=outcome,
                reason=reasons.pop() if len(reasons) == 1 else pattern,
                count=len(members),
                share=len(members) / len(done),
                examples=tuple(record.formula for record, _ in members[:examples]),
            )
        )
    order = list(Outcome)
    return sorted(rows, key=lambda row: (order.index(row.outcome), -row.count, row.reason))


def batch_rows(batches: Sequence[BatchRecord], proposals: Sequence[ProposalRecord]) -> list[BatchRow]:
    """Every proposed batch in order: the share that needed a training; rewards and metrics once it was told."""
    metrics = {record.batch: record.metrics for record in batches}
    slots: dict[int, list[ProposalRecord]] = defaultdict(list)
    for proposal in proposals:
        slots[proposal.batch].append(proposal)
    rows = []
    for batch, members in sorted(slots.items()):
        # A batch in flight may have some rewards already; their mean would say nothing about the batch.
        rewards = [p.reward for p in members if p.reward is not None and batch in metrics]
        new = sum(p.is_new for p in members)
        rows.append(
            BatchRow(
                batch=batch,
                proposals=len(members),
                new=new,
                new_share=new / len(members),
                mean_reward=sum(rewards) / len(rewards) if rewards else None,
                best_reward=max(rewards, default=None),
                metrics=dict(metrics.get(batch, {})),
            )
        )
    return rows
