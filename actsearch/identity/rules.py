"""Identities between the functions that a search space holds; each gives the cheaper and more stable spelling."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain, combinations
from types import MappingProxyType
from typing import Any

import sympy
from sympy.printing.str import StrPrinter

from actsearch.functions import sigmoid, sinc, softplus
from actsearch.grid import cross

MAX_POWER = 64
"""A larger coefficient of a logarithm is not for sympy to look at."""

_BETA = re.compile(r"beta\d*")
Vector = tuple[sympy.Expr, sympy.Expr]


class _Remembering(StrPrinter):
    """sympy's own printer, which asks for the text of each part anew."""

    def _print(self, expr: Any, **kwargs: Any) -> str:
        return text_of(expr) if isinstance(expr, sympy.Expr) and expr.args else str(super()._print(expr, **kwargs))


_PRINTER = _Remembering()


@lru_cache(maxsize=30_000)
def text_of(expr: sympy.Expr) -> str:
    """sympy's text; of parts too it is kept, since printing costs more than most rules."""
    return str(StrPrinter._print(_PRINTER, expr))


def cost(expr: sympy.Expr) -> tuple[int, int, str, str]:
    """What orders spellings: operations, then the text, as far as that goes without telling one β from another."""
    text = text_of(expr)
    nameless = _BETA.sub("b", text)
    return sympy.count_ops(expr), len(nameless), nameless, text


def cheapest(*spellings: sympy.Expr) -> sympy.Expr:
    """The spelling with the fewest operations."""
    return min(spellings, key=cost)


def upright(u: sympy.Expr) -> sympy.Expr:
    """Of u and -u the one with fewer minus signs, exp(x) - 1; at a tie, that of the term that sorts first is plus."""
    if not u.is_Add:
        return -u if _is_negative(u) else u
    signs = [-1 if _is_negative(term) else 1 for term in u.args if not term.is_number]
    if sum(signs) == 0:
        leading = min(
            u.args,
            key=lambda term: (term.is_number, _BETA.sub("b", text_of(_unsigned(term))), text_of(_unsigned(term))),
        )
        return -u if _is_negative(leading) else u
    return u if sum(signs) > 0 else -u


def _unsigned(term: sympy.Expr) -> sympy.Expr:
    return -term if _is_negative(term) else term


def _is_negative(term: sympy.Expr) -> bool:
    return bool(term.as_coeff_Mul()[0].is_negative)


def build(kind: type[sympy.Expr], args: Iterable[sympy.Expr]) -> sympy.Expr:
    """kind(*args), but neither a max or min is compared nor |u + v| simplified by sympy, which takes milliseconds.

    Nor is there anything to be found in an exp without logarithms.
    """
    args = tuple(args)
    if kind is sympy.exp:
        return sympy.exp(*args, evaluate=args[0].is_number or (args[0].has(sympy.log) and not _is_steep(args[0])))
    if kind is sympy.Abs and args[0].is_Add:
        return _absolute_sum(args[0])
    if kind not in (sympy.Max, sympy.Min):
        return kind(*args)
    flat = set(chain.from_iterable(a.args if isinstance(a, kind) else (a,) for a in args))
    return kind(*flat, evaluate=all(a.is_number for a in flat))


@lru_cache(maxsize=10_000)
def _absolute_sum(u: sympy.Expr) -> sympy.Expr:
    betas = {s for s in u.free_symbols if _BETA.fullmatch(s.name)}
    for x in u.free_symbols - betas:
        if cross(u, sympy.S.Zero, x, sorted(betas, key=str)):
            return sympy.Abs(upright(u), evaluate=False)  # no sign for sympy to find
    return u if u.is_nonnegative else -u if u.is_nonpositive else sympy.Abs(upright(u), evaluate=False)


@lru_cache(maxsize=1000)
def _is_steep(exponent: sympy.Expr) -> bool:
    """Whether c·log(u) with a large c stands inside a factor: sympy's exp would make u**c of it, to look for its roots.

    tanh(x/eps) of x = log(p + eps) is enough: it expands a polynomial of degree 100,000.
    """
    factors = chain.from_iterable(map(sympy.Mul.make_args, sympy.Add.make_args(exponent)))
    return any(
        abs(product.as_coeff_Mul()[0]) > MAX_POWER and any(isinstance(f, sympy.log) for f in product.args)
        for factor in factors
        if factor.has(sympy.log)
        for product in factor.atoms(sympy.Mul)
    )


def powers_of(expr: sympy.Expr) -> dict[sympy.Expr, int]:
    """The factors that are no numbers, with their whole exponents; any other power is a factor of its own."""
    powers = {}
    for factor in sympy.Mul.make_args(expr):
        base, exponent = (factor.base, int(factor.exp)) if _is_whole_power(factor) else (factor, 1)
        if not base.is_number:
            powers[base] = exponent
    return powers


def _is_whole_power(expr: sympy.Expr) -> bool:
    return isinstance(expr, sympy.Pow) and bool(expr.exp.is_Integer)


def substituted(expr: sympy.Expr, new: Mapping[sympy.Expr, sympy.Expr]) -> sympy.Expr:
    """The expression with some subexpressions replaced by others, outermost first."""
    if expr in new:
        return new[expr]
    if not expr.args:
        return expr
    args = [substituted(a, new) for a in expr.args]
    return expr if args == list(expr.args) else build(expr.func, args)


def positive_base(expr: sympy.Expr) -> sympy.Expr:
    """(-u)² is u², |-u| is |u|, cos(|u|) is cos(u): inside an even function stands the plainer of u, -u and |u|."""
    if isinstance(expr, sympy.Pow) and expr.exp.is_even and expr.base.is_Add:
        return upright(expr.base) ** expr.exp
    if isinstance(expr, sympy.Abs) and expr.args[0].is_Add:
        return build(sympy.Abs, expr.args)
    if isinstance(expr, sympy.cos | sympy.cosh | sinc) and isinstance(expr.args[0], sympy.Abs):
        return expr.func(expr.args[0].args[0])
    return expr


def rewritten(expr: sympy.Expr) -> sympy.Expr:
    """One node rewritten by the identities of sums, products and even functions; its arguments stay as they are."""
    if isinstance(expr, sympy.Add):
        return _gated_exponential(_collected(_mixed(expr)))
    if isinstance(expr, sympy.Mul):
        return _product(expr)
    return positive_base(expr)


# Planes: functions of ±u that two of them span. A sum of several becomes the shortest sum that is the same vector.


@lru_cache(maxsize=1000)
def kinks(u: sympy.Expr) -> dict[sympy.Expr, Vector]:
    """u, |u|, max(u, 0) and min(u, 0) with their slopes for u > 0 and u < 0."""
    relu, min0 = build(sympy.Max, (u, sympy.S.Zero)), build(sympy.Min, (u, sympy.S.Zero))
    return {u: (1, 1), sympy.Abs(u): (1, -1), relu: (1, 0), min0: (0, 1)}


@lru_cache(maxsize=1000)
def _exponentials(u: sympy.Expr) -> dict[sympy.Expr, Vector]:
    half = sympy.S.Half
    return {
        build(sympy.exp, (u,)): (1, 0),
        build(sympy.exp, (-u,)): (0, 1),
        sympy.sinh(u): (half, -half),
        sympy.cosh(u): (half, half),
    }


@lru_cache(maxsize=1000)
def _gates(u: sympy.Expr) -> dict[sympy.Expr, Vector]:
    return {sympy.S.One: (1, 0), sigmoid(u): (0, 1), sigmoid(-u): (1, -1)}


@lru_cache(maxsize=1000)
def _soft_pluses(u: sympy.Expr) -> dict[sympy.Expr, Vector]:
    return {u: (1, 0), softplus(u): (0, 1), softplus(-u): (-1, 1)}


_PLANES: Mapping[type[sympy.Expr], Callable[[sympy.Expr], dict[sympy.Expr, Vector]]] = MappingProxyType({
    sympy.Abs: kinks, sympy.Max: kinks, sympy.Min: kinks,
    sympy.exp: _exponentials, sympy.sinh: _exponentials, sympy.cosh: _exponentials,
    sigmoid: _gates, softplus: _soft_pluses,
})  # fmt: skip


def _collected(expr: sympy.Expr) -> sympy.Expr:
    """Multiples of several members of a plane, with one common factor, collected."""
    if not isinstance(expr, sympy.Add):
        return expr
    terms = expr.as_coefficients_dict()
    for plane, u, factor in dict.fromkeys(_anchors(terms)):
        members = plane(u)
        present = {m: terms[factor * m] for m in members if factor * m in terms}
        if len(present) < 2:
            continue
        vector = tuple(sum(c * members[m][side] for m, c in present.items()) for side in (0, 1))
        shortest = _shortest(vector, members)
        if shortest != present:
            rest = expr - sympy.Add(*(c * factor * m for m, c in present.items()))
            return rewritten(rest + sympy.Add(*(c * factor * m for m, c in shortest.items())))
    return expr


def _anchors(
    terms: Mapping[sympy.Expr, sympy.Expr],
) -> Iterator[tuple[Callable[[sympy.Expr], dict[sympy.Expr, Vector]], sympy.Expr, sympy.Expr]]:
    """For every term w·g(±u) with g of a plane: the plane, u and w."""
    for term in terms:
        for g in sympy.Mul.make_args(term):
            plane = _PLANES.get(type(g))
            inner = [a for a in g.args if a != 0]
            if plane is not None and len(inner) == 1:
                yield plane, upright(inner[0]), term / g


def _shortest(vector: Vector, members: Mapping[sympy.Expr, Vector]) -> dict[sympy.Expr, sympy.Expr]:
    """The cheapest sum of at most two members with that vector."""
    a, b = vector
    if a == b == 0:
        return {}
    found = []
    for (m, (p, q)), (n, (r, s)) in combinations(members.items(), 2):
        determinant = sympy.sympify(p * s - q * r)
        sums = {m: (a * s - b * r) / determinant, n: (p * b - q * a) / determinant}
        found.append({g: c for g, c in sums.items() if c != 0})
    return min(found, key=lambda s: (len(s), cost(sympy.Add(*(c * g for g, c in s.items())))))


def _mixed(expr: sympy.Expr) -> sympy.Expr:
    """β·u + (1 - β)·u = u: a mixture of a function with itself."""
    for term in expr.args:
        for factor in (f for f in sympy.Mul.make_args(term) if f.is_Add):
            for one in (1, -1):
                symbol, mixed = one - factor, term / factor
                if (symbol.is_Symbol or (-symbol).is_Symbol) and mixed * symbol in expr.args:
                    return rewritten(expr - term - mixed * symbol + one * mixed)
    return expr


def _gated_exponential(expr: sympy.Expr) -> sympy.Expr:
    """exp(u) - σ(u) = exp(u)·σ(u), which does not cancel where exp(u) is small."""
    for term in expr.args if isinstance(expr, sympy.Add) else ():
        for gate in sympy.Mul.make_args(term):
            if isinstance(gate, sigmoid) and -(growth := term / gate * build(sympy.exp, gate.args)) in expr.args:
                return expr - term + growth - growth * gate
    return expr


def _product(expr: sympy.Expr) -> sympy.Expr:
    """tanh(u)·cosh(u) = sinh(u), u·sinc(u) = sin(u), exp(u)·σ(-u) = σ(u)."""
    powers = powers_of(expr)
    for factor in (f for f in powers if type(f) in _PARTNERS):
        partner, merged = _PARTNERS[type(factor)](factor.args[0])
        needed = [factor, *sympy.Mul.make_args(partner)]
        if all(f.is_number or powers.get(f, 0) >= 1 for f in needed):
            return rewritten(expr / sympy.Mul(*needed) * merged)
    return expr


_PARTNERS: Mapping[type[sympy.Expr], Callable[[sympy.Expr], Vector]] = MappingProxyType({
    sympy.tanh: lambda u: (sympy.cosh(u), sympy.sinh(u)),
    sinc: lambda u: (u, sympy.sin(u)),
    sigmoid: lambda u: (build(sympy.exp, (-u,)), sigmoid(-u)),
})  # fmt: skip
"""For a factor g(u): the factors that it merges with, and what they make together."""
