"""A search that is over, and trainings that are made up: each function has a true accuracy in each child."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from actsearch.config import FinalsSettings, Recipe, RunConfig
from actsearch.evaluation import Evaluation, Job, Outcome, child_seed, evaluation_key
from actsearch.expression import expression_of
from actsearch.formula import Formula
from actsearch.identity import canonical_text, formula_fingerprint, names
from actsearch.store import Advance, NewEvaluation, NewProposal, RunState, Store
from actsearch_controller import driving

RELU, SILU = ("relu", "relu", "max"), ("identity", "identity", "gate")
SWISH, SWISH_OF_2 = ("scale", "identity", "gate"), ("identity", "scale", "gate")
SIN, COS, TANH, CUBE = (
    ("identity", "sin", "min"),
    ("cos", "identity", "subtract"),
    ("tanh", "tanh", "max"),
    ("cube", "exp", "multiply"),
)

SEARCH: Mapping[tuple[str, ...], float | None] = {
    TANH: 0.84,  # lucky: the best of the search, worst in truth
    SIN: 0.83,
    SWISH_OF_2: 0.82,
    SWISH: 0.81,
    COS: 0.80,
    CUBE: None,
}
"""Search scores; None: it failed."""

TRUTH: Mapping[tuple[str, ...], float] = {
    RELU: 0.80,
    SILU: 0.82,
    SWISH: 0.83,
    SWISH_OF_2: 0.83,
    SIN: 0.825,
    COS: 0.805,
    TANH: 0.70,
}

CONFIG = RunConfig(seed=5, evaluations=len(SEARCH))
SETTINGS = FinalsSettings(classes=4, finalists=3, seeds=6, looks=(3,), children=("nf_resnet8", "resnet20"), steps=20)
RECIPES = {"nf_resnet8": Recipe(steps=150), "resnet20": Recipe(steps=1000, learning_rate=0.1)}


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "POLL_SECONDS", 0.0)


def noise(*parts: object) -> float:
    """A number in [-1, 1) that its parts decide."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**31 - 1


def trained(job: Job) -> Evaluation:
    """A result that the job alone decides: true accuracy, an effect of child and seed, a little of its own."""
    accuracy = TRUTH[job.tokens] + 0.02 * noise(job.child.name, job.seed) + 0.002 * noise(job.evaluation)
    return Evaluation(
        run=job.run,
        evaluation=job.evaluation,
        outcome=Outcome.TRAINED,
        val_accuracy=accuracy,
        test_accuracy=accuracy - 0.01 if job.measures_test else None,
        seconds=job.recipe.steps / 100,
    )


def searched(store: Store, search: Mapping[tuple[str, ...], float | None] = SEARCH, config: RunConfig = CONFIG) -> None:
    """Puts a run `first` into the store whose search is done."""
    store.create_run("first", config, command="", versions={})
    new = [_asked(tokens, config) for tokens in search]
    proposals = tuple(NewProposal(tokens=e.tokens, evaluation=e.key, is_new=True) for e in new)
    store.advance(
        "first",
        Advance(told=None, proposed={0: proposals}, new=tuple(new), controller=b"", trace="", seconds=1.0),
    )
    for asked, score in zip(new, search.values(), strict=True):
        outcome = Outcome.DIVERGED if score is None else Outcome.TRAINED
        store.record(Evaluation(run="first", evaluation=asked.key, outcome=outcome, val_accuracy=score))
    store.set_state("first", RunState.DONE)


def _asked(tokens: tuple[str, ...], config: RunConfig) -> NewEvaluation:
    identity = formula_fingerprint(Formula.from_tokens(tokens))
    expression = expression_of(Formula.from_tokens(tokens))
    seed = child_seed(config.seed, identity, 0)
    return NewEvaluation(
        key=evaluation_key(identity, config.child, config.recipe, config.dataset, seed),
        tokens=tokens,
        formula=expression.text,
        canonical=canonical_text(expression),
        names=names(expression),
        seed=seed,
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with a run `first` whose search is done."""
    with Store.open(tmp_path / "store.sqlite") as opened:
        searched(opened)
        yield opened


Answer = Callable[[Job], Evaluation]
