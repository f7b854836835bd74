"""The operations of exact arithmetic on mpmath's raw numbers, each at a precision that is an argument.

Real and never hanging: what is too large for any arithmetic raises, what is too small is 0, tanh and erf saturate.
"""

# mypy: disable-error-code=no-any-return
# (mpmath carries no types)

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

import sympy
from mpmath import libmp
from mpmath.libmp import fhalf, fnone, fone, fzero

from actsearch.errors import InexactError, NumericError, OutOfRangeError

MAX_EXPONENT_BITS = 22
"""exp, sinh and cosh of more than 2 to this power, about 1.8 million decimal digits, count as out of range."""

_MARGIN = 66
"""A sum that cancels to its last 66 bits (20 digits) is in doubt: too few of its digits are left to know its sign."""

Raw = tuple[int, int, int, int]
"""mpmath's number: sign, mantissa, exponent, bits of the mantissa."""


class Run:
    """One evaluation at one precision.

    Attributes:
        bits: the precision.
        in_doubt: whether a sum cancelled to its last digits; such a sum is 0 here.
        swallows: whether a number was rounded away as a whole: 1 + exp(-200) or tanh(200) is 1 at 60 digits. What is
            made of it may be far from the truth, log(1 + exp(-200))*exp(200), at any precision that does not hold it.
    """

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.in_doubt = False
        self.swallows = False


@lru_cache(maxsize=4096)
def constant(expr: sympy.Expr, bits: int) -> Raw:
    """A number of sympy's, however it is written, rounded to so many bits."""
    return libmp.from_rational(expr.p, expr.q, bits, "n") if expr.is_Rational else expr._to_mpmath(bits)._mpf_


def _size(a: Raw) -> int:
    """The binary exponent: |a| lies in [2^(size - 1), 2^size); a is not 0."""
    return a[2] + a[3]


def total(run: Run, *terms: Raw) -> Raw:
    """A sum, from left to right; 0 and in doubt where its terms cancel to the last digits."""
    result = fzero
    for term in terms:
        result = libmp.mpf_add(result, term, run.bits, "n")
    sizes = [_size(t) for t in terms if t[1]]
    if sizes:
        largest = max(sizes)
        if min(sizes) < largest - run.bits:
            run.swallows = True
        if not result[1] or _size(result) < largest - run.bits + _MARGIN:
            run.in_doubt = True
            return fzero
    return result


def swallowed(operation: Callable[..., Raw], operand: Raw, result: Raw, bits: int) -> bool:
    """Whether a function of one number may have rounded it away: tanh(200), cos(1e-80), softplus(200), atan(1e80).

    |u| is u itself, and nothing is rounded.
    """
    return operation is not _absolute and (result in (fone, fnone, operand) or _size(operand) > bits)


def _product(run: Run, *factors: Raw) -> Raw:
    result = fone
    for factor in factors:
        result = libmp.mpf_mul(result, factor, run.bits, "n")
    return result


def _beyond_exp(sign: int) -> OutOfRangeError:
    return OutOfRangeError("an intermediate is beyond exp(4,000,000)", sign)


def _exp(run: Run, u: Raw) -> Raw:
    if u[1] and _size(u) > MAX_EXPONENT_BITS:
        if not u[0]:
            raise _beyond_exp(1)
        return fzero
    return libmp.mpf_exp(u, run.bits, "n")


@lru_cache(maxsize=256, typed=True)
def power_of(exponent: sympy.Expr) -> Callable[..., Raw]:
    """u to a numeric power."""
    if exponent.is_Rational and exponent.q == 2:
        return lambda run, u: libmp.mpf_pow_int(libmp.mpf_sqrt(u, run.bits + 10, "n"), exponent.p, run.bits, "n")
    if not exponent.is_Integer:
        return lambda run, u: _power(run, u, constant(exponent, run.bits))
    n = int(exponent)

    def power(run: Run, u: Raw) -> Raw:
        if u[1] and abs(n * _size(u)) > 2**MAX_EXPONENT_BITS and abs(_size(u)) > 1:
            if n * _size(u) > 0:
                raise OutOfRangeError(f"a power {n} is beyond 2**4,000,000", -1 if u[0] and n % 2 else 1)
            return fzero
        return libmp.mpf_pow_int(u, n, run.bits, "n")

    return power


def _power(run: Run, u: Raw, exponent: Raw) -> Raw:
    """u**exponent for u >= 0, or for a whole exponent."""
    if exponent == fzero:
        return fone
    if not u[1]:
        if exponent[0]:
            raise ZeroDivisionError
        return fzero
    whole = exponent[2] >= 0
    if u[0] and not whole:
        raise libmp.ComplexResult
    wide = run.bits + MAX_EXPONENT_BITS + 10
    log = libmp.mpf_mul(exponent, libmp.mpf_log(libmp.mpf_abs(u), wide, "n"), wide, "n")
    is_negative = bool(u[0]) and exponent[2] == 0
    try:
        result = _exp(run, log)
    except OutOfRangeError as err:
        raise OutOfRangeError(str(err), -1 if is_negative else 1) from None
    return libmp.mpf_neg(result) if is_negative else result


def _log(run: Run, u: Raw) -> Raw:
    if not u[1]:
        raise ZeroDivisionError
    return libmp.mpf_log(u, run.bits, "n")


def _circular(function: Callable[..., Raw]) -> Callable[..., Raw]:
    """sin or cos; an argument that is larger than its own precision has no phase."""

    def circular(run: Run, u: Raw) -> Raw:
        if u[1] and _size(u) > run.bits:
            raise InexactError(f"sin and cos of an argument beyond 2**{run.bits} have no phase")
        return function(u, run.bits, "n")

    return circular


def _hyperbolic(function: Callable[..., Raw], *, odd: bool) -> Callable[..., Raw]:
    def hyperbolic(run: Run, u: Raw) -> Raw:
        if u[1] and _size(u) > MAX_EXPONENT_BITS:
            raise _beyond_exp(-1 if odd and u[0] else 1)
        return function(u, run.bits, "n")

    return hyperbolic


def _saturating(function: Callable[..., Raw]) -> Callable[..., Raw]:
    """tanh or erf: ±1 where the difference is beyond any precision here."""

    def saturating(run: Run, u: Raw) -> Raw:
        if u[1] and _size(u) > MAX_EXPONENT_BITS:
            return fnone if u[0] else fone
        return function(u, run.bits, "n")

    return saturating


def _sigmoid(run: Run, u: Raw) -> Raw:
    small = _exp(run, u if u[0] else libmp.mpf_neg(u))
    return libmp.mpf_div(small if u[0] else fone, libmp.mpf_add(fone, small, run.bits, "n"), run.bits, "n")


def _softplus(run: Run, u: Raw) -> Raw:
    small = _exp(run, u if u[0] else libmp.mpf_neg(u))
    if small[1] and _size(small) > -run.bits:
        wide = run.bits - _size(small) + 10
        small = libmp.mpf_log(libmp.mpf_add(fone, small, wide, "n"), run.bits, "n")
    return small if u[0] else libmp.mpf_add(u, small, run.bits, "n")


def _sinc(run: Run, u: Raw) -> Raw:
    if not u[1]:
        return fone
    return libmp.mpf_div(_circular(libmp.mpf_sin)(run, u), u, run.bits, "n")


def _sinc_slope(run: Run, u: Raw) -> Raw:
    """(u·cos u - sin u)/u², where u is small with as many more bits as the difference loses."""
    if not u[1]:
        return fzero
    if 2 * _size(u) < -run.bits - 10:
        return libmp.mpf_div(libmp.mpf_neg(u), libmp.from_int(3), run.bits, "n")
    if _size(u) > run.bits:
        raise InexactError(f"sin and cos of an argument beyond 2**{run.bits} have no phase")
    wide = run.bits + 20 + 2 * max(0, -_size(u))
    cos, sin = libmp.mpf_cos_sin(u, wide, "n")
    top = libmp.mpf_sub(libmp.mpf_mul(u, cos, wide, "n"), sin, wide, "n")
    return libmp.mpf_div(top, libmp.mpf_mul(u, u, wide, "n"), run.bits, "n")


def _largest(run: Run, *args: Raw) -> Raw:
    best = args[0]
    for a in args[1:]:
        best = a if libmp.mpf_gt(a, best) else best
    return best


def _smallest(run: Run, *args: Raw) -> Raw:
    best = args[0]
    for a in args[1:]:
        best = a if libmp.mpf_lt(a, best) else best
    return best


def _sign(run: Run, u: Raw) -> Raw:
    if not u[1]:
        return fzero
    return fnone if u[0] else fone


def _heaviside(run: Run, u: Raw) -> Raw:
    if not u[1]:
        return fhalf
    return fzero if u[0] else fone


def _absolute(run: Run, u: Raw) -> Raw:
    return libmp.mpf_abs(u, run.bits, "n")


def _plain(function: Callable[..., Raw]) -> Callable[..., Raw]:
    return lambda run, u: function(u, run.bits, "n")


OPERATIONS: Mapping[str, Callable[..., Raw]] = MappingProxyType({
    "Abs": _absolute,
    "Add": total,
    "Heaviside": _heaviside,
    "Max": _largest,
    "Min": _smallest,
    "Mul": _product,
    "Pow": _power,
    "asinh": _plain(libmp.mpf_asinh),
    "atan": _plain(libmp.mpf_atan),
    "cos": _circular(libmp.mpf_cos),
    "cosh": _hyperbolic(libmp.mpf_cosh, odd=False),
    "erf": _saturating(libmp.mpf_erf),
    "exp": _exp,
    "log": _log,
    "sigmoid": _sigmoid,
    "sign": _sign,
    "sin": _circular(libmp.mpf_sin),
    "sinc": _sinc,
    "sinc_slope": _sinc_slope,
    "sinh": _hyperbolic(libmp.mpf_sinh, odd=True),
    "softplus": _softplus,
    "tanh": _saturating(libmp.mpf_tanh),
})  # fmt: skip
"""What each kind of node does, by the name of its sympy class: the run, then the operands."""


_FAR_BELOW = 2**20
"""Numbers below 2 to this power are small beside one that is out of range, even after a few sums with such numbers."""

_LIMITS: Mapping[str, tuple[Raw, Raw]] = MappingProxyType({
    "Heaviside": (fzero, fone), "erf": (fnone, fone), "sigmoid": (fzero, fone), "sign": (fnone, fone),
    "tanh": (fnone, fone),
})  # fmt: skip
"""What a function is, to any precision here, of a number that is out of range below and above."""


def beyond(name: str, operands: Sequence[Raw | NumericError]) -> Raw | NumericError:
    """What an operation makes of operands of which some are errors: mostly the first of these.

    A number that is out of range has a sign all the same: min(exp(exp(exp(100))), 1) is 1.
    """
    error = next(a for a in operands if isinstance(a, NumericError))
    outside = [a for a in operands if isinstance(a, OutOfRangeError) and a.sign]
    numbers = [a for a in operands if not isinstance(a, NumericError)]
    if len(outside) + len(numbers) < len(operands) or any(a[1] and _size(a) > _FAR_BELOW for a in numbers):
        return OutOfRangeError(str(error)) if isinstance(error, OutOfRangeError) else error
    first, signs = outside[0], {a.sign for a in outside}
    if name in _LIMITS:
        return _LIMITS[name][first.sign > 0]
    if name in ("exp", "softplus"):
        return first if first.sign > 0 else fzero
    if name in ("Max", "Min"):
        winner = 1 if name == "Max" else -1
        if winner not in signs and numbers:
            return OPERATIONS[name](Run(0), *numbers)
        return OutOfRangeError(str(first), winner if winner in signs else -winner)
    if name == "Mul" and all(a[1] and _size(a) > 0 for a in numbers):
        negative = sum(bool(a[0]) for a in numbers) + sum(a.sign < 0 for a in outside)
        return OutOfRangeError(str(first), -1 if negative % 2 else 1)
    known = name == "sinh" or (name == "Add" and len(signs) == 1)
    return first if known else OutOfRangeError(str(first), 1 if name in ("Abs", "cosh") else 0)
