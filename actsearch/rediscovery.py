"""Whether a search came upon Swish, and when uniform random search would have.

Swish is what the search of Ramachandran, Zoph and Le (2017) found. Its family is a·x·σ(b·x) with a and b each 1, -1 or
trainable; in strict Swish b is trainable. What random search needs follows from how many token sequences spell them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import expm1, log, log1p
from types import MappingProxyType
from typing import Literal

from actsearch.config import SpaceSettings
from actsearch.expression import expression_of
from actsearch.finals import FinalRow, FinalsPlan, FinalsResult
from actsearch.formula import Formula
from actsearch.identity import is_strict_swish, is_swish_family
from actsearch.leaderboard import Entry, leaderboard
from actsearch.space import Space
from actsearch.store import EvaluationRecord, ProposalRecord

Kind = Literal["Swish family", "Strict Swish"]
KINDS: tuple[Kind, ...] = ("Swish family", "Strict Swish")

_FACTORS = ("identity", "negative", "scale")
STRICT = tuple(("scale", unary, "gate") for unary in _FACTORS)
"""The token sequences of one unit that spell strict Swish."""
FAMILY = (
    *((a, b, "gate") for a in _FACTORS for b in _FACTORS),
    *((a, "sigmoid", "multiply") for a in _FACTORS),
    *(("sigmoid", a, "multiply") for a in _FACTORS),
)
"""Those that spell a member of the Swish family."""

ONE_UNIT: Mapping[int, int] = MappingProxyType({
    1: 2411, 2: 1548, 3: 67, 4: 23, 5: 7, 6: 2, 7: 2, 10: 2, 11: 3, 12: 1, 15: 1, 17: 4, 23: 1, 24: 1, 25: 1, 26: 1,
    28: 1, 31: 1, 40: 1, 44: 1,
})  # fmt: skip
"""Functions of the whole one-unit space by the number of their spellings, the Swish family included: 4,079 of them,
constants and those that are never finite too. Counted by fingerprint; a slow test counts again."""


@dataclass(frozen=True)
class Odds:
    """What uniform random search has to expect of some functions that it looks for.

    Attributes:
        spellings: token sequences that spell one of them.
        strings: token sequences of the space.
        others: all other functions of the space by the number of their spellings; None: not counted.
    """

    spellings: int
    strings: int
    others: Mapping[int, int] | None

    def by_draws(self, draws: int) -> float:
        """The chance that one of them is among so many independent draws."""
        return -expm1(draws * log1p(-self.spellings / self.strings)) if self.spellings < self.strings else 1.0

    @property
    def median_draws(self) -> float | None:
        """Draws after which that chance is one half; None where none of them is in the space."""
        if self.spellings == 0:
            return None
        return log(0.5) / log1p(-self.spellings / self.strings) if self.spellings < self.strings else 1.0

    def by_evaluations(self, evaluations: int) -> float | None:
        """The chance that one of them is among so many different functions, each drawn once; None: not counted.

        Uniform draws of which repeats are passed over. It takes draws for a Poisson process and the number of other
        functions seen by then for its mean; a test compares it with simulated searches.
        """
        if self.others is None:
            return None
        if evaluations >= sum(self.others.values()):
            return 1.0 if self.spellings else 0.0
        low, high = 0.0, 1.0
        while self._others_in(high) < evaluations:
            high *= 2
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self._others_in(middle) < evaluations else (low, middle)
        return -expm1(-self.spellings / self.strings * low)

    @property
    def median_evaluations(self) -> float | None:
        """Different functions after which that chance is one half; None: not counted, or none of them in the space."""
        if self.others is None or self.spellings == 0:
            return None
        return self._others_in(log(2) * self.strings / self.spellings)

    def _others_in(self, draws: float) -> float:
        """The expected number of other functions in so many draws."""
        assert self.others is not None
        return -sum(count * expm1(-spellings * draws / self.strings) for spellings, count in self.others.items())


def odds(settings: SpaceSettings, kind: Kind) -> Odds | None:
    """What uniform random search has to expect in a space; None where nobody has counted: of several units.

    The draws are exact for every choice of primitives; how many different functions they hold is known of the whole
    one-unit space only.
    """
    space = Space(settings)
    if space.units > 1:
        return None
    wanted = FAMILY if kind == "Swish family" else STRICT
    slots = [set(slot.choices) for slot in space.slots]
    spellings = sum(all(token in slot for token, slot in zip(tokens, slots, strict=True)) for tokens in wanted)
    whole = space.size == Space(SpaceSettings()).size
    return Odds(spellings, space.size, _others(wanted) if whole else None)


def _others(wanted: Sequence[tuple[str, ...]]) -> Mapping[int, int]:
    """`ONE_UNIT` without the functions that are looked for."""
    left = dict(ONE_UNIT)
    # x·σ, -x·σ(x) and β·x·σ(x) have three spellings each, the other members one.
    own = {1: 3} if wanted == STRICT else {1: 6, 3: 3}
    for spellings, count in own.items():
        left[spellings] -= count
    return left


@dataclass(frozen=True)
class Sighting:
    """What became of one kind of Swish in a search and its finals.

    Attributes:
        kind: which.
        functions: different members that were evaluated.
        evaluation: number of the first evaluation of one; None: none was proposed.
        proposal: number of the first proposal of one, repeats of known functions counted; None likewise.
        first: the first member, canonical; empty where there is none.
        best: the member that stands first in the search's leaderboard; None where none trained.
        rank: its place there, 1 the best.
        above: canonical texts of the functions above it there, best first.
        final: the best member in the last stage of finals that the search found; None where none came so far.
        final_place: its place there by mean rank, 1 the best; None where there is none, or it was dropped.
        beaten_by: functions before it there, best first; all that stood to the end where it was dropped.
        was_screened: whether one was in the finals at all.
        odds: of uniform random search; None: not counted for this space.
        evaluations: how many there were until the first member, or in all.
        proposals: likewise.
    """

    kind: Kind
    functions: int
    evaluation: int | None
    proposal: int | None
    first: str
    best: Entry | None
    rank: int | None
    above: tuple[str, ...]
    final: FinalRow | None
    final_place: int | None
    beaten_by: tuple[str, ...]
    was_screened: bool
    odds: Odds | None
    evaluations: int
    proposals: int

    @property
    def is_found(self) -> bool:
        """Whether the search proposed one."""
        return self.evaluation is not None

    @property
    def random_by_draws(self) -> float | None:
        """The chance that uniform random draws, as many as the search proposed until then, hold one."""
        return None if self.odds is None else self.odds.by_draws(self.proposals)

    @property
    def random_by_evaluations(self) -> float | None:
        """The chance that random search without repeats has evaluated one with as many evaluations."""
        return None if self.odds is None else self.odds.by_evaluations(self.evaluations)


def sightings(
    space: SpaceSettings,
    records: Sequence[EvaluationRecord],
    proposals: Sequence[ProposalRecord],
    plan: FinalsPlan | None = None,
    result: FinalsResult | None = None,
) -> list[Sighting]:
    """What became of each of `KINDS`.

    Args:
        space: the run's.
        records: its evaluations in the order asked.
        proposals: its proposals in the order made.
        plan: of its finals, where they were begun.
        result: of its finals, where they are done.
    """
    ranked = leaderboard(records)
    return [_sighting(kind, space, records, proposals, ranked, plan, result) for kind in KINDS]


def _sighting(
    kind: Kind,
    space: SpaceSettings,
    records: Sequence[EvaluationRecord],
    proposals: Sequence[ProposalRecord],
    ranked: Sequence[Entry],
    plan: FinalsPlan | None,
    result: FinalsResult | None,
) -> Sighting:
    # Every member of the family holds σ; asking only those keeps sympy out of the other thousands.
    members = [r for r in records if "sigmoid" in r.canonical and belongs(r.tokens, kind)]
    first = min(members, key=lambda record: record.number, default=None)
    keys = {record.key for record in members}
    proposal = next((number for number, p in enumerate(proposals, start=1) if p.evaluation in keys), None)
    rank = next((place for place, entry in enumerate(ranked, start=1) if entry.record.key in keys), None)
    rows = () if result is None else result.rows
    place = next((k for k, row in enumerate(rows) if row.is_found and belongs(row.candidate.tokens, kind)), None)
    final = None if place is None else rows[place]
    before = [row for row in rows[:place] if not row.is_dropped] if final else []
    return Sighting(
        kind=kind,
        functions=len({record.canonical for record in members}),
        evaluation=first.number if first else None,
        proposal=proposal,
        first=first.canonical if first else "",
        best=None if rank is None else ranked[rank - 1],
        rank=rank,
        above=tuple(entry.record.canonical for entry in ranked[: rank - 1]) if rank else (),
        final=final,
        final_place=None if place is None or rows[place].is_dropped else place + 1,
        beaten_by=tuple(row.candidate.canonical for row in before),
        was_screened=plan is not None and any(belongs(c.tokens, kind) for c in plan.candidates),
        odds=odds(space, kind),
        evaluations=first.number if first else len(records),
        proposals=proposal or len(proposals),
    )


def belongs(tokens: tuple[str, ...], kind: Kind) -> bool:
    """Whether a token sequence spells a member of that kind."""
    expression = expression_of(Formula.from_tokens(tokens))
    return is_swish_family(expression) if kind == "Swish family" else is_strict_swish(expression)
