"""A function as an ONNX model: one graph of standard operators, written by `onnx.helper` alone.

ONNX Runtime's float32 `Sigmoid` and `Softplus` were tried against exact values: `Softplus` holds, `Sigmoid` is 0 below
-18. Where something could magnify that (an exponential, a quotient, a root, a logarithm), σ is 1/(1 + exp(-u)), which
without a backward pass is safe everywhere.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from importlib import import_module
from types import MappingProxyType
from typing import Any

import numpy as np
import sympy

from actsearch.errors import ConfigError
from actsearch.export.document import about, plain
from actsearch.export.function import ExportedFunction
from actsearch.expression import X
from actsearch.graph import graph

OPSET = 17
IR_VERSION = 8
"""Read by ONNX Runtime 1.12 of 2022 and by all since."""

DEFAULT_SHAPE = ("N", "C", "H", "W")

_OPERATORS = MappingProxyType({
    "Abs": "Abs", "asinh": "Asinh", "atan": "Atan", "cos": "Cos", "cosh": "Cosh", "erf": "Erf", "exp": "Exp",
    "log": "Log", "sign": "Sign", "sin": "Sin", "sinh": "Sinh", "softplus": "Softplus", "tanh": "Tanh",
})  # fmt: skip

_MAGNIFIES = (sympy.exp, sympy.sinh, sympy.cosh, sympy.log)


def onnx_model(function: ExportedFunction, shape: Sequence[str | int] = DEFAULT_SHAPE) -> bytes:
    """The model as bytes: float32 x to y, both of `shape`; opset 17.

    Args:
        function: what the graph computes; its gain is a constant of it.
        shape: the input's dimensions, names for those that vary. One that is a number holds the channels: then each β
            is an initializer with one value a channel, shaped to broadcast along it; else one number.

    Raises:
        ConfigError: onnx is not installed, or two dimensions are numbers.
    """
    helper, checker = _onnx("helper"), _onnx("checker")
    nodes = _Nodes(helper)
    for name, start in function.betas.items():
        nodes.initializer(name, np.full(_beta_shape(shape), start, dtype=np.float32))
    nodes.write(function)
    info = [helper.make_tensor_value_info(name, helper.TensorProto.FLOAT, list(shape)) for name in ("x", "y")]
    description = [f"f(x) = {function.text}", *about(function)]
    main = helper.make_graph(nodes.nodes, function.function_name, info[:1], info[1:], nodes.initializers)
    model = helper.make_model(
        main,
        producer_name="actsearch",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        doc_string="\n".join(plain(line) for line in description),
    )
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _onnx(module: str) -> Any:
    try:
        return import_module(f"onnx.{module}")
    except ModuleNotFoundError as err:
        raise ConfigError("--format onnx needs the package onnx: pip install onnx") from err


def _beta_shape(shape: Sequence[str | int]) -> tuple[int, ...]:
    """() for one β, (channels, 1, 1) for channels in the last but two dimensions, …"""
    numbers = [k for k, size in enumerate(shape) if isinstance(size, int)]
    if len(numbers) > 1:
        raise ConfigError(f"--shape has at most one number, the channels, got {','.join(map(str, shape))!r}")
    return tuple(int(shape[k]) if k == numbers[0] else 1 for k in range(numbers[0], len(shape))) if numbers else ()


class _Nodes:
    """The nodes and initializers of one graph, in order."""

    def __init__(self, helper: Any) -> None:
        self._helper = helper
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self._numbers: dict[float, str] = {}
        self._exact_sigmoid = False

    def write(self, function: ExportedFunction) -> None:
        """Adds the nodes that compute y."""
        expr = function.expression.expr
        self._exact_sigmoid = expr.has(*_MAGNIFIES) or any(
            not e.exp.is_Integer or e.exp < 0 for e in expr.atoms(sympy.Pow)
        )
        parts, (root,) = graph([expr])
        names: list[str] = []
        for part in parts:  # arguments come before what needs them
            names.append(self._part(part.expr, [names[i] for i in part.args]))
        result = names[root]
        if function.gain != 1:
            result = self.node("Mul", self.number(function.gain), result)
        if X not in expr.free_symbols:
            self.node("Expand", result, self.node("Shape", "x"), output="y")
        else:
            self.node("Identity", result, output="y")

    def initializer(self, name: str, values: np.ndarray) -> str:
        """A named constant."""
        self.initializers.append(
            self._helper.make_tensor(name, self._helper.TensorProto.FLOAT, values.shape, values.flatten().tolist())
        )
        return name

    def number(self, value: float) -> str:
        """The name of a scalar constant, each value once."""
        if value not in self._numbers:
            with np.errstate(over="ignore"):  # beyond float32 a number is infinite, as in the formula
                rounded = np.asarray(value).astype(np.float32)
            self._numbers[value] = self.initializer(f"number_{value!r}".removesuffix(".0"), rounded)
        return self._numbers[value]

    def node(self, operator: str, *inputs: str, output: str | None = None) -> str:
        """A node of one output; returns that output's name."""
        output = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(self._helper.make_node(operator, list(inputs), [output], name=output))
        return output

    def _part(self, expr: sympy.Expr, args: list[str]) -> str:
        """The name of a subexpression's value, given those of its arguments."""
        if expr.is_number:
            return self.number(float(expr.evalf(30)))
        if expr.is_Symbol:
            return str(expr.name)
        if expr.is_Pow and expr.exp.is_number:
            return self._power(args[0], expr.exp)
        name = type(expr).__name__
        if name in _OPERATORS:
            return self.node(_OPERATORS[name], *args)
        return _COMPOSED[name](self, expr, args)

    def _power(self, base: str, exponent: sympy.Expr) -> str:
        if exponent.is_negative:
            return self.node("Div", self.number(1.0), self._power(base, -exponent))
        if exponent == 1:
            return base
        if exponent == sympy.Rational(1, 2):
            return self.node("Sqrt", base)
        if exponent in (2, 3):
            return reduce(lambda a, b: self.node("Mul", a, b), [base] * int(exponent))
        return self.node("Pow", base, self.number(float(exponent)))

    def sum(self, expr: sympy.Expr, args: list[str]) -> str:
        return reduce(lambda a, b: self.node("Add", a, b), args)

    def product(self, expr: sympy.Expr, args: list[str]) -> str:
        negative = expr.args[0] == -1
        result = reduce(lambda a, b: self.node("Mul", a, b), args[negative:])
        return self.node("Neg", result) if negative else result

    def sigmoid(self, expr: sympy.Expr, args: list[str]) -> str:
        if not self._exact_sigmoid:
            return self.node("Sigmoid", *args)
        one = self.number(1.0)
        return self.node("Div", one, self.node("Add", one, self.node("Exp", self.node("Neg", *args))))

    def step(self, expr: sympy.Expr, args: list[str]) -> str:
        return self.node("Mul", self.node("Add", self.node("Sign", *args), self.number(1.0)), self.number(0.5))

    def extremum(self, expr: sympy.Expr, args: list[str]) -> str:
        if isinstance(expr, sympy.Max) and len(args) == 2 and 0 in expr.args:
            return self.node("Relu", args[1 - expr.args.index(0)])
        return self.node(type(expr).__name__, *args)

    def sinc(self, expr: sympy.Expr, args: list[str]) -> str:
        one = self.number(1.0)
        at_zero = self.node("Equal", args[0], self.number(0.0))
        u = self.node("Where", at_zero, one, args[0])
        return self.node("Where", at_zero, one, self.node("Div", self.node("Sin", u), u))

    def sinc_slope(self, expr: sympy.Expr, args: list[str]) -> str:
        near = self.node("Less", self.node("Abs", args[0]), self.number(0.5))
        far = self.node("Where", near, self.number(1.0), args[0])
        inner = self.node("Where", near, args[0], self.number(0.0))
        square = self.node("Mul", inner, inner)
        series = self.number(1.0)
        for divisor in (130.0, 88.0, 54.0, 28.0, 10.0):
            shrunk = self.node("Mul", self.node("Div", square, self.number(divisor)), series)
            series = self.node("Sub", self.number(1.0), shrunk)
        series = self.node("Mul", self.node("Div", inner, self.number(-3.0)), series)
        quotient = self.node("Div", self.node("Sin", far), far)
        slope = self.node("Div", self.node("Sub", self.node("Cos", far), quotient), far)
        return self.node("Where", near, series, slope)


_COMPOSED: MappingProxyType[str, Callable[[_Nodes, sympy.Expr, list[str]], str]] = MappingProxyType({
    "Add": _Nodes.sum,
    "Heaviside": _Nodes.step,
    "Max": _Nodes.extremum,
    "Min": _Nodes.extremum,
    "Mul": _Nodes.product,
    "Pow": lambda nodes, expr, args: nodes.node("Pow", *args),
    "sigmoid": _Nodes.sigmoid,
    "sinc": _Nodes.sinc,
    "sinc_slope": _Nodes.sinc_slope,
})  # fmt: skip
