"""What finals are, as values that the store keeps: the plan they follow and the result that comes of them.

A plan is made once, from what the search has found, and says everything that decides the finals; a result is the
statement that one may cite. Who makes them is `actsearch_controller.finals`.
"""

from pydantic import Field

from actsearch.config import ChildSettings, FinalsSettings, Recipe, Settings


class Candidate(Settings):
    """One function in finals: the best of its class that the search found, or a control."""

    tokens: tuple[str, ...]
    formula: str
    """As plain mathematics, the search's first spelling."""
    canonical: str
    names: tuple[str, ...]
    fingerprint: str
    """Which function it is (actsearch.identity)."""
    equivalence_class: str
    """The class f ~ a·f(b·x) it stands for (actsearch.identity.equivalence_class)."""
    search_accuracy: float | None
    """Mean reward of its trainings in the search, 0–1: mostly one, so partly luck. None: a control alone."""
    is_control: bool = False


class ChildProtocol(Settings):
    """One child network and how it is trained."""

    child: ChildSettings
    recipe: Recipe


class FinalsPlan(Settings):
    """Everything that decides the finals of a run, beside the run's own data set and limits."""

    settings: FinalsSettings
    candidates: tuple[Candidate, ...] = Field(min_length=1)
    """What is screened, best search score first; screened by nobody where there are no more than finalists."""
    controls: tuple[Candidate, ...] = Field(min_length=1)
    """The first one is the reference, ReLU."""
    search: ChildProtocol
    """As the search trained: finalists are trained so again, to see how much of a search score was luck."""
    screen: ChildProtocol
    panel: tuple[ChildProtocol, ...] = Field(min_length=1)
    screen_seeds: tuple[int, ...]
    final_seeds: tuple[int, ...]

    @property
    def looks(self) -> tuple[int, ...]:
        """Numbers of seeds after which finalists may be dropped."""
        return tuple(look for look in self.settings.looks if look < len(self.final_seeds))

    @property
    def is_screened(self) -> bool:
        return len(self.candidates) > self.settings.finalists


class Estimate(Settings):
    """A mean over paired seeds with its two-sided 95 % t interval, in accuracy (0–1)."""

    mean: float
    low: float
    high: float


class ChildRow(Settings):
    """One function in one child of the panel, over the seeds it was trained with."""

    child: str
    accuracy: float
    """Mean validation accuracy; a training that failed counts as 0."""
    failures: int
    difference: Estimate | None
    """Accuracy minus the reference's with the same seed; None for the reference."""
    p_holm: float | None
    """One-sided paired t-test against the reference in this child alone, Holm over the finalists."""


class FinalRow(Settings):
    """One function in the last stage of finals."""

    candidate: Candidate
    seeds: int
    """Paired seeds it was trained with."""
    is_dropped: bool
    """Whether a look took it out as hopeless; then nothing is claimed for it."""
    mean_rank: float | None
    """Rank by mean accuracy, 1 the best, averaged over the panel; None where dropped."""
    difference: Estimate | None
    """Mean over the panel of accuracy minus the reference's; None for the reference."""
    p: float | None
    """One-sided paired t-test on each seed's mean difference over the panel; None for reference and dropped."""
    p_holm: float | None
    """The same after Holm over all finalists, dropped ones included; None for controls too."""
    is_better: bool
    """Whether it is better than the reference at 5 %."""
    is_tied: bool
    """Whether it belongs to the group tied with the best."""
    children: tuple[ChildRow, ...]
    again_accuracy: float | None
    """Mean accuracy of the same child and steps as in the search, with fresh seeds; None: a control alone."""
    test_accuracy: float
    """On the test images, mean over panel and seeds; a training that failed counts as 0."""
    test_difference: Estimate | None
    """As `difference`, on the test images."""

    @property
    def is_found(self) -> bool:
        """Whether the search proposed it and the screening promoted it; otherwise it is a control alone."""
        return self.candidate.search_accuracy is not None

    @property
    def shrinkage(self) -> float | None:
        """Search score minus what the same training gives with fresh seeds: the part that was luck."""
        if self.candidate.search_accuracy is None or self.again_accuracy is None:
            return None
        return self.candidate.search_accuracy - self.again_accuracy


class FinalsResult(Settings):
    """What finals say."""

    rows: tuple[FinalRow, ...]
    """The best first, by mean rank; dropped ones last."""
    reference: str
    """Name of the function that all are compared with."""
    children: tuple[str, ...]
    seeds: int
    screened: int
    """Functions in the screening; 0 where there was none."""

    @property
    def best(self) -> FinalRow:
        """The function of best mean rank over the panel, found or a control."""
        return self.rows[0]
