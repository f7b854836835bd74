"""Which function a formula is: its canonical form, its known names, its scale and its cost.

Two spellings of one function share a canonical form, and so one evaluation. sympy merges commuted and collected
terms on construction; here come the sign inside even powers, sums of x, |x|, max(x, 0) and min(x, 0), arguments of max
and min that never win, and the numbering of β. β's initial values belong to the function: x + β from 0 and from 1
train differently.
"""

import itertools
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from types import MappingProxyType

import numpy as np
import sympy

from actsearch.expression import Expression, X, beta_index, beta_name, beta_symbol
from actsearch.functions import sigmoid
from actsearch.primitives import EPS
from actsearch.reader import read

MAX_PERMUTED_BETAS = 4
"""Up to so many interchangeable β are put in order; a formula with more keeps its numbering from left to right."""

_GRID = np.concatenate([sign * np.geomspace(1e-6, 1e6, 400) for sign in (-1, 1)] + [np.linspace(-8, 8, 321)])
_BETA_GRID = (0.0, 1.0, -1.0, 0.4, -0.3, 2.5, -4.0, 20.0, 1e3)
_GRID_NUMBERS = frozenset({EPS, *(sympy.Rational(n, d) for n in range(-4, 5) for d in (1, 2))})
"""Numbers that the search space's own functions hold. Only among those does the grid decide which argument of a max or
min never wins: with another number, such as max(x, 1e7), two functions could part where the grid has no point."""


@lru_cache(maxsize=4096)
def canonical(expression: Expression) -> Expression:
    """The canonical form: one and the same expression for every spelling of a function that the rules above cover.

    Idempotent. What is compiled, hashed into seeds and shown is this form, not the spelling.
    """
    expr = expression.expr
    for _ in range(8):
        simpler = _simplify(expr)
        if simpler == expr:
            break
        expr = simpler
    return _number_betas(Expression(expr, expression.initial))


def canonical_text(expression: Expression) -> str:
    """The canonical form as text, with β's initial values where they are not 1: what seeds and keys hash."""
    return canonical(expression).full_text


def is_constant(expression: Expression) -> bool:
    """Whether the function does not depend on x."""
    return X not in canonical(expression).expr.free_symbols


def is_finite(expression: Expression) -> bool:
    """Whether the expression is a real function at all: no 1/0, no complex value in its canonical form."""
    return not canonical(expression).expr.has(sympy.nan, sympy.zoo, sympy.oo, -sympy.oo, sympy.I)


def operation_count(expression: Expression) -> int:
    """Operations of the canonical form with every shared subexpression counted once, calls and powers as one each.

    Deterministic, so that a limit on it decides the same on every machine.
    """
    shared, rest = sympy.cse(canonical(expression).expr)
    return int(sum(sympy.count_ops(e) for e in [*(value for _, value in shared), *rest]))


def unit_gain(expression: Expression) -> float:
    """The constant c that gives c·f(z) a mean square of 1 for z ~ N(0, 1), at β's initial values.

    E f² is the trapezoid rule on 4,001 points of [-8, 8] in float64. The gain is 1 where √E f² lies outside
    [1e-3, 1e3] or moves by more than 5 % at 8,001 points: there is no scale to speak of.
    """
    coarse, fine = _root_mean_square(expression, 4001), _root_mean_square(expression, 8001)
    if not (1e-3 <= coarse <= 1e3 and abs(fine - coarse) <= 0.05 * coarse):
        return 1.0
    return 1.0 / coarse


def _root_mean_square(expression: Expression, points: int) -> float:
    z = np.linspace(-8, 8, points)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    with np.errstate(all="ignore"):
        return float(np.sqrt(np.trapezoid(canonical(expression).values(z) ** 2 * density, z)))


# --- names -----------------------------------------------------------------------------------------------------------

_KNOWN = {
    "identity": "x",
    "ReLU": "max(x, 0)",
    "PReLU-like": "max(x, beta*x)",
    "leaky ReLU": "max(x, x/100)",
    "SiLU": "x*sigmoid(x)",
    "Swish": "x*sigmoid(beta*x)",
    "GELU (sigmoid form)": "x*sigmoid(1.702*x)",
    "tanh": "tanh(x)",
    "sigmoid": "sigmoid(x)",
    "softplus": "softplus(x)",
    "absolute value": "abs(x)",
    "sine": "sin(x)",
    "Mish": "x*tanh(softplus(x))",
    "max(x, sigmoid)": "max(x, sigmoid(x))",
    "cos(x) - x": "cos(x) - x",
    "min(x, sin x)": "min(x, sin(x))",
    "atan² - x": "atan(x)**2 - x",
    "max(x, tanh x)": "max(x, tanh(x))",
    "sinc(x) + x": "sinc(x) + x",
    "x·asinh²": "x*asinh(x)**2",
}


@cache
def _names_by_text() -> Mapping[str, str]:
    return MappingProxyType({canonical(read(text)).text: name for name, text in _KNOWN.items()})


def names(expression: Expression) -> tuple[str, ...]:
    """Well-known names of the function, most specific first; empty for one that has none."""
    form = canonical(expression)
    name = _names_by_text().get(form.text)
    family = is_swish_family(form) and name not in ("SiLU", "Swish")
    return (*([name] if name else []), *(["Swish family"] if family else []))


def is_swish_family(expression: Expression) -> bool:
    """Whether the function is a·x·σ(b·x) with a and b each 1, -1 or one trainable β."""
    return _swish_factors(expression) is not None


def is_strict_swish(expression: Expression) -> bool:
    """Whether it is of the Swish family with a trainable β inside σ."""
    factors = _swish_factors(expression)
    return factors is not None and bool(factors[1].free_symbols)


def _swish_factors(expression: Expression) -> tuple[sympy.Expr, sympy.Expr] | None:
    """(a, b) of a·x·σ(b·x), or None for any other function."""
    expr = canonical(expression).expr
    gates = [f for f in sympy.Mul.make_args(expr) if isinstance(f, sigmoid)]
    if len(gates) != 1:
        return None
    a, b = expr / gates[0] / X, gates[0].args[0] / X
    return (a, b) if all(abs(c) == 1 or (c.is_Symbol and c != X) for c in (a, b)) else None


# --- canonical form --------------------------------------------------------------------------------------------------


def _simplify(expr: sympy.Expr) -> sympy.Expr:
    """One pass of the rules over the tree, bottom up."""
    if not expr.args:
        return expr
    args = [_simplify(a) for a in expr.args]
    expr = expr.func(*args) if tuple(args) != expr.args else expr
    if isinstance(expr, sympy.Max | sympy.Min):
        return _prune(expr)
    if isinstance(expr, sympy.Add):
        return _collect_kinks(expr)
    return _positive_base(expr)


def _positive_base(expr: sympy.Expr) -> sympy.Expr:
    """(-u)² is u², |-u| is |u|: of u and -u the one that sorts first stands inside."""
    if isinstance(expr, sympy.Pow) and expr.exp.is_even:
        return _first(expr.base, -expr.base) ** expr.exp
    if isinstance(expr, sympy.Abs):
        return sympy.Abs(_first(expr.args[0], -expr.args[0]))
    return expr


def _first(a: sympy.Expr, b: sympy.Expr) -> sympy.Expr:
    return min(a, b, key=lambda e: (sympy.count_ops(e), str(e)))


_KINKS = MappingProxyType({X: (1, 1), sympy.Abs(X): (1, -1), sympy.Max(X, 0): (1, 0), sympy.Min(X, 0): (0, 1)})
"""Slopes of the four piecewise linear terms for x > 0 and x < 0."""


def _collect_kinks(expr: sympy.Expr) -> sympy.Expr:
    """Numeric multiples of x, |x|, max(x, 0) and min(x, 0) in a sum become the shortest sum with the same slopes."""
    right = left = sympy.S.Zero
    rest = []
    for term in expr.args:
        coefficient, factor = term.as_coeff_Mul()
        if factor in _KINKS:
            right += coefficient * _KINKS[factor][0]
            left += coefficient * _KINKS[factor][1]
        else:
            rest.append(term)
    if len(rest) >= len(expr.args) - 1:
        return expr
    return sympy.Add(_piecewise_linear(right, left), *rest)


def _piecewise_linear(right: sympy.Expr, left: sympy.Expr) -> sympy.Expr:
    if right == left:
        return right * X
    if right == -left:
        return right * sympy.Abs(X)
    if left == 0:
        return right * sympy.Max(X, 0)
    if right == 0:
        return left * sympy.Min(X, 0)
    return left * X + (right - left) * sympy.Max(X, 0)


def _prune(expr: sympy.Expr) -> sympy.Expr:
    """Drops arguments of a max or min that the others beat at every x and β of a wide grid; max(u, -u) is |u|."""
    kept = sorted(expr.args, key=lambda a: (sympy.count_ops(a), str(a)))
    sign = 1 if isinstance(expr, sympy.Max) else -1
    if not expr.atoms(sympy.Number) <= _GRID_NUMBERS:
        return expr
    rows = {a: sign * _grid_values(a, expr.free_symbols) for a in kept}
    for candidate in reversed(kept.copy()):
        others = [rows[a] for a in kept if a != candidate]
        if others and _at_least(np.max(others, axis=0), rows[candidate]):
            kept.remove(candidate)
    if len(kept) == 2 and kept[0] == -kept[1]:
        return sign * sympy.Abs(kept[0])
    return expr.func(*kept)


def _at_least(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether a >= b at every point, within rounding, where float64 holds both."""
    if np.isnan(a).any() or np.isnan(b).any():
        return False
    with np.errstate(invalid="ignore"):
        return bool(np.all(a >= b - 1e-12 * np.abs(b)))


def _grid_values(expr: sympy.Expr, symbols: Iterable[sympy.Symbol]) -> np.ndarray:
    betas = sorted((s.name for s in set(symbols) - {X}), key=beta_index)
    columns = itertools.product(_BETA_GRID, repeat=len(betas)) if len(betas) < 3 else _shifted(len(betas))
    expression = Expression(expr)
    return np.stack([
        expression.values(_GRID, **{n: v for n, v in zip(betas, column, strict=True) if n in expression.initial})
        for column in columns
    ])  # fmt: skip


def _shifted(count: int) -> Iterable[tuple[float, ...]]:
    """For many β a Latin square of the grid in place of the full product."""
    size = len(_BETA_GRID)
    return (
        tuple(_BETA_GRID[(start + k * step) % size] for k in range(count)) for start in range(size) for step in (1, 3)
    )


def _number_betas(expression: Expression) -> Expression:
    """Renames β to beta, beta2, … so that swapped spellings meet: the order whose text sorts first."""
    old = list(expression.initial)
    if not old:
        return expression
    orders = itertools.permutations(old) if len(old) <= MAX_PERMUTED_BETAS else [tuple(old)]
    return min((_renamed(expression, order) for order in orders), key=lambda e: (e.full_text, str(e.expr)))


def _renamed(expression: Expression, order: tuple[str, ...]) -> Expression:
    new = {name: beta_name(i) for i, name in enumerate(order)}
    expr = expression.expr.xreplace({beta_symbol(a): beta_symbol(b) for a, b in new.items()})
    return Expression(expr, {new[name]: value for name, value in expression.initial.items()})
