"""The functions that a run found, best first, ready to be exported."""

from typing import Literal

from actsearch.errors import RunError
from actsearch.evaluation import LayerRecord
from actsearch.export.document import listed
from actsearch.export.function import ExportedFunction
from actsearch.expression import Expression, expression_of
from actsearch.formula import Formula
from actsearch.identity import canonical
from actsearch.leaderboard import finals_first, leaderboard
from actsearch.reader import read
from actsearch.store import EvaluationRecord, Store

Beta = Literal["init", "mean"]
"""Which β a file starts from: the search's initial values, or the mean of those of the first training."""


def winner(store: Store, run: str, *, rank: int = 1, beta: Beta = "init") -> ExportedFunction:
    """A run's function by rank, scaled as its child scaled it.

    Args:
        store: where the run is.
        run: its name there.
        rank: 1 for the best: by finals, where the run had them, else by the search (actsearch.leaderboard).
        beta: `mean` takes, for each β, the mean over all layers and channels of the first child trained with it.

    Raises:
        RunError: fewer functions than `rank` trained, or no trained β is stored.
    """
    finals = store.finals.get(run)
    found = finals_first(leaderboard(store.evaluations(run, layers=beta == "mean")), finals)
    if not 1 <= rank <= len(found):
        raise RunError(f"run {run!r} has {len(found)} trained function{'s' * (len(found) != 1)}, got --rank {rank}")
    entry = found[rank - 1]
    record = entry.record
    expression = _expression(record)
    trainings = "one training" if entry.trainings == 1 else f"mean of {entry.trainings} trainings"
    origin = [
        f"Found by run {run}: number {rank} of {len(found)} trained functions, reward {entry.reward:.4f} "
        f"({trainings}, so partly luck){'; what its finals compared comes first' if finals and finals.result else ''}.",
        f"The run's command: {store.run(run).command}",
    ]
    if beta == "mean" and expression.initial:
        expression = Expression(expression.expr, _means(record, expression))
        starts = listed(f"{name} = {value:g}" for name, value in expression.initial.items())
        origin.append(f"Starts from {starts}, the mean over the first network that the search trained.")
    return ExportedFunction(expression, entry.evaluation.gain, tuple(origin))


def _expression(record: EvaluationRecord) -> Expression:
    """The form that trained: the stored text decides where today's canonical form would number β differently."""
    expression = canonical(expression_of(Formula.from_tokens(record.tokens)))
    return expression if expression.full_text == record.canonical else read(record.canonical)


def _means(record: EvaluationRecord, expression: Expression) -> dict[str, float]:
    """For each β the mean over layers, weighted by their channels, to six digits."""
    layers = record.evaluation.layers if record.evaluation else ()
    means = {}
    for name in expression.initial:
        weighted = [(_mean(layer, name) * layer.channels, layer.channels) for layer in layers if layer.betas.get(name)]
        if not weighted:
            raise RunError(f"no trained {name} of {expression.text[:60]!r} is stored; right would be --beta init")
        means[name] = float(f"{sum(w for w, _ in weighted) / sum(c for _, c in weighted):.6g}")
    return means


def _mean(layer: LayerRecord, name: str) -> float:
    """The mean of one layer's β; of equally spaced quantiles by the trapezoid rule."""
    values = layer.betas[name]
    if len(values) == layer.channels or len(values) < 2:
        return sum(values) / len(values)
    return (sum(values) - (values[0] + values[-1]) / 2) / (len(values) - 1)
