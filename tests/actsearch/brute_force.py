"""Which formulas are the same function, by brute force: float64 proposes pairs, mpmath confirms or refutes them.

Shares nothing with the fingerprint: the formula as spelled, other points, every order of β, sympy's own lambdify.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, combinations, islice, permutations, product
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt
import sympy

from actsearch.expression import Expression, X, beta_symbol, expression_of
from actsearch.formula import Formula
from actsearch.identity import canonical_text, fingerprint

RNG = np.random.default_rng(20261122)
POINTS = np.sort(np.concatenate([RNG.uniform(-3, 3, 20), RNG.uniform(-12, 12, 8), [-57.0, 43.0, 2e-6, -4e-6]]))
COLUMNS = [RNG.permutation(np.concatenate([RNG.normal(0, 1.2, 4), RNG.normal(0, 8, 2)])) for _ in range(4)]
"""β values: a column holds one for each of up to six β."""
_WEIGHTS = RNG.normal(size=(len(POINTS) * len(COLUMNS), 3))
_SHIFTS = (0.0, 1 / 3, 2 / 3)
_PAIRS = [(float(RNG.uniform(-4, 4)), tuple(RNG.normal(0, RNG.choice([0.3, 1.2, 6.0]), 6).tolist())) for _ in range(80)]
"""x and β for exact comparisons, β anew at each point."""


@dataclass(frozen=True)
class Spelling:
    """A formula with what the project says of it and what float64 sees.

    Attributes:
        keys: rounded sketches of its values; spellings of one function share at least one.
    """

    tokens: tuple[str, ...]
    fingerprint: str
    text: str
    keys: tuple[tuple[Any, ...], ...]

    @property
    def expression(self) -> Expression:
        return expression_of(Formula.from_tokens(self.tokens))


def spelling(tokens: Sequence[str]) -> Spelling:
    """The spelling of a token sequence."""
    expression = expression_of(Formula.from_tokens(tokens))
    return Spelling(tuple(tokens), fingerprint(expression), canonical_text(expression), tuple(_keys(expression)))


def orders(expression: Expression) -> list[tuple[str, ...]]:
    """Every order of β that puts initial values in ascending order."""
    by_initial: dict[float, list[str]] = defaultdict(list)
    for name, value in expression.initial.items():
        by_initial[value].append(name)
    groups = [permutations(by_initial[value]) for value in sorted(by_initial)]
    return [tuple(chain(*order)) for order in islice(product(*groups), 720)]


def values(expression: Expression) -> npt.NDArray[np.float64]:
    """float64 values, ``(orders, columns * points)``."""
    todo = orders(expression)
    positions = np.array([[order.index(name) for name in expression.initial] for order in todo], dtype=int)
    betas = np.array(COLUMNS)[:, positions]  # (columns, orders, β)
    x = POINTS[None, None, :]
    found = expression.values(x, **{name: betas[:, :, [k]] for k, name in enumerate(expression.initial)})
    shape = len(COLUMNS), len(todo), len(POINTS)
    return np.ascontiguousarray(np.broadcast_to(found, shape).swapaxes(0, 1)).reshape(len(todo), -1)


def _keys(expression: Expression) -> Iterator[tuple[Any, ...]]:
    """Sketches that do not hang on β's names: mean over the orders, projected, rounded on three shifted grids."""
    found = values(expression)
    with np.errstate(all="ignore"):
        squashed = np.where(np.isfinite(found), found / (1 + np.abs(found)), np.sign(np.nan_to_num(found, nan=0)))
    sketch = squashed.mean(axis=0) @ _WEIGHTS * 1e5
    for shift in _SHIFTS:
        yield shift, *np.floor(sketch + shift).astype(int).tolist()


def proposed(spellings: Iterable[Spelling]) -> Iterator[tuple[Spelling, Spelling]]:
    """Pairs with different fingerprints whose float64 values look alike."""
    groups: dict[tuple[Any, ...], dict[str, Spelling]] = defaultdict(dict)
    for one in spellings:
        for key in one.keys:
            groups[key].setdefault(one.fingerprint, one)
    seen = set()
    for group in groups.values():
        for one, other in combinations(group.values(), 2):
            pair = frozenset({one.fingerprint, other.fingerprint})
            if pair not in seen:
                seen.add(pair)
                yield one, other


def look_alike(one: Expression, other: Expression) -> bool:
    """Whether some order of β makes the float64 values agree wherever both are finite and of moderate size."""
    ours, theirs = values(one)[0], values(other)
    usable = np.isfinite(ours) & np.isfinite(theirs) & (np.abs(ours) < 1e8)
    with np.errstate(all="ignore"):
        near = np.abs(theirs - ours) <= 1e-6 * np.abs(ours) + 1e-7
    enough = usable.sum(axis=1) >= 24
    return bool(np.any(np.all(near | ~usable, axis=1) & enough))


def same(one: Expression, other: Expression) -> bool:
    """Whether the two are one function: some order of β makes them agree to 20 digits at many points."""
    one, other = _without_idle(one), _without_idle(other)
    if sorted(one.initial.values()) != sorted(other.initial.values()):
        return False
    if not _may_be_same(one, other):
        return False
    ours = orders(one)[0]
    return any(all(_agree(one, ours, other, order, *point) for point in _PAIRS) for order in orders(other))


def _may_be_same(one: Expression, other: Expression) -> bool:
    """Whether some order of β leaves no clear difference on a dense float64 grid."""
    x = np.concatenate([np.linspace(-12, 12, 2401), np.geomspace(1e-6, 1e6, 241), -np.geomspace(1e-6, 1e6, 241)])
    betas = np.array([column for _, column in _PAIRS])[:, :, None]
    ours = one.values(x, **{name: betas[:, k] for k, name in enumerate(orders(one)[0])})
    for order in orders(other):
        theirs = other.values(x, **{name: betas[:, k] for k, name in enumerate(order)})
        with np.errstate(all="ignore"):
            apart = np.abs(ours - theirs) > 1e-4 * (np.abs(ours) + 1e-3)
        if not np.any(apart & np.isfinite(ours) & np.isfinite(theirs) & (np.abs(ours) < 1e6)):
            return True
    return False


@lru_cache(maxsize=512)
def _without_idle(expression: Expression) -> Expression:
    """The function with 1 for each β that changes no value, as in beta*x + (1 - beta)*x."""
    for name in expression.initial:
        names = tuple(expression.initial)
        moved = [(x, tuple(b + (names[i : i + 1] == (name,)) for i, b in enumerate(column))) for x, column in _PAIRS]
        pairs = zip(
            (_exact(expression, names, *p) for p in _PAIRS), (_exact(expression, names, *p) for p in moved), strict=True
        )
        if all(a is None or b is None or abs(a - b) <= mpmath.mpf(10) ** -20 * abs(a) for a, b in pairs):
            return _without_idle(Expression(expression.expr.subs(beta_symbol(name), 1), expression.initial))
    return expression


def _agree(
    one: Expression, ours: Sequence[str], other: Expression, theirs: Sequence[str], x: float, column: tuple[float, ...]
) -> bool:
    a, b = _exact(one, tuple(ours), x, column), _exact(other, tuple(theirs), x, column)
    if a is None or b is None:
        return True
    return bool(abs(a - b) <= mpmath.mpf(10) ** -20 * max(abs(a), abs(b)) + mpmath.mpf(10) ** -60)


@lru_cache(maxsize=4096)
def _exact(expression: Expression, names: tuple[str, ...], x: float, column: tuple[float, ...]) -> Any:
    """The value if 90 and 250 digits agree on it, else None."""
    function = _mpmath_function(expression)
    betas = dict(zip(names, column, strict=False))
    results = []
    for digits in (90, 250):
        with mpmath.workdps(digits):
            try:
                results.append(function(mpmath.mpf(x), *(mpmath.mpf(betas[name]) for name in expression.initial)))
            except (ZeroDivisionError, ValueError, OverflowError, TypeError):
                return None
    low, high = results
    if not mpmath.isfinite(high) or mpmath.im(high) != 0:
        return None
    return high if abs(low - high) <= mpmath.mpf(10) ** -25 * abs(high) + mpmath.mpf(10) ** -65 else None


@lru_cache(maxsize=512)
def _mpmath_function(expression: Expression) -> Any:
    symbols = [X, *(beta_symbol(name) for name in expression.initial)]
    own = {
        "sigmoid": lambda u: 1 / (1 + mpmath.exp(-u)),
        "softplus": lambda u: mpmath.log(1 + mpmath.exp(u)),
        "sinc": lambda u: mpmath.sin(u) / u if u else mpmath.mpf(1),
        "Max": max,
        "Min": min,
    }
    return sympy.lambdify(symbols, expression.expr, modules=[own, "mpmath"])
