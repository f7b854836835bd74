"""Expressions on a processor's vector registers: sympy in, LLVM instructions out, eight or sixteen float32 at a time.

Elementary functions are glibc's libmvec (at most 4 units in the last place); everything else is IEEE arithmetic in the
order written here, so that the same code gives the same bits on processors with registers of one width and one glibc.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import sympy
from llvmlite import ir

from actsearch.derivative import folded
from actsearch.expression import X
from actsearch.functions import sigmoid

_LIBMVEC = ("asinh", "atan", "cos", "cosh", "erf", "log", "log1p", "sin", "sinh", "tanh")
"""Functions of one argument that libmvec has since glibc 2.35."""

_ROUNDING = 12_582_912.0
"""1.5·2²³: a float32 added to it is rounded to an integer, which then stands in the sum's low bits."""

_LN2_HIGH, _LN2_LOW = 0.693145751953125, 1.428606765330187e-06
"""ln 2 in two parts, the first of 16 bits, so that its products with integers below 2⁸ are exact."""


class Splat(ir.Constant):
    """One number in every lane, printed short: half the time of a kernel's way to LLVM was text of equal numbers."""

    def __init__(self, kind: ir.VectorType, number: ir.Constant) -> None:
        super().__init__(kind, [number] * kind.count)
        self.number = number

    def _get_reference(self) -> str:
        return f"splat ({self.number})"


@dataclass(frozen=True)
class Lanes:
    """One register's content: 256 or 512 bits of float32 or float64."""

    dtype: type[np.floating]
    bits: int = 256

    @property
    def width(self) -> int:
        return self.bits // 8 // np.dtype(self.dtype).itemsize

    @property
    def scalar(self) -> ir.Type:
        return ir.FloatType() if self.dtype is np.float32 else ir.DoubleType()

    @property
    def vector(self) -> ir.VectorType:
        return ir.VectorType(self.scalar, self.width)

    @property
    def suffix(self) -> str:
        """How LLVM's intrinsics name the type."""
        return f"v{self.width}f{8 * np.dtype(self.dtype).itemsize}"

    def number(self, value: float) -> ir.Constant:
        """The number in every lane, rounded as the type has it."""
        with np.errstate(over="ignore"):
            return Splat(self.vector, ir.Constant(self.scalar, float(self.dtype(value))))

    def libmvec(self, name: str, arguments: int) -> str:
        registers, suffix = "d" if self.bits == 256 else "e", "f" if self.dtype is np.float32 else ""
        return f"_ZGV{registers}N{self.width}{'v' * arguments}_{name}{suffix}"


@dataclass
class Emitter:
    """Writes expressions into one basic block; what was computed there before is not computed again.

    Attributes:
        builder: where instructions go.
        lanes: the register's content.
        known: the register of every expression so far; the caller enters x and the coefficients.
    """

    builder: ir.IRBuilder
    lanes: Lanes
    known: dict[object, ir.Value] = field(default_factory=dict)

    def value(self, expr: sympy.Expr) -> ir.Value:
        """The register that holds an expression."""
        if expr.is_number:
            return self._number(float(expr.evalf(30)))
        return self._once(expr, lambda: self._compute(expr))

    def _once(self, key: object, compute: Callable[[], ir.Value]) -> ir.Value:
        if key not in self.known:
            self.known[key] = compute()
        return self.known[key]

    def _compute(self, expr: sympy.Expr) -> ir.Value:
        name = type(expr).__name__
        if name in _LIBMVEC:
            return self._libmvec(name, self.value(expr.args[0]))
        if name not in _FORMS:
            raise TypeError(f"no machine code for {name}")
        return _FORMS[name](self, expr)

    def _number(self, value: float) -> ir.Constant:
        return self.lanes.number(value)

    def _call(self, name: str, *args: ir.Value) -> ir.Value:
        module = self.builder.module
        known = module.globals.get(name)
        kind = ir.FunctionType(self.lanes.vector, [self.lanes.vector] * len(args))
        return self.builder.call(known or ir.Function(module, kind, name), args)

    def _libmvec(self, name: str, *args: ir.Value) -> ir.Value:
        return self._call(self.lanes.libmvec(name, len(args)), *args)

    def _intrinsic(self, name: str, *args: ir.Value) -> ir.Value:
        return self._call(f"llvm.{name}.{self.lanes.suffix}", *args)

    def _floor(self, a: ir.Value, limit: float) -> ir.Value:
        """max(a, limit), NaN where a is NaN."""
        low = self.builder.fcmp_ordered("<", a, self._number(limit))
        return self.builder.select(low, self._number(limit), a)

    def sum(self, expr: sympy.Add) -> ir.Value:
        terms = sorted(expr.args, key=lambda a: (a.is_number, a.could_extract_minus_sign()))
        total = self.value(terms[0])
        for term in terms[1:]:
            if not term.is_number and term.could_extract_minus_sign():
                total = self.builder.fsub(total, self.value(-term))
            else:
                total = self.builder.fadd(total, self.value(term))
        return total

    def product(self, expr: sympy.Mul) -> ir.Value:
        coefficient, factors = expr.as_coeff_mul()
        total = self._factors([f for f in factors if not _is_divisor(f)])
        for divisor in (1 / f for f in factors if _is_divisor(f)):
            total = self.builder.fdiv(total, self.value(divisor))
        if coefficient == -1:
            return self.builder.fneg(total)
        return total if coefficient == 1 else self.builder.fmul(total, self.value(coefficient))

    def _factors(self, factors: list[sympy.Expr]) -> ir.Value:
        """Their product, begun with what other products may share: σ(u)·σ(-u), functions, powers of x, coefficients."""
        rest = _squares_apart(factors)
        total: ir.Value | None = None
        done: tuple[sympy.Expr, ...] = ()
        for gate in [f for f in rest if isinstance(f, sigmoid)]:
            if (other := sigmoid(-gate.args[0])) in rest and gate in rest:
                rest.remove(gate)
                rest.remove(other)
                bell, done = self._bell(gate, other), (*done, gate, other)
                total = bell if total is None else self.builder.fmul(total, bell)
        for factor in sorted(rest, key=_sharing_order):
            done = (*done, factor)
            total = self._once(("product", done), partial(self._times, total, factor))
        return self._number(1.0) if total is None else total

    def _times(self, a: ir.Value | None, factor: sympy.Expr) -> ir.Value:
        return self.value(factor) if a is None else self.builder.fmul(a, self.value(factor))

    def _bell(self, gate: sympy.Expr, other: sympy.Expr) -> ir.Value:
        """σ(u)·σ(-u), the derivative of σ: even, so without the choice of a side that each factor needs."""
        larger, smaller = self._sides(gate.args[0])
        key = ("bell", frozenset((gate, other)))
        return self._once(key, lambda: self.builder.fmul(larger, smaller))

    def power(self, expr: sympy.Pow) -> ir.Value:
        base, exponent = expr.as_base_exp()
        if exponent == sympy.Rational(1, 2):
            return self._intrinsic("sqrt", self.value(base))
        if exponent.is_number and exponent.is_negative:
            return self.builder.fdiv(self._number(1.0), self.value(base**-exponent))
        if exponent.is_Integer:
            return self._integer_power(base, int(exponent))
        return self._libmvec("pow", self.value(base), self.value(exponent))

    def _integer_power(self, base: sympy.Expr, exponent: int) -> ir.Value:
        if exponent == 1:
            return self.value(base)
        half = self._once((base, exponent // 2), lambda: self._integer_power(base, exponent // 2))
        square = self.builder.fmul(half, half)
        return self.builder.fmul(square, self.value(base)) if exponent % 2 else square

    def extremum(self, expr: sympy.Expr) -> ir.Value:
        relation = ">" if isinstance(expr, sympy.Max) else "<"
        best, *others = (self.value(arg) for arg in folded(expr))
        for other in others:
            chosen = self.builder.select(self.builder.fcmp_ordered(relation, best, other), best, other)
            # a NaN loses every comparison: one in `other` is chosen, one in `best` must be kept
            best = self.builder.select(self.builder.fcmp_unordered("uno", best, best), best, chosen)
        return best

    def absolute(self, expr: sympy.Expr) -> ir.Value:
        return self._intrinsic("fabs", self.value(expr.args[0]))

    def sign(self, expr: sympy.Expr) -> ir.Value:
        a = self.value(expr.args[0])
        other = self.builder.fcmp_ordered("!=", a, self._number(0.0))
        return self.builder.select(other, self._intrinsic("copysign", self._number(1.0), a), a)

    def step(self, expr: sympy.Expr) -> ir.Value:
        """Heaviside's step, 1/2 at 0."""
        half = self.builder.fmul(self.value(sympy.sign(expr.args[0])), self._number(0.5))
        return self.builder.fadd(half, self._number(0.5))

    def exponential(self, expr: sympy.Expr) -> ir.Value:
        return self._exp(self.value(expr.args[0]))

    def _exp(self, a: ir.Value) -> ir.Value:
        """exp(a) of any register; float32 inline, for libmvec's call would spill every other register.

        a = n·ln 2 + r with |r| <= ln(2)/2, exp(r) by its Taylor series to r⁷, 2ⁿ in two factors, so that results reach
        from the smallest subnormal number to infinity. Within 2 units in the last place.
        """
        if self.lanes.dtype is not np.float32:
            return self._libmvec("exp", a)
        build, number = self.builder, self._number
        a = self._floor(a, -104.0)
        a = build.select(build.fcmp_ordered(">", a, number(89.0)), number(89.0), a)
        shifted = self._intrinsic("fma", a, number(1 / math.log(2)), number(_ROUNDING))
        n = build.fsub(shifted, number(_ROUNDING))
        r = self._intrinsic("fma", n, number(-_LN2_HIGH), a)
        r = self._intrinsic("fma", n, number(-_LN2_LOW), r)
        series = number(1 / 5040)
        for divisor in (720, 120, 24, 6, 2, 1, 1):
            series = self._intrinsic("fma", series, r, number(1 / divisor))
        integer = ir.VectorType(ir.IntType(32), self.lanes.width)
        whole = build.sub(build.bitcast(shifted, integer), self._integer(0x4B400000))
        half = build.ashr(whole, self._integer(1))
        for exponent in (half, build.sub(whole, half)):
            bits = build.shl(build.add(exponent, self._integer(127)), self._integer(23))
            series = build.fmul(series, build.bitcast(bits, self.lanes.vector))
        return series

    def _integer(self, value: int) -> ir.Constant:
        return Splat(ir.VectorType(ir.IntType(32), self.lanes.width), ir.IntType(32)(value))

    def _decay(self, u: sympy.Expr) -> ir.Value:
        """exp(-|u|), which σ(u), σ(-u), softplus(u) and softplus(-u) share."""
        size = sympy.Abs(u)
        return self._once(("decay", size), lambda: self._exp(self.builder.fneg(self.value(size))))

    def sigmoid(self, expr: sympy.Expr) -> ir.Value:
        larger, smaller = self._sides(expr.args[0])
        below = self.builder.fcmp_ordered("<", self.value(expr.args[0]), self._number(0.0))
        return self.builder.select(below, smaller, larger)

    def _sides(self, u: sympy.Expr) -> tuple[ir.Value, ir.Value]:
        """σ(|u|) = 1/(1 + e) and σ(-|u|) = e/(1 + e) with e = exp(-|u|): no overflow, no cancellation."""
        one, decay = self._number(1.0), self._decay(u)
        larger = self._once(("larger", decay), lambda: self.builder.fdiv(one, self.builder.fadd(decay, one)))
        return larger, self._once(("smaller", decay), lambda: self.builder.fmul(decay, larger))

    def softplus(self, expr: sympy.Expr) -> ir.Value:
        u = expr.args[0]
        decay = self._decay(u)
        tail = self._once(("tail", decay), lambda: self._libmvec("log1p", decay))
        return self.builder.fadd(self.value(sympy.Max(u, 0)), tail)

    def sinc(self, expr: sympy.Expr) -> ir.Value:
        size = self._floor(self.value(sympy.Abs(expr.args[0])), 1e-30)
        return self.builder.fdiv(self._libmvec("sin", size), size)

    def sinc_slope(self, expr: sympy.Expr) -> ir.Value:
        """(cos u - sin(u)/u)/u; for |u| < 1/2 its Taylor series, with seven terms exact to float64."""
        build, u = self.builder, expr.args[0]
        size = self.value(sympy.Abs(u))
        far = self._floor(size, 0.5)
        ratio = build.fdiv(self._libmvec("sin", far), far)
        slope = build.fdiv(build.fsub(self._libmvec("cos", far), ratio), far)
        square = build.fmul(size, size)
        series = self._number(1.0)
        for divisor in (180, 130, 88, 54, 28, 10):
            series = build.fsub(self._number(1.0), build.fmul(build.fmul(series, square), self._number(1 / divisor)))
        near = build.fmul(build.fmul(series, size), self._number(-1 / 3))
        either = build.select(build.fcmp_ordered("<", size, self._number(0.5)), near, slope)
        return build.fmul(either, self.value(sympy.sign(u)))


_FORMS: dict[str, Callable[[Emitter, sympy.Expr], ir.Value]] = {
    "Abs": Emitter.absolute,
    "Add": Emitter.sum,
    "Heaviside": Emitter.step,
    "Max": Emitter.extremum,
    "Min": Emitter.extremum,
    "Mul": Emitter.product,
    "Pow": Emitter.power,
    "exp": Emitter.exponential,
    "sigmoid": Emitter.sigmoid,
    "sign": Emitter.sign,
    "sinc": Emitter.sinc,
    "sinc_slope": Emitter.sinc_slope,
    "softplus": Emitter.softplus,
}


def _is_divisor(factor: sympy.Expr) -> bool:
    return isinstance(factor, sympy.Pow) and bool(factor.exp.is_number) and bool(factor.exp.is_negative)


def _squares_apart(factors: list[sympy.Expr]) -> list[sympy.Expr]:
    """The factors with squares and cubes written out."""
    apart = []
    for factor in factors:
        base, exponent = factor.as_base_exp()
        apart += [base] * int(exponent) if exponent in (2, 3) else [factor]
    return apart


def _sharing_order(factor: sympy.Expr) -> tuple[int, str]:
    """Functions of x first, then x, then coefficients."""
    kind = 1 if factor == X else 2 if X not in factor.free_symbols else 0
    return kind, str(factor)
