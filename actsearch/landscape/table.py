"""The table: every function of a space, and the evaluations of those that were measured."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Literal

import numpy as np

from actsearch.errors import LandscapeError
from actsearch.evaluation import Outcome, Rung
from actsearch.landscape.description import Description

Swish = Literal["", "family", "strict"]


@dataclass(frozen=True, slots=True)
class LandscapeFunction:
    """One function of the space, measured or not.

    Attributes:
        id: its name in the files; the fingerprint in landscapes that `actsearch` measured.
        canonical: its canonical text.
        constant: whether it does not depend on x.
        finite: whether float32 holds it at some x of [-8, 8].
        swish: `strict` for x·σ(βx) with a trainable β inside σ, `family` for other members of the Swish family.
        spellings: all its token sequences.
    """

    id: str
    canonical: str
    constant: bool
    finite: bool
    swish: Swish
    spellings: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One evaluation of one function.

    Attributes:
        function: the function's id.
        replicate: 0 for its first training, 1, 2, … for repeats with other seeds.
        seed: of that training; None where it is not known.
        outcome: how it ended.
        reward: 0-1; 0 for functions that do not train.
        val_accuracy: after the last step, 0-1; None unless trained.
        val_loss: mean cross-entropy, nats; None unless trained.
        gain: the constant that the function was multiplied by.
        steps: training steps done; None where that is not known.
        seconds: wall-clock time of the whole evaluation.
        curve: validation accuracy by step, on the way.
    """

    function: str
    replicate: int
    seed: int | None
    outcome: Outcome
    reward: float
    val_accuracy: float | None
    val_loss: float | None
    gain: float
    steps: int | None
    seconds: float
    curve: Mapping[int, float]

    def cut(self, rungs: Iterable[Rung]) -> "Measurement":
        """The same training by a job with these rungs: it ends at the first one that it was too low at.

        A rung at a step that was not recorded stops nothing.
        """
        for rung in rungs:
            accuracy = self.curve.get(rung.step)
            if accuracy is not None and accuracy < rung.stop_below:
                return replace(
                    self,
                    outcome=Outcome.STOPPED,
                    reward=rung.predict(accuracy),
                    val_accuracy=accuracy,
                    val_loss=None,
                    steps=rung.step,
                    curve={step: value for step, value in self.curve.items() if step <= rung.step},
                )
        return self


@dataclass(frozen=True)
class Completeness:
    """How much of its space a landscape covers.

    Attributes:
        functions: functions of the space.
        covered: those with an evaluation.
        strings: token sequences of the space.
        covered_strings: those that spell a covered function.
    """

    functions: int
    covered: int
    strings: int
    covered_strings: int

    def __str__(self) -> str:
        return (
            f"{self.covered:,} of {self.functions:,} functions ({self.covered / self.functions:.1%}), "
            f"{self.covered_strings:,} of {self.strings:,} token sequences ({self.covered_strings / self.strings:.1%})"
        )


class Landscape:
    """Rewards of a space's functions, as measured under one protocol."""

    def __init__(
        self, description: Description, functions: Sequence[LandscapeFunction], measurements: Sequence[Measurement]
    ) -> None:
        """The landscape of these rows.

        Raises:
            LandscapeError: two functions share an id or a spelling, an evaluation is of no function, or occurs twice.
        """
        self.description = description
        self.functions = {function.id: function for function in functions}
        """Every function of the space by id, covered or not."""
        self._by_tokens = {tokens: function for function in functions for tokens in function.spellings}
        if len(self.functions) != len(functions) or len(self._by_tokens) != sum(len(f.spellings) for f in functions):
            raise LandscapeError(f"landscape {self.name!r}: two functions share an id or a spelling")
        self.measurements = tuple(measurements)
        by_function: dict[str, list[Measurement]] = defaultdict(list)
        for measurement in measurements:
            by_function[measurement.function].append(measurement)
        stray = next((id_ for id_ in by_function if id_ not in self.functions), None)
        if stray is not None:
            raise LandscapeError(f"landscape {self.name!r}: an evaluation is of {stray!r}, which is no function of it")
        if len({(m.function, m.replicate) for m in measurements}) != len(self.measurements):
            raise LandscapeError(f"landscape {self.name!r}: a replicate of a function occurs twice")
        self._by_function = {id_: tuple(found) for id_, found in by_function.items()}

    @property
    def name(self) -> str:
        return self.description.name

    def function_of(self, tokens: Sequence[str]) -> LandscapeFunction | None:
        """The function that a token sequence spells; None outside the space."""
        return self._by_tokens.get(tuple(tokens))

    def is_covered(self, function: str) -> bool:
        """Whether the function of that id has an evaluation."""
        return function in self._by_function

    @cached_property
    def true_rewards(self) -> Mapping[str, float]:
        """The reward of every covered function by id, the mean over its replicates: 0 for one that does not train."""
        return {function: fmean(m.reward for m in found) for function, found in self._by_function.items()}

    def reward(self, tokens: Sequence[str]) -> float | None:
        """The true reward of the function that a token sequence spells; None where it is not covered."""
        function = self.function_of(tokens)
        return None if function is None else self.true_rewards.get(function.id)

    def observe(self, function: str, rng: np.random.Generator) -> Measurement:
        """One training of a covered function, with noise as it was measured.

        Where the function has several replicates one of them is drawn. Else its reward moves by N(0, `noise_sd`²)
        and is cut to [0, 1], and its curve stays; a failure stays a failure, and nothing moves where the noise was
        never measured.
        """
        found = self._by_function[function]
        if len(found) > 1:
            return found[int(rng.integers(len(found)))]
        if found[0].outcome is not Outcome.TRAINED or self.description.noise_sd is None:
            return found[0]
        moved = found[0].reward + self.description.noise_sd * rng.standard_normal()
        return replace(found[0], reward=float(min(max(moved, 0.0), 1.0)))

    @cached_property
    def steps(self) -> int:
        """Steps of a whole training; 0 where no training recorded any."""
        return max((m.steps or 0 for m in self.measurements), default=0)

    @cached_property
    def recorded_steps(self) -> tuple[int, ...]:
        """The steps, rising, at which learning curves were recorded before the last step."""
        return tuple(sorted({step for m in self.measurements for step in m.curve if step < self.steps}))

    @property
    def not_covered(self) -> tuple[LandscapeFunction, ...]:
        """The functions without an evaluation, in the order of the file."""
        return tuple(f for f in self.functions.values() if not self.is_covered(f.id))

    @cached_property
    def completeness(self) -> Completeness:
        return Completeness(
            functions=len(self.functions),
            covered=len(self._by_function),
            strings=len(self._by_tokens),
            covered_strings=sum(len(self.functions[id_].spellings) for id_ in self._by_function),
        )

    def __str__(self) -> str:
        protocol, noise = self.description.protocol, self.description.noise_sd
        return (
            f"landscape {self.name} ({self.description.licence}) covers {self.completeness}\n"
            f"{protocol.child}; {protocol.recipe}; {protocol.dataset}\n"
            f"noise {'not measured' if noise is None else f'sd {noise:.4f}'}; {self.description.coverage}"
        )
