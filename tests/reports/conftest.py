"""Stored runs to report on: the real store on a temporary file, with evaluations made up from a seed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from actsearch.config import RunConfig
from actsearch.evaluation import Evaluation, LayerRecord, Outcome, child_seed, evaluation_key
from actsearch.expression import expression_of
from actsearch.formula import Formula
from actsearch.identity import canonical, canonical_text, names
from actsearch.store import Advance, BatchRecord, EvaluationRecord, NewEvaluation, NewProposal, RunState, Store
from actsearch_reports import page
from actsearch_reports.files import Picture, write_picture
from actsearch_reports.page import write_report

BINS = 40
LAYERS = {"stem.act": 8, "stages.0.0.act1": 8, "stages.1.0.act1": 16, "stages.2.0.act1": 32, "head.act": 80}
"""Activations of a made-up child and their channels; the last one is wide enough for quantiles."""

Result = tuple[Outcome, float | None, str]
"""Outcome, validation accuracy, reason."""

SWISH = ("scale", "identity", "gate")
RELU = ("relu", "identity", "add")

SEARCH: tuple[tuple[tuple[str, str, str], Result], ...] = (
    (("identity", "identity", "add"), (Outcome.TRAINED, 0.61, "")),
    (("cube", "exp", "multiply"), (Outcome.NONFINITE, None, "the first loss is not finite")),
    (SWISH, (Outcome.TRAINED, 0.816, "")),
    (("constant", "constant", "add"), (Outcome.CONSTANT, None, "beta + beta2 does not depend on x")),
    (("square", "sinh", "subtract"), (Outcome.DIVERGED, None, "the loss became nan at step 17")),
    (("relu", "min0", "mix"), (Outcome.TRAINED, 0.778, "")),
    (("square", "cosh", "add"), (Outcome.DIVERGED, None, "the loss became inf at step 42")),
    (("sinc", "softplus", "subtract"), (Outcome.TRAINED, 0.83, "")),
    (("cos", "identity", "subtract"), (Outcome.TRAINED, 0.811, "")),
    (("identity", "sin", "min"), (Outcome.TRAINED, 0.817, "")),
    (("identity", "identity", "gate"), (Outcome.TRAINED, 0.814, "")),
    (("sqrt", "log", "divide"), (Outcome.TRAINED, 0.402, "")),
    (("shift", "abs", "laplace"), (Outcome.TRAINED, 0.703, "")),
)
"""A search with every kind of ending that a short one has: tokens and result, in the order asked."""


def layers_of(tokens: Sequence[str], seed: int) -> tuple[LayerRecord, ...]:
    """Layers as a worker records them: β of every channel, of wide layers 33 quantiles, and a histogram."""
    rng = np.random.default_rng(seed)
    initial = canonical(expression_of(Formula.from_tokens(tokens))).initial
    edges = np.linspace(-10, 10, BINS + 1)
    layers = []
    for depth, (name, channels) in enumerate(LAYERS.items()):
        betas = {}
        for beta, start in initial.items():
            values = start + rng.normal(0.4 * depth - 0.6, 0.35, channels)
            recorded = values if channels <= 64 else np.quantile(values, np.linspace(0, 1, 33))
            betas[beta] = tuple(float(v) for v in recorded)
        received = np.clip(rng.normal(-0.5 * depth, 1 + depth, 4000), -9.99, 9.99)
        histogram = tuple(int(n) for n in np.histogram(received, edges)[0])
        layers.append(LayerRecord(name=name, channels=channels, betas=betas, histogram=histogram))
    return tuple(layers)


def asked(tokens: Sequence[str], config: RunConfig, formula: str | None = None) -> NewEvaluation:
    """The evaluation that a proposal of these tokens needs."""
    expression = expression_of(Formula.from_tokens(tokens))
    text = canonical_text(expression)
    seed = child_seed(config.seed, text, 0)
    return NewEvaluation(
        key=evaluation_key(text, config.child, config.recipe, config.dataset, seed),
        tokens=tuple(tokens),
        formula=formula or expression.text,
        canonical=formula or text,
        names=names(expression),
        seed=seed,
    )


def evaluation(run: str, new: NewEvaluation, result: Result, **changes: object) -> Evaluation:
    """What a worker would send back."""
    outcome, accuracy, reason = result
    trained = outcome is Outcome.TRAINED
    fields: dict[str, object] = {
        "run": run,
        "evaluation": new.key,
        "outcome": outcome,
        "reason": reason,
        "val_accuracy": accuracy,
        "predicted_accuracy": accuracy if outcome is Outcome.STOPPED else None,
        "val_loss": 0.5 if trained else None,
        "steps": 150 if trained else 0,
        "seconds": 3.5,
        "seconds_per_step": 0.021 if trained else None,
        "parameters": 20_000 if trained else None,
        "layers": layers_of(new.tokens, seed=1) if trained else (),
        "worker": "worker-1",
        "environment": "torch 2.14.1 cpu",
    }
    return Evaluation.model_validate(fields | changes)


def store_run_in(
    path: Path,
    search: Sequence[tuple[Sequence[str], Result | None]] = SEARCH,
    *,
    name: str = "first",
    config: RunConfig | None = None,
    command: str = "actsearch search --run first --seed 7 --evaluations 13",
    state: RunState = RunState.DONE,
    reason: str = "",
    versions: Mapping[str, str] | None = None,
    formulas: Mapping[int, str] | None = None,
    metrics: Callable[[int], Mapping[str, float]] = lambda batch: {},
) -> Store:
    """A store with one run; by default of `SEARCH`, in batches of 5 of which all full ones are told."""
    config = config or RunConfig(seed=7, evaluations=max(1, len(search)), batch=5)
    store = Store.open(path)
    store.create_run(name, config, command=command, versions=versions or {"actsearch": "0.1.0", "torch": "2.14.1"})
    new = [asked(tokens, config, (formulas or {}).get(i)) for i, (tokens, _) in enumerate(search)]
    proposed = [NewProposal(tokens=e.tokens, evaluation=e.key, is_new=True) for e in new]
    size = config.batch
    batches = {
        b: (*proposed[b * size : (b + 1) * size], *([_repeat(proposed[0])] if b else []))
        for b in range(-(-len(new) // size))
    }
    store.advance(name, _advance(None, batches, tuple(new)))
    for e, (_, result) in zip(new, search, strict=True):
        if result is not None:
            store.record(evaluation(name, e, result))
    start = datetime(2026, 11, 22, 12, tzinfo=UTC)
    for b in range(len(new) // size):
        told = BatchRecord(batch=b, told_at=start + timedelta(minutes=b), metrics=metrics(b), digest="d" * 64)
        store.advance(name, _advance(told, {}, ()))
    store.set_state(name, state, reason, seconds=200.0)
    return store


StoreRun = Callable[..., Store]


@pytest.fixture
def store_run(tmp_path: Path) -> Iterator[StoreRun]:
    """Makes stores as `store_run_in` does, on temporary files."""
    opened: list[Store] = []

    def make(*args: Any, **kwargs: Any) -> Store:
        opened.append(store_run_in(tmp_path / f"store{len(opened)}.sqlite", *args, **kwargs))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@dataclass(frozen=True)
class Report:
    """A stored run and the report on it."""

    store: Store
    page: Path

    @property
    def folder(self) -> Path:
        return self.page.parent


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Report]:
    """The report on `SEARCH`, under a controller that has measures; written once, for tests that only read it."""
    folder = tmp_path_factory.mktemp("report")
    with store_run_in(folder / "store.sqlite", metrics=lambda batch: {"entropy": 3.0, "baseline": 0.5}) as store:
        yield Report(store, write_report(store, "first", folder / "runs" / "first" / "report"))


DrawOnly = Callable[..., None]


@pytest.fixture
def draw_only(monkeypatch: pytest.MonkeyPatch) -> DrawOnly:
    """Leaves the pictures of a page empty but for those named: drawing them is nearly all of a report's time."""

    def only(*names: str) -> None:
        def write(folder: Path, name: str, alt: str, draw: Callable[[float], Figure]) -> Picture:
            if name in names:
                return write_picture(folder, name, alt, draw)
            for suffix in ("svg", "png"):
                (folder / f"{name}.{suffix}").touch()
            return Picture(name, alt, "data:,", "data:,")

        monkeypatch.setattr(page, "write_picture", write)

    return only


def _repeat(proposal: NewProposal) -> NewProposal:
    return NewProposal(tokens=proposal.tokens, evaluation=proposal.evaluation, is_new=False)


def _advance(
    told: BatchRecord | None, proposed: Mapping[int, tuple[NewProposal, ...]], new: tuple[NewEvaluation, ...]
) -> Advance:
    return Advance(told=told, proposed=proposed, new=new, controller=b"", trace="ab" * 32, seconds=200.0)


@pytest.fixture
def records(store_run: StoreRun) -> list[EvaluationRecord]:
    """The evaluations of `SEARCH`."""
    return store_run().evaluations("first")
