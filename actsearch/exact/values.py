"""Exact values: arithmetic whose precision doubles until two results agree, the reference for every backend.

An expression becomes a straight line of operations on mpmath's raw numbers, one for each distinct subexpression.
Nothing global is touched: the precision is an argument of every operation.
"""

# mypy: disable-error-code=no-any-return
# (mpmath carries no types)

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import mpmath
import sympy
from mpmath import libmp

from actsearch.errors import InexactError, NumericError, UndefinedError
from actsearch.exact.arithmetic import OPERATIONS, Raw, Run, beyond, constant, power_of, swallowed, total
from actsearch.expression import Expression
from actsearch.graph import Node, graph

MAX_DIGITS = 400
"""Largest precision of the arithmetic, in decimal digits."""

Rounding = Callable[[mpmath.mpf], mpmath.mpf]


def value(
    expression: Expression,
    x: Any,
    betas: Mapping[str, Any] = MappingProxyType({}),
    digits: int = 30,
    *,
    rounding: Rounding | None = None,
    about: float | None = None,
) -> mpmath.mpf:
    """The exact value of an expression at one point.

    Precision starts 20 digits above what is asked and doubles until two results agree to `digits` and no sum is in
    doubt, at most to `MAX_DIGITS`; there a sum whose terms cancel in all but 20 digits counts as 0. A result of exp
    or of a power below 2^-4,000,000 is 0. Kinks are exact: sign(0) = 0, step(0) = 1/2, sinc(0) = 1.

    Args:
        expression: any expression that the reader or `Expression.derivative` makes.
        x: a float, an integer or an mpf, taken exactly.
        betas: β by name, as x; those not given take their initial value, names of no β are not used.
        digits: significant digits of the result, at most `MAX_DIGITS` - 20.
        rounding: applied to every number in the expression (eps, 1/3, π), such as rounding to float32.
        about: the value as float64 arithmetic has it, where it is known: one run that agrees with it is enough.

    Returns:
        An mpf that holds at least `digits` right digits, whatever mpmath's own precision.

    Raises:
        OutOfRangeError: an intermediate beyond about ten to the power of a million.
        UndefinedError: 1/0, log or root of a negative number, an input that is not finite.
        InexactError: no agreement at `MAX_DIGITS`, such as for the sine of 1e500.
    """
    (result,) = values([expression], x, betas, digits, rounding=rounding, about=about)
    if isinstance(result, NumericError):
        raise result
    return result


def values(
    expressions: Sequence[Expression],
    x: Any,
    betas: Mapping[str, Any] = MappingProxyType({}),
    digits: int = 30,
    *,
    rounding: Rounding | None = None,
    about: float | None = None,
) -> list[mpmath.mpf | NumericError]:
    """`value` of several expressions at one point, computed together; an error stands in its expression's place.

    Args and Raises as `value` has them; `about` may be given with a single expression.
    """
    program = _program(tuple(e.expr for e in expressions))
    initial = {name: start for e in expressions for name, start in e.initial.items()}
    inputs = {name: _raw(name, number) for name, number in {**initial, **betas, "x": x}.items()}
    precision = digits + 20
    run, results = program.run(precision, inputs, rounding)
    settled = [about is not None and not (run.in_doubt or run.swallows) and _is_about(results[-1], about)]
    while precision < MAX_DIGITS and not all(settled):
        precision = min(2 * precision, MAX_DIGITS)
        before, (run, results) = results, program.run(precision, inputs, rounding)
        certain = not run.in_doubt or precision == MAX_DIGITS
        settled = [certain and _agree(a, b, digits) for a, b in zip(before, results, strict=True)]
    return [_result(r) if ok else _UNSETTLED for r, ok in zip(results, settled, strict=True)]


_UNSETTLED = InexactError(f"the digits asked for need more than {MAX_DIGITS} digits of arithmetic here")


def _raw(name: str, number: Any) -> Raw:
    converted = mpmath.mp.convert(number)._mpf_ if not isinstance(number, float) else libmp.from_float(number)
    if not converted[1] and converted[2]:
        raise UndefinedError(f"{name} is a finite number, got {number}")
    return converted


def _agree(a: Raw | NumericError, b: Raw | NumericError, digits: int) -> bool:
    if isinstance(a, NumericError) or isinstance(b, NumericError):
        return type(a) is type(b) and not isinstance(a, InexactError)
    gap = libmp.mpf_abs(libmp.mpf_sub(a, b, 64, "u"))
    bound = libmp.mpf_mul(libmp.mpf_abs(b), libmp.mpf_pow_int(libmp.from_int(10), -digits, 64, "d"), 64, "d")
    return bool(libmp.mpf_le(gap, bound))


def _is_about(exact: Raw | NumericError, about: float) -> bool:
    """Whether a value in float64 agrees to nine digits: then rounding has taken few of the digits of either.

    Two zeros say nothing: much is 0 to any precision that is too small.
    """
    if isinstance(exact, NumericError):
        return False
    number = libmp.to_float(exact)
    return 0 < abs(number) < math.inf and abs(number - about) <= 1e-9 * abs(number)


def _result(raw: Raw | NumericError) -> mpmath.mpf | NumericError:
    return raw if isinstance(raw, NumericError) else mpmath.mp.make_mpf(raw)


class _Program:
    """A straight line of operations for some expressions."""

    def __init__(self, roots: Iterable[sympy.Expr]) -> None:
        nodes, self._roots = graph(roots)
        self._steps = [_step(node) for node in nodes]

    def run(
        self, digits: int, inputs: Mapping[str, Raw], rounding: Rounding | None
    ) -> tuple[Run, list[Raw | NumericError]]:
        """How it went, and all roots; an error travels to the roots that hang on it, and to no other."""
        run = Run(int(libmp.dps_to_prec(digits)))
        line: list[Raw | NumericError] = []
        none_failed = True
        for leaf, name, operation, args in self._steps:
            if leaf is not None:
                line.append(inputs[leaf.name] if leaf.is_Symbol else _number(leaf, run.bits, rounding))
                continue
            operands = [line[i] for i in args]
            if none_failed or not any(isinstance(a, NumericError) for a in operands):
                line.append(_attempt(operation, run, operands))
                none_failed = none_failed and not isinstance(line[-1], NumericError)
            else:
                line.append(beyond(name, operands))
        return run, [line[i] for i in self._roots]


@lru_cache(maxsize=512)
def _program(roots: tuple[sympy.Expr, ...]) -> _Program:
    return _Program(roots)


def _attempt(operation: Callable[..., Raw], run: Run, operands: list[Any]) -> Raw | NumericError:
    if len(operands) == 1 and (known := _kept(operation, run.bits, operands[0])) is not None:
        if swallowed(operation, operands[0], known, run.bits):
            run.swallows = True
        return known
    try:
        return operation(run, *operands)
    except NumericError as err:
        return err
    except (ZeroDivisionError, libmp.ComplexResult):
        return UndefinedError("no finite real value: 1/0, or log or root of a number that is not positive")


@lru_cache(maxsize=2**14)
def _kept(operation: Callable[..., Raw], bits: int, operand: Raw) -> Raw | None:
    """A function of one number, which is never in doubt; None where it fails.

    Fingerprints ask for exp(x), sin(x) … at the same few x again and again.
    """
    try:
        return operation(Run(bits), operand)
    except (NumericError, ZeroDivisionError, libmp.ComplexResult):
        return None


def _step(node: Node) -> tuple[sympy.Expr | None, str, Callable[..., Raw], tuple[int, ...]]:
    expr = node.expr
    name = type(expr).__name__
    if expr.is_Symbol or expr.is_number:
        return expr, name, total, ()
    if expr.is_Pow and expr.exp.is_number:
        return None, name, power_of(expr.exp), node.args
    if name not in OPERATIONS:
        raise UndefinedError(f"no exact form for {name}")
    return None, name, OPERATIONS[name], node.args


def _number(expr: sympy.Expr, bits: int, rounding: Rounding | None) -> Raw:
    exact = constant(expr, bits)
    return exact if rounding is None else _raw("a rounded number", rounding(mpmath.mp.make_mpf(exact)))
