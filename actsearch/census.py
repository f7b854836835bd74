"""How many functions a set of formulas holds: strings, distinct ones, constants and those that are never finite."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from actsearch.expression import Expression, expression_of
from actsearch.formula import Formula
from actsearch.identity import fingerprint, is_constant, is_finite


@dataclass(frozen=True)
class Census:
    """Counts over some formulas; the last three are of functions, each counted once.

    Attributes:
        strings: formulas.
        distinct: functions, by fingerprint; β's initial values make a difference.
        constant: those that do not depend on x.
        not_finite: those that float32 holds at no x of [-8, 8], at β's initial values.
    """

    strings: int
    distinct: int
    constant: int
    not_finite: int

    @property
    def counts(self) -> dict[str, int]:
        """The four numbers by name."""
        return asdict(self)


def census(formulas: Iterable[Formula]) -> Census:
    """Counts the functions that some formulas spell; about 4 ms a formula of one unit, 15 ms of two."""
    strings = 0
    functions: dict[str, Expression] = {}
    for formula in formulas:
        strings += 1
        expression = expression_of(formula)
        functions.setdefault(fingerprint(expression), expression)
    return Census(
        strings=strings,
        distinct=len(functions),
        constant=sum(map(is_constant, functions.values())),
        not_finite=sum(not is_finite(e) for e in functions.values()),
    )
