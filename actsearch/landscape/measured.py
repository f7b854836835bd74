"""From a run to a landscape: every function of the run's space, and what the run has measured of it so far."""

from collections.abc import Callable, Iterable, Mapping
from statistics import variance

from actsearch.config import RunConfig
from actsearch.errors import LandscapeError
from actsearch.evaluation import Outcome
from actsearch.expression import Expression, expression_of
from actsearch.formula import Formula
from actsearch.identity import canonical_text, fingerprint, is_constant, is_finite, is_strict_swish, is_swish_family
from actsearch.landscape.description import Description, Protocol
from actsearch.landscape.table import Landscape, LandscapeFunction, Measurement, Swish
from actsearch.space import LARGEST_LISTED, Space
from actsearch.store import EvaluationRecord, RunRecord, Store


def from_store(
    store: Store, run: str, *, watch: Callable[[Iterable[Formula], int], Iterable[Formula]] = lambda items, _: items
) -> Landscape:
    """The landscape of a run, finished or not, without its stopped children: about 5 ms a token sequence of its space.

    Args:
        store: where the run is.
        run: its name, which becomes the landscape's.
        watch: passes the space's formulas on, given their number, and may show how far it is.

    Raises:
        LandscapeError: a space too large to list, or a run that has measured nothing yet.
    """
    record = store.run(run)
    records = store.evaluations(run, layers=False)
    done = [r for r in records if r.evaluation and r.evaluation.outcome is not Outcome.STOPPED]
    space = Space(record.config.space)
    if space.size > LARGEST_LISTED:
        raise LandscapeError(
            f"run {run!r}: its space has {space.size:,} token sequences, a landscape lists at most {LARGEST_LISTED:,}"
        )
    if not done:
        raise LandscapeError(f"run {run!r} has measured nothing yet")
    functions = list_functions(watch(space.enumerate(), space.size))
    ids = {tokens: function.id for function in functions for tokens in function.spellings}
    measurements = [_measurement(r, ids[r.tokens]) for r in done]
    environments = {r.evaluation.environment for r in done if r.evaluation and r.evaluation.environment}
    return Landscape(_description(record, measurements, environments), functions, measurements)


def list_functions(formulas: Iterable[Formula]) -> list[LandscapeFunction]:
    """The functions that some formulas spell, by fingerprint, in the order in which they first occur."""
    spellings: dict[str, list[tuple[str, ...]]] = {}
    first: dict[str, Expression] = {}
    for formula in formulas:
        expression = expression_of(formula)
        identity = fingerprint(expression)
        first.setdefault(identity, expression)
        spellings.setdefault(identity, []).append(formula.tokens)
    return [
        LandscapeFunction(
            id=identity,
            canonical=canonical_text(expression),
            constant=is_constant(expression),
            finite=is_finite(expression),
            swish=swish_kind(expression),
            spellings=tuple(spellings[identity]),
        )
        for identity, expression in first.items()
    ]


def swish_kind(expression: Expression) -> Swish:
    """Whether and how the function belongs to the Swish family."""
    if is_strict_swish(expression):
        return "strict"
    return "family" if is_swish_family(expression) else ""


def noise_sd(measurements: Iterable[Measurement]) -> float | None:
    """Pooled standard deviation of one training's reward over functions that trained at least twice with new seeds.

    The first training is left out: repeats go to the best of the first ones, which were lucky to be so.
    """
    repeats: dict[str, list[float]] = {}
    for m in measurements:
        if m.replicate > 0 and m.outcome is Outcome.TRAINED:
            repeats.setdefault(m.function, []).append(m.reward)
    groups = [rewards for rewards in repeats.values() if len(rewards) > 1]
    degrees = sum(len(rewards) - 1 for rewards in groups)
    if not degrees:
        return None
    return float((sum((len(rewards) - 1) * variance(rewards) for rewards in groups) / degrees) ** 0.5)


def _measurement(record: EvaluationRecord, function: str) -> Measurement:
    done = record.evaluation
    assert done is not None, "only finished evaluations are exported"
    return Measurement(
        function=function,
        replicate=record.replicate,
        seed=record.seed,
        outcome=done.outcome,
        reward=done.reward,
        val_accuracy=done.val_accuracy,
        val_loss=done.val_loss,
        gain=done.gain,
        steps=done.steps,
        seconds=done.seconds,
        curve={point.step: point.val_accuracy for point in done.curve},
    )


def _description(record: RunRecord, measurements: Iterable[Measurement], environments: Iterable[str]) -> Description:
    sd = noise_sd(measurements)
    return Description(
        name=record.name,
        space=record.config.space,
        protocol=_protocol(record.config),
        environment={**record.versions, "workers": "; ".join(sorted(environments))},
        noise_sd=sd,
        noise="no function was trained often enough" if sd is None else "pooled over functions trained again",
        coverage=f"measured by the {record.config.controller} controller, {record.state.value}",
    )


def _protocol(config: RunConfig) -> Protocol:
    child = config.child
    gains = {
        "unit": "1/√E f(z)², z ~ N(0, 1), at β's initial values (actsearch.identity.unit_gain)",
        "as_is": "none",
    }
    return Protocol(
        child=f"{child.name}, squeeze-excite {child.squeeze_excite}",
        recipe=_words(config.recipe.model_dump(mode="json")),
        dataset=config.dataset,
        split="the data set's own train, validation and test parts; the reward is validation accuracy",
        gain=gains[child.gain],
        betas="each β token is a parameter of its own, one a channel, from its primitive's initial value",
        grouping="one function: equal exact values at every x and β, and equal initial β (actsearch.identity)",
        screening=f"constant, not finite, or more than {config.max_operations} operations: not trained, reward 0",
    )


def _words(settings: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items())
