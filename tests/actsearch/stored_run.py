"""A run folder with a few finished evaluations, for what reads runs."""

from pathlib import Path

from sqlalchemy.engine import URL

from actsearch.config import RunConfig
from actsearch.evaluation import Evaluation, LayerRecord, Outcome
from actsearch.expression import expression_of
from actsearch.formula import Formula
from actsearch.identity import canonical_text, names
from actsearch.runs import RunFolder, create_run
from actsearch.store import Advance, NewEvaluation, NewProposal

SWISH_GAIN = 1.6765324703310907

SEARCH: tuple[tuple[tuple[str, ...], float | None, float, tuple[LayerRecord, ...]], ...] = (
    (("relu", "relu", "max"), 0.7, 1.4142135623730951, ()),
    (("cube", "exp", "multiply"), None, 1.0, ()),
    (
        ("scale", "identity", "gate"),
        0.9,
        SWISH_GAIN,
        (
            LayerRecord(name="a", channels=2, betas={"beta": (0.5, 1.5)}, histogram=()),
            LayerRecord(name="b", channels=6, betas={"beta": (1.0, 2.0, 3.0, 2.0, 2.0, 2.0)}, histogram=()),
            # 80 channels as three quantiles: mean (0 + 2·1 + 4)/4 = 1.5
            LayerRecord(name="c", channels=80, betas={"beta": (0.0, 1.0, 4.0)}, histogram=()),
        ),
    ),
    (("shift", "sin", "add"), 0.8, 1.0, ()),
    (("identity", "scale", "gate"), 0.95, SWISH_GAIN, ()),
)
"""Tokens, reward (None: no finite loss), gain and layers, in the order asked."""

SWISH_MEAN = (2 * 1.0 + 6 * 2.0 + 80 * 1.5) / 88


def stored_run(runs_dir: Path, name: str = "first", *, database: URL | None = None) -> RunFolder:
    """A new run folder under `runs_dir` that has told all of `SEARCH`, there or in a shared database."""
    folder = create_run(runs_dir, name, RunConfig(seed=7, evaluations=len(SEARCH)), database=database)
    new = [_asked(tokens, number) for number, (tokens, *_) in enumerate(SEARCH)]
    proposed = {0: tuple(NewProposal(tokens=e.tokens, evaluation=e.key, is_new=True) for e in new)}
    with folder.open() as (store, run):
        store.advance(
            run, Advance(told=None, proposed=proposed, new=tuple(new), controller=b"", trace="ab" * 32, seconds=1.0)
        )
        for asked, (_, reward, gain, layers) in zip(new, SEARCH, strict=True):
            store.record(
                Evaluation(
                    run=run,
                    evaluation=asked.key,
                    outcome=Outcome.NONFINITE if reward is None else Outcome.TRAINED,
                    reason="the first loss is not finite" if reward is None else "",
                    val_accuracy=reward,
                    gain=gain,
                    layers=layers,
                )
            )
    return folder


def _asked(tokens: tuple[str, ...], number: int) -> NewEvaluation:
    expression = expression_of(Formula.from_tokens(tokens))
    return NewEvaluation(
        key=f"{number:016x}",
        tokens=tokens,
        formula=expression.full_text,
        canonical=canonical_text(expression),
        names=names(expression),
        seed=number,
    )
