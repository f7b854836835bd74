"""The trainings of finals as values: who, in which child, with which seed; and the jobs they become."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from actsearch.backend import backend_of
from actsearch.config import RunConfig
from actsearch.evaluation import Job, evaluation_key
from actsearch.finals import Candidate, ChildProtocol, FinalsPlan


@dataclass(frozen=True)
class Training:
    """One training that finals want.

    Attributes:
        candidate: the function.
        protocol: child and recipe.
        seed: shared by all functions, so that they are paired.
        dataset: the run's.
        measures_test: whether the test images are measured afterwards.
    """

    candidate: Candidate
    protocol: ChildProtocol
    seed: int
    dataset: str
    measures_test: bool = False

    @cached_property
    def key(self) -> str:
        """`actsearch.evaluation.evaluation_key`."""
        return evaluation_key(
            self.candidate.fingerprint, self.protocol.child, self.protocol.recipe, self.dataset, self.seed
        )

    def job(self, run: str, config: RunConfig) -> Job:
        """What a worker gets."""
        return Job(
            run=run,
            evaluation=self.key,
            tokens=self.candidate.tokens,
            seed=self.seed,
            backend=backend_of(self.candidate.canonical),
            child=self.protocol.child,
            recipe=self.protocol.recipe,
            dataset=self.dataset,
            max_operations=config.max_operations,
            measures_test=self.measures_test,
            timeout_seconds=config.timeout_seconds,
        )


def screening(plan: FinalsPlan, dataset: str) -> list[Training]:
    """Every candidate with the screening's seeds; nothing where no more of them are than finalists."""
    if not plan.is_screened:
        return []
    return [Training(c, plan.screen, seed, dataset) for seed in plan.screen_seeds for c in plan.candidates]


def panel(plan: FinalsPlan, candidates: Iterable[Candidate], seeds: Iterable[int], dataset: str) -> list[Training]:
    """The candidates in every child of the panel, and those that the search found once more as the search had them.

    The longest trainings come first, so that workers come to the end of a round together.
    """
    candidates, seeds = list(candidates), list(seeds)
    wanted = [Training(c, plan.search, s, dataset) for s in seeds for c in candidates if c.search_accuracy is not None]
    wanted += [Training(c, child, s, dataset, True) for child in plan.panel for s in seeds for c in candidates]
    # Where a child of the panel is trained as in the search, the two are one, and the one that measures the test stays.
    distinct = {training.key: training for training in wanted}
    return sorted(distinct.values(), key=lambda training: -training.protocol.recipe.steps)
