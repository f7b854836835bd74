"""A run in words: its head, one sentence on what it is, its settings and versions as rows."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actsearch.config import RunConfig
from actsearch.evaluation import Evaluation, Outcome
from actsearch.finals import Estimate
from actsearch.store import EvaluationRecord, RunRecord, share_of_steps_saved
from actsearch_reports.tables import finished


@dataclass(frozen=True)
class Fact:
    """One label and what stands beside it."""

    label: str
    value: str


def sentence(config: RunConfig) -> str:
    """What the run does, in one sentence."""
    units = "one core unit" if config.space.units == 1 else f"{config.space.units} core units"
    return (
        f"A search for activation functions: the {config.controller} controller proposes formulas of {units}; "
        f"an evaluation trains one of them in {config.child.name} on {config.dataset} for {config.recipe.steps} steps, "
        "and the validation accuracy is its reward."
    )


def facts(run: RunRecord, records: Sequence[EvaluationRecord]) -> list[Fact]:
    """The head of the page: what ran, how far it came, and what would identify it again."""
    config = run.config
    evaluations = [evaluation for _, evaluation in finished(records)]
    outcomes = Counter(evaluation.outcome.value for evaluation in evaluations)
    counts = ", ".join(f"{count} {_words(name)}" for name, count in outcomes.most_common())
    waiting = len(records) - len(evaluations)
    workers = {evaluation.worker for evaluation in evaluations if evaluation.worker}
    environments = sorted({evaluation.environment for evaluation in evaluations if evaluation.environment})
    return [
        Fact("State", f"{run.state}: {run.reason}" if run.reason else run.state),
        Fact("Started", f"{run.created_at:%Y-%m-%d %H:%M} UTC"),
        Fact(
            "Evaluations", f"{len(evaluations)} finished" + (f", {waiting} asked and not finished" if waiting else "")
        ),
        Fact("Outcomes", counts or "none yet"),
        Fact("Early stopping", _early_stopping(config, evaluations)),
        Fact("Wall time", f"{duration(run.seconds)}, {plural(len(workers), 'worker')}"),
        Fact("Controller", f"{config.controller}, batches of {config.batch}, lag {config.lag}"),
        Fact("Child", f"{config.child.name}, {_GAIN[config.child.gain]}, {config.recipe.steps} steps"),
        Fact("Data set", f"{config.dataset}, accuracies on its validation images"),
        Fact("Seed", str(config.seed)),
        Fact("Trace", run.trace or "none yet"),
        Fact("Environment", _environment(environments)),
    ]


def _early_stopping(config: RunConfig, evaluations: Sequence[Evaluation]) -> str:
    if config.early_stopping is None:
        return "none: every child was trained to the end"
    outcomes, steps = Counter(evaluation.outcome for evaluation in evaluations), Counter[Outcome]()
    for evaluation in evaluations:
        steps[evaluation.outcome] += evaluation.steps
    stopped = plural(outcomes[Outcome.STOPPED], "child", "children")
    share = percent(share_of_steps_saved(outcomes, steps, config.recipe.steps), 0)
    return f"{stopped} stopped and not ranked, which saved {share} of the steps"


_GAIN = {"unit": "unit gain", "as_is": "functions as they are"}


def _environment(environments: Sequence[str]) -> str:
    if len(environments) > 1:
        return f"{'; '.join(environments)} (more than one: the trace cannot be compared with another run's)"
    return environments[0] if environments else "not known yet"


def _words(name: str) -> str:
    return name.replace("_", " ")


def plural(count: int, noun: str, many: str | None = None) -> str:
    """The count with its noun, which takes an s, or its own plural, unless the count is 1."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def percent(fraction: float, digits: int = 2) -> str:
    """A fraction of 1 as percent: `81.62 %`."""
    return f"{100 * fraction:.{digits}f} %"


def points(difference: float) -> str:
    """A difference of accuracies in points, signed: `+1.39`."""
    return f"{100 * difference:+.2f}".replace("-", "\N{MINUS SIGN}")


def estimate(value: Estimate | None) -> str:
    """A mean difference with its interval, in points; nothing for None."""
    if value is None:
        return "–"
    return f"{points(value.mean)} ({points(value.low)} to {points(value.high)})"


def p_value(p: float | None) -> str:
    """A p-value with two significant digits."""
    if p is None:
        return "–"
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def duration(seconds: float) -> str:
    """A time for people: `42 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def config_rows(config: RunConfig) -> list[Fact]:
    """Every setting by its dotted key, as the resolved TOML has it."""
    return [Fact(key, _value(value)) for key, value in _flat(config.model_dump(mode="json"))]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _value(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def version_rows(versions: Mapping[str, str]) -> list[Fact]:
    """Library versions and whatever else was recorded with them, by name."""
    return [Fact(name, version) for name, version in sorted(versions.items())]
