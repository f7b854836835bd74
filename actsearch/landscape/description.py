"""What a landscape says of itself: where its numbers come from, and what it does not hold."""

import hashlib
from typing import Final, Literal

from pydantic import Field

from actsearch.config import Settings, SpaceSettings

FORMAT: Final = 1
"""Version of the files; another one is refused."""


class Protocol(Settings):
    """How the evaluations were made, each part in words. What differs in any part is another landscape."""

    child: str
    """The network that the functions were trained in."""
    recipe: str
    """Its training."""
    dataset: str
    split: str
    """Sizes or names of the parts; which of them gives the reward."""
    gain: str
    """The rule for the constant that each function was multiplied by."""
    betas: str
    """β's initial values, and how many of each there are."""
    grouping: str
    """When two spellings count as one function."""
    screening: str
    """What was decided without training."""

    @property
    def digest(self) -> str:
        """8 hex digits that stand in every row: rows made under different protocols are never merged."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:8]


class Description(Settings):
    """The content of landscape.json."""

    format: Literal[1] = FORMAT
    name: str = Field(min_length=1, max_length=100)
    licence: str = "CC0-1.0"
    space: SpaceSettings
    """What the functions are spelled in."""
    protocol: Protocol
    environment: dict[str, str]
    """Versions of what decides the numbers, and the commit, as far as known."""
    noise_sd: float | None = Field(ge=0)
    """Standard deviation of one training's reward, 0-1; None where it was never measured."""
    noise: str
    """How that was measured."""
    coverage: str
    """How the functions that it covers were chosen, and which it does not cover."""
