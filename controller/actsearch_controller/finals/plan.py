"""The plan of a run's finals: which functions of the search are screened, in which children, with which seeds."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from actsearch.config import FinalsSettings, Recipe, RunConfig
from actsearch.errors import RunError
from actsearch.evaluation import final_seeds
from actsearch.expression import expression_of
from actsearch.finals import Candidate, ChildProtocol, FinalsPlan
from actsearch.formula import Formula
from actsearch.identity import canonical, equivalence_class, formula_fingerprint, names
from actsearch.leaderboard import leaderboard
from actsearch.store import EvaluationRecord

CONTROLS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "ReLU": ("relu", "relu", "max"),
    "SiLU": ("identity", "identity", "gate"),
})  # fmt: skip
"""Functions that every finals has, as tokens; all are compared with the first."""


def make_plan(
    config: RunConfig,
    settings: FinalsSettings,
    records: Iterable[EvaluationRecord],
    recipes: Mapping[str, Recipe],
) -> FinalsPlan:
    """The plan of a run's finals.

    Args:
        config: the run's settings.
        settings: those of the finals, which may differ from the run's own.
        records: everything the search has evaluated.
        recipes: how each child of the panel is trained where nothing else is said, by name. The search's own
            child keeps the run's recipe.

    Raises:
        RunError: no function has been trained.
    """
    records = list(records)
    found = _candidates(records, settings.classes)
    if not found:
        raise RunError("no function has been trained in the search, so there is nothing to compare in finals")
    used = {record.seed for record in records}
    search = ChildProtocol(child=config.child, recipe=config.recipe)
    screen = for_steps(search, settings.screen_steps or 2 * config.recipe.steps)
    children = [protocol_of(config, name, recipes) for name in settings.children]
    return FinalsPlan(
        settings=settings,
        candidates=found,
        controls=tuple(_described(tokens, None) for tokens in CONTROLS.values()),
        search=search,
        screen=screen,
        panel=tuple(for_steps(c, settings.steps or max(c.recipe.steps, screen.recipe.steps)) for c in children),
        screen_seeds=final_seeds(config.seed, "screening", settings.screen_seeds, used),
        final_seeds=final_seeds(config.seed, "finals", settings.seeds, used),
    )


def protocol_of(config: RunConfig, name: str, recipes: Mapping[str, Recipe]) -> ChildProtocol:
    """A child by name as the run's own is set up; the search's child keeps the run's recipe."""
    recipe = config.recipe if name == config.child.name else recipes[name]
    return ChildProtocol(child=config.child.model_copy(update={"name": name}), recipe=recipe)


def for_steps(protocol: ChildProtocol, steps: int) -> ChildProtocol:
    """The same child with another number of steps."""
    return protocol.model_copy(update={"recipe": protocol.recipe.model_copy(update={"steps": steps})})


def _candidates(records: Iterable[EvaluationRecord], count: int) -> tuple[Candidate, ...]:
    """The best function of each of the best classes, best first (actsearch.leaderboard)."""
    by_class: dict[str, Candidate] = {}
    for entry in leaderboard(records):
        if len(by_class) == count:
            break
        candidate = _described(entry.record.tokens, entry.reward)
        by_class.setdefault(candidate.equivalence_class, candidate)
    return tuple(by_class.values())


def _described(tokens: tuple[str, ...], search_accuracy: float | None) -> Candidate:
    formula = Formula.from_tokens(tokens)
    expression = expression_of(formula)
    identity = formula_fingerprint(formula)
    return Candidate(
        tokens=tokens,
        formula=expression.text,
        canonical=canonical(expression).full_text,
        names=names(expression),
        fingerprint=identity,
        equivalence_class=equivalence_class(expression),
        search_accuracy=search_accuracy,
        is_control=identity in {formula_fingerprint(Formula.from_tokens(control)) for control in CONTROLS.values()},
    )
