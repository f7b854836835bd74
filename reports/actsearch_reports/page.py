"""The report of a run: one HTML file that asks for nothing else, and its tables and figures as files beside it.

Each section below writes its own files into the folder and returns what the template shows; None stands for a table
or a picture that this run has nothing for, and the template says why.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from actsearch.evaluation import Outcome
from actsearch.health import health
from actsearch.leaderboard import leaderboard
from actsearch.rediscovery import sightings
from actsearch.store import BatchRecord, EvaluationRecord, ProposalRecord, RunRecord, Store
from actsearch_reports import finals, layers, rediscovery, summary, tables, verification
from actsearch_reports.figures import betas, controller, functions, outcomes, preactivations, rewards
from actsearch_reports.figures import finals as finals_figure
from actsearch_reports.files import write_csv, write_picture
from actsearch_reports.formulas import mathml, trained_expression

TOP_COUNT = 20
"""Rows of the table of top functions."""
DRAWN_COUNT = 8
"""How many of them are drawn."""

Content = dict[str, object]


def write_report(store: Store, run: str, folder: Path) -> Path:
    """Writes `report.html` into a folder, with PNG and SVG of its figures and CSV of its tables, and returns its path.

    The same run gives the same bytes. A run without a finished evaluation gives a page whose sections say so.

    Args:
        store: where the run is.
        run: its name.
        folder: made if it is not there; files of an earlier report are replaced.

    Raises:
        RunError: no run has that name.
    """
    record, evaluations = store.run(run), store.evaluations(run)
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        **_head(folder, record, evaluations),
        **_rewards(folder, evaluations),
        **_top_functions(folder, evaluations),
        **_finals(folder, store, run),
        **_verifications(folder, store, run),
        **_rediscovery(folder, store, record, evaluations),
        **_betas(folder, evaluations),
        **_preactivations(folder, evaluations),
        **_outcomes(folder, evaluations),
        **_controller(folder, store.batches(run), store.proposals(run)),
    }
    path = folder / "report.html"
    path.write_text(_environment().get_template("report.html.j2").render(content), encoding="utf-8")
    return path


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("actsearch_reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = summary.percent
    environment.filters["share"] = partial(summary.percent, digits=1)
    environment.filters["signed"] = lambda value: f"{value:.3f}".replace("-", "\N{MINUS SIGN}")
    environment.filters["points"] = summary.points
    environment.filters["estimate"] = summary.estimate
    environment.filters["correlation"] = lambda value: f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")
    environment.filters["p"] = summary.p_value
    environment.filters["plural"] = summary.plural
    environment.filters["words"] = lambda name: name.replace("_", " ")
    environment.filters["symbol"] = betas.symbol
    environment.filters["formula"] = _formula
    return environment


def _formula(tokens: tuple[str, ...]) -> Markup:
    return Markup(mathml(trained_expression(tokens)))  # noqa: S704  (sympy's tree, its text escaped)


def _head(folder: Path, run: RunRecord, records: Sequence[EvaluationRecord]) -> Content:
    facts = summary.facts(run, records)
    config, versions = summary.config_rows(run.config), summary.version_rows(run.versions)
    for name, rows in (("run", facts), ("config", config), ("versions", versions)):
        write_csv(folder / f"{name}.csv", summary.Fact, rows)
    write_csv(folder / "evaluations.csv", tables.EvaluationRow, tables.evaluation_rows(records))
    return {
        "run": run,
        "sentence": summary.sentence(run.config),
        "facts": facts,
        "config": config,
        "versions": versions,
        "asked": len(records),
    }


def _rewards(folder: Path, records: Sequence[EvaluationRecord]) -> Content:
    rows = tables.reward_rows(records)
    write_csv(folder / "rewards.csv", tables.RewardRow, rows)
    if not rows:
        return {"rewards": None}
    best = rows[-1].best
    alt = f"Validation accuracy of {summary.plural(len(rows), 'evaluation')} in the order asked, " + (
        f"with a line for the best so far, which ends at {summary.percent(best)}."
        if best is not None
        else "none of which trained."
    )
    return {"rewards": write_picture(folder, "rewards", alt, partial(rewards.draw, rows))}


def _top_functions(folder: Path, records: Sequence[EvaluationRecord]) -> Content:
    top = tables.top_functions(records, TOP_COUNT)
    write_csv(folder / "top_functions.csv", tables.TopRow, top)
    content: Content = {
        "top": top,
        "trained": len(leaderboard(records)),
        "repeated": any(row.trainings > 1 for row in top),
        "stopped": sum(done.outcome is Outcome.STOPPED for _, done in tables.finished(records)),
        "drawn": None,
        "drawn_count": DRAWN_COUNT,
    }
    if top:
        curves = [functions.Curve(trained_expression(row.tokens), _label(row), row.betas) for row in top[:DRAWN_COUNT]]
        alt = "Graphs of f and its derivative from -5 to 5 for: " + "; ".join(
            f"{row.rank}. {row.canonical}, {summary.percent(row.val_accuracy)}" for row in top[:DRAWN_COUNT]
        )
        content["drawn"] = write_picture(folder, "top_functions", alt, partial(functions.draw, curves))
    return content


def _finals(folder: Path, store: Store, run: str) -> Content:
    record = store.finals.get(run)
    content: Content = {"finals": record, "finals_told": 0, "finals_drawn": None, "finals_measured": ()}
    if record is None:
        return content
    if record.result is None:
        return {**content, "finals_told": store.finals.told(run)}
    tests = store.finals.test_accuracies(run)
    trainings = finals.training_rows(store.finals.evaluations(run), tests)
    write_csv(folder / "finals.csv", finals.FinalFunctionRow, finals.function_rows(record.result))
    write_csv(folder / "finals_children.csv", finals.FinalChildRow, finals.child_rows(record.result))
    write_csv(folder / "finals_trainings.csv", finals.FinalTrainingRow, trainings)
    alt = f"Difference from {record.result.reference} in points of accuracy, with 95 % intervals: " + "; ".join(
        f"{row.candidate.canonical} {summary.points(row.difference.mean)} "
        f"({summary.points(row.difference.low)} to {summary.points(row.difference.high)})"
        for row in record.result.rows
        if row.difference is not None and not row.is_dropped
    )
    return {
        **content,
        "finals_told": len(trainings),
        "finals_measured": [min(t.measured_at for t in tests), max(t.measured_at for t in tests)],
        "finals_drawn": write_picture(folder, "finals", alt, partial(finals_figure.draw, record.result)),
    }


def _verifications(folder: Path, store: Store, run: str) -> Content:
    records = store.verifications.of(run)
    if records:
        rows = verification.verification_rows(records)
        write_csv(folder / "verification.csv", verification.VerificationRow, rows)
        correlations = verification.correlation_rows(records)
        write_csv(folder / "verification_correlations.csv", verification.CorrelationRow, correlations)
    return {"verifications": records}


def _rediscovery(folder: Path, store: Store, run: RunRecord, records: Sequence[EvaluationRecord]) -> Content:
    record = store.finals.get(run.name)
    result = None if record is None else record.result
    found = sightings(run.config.space, records, store.proposals(run.name), record.plan if record else None, result)
    write_csv(folder / "rediscovery.csv", rediscovery.RediscoveryRow, rediscovery.rediscovery_rows(found))
    answers = [
        rediscovery.told(
            sighting,
            ranked=len(leaderboard(records)),
            finals="none" if record is None else "begun" if result is None else "done",
            finalists=0 if result is None else sum(not row.is_dropped for row in result.rows),
            reference="ReLU" if result is None else result.reference,
        )
        for sighting in found
    ]
    content: Content = {
        "sightings": found,
        "answers": answers,
        "swish": None,
        "swish_betas": None,
        "swish_preactivations": None,
        "swish_rows": (),
    }
    swish = rediscovery.trained_swish(store, run.name, found)
    return content if swish is None else content | _trained_swish(folder, swish)


def _trained_swish(folder: Path, swish: rediscovery.TrainedSwish) -> Content:
    summaries = layers.beta_summaries(swish.layers, swish.initial)
    write_csv(folder / "swish_betas.csv", layers.BetaSummary, summaries)
    counted = layers.with_histogram(swish.layers)
    rows = layers.preactivation_rows(counted)
    write_csv(folder / "swish_preactivations.csv", layers.PreActivationRow, rows)
    alt = f"Trained β of {swish.canonical} in {swish.training}, over all layers and by layer. " + _overall(summaries)
    drawn = write_picture(folder, "swish_betas", alt, partial(betas.draw, swish.layers, swish.initial))
    received = None
    if rows:
        alt = f"Histograms of what {swish.canonical} received; {summary.percent(rows[0].bump, 1)} lie in -5 to 0."
        received = write_picture(folder, "swish_preactivations", alt, partial(preactivations.draw, counted))
    return {
        "swish": swish,
        "swish_betas": drawn,
        "swish_summaries": [row for row in summaries if row.layer == layers.ALL_LAYERS],
        "swish_preactivations": received,
        "swish_rows": rows,
    }


def _overall(summaries: Sequence[layers.BetaSummary]) -> str:
    return " ".join(
        f"{betas.symbol(row.beta)} began at {row.initial:g} and ended with mean {row.mean:.3f}, "
        f"from {row.minimum:.3f} to {row.maximum:.3f}."
        for row in summaries
        if row.layer == layers.ALL_LAYERS
    )


def _label(row: tables.TopRow) -> str:
    return " · ".join([str(row.rank), summary.percent(row.val_accuracy), *row.names])


def _betas(folder: Path, records: Sequence[EvaluationRecord]) -> Content:
    best = next((e for e in leaderboard(records) if layers.beta_names(e.evaluation.layers)), None)
    found: Sequence[layers.BetaRow] = []
    summaries: Sequence[layers.BetaSummary] = []
    content: Content = {"beta_function": best and best.record, "betas": None}
    if best:
        record, evaluation = best.record, best.evaluation
        initial = trained_expression(record.tokens).initial
        found, summaries = layers.beta_rows(evaluation.layers), layers.beta_summaries(evaluation.layers, initial)
        alt = f"Trained β of {record.canonical}, over all layers and by layer. " + _overall(summaries)
        content["betas"] = write_picture(folder, "betas", alt, partial(betas.draw, evaluation.layers, initial))
    write_csv(folder / "betas.csv", layers.BetaRow, found)
    write_csv(folder / "beta_layers.csv", layers.BetaSummary, summaries)
    return {**content, "beta_summaries": summaries, "quantiles": any(row.kind == "quantile" for row in found)}


def _preactivations(folder: Path, records: Sequence[EvaluationRecord]) -> Content:
    best = next(iter(leaderboard(records)), None)
    record = best and best.record
    counted = layers.with_histogram(best.evaluation.layers) if best else []
    rows = layers.preactivation_rows(counted)
    write_csv(folder / "preactivations.csv", layers.PreActivationRow, rows)
    write_csv(folder / "preactivation_bins.csv", layers.HistogramRow, layers.histogram_rows(counted))
    content: Content = {"best": record, "preactivation_rows": rows, "preactivations": None}
    if rows and record:
        alt = (
            f"Histograms of what the activations received in the child trained with {record.canonical}: "
            f"{summary.percent(rows[0].negative, 1)} of all pre-activations are negative, "
            f"their median is {rows[0].median:.2f}."
        )
        content["preactivations"] = write_picture(folder, "preactivations", alt, partial(preactivations.draw, counted))
    return content


def _outcomes(folder: Path, records: Sequence[EvaluationRecord]) -> Content:
    rows = tables.outcome_rows(records)
    write_csv(folder / "outcomes.csv", tables.OutcomeRow, rows)
    content: Content = {"outcome_rows": rows, "outcomes": None}
    if rows:
        count = sum(row.count for row in rows)
        alt = f"Outcomes of {summary.plural(count, 'evaluation')}; the table below has the counts."
        content["outcomes"] = write_picture(folder, "outcomes", alt, partial(outcomes.draw, rows))
    return content


def _controller(folder: Path, batches: Sequence[BatchRecord], proposals: Sequence[ProposalRecord]) -> Content:
    rows = tables.batch_rows(batches, proposals)
    write_csv(folder / "batches.csv", tables.BatchRow, rows)
    rewards_told = [row.mean_reward for row in rows if row.mean_reward is not None]
    measured = any(row.metrics for row in rows)
    found = health(batches, proposals)
    content: Content = {"batch_rows": rows, "measured": measured, "controller": None, "health": found}
    if rewards_told:
        alt = (
            f"Measures of the controller over {summary.plural(len(rows), 'batch', 'batches')}; "
            f"the mean reward of a batch went from {summary.percent(rewards_told[0])} "
            f"to {summary.percent(rewards_told[-1])}."
        )
        content["controller"] = write_picture(folder, "controller", alt, partial(controller.draw, rows))
    return content
