"""Hypothesis strategies over the search space."""

from hypothesis import strategies as st

from actsearch.config import SpaceSettings
from actsearch.formula import Formula
from actsearch.space import Space

SPACES = {units: Space(SpaceSettings(units=units)) for units in (1, 2, 3)}


def formulas(units: int = 3) -> st.SearchStrategy[Formula]:
    """Formulas of 1 to `units` core units."""

    def of(space: Space) -> st.SearchStrategy[Formula]:
        return st.tuples(*(st.integers(0, len(slot.choices) - 1) for slot in space.slots)).map(space.formula)

    return st.one_of([of(SPACES[n]) for n in range(1, units + 1)])
