"""Rules for |x|, max and min: a function with a kink at 0 is its two halves, each without the kink.

For x > 0 and for x < 0 the kinks fall away: x·max(x, 0) and |x|·max(x, 0) are both x² and 0. Two spellings with the
same halves are the same function, and the form is built from the halves, so that all of them meet.
"""

from collections.abc import Mapping
from functools import lru_cache

import sympy

from actsearch.identity.dominance import undominated
from actsearch.identity.rules import build, cost, kinks, powers_of, rewritten, substituted, upright

MAX_DEGREE = 64
"""Above this a function's halves are not looked at: sympy isolates roots to learn a polynomial's sign for x > 0."""

_P = sympy.Symbol("p", positive=True)
"""|x| in a half."""


@lru_cache(maxsize=5_000)
def settle(expr: sympy.Expr, x: sympy.Symbol) -> sympy.Expr:
    """One pass of all rules over the tree, from the leaves up.

    Args:
        expr: an expression of x and β.
        x: what runs over the real line, or over the positive numbers if the symbol is positive.
    """
    if not expr.args:
        return expr
    args = [settle(a, x) for a in expr.args]
    expr = expr if args == list(expr.args) else build(expr.func, args)
    expr = _extremum(expr, x) if isinstance(expr, sympy.Max | sympy.Min) else rewritten(expr)
    if x.is_positive or expr in kinks(x) or not _has_kink(expr, x) or expr.has(sympy.sign, sympy.Heaviside):
        return expr
    if _degree(expr) > MAX_DEGREE:
        return expr
    right, left = _halves(expr, x)
    joined = _join(_tidied(substituted(right, {_P: x})), _tidied(substituted(left, {_P: -x})), x)
    return expr if joined is None else joined


def _has_kink(expr: sympy.Expr, x: sympy.Symbol) -> bool:
    return any(e in kinks(x) for e in expr.atoms(sympy.Abs, sympy.Max, sympy.Min))


@lru_cache(maxsize=5_000)
def _degree(expr: sympy.Expr) -> int:
    """A bound on the degree of the polynomials that an expression holds."""
    degrees = [_degree(a) for a in expr.args]
    if isinstance(expr, sympy.Pow) and expr.exp.is_Integer:
        return degrees[0] * abs(int(expr.exp))
    if isinstance(expr, sympy.Mul):
        return sum(degrees)
    return max(degrees, default=int(expr.is_Symbol))


def _halves(expr: sympy.Expr, x: sympy.Symbol) -> tuple[sympy.Expr, sympy.Expr]:
    """The function for x = p > 0 and for x = -p < 0, as expressions of p."""
    right = {e: slopes[0] * _P for e, slopes in kinks(x).items()}
    left = {e: -slopes[1] * _P for e, slopes in kinks(x).items()}
    return settle(substituted(expr, right), _P), settle(substituted(expr, left), _P)


@lru_cache(maxsize=5_000)
def _tidied(expr: sympy.Expr) -> sympy.Expr:
    """The smooth rules alone, over the whole tree."""
    if not expr.args:
        return expr
    args = [_tidied(a) for a in expr.args]
    return rewritten(expr if args == list(expr.args) else build(expr.func, args))


def _extremum(expr: sympy.Expr, x: sympy.Symbol) -> sympy.Expr:
    """A max or min without the arguments that never win; max(u, -u) is |u|, max(-u, 0) is -min(u, 0)."""
    kept = undominated(expr, x)
    if len(kept) == 2 and kept[0] == -kept[1]:
        return (1 if isinstance(expr, sympy.Max) else -1) * sympy.Abs(upright(kept[0]))
    if len(kept) == 2 and sympy.S.Zero in kept:
        u = next(a for a in kept if a != 0)
        if upright(u) != u:
            return -build(sympy.Min if isinstance(expr, sympy.Max) else sympy.Max, (-u, sympy.S.Zero))
    expr = kept[0] if len(kept) == 1 else build(expr.func, kept)
    return expr if x.is_positive or _degree(expr) > MAX_DEGREE else _plainer_argument(expr, x)


def _plainer_argument(expr: sympy.Expr, x: sympy.Symbol) -> sympy.Expr:
    """max(|x|, exp(x)) is max(-x, exp(x)): a piecewise linear argument gives way to the plainest that serves."""
    lines = [x, -x, *(e for e in kinks(x) if e != x)]
    for argument in expr.args if isinstance(expr, sympy.Max | sympy.Min) else ():
        others = [a for a in expr.args if a != argument]
        if argument in lines and others != [0]:
            halves = _halves(expr, x)
            for line in lines[: lines.index(argument)]:
                if _halves(candidate := build(expr.func, (line, *others)), x) == halves:
                    return candidate
    return expr


def _join(right: sympy.Expr, left: sympy.Expr, x: sympy.Symbol) -> sympy.Expr | None:
    """The function with those halves, or None where no rule spells it better than it is."""
    if right == left:
        return right
    slopes = _slope(right, x), _slope(left, x)
    if all(s is not None for s in slopes):
        return _piecewise_linear(*slopes, x)
    _, absolute, relu, min0 = kinks(x)
    if not left.has(x) and substituted(right, {x: sympy.S.Zero}) == left:
        return substituted(right, {x: relu})
    if not right.has(x) and substituted(left, {x: sympy.S.Zero}) == right:
        return substituted(left, {x: min0})
    if _tidied(substituted(right, {x: -x})) == left:
        return _tidied(substituted(right, {x: absolute}))
    return next((e for rule in (_join_arguments, _join_terms, _join_factors) if (e := rule(right, left, x))), None)


def _slope(expr: sympy.Expr, x: sympy.Symbol) -> sympy.Expr | None:
    """a of a·x with a free of x."""
    slope = sympy.S.Zero
    for term in sympy.Add.make_args(expr) if expr != 0 else ():
        factors = list(sympy.Mul.make_args(term))
        if x not in factors:
            return None
        factors.remove(x)
        slope += sympy.Mul(*factors)
    return None if slope.has(x) else slope


def _piecewise_linear(right: sympy.Expr, left: sympy.Expr, x: sympy.Symbol) -> sympy.Expr:
    _, absolute, relu, min0 = kinks(x)
    common = _common_powers(right, left)
    right, left = _divided(right, common), _divided(left, common)
    spellings = (
        left * x + (right - left) * relu,
        right * x + (left - right) * min0,
        (right + left) / 2 * x + (right - left) / 2 * absolute,
        right * relu + left * min0,
    )
    return _product_of(common) * min(spellings, key=lambda e: (len(sympy.Add.make_args(e)), cost(e)))


def _join_arguments(right: sympy.Expr, left: sympy.Expr, x: sympy.Symbol) -> sympy.Expr | None:
    """f(r), f(l): the outer function of the joined arguments."""
    if right.func != left.func or len(right.args) != len(left.args) or right.is_Add or right.is_Mul:
        return None
    different = [i for i, (a, b) in enumerate(zip(right.args, left.args, strict=True)) if a != b]
    if len(different) != 1 or isinstance(right, sympy.Max | sympy.Min):
        return None
    inner = _join(right.args[different[0]], left.args[different[0]], x)
    return inner and build(right.func, (inner if i in different else a for i, a in enumerate(right.args)))


def _join_terms(right: sympy.Expr, left: sympy.Expr, x: sympy.Symbol) -> sympy.Expr | None:
    """w + r, w + l: the common terms, and the others joined."""
    common = sympy.Add(*(t for t in sympy.Add.make_args(right) if t in sympy.Add.make_args(left)))
    if common == 0:
        return None
    inner = _join(right - common, left - common, x)
    return inner and common + inner


def _join_factors(right: sympy.Expr, left: sympy.Expr, x: sympy.Symbol) -> sympy.Expr | None:
    """w·r, w·l: the common factors, and the others joined; one x of the common ones may have to be among those."""
    common = _common_powers(right, left)
    rests = _divided(right, common), _divided(left, common)
    if common and not any(rest.has(x) for rest in rests):
        common[x] = common.get(x, 0) - 1
        rests = rests[0] * x, rests[1] * x
    common = {base: exponent for base, exponent in common.items() if exponent != 0}
    if not common or common.get(x, 0) < 0:
        return None
    inner = _join(*rests, x)
    return inner and inner * _product_of(common)


def _common_powers(right: sympy.Expr, left: sympy.Expr) -> dict[sympy.Expr, int]:
    others = powers_of(left)
    return {
        base: (min if exponent > 0 else max)(exponent, others[base])
        for base, exponent in powers_of(right).items()
        if exponent * others.get(base, 0) > 0
    }


def _divided(expr: sympy.Expr, common: Mapping[sympy.Expr, int]) -> sympy.Expr:
    """The quotient, factor by factor: sympy's own leaves exp(u - v)·exp(v - u) as it is."""
    number = sympy.Mul(*(f for f in sympy.Mul.make_args(expr) if f.is_number))
    return number * _product_of({base: e - common.get(base, 0) for base, e in powers_of(expr).items()})


def _product_of(powers: Mapping[sympy.Expr, int]) -> sympy.Expr:
    return sympy.Mul(*(base**exponent for base, exponent in powers.items()))
