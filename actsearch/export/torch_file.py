"""A function as a torch module of its own: a readable file that needs torch alone."""

from collections.abc import Iterator
from types import MappingProxyType
from typing import ClassVar

import sympy

from actsearch.export.code import CodePrinter, parts, statement, used
from actsearch.export.document import docstring_start, gain_line, head, listed, scaled
from actsearch.export.function import ExportedFunction
from actsearch.export.reference import gradient_rows, table
from actsearch.expression import X


class TorchFilePrinter(CodePrinter):
    """Plain torch, whose own gradients at kinks are the project's: 0 for relu and |x|, shared where max or min tie."""

    calls: ClassVar = MappingProxyType({
        "Abs": "torch.abs",
        "Heaviside": "step",
        "asinh": "torch.asinh",
        "atan": "torch.atan",
        "cos": "torch.cos",
        "cosh": "torch.cosh",
        "erf": "torch.erf",
        "exp": "torch.exp",
        "log": "torch.log",
        "maximum": "torch.maximum",
        "minimum": "torch.minimum",
        "relu": "torch.relu",
        "sigmoid": "torch.sigmoid",
        "sign": "torch.sign",
        "sin": "torch.sin",
        "sinc": "sinc",
        "sinc_slope": "sinc_slope",
        "sinh": "torch.sinh",
        "softplus": "softplus",
        "sqrt": "torch.sqrt",
        "tanh": "torch.tanh",
    })  # fmt: skip

    def constant(self, number: sympy.Expr) -> str:
        return f"x.new_tensor({self._print(number)})"  # torch.maximum takes no plain number


_HELPERS = MappingProxyType({
    "softplus": '''
def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)); torch's own leaves the curve at 20, which float64 can tell."""
    return nn.functional.softplus(x, threshold=40)
''',
    "step": '''
def step(x: Tensor) -> Tensor:
    """0 below 0, 1 above, 1/2 at 0."""
    return (torch.sign(x) + 1) / 2
''',
    "sinc": '''
def sinc(x: Tensor) -> Tensor:
    """sin(x)/x; near 0 its series, where the quotient's gradient would cancel."""
    near = torch.abs(x) < 0.5
    far = torch.where(near, 1, x)
    square = torch.where(near, x, 0) ** 2
    series = torch.ones_like(x)
    for divisor in (210, 156, 110, 72, 42, 20, 6):
        series = 1 - square / divisor * series
    return torch.where(near, series, torch.sin(far) / far)
''',
    "sinc_slope": '''
def sinc_slope(x: Tensor) -> Tensor:
    """The derivative of sin(x)/x; near 0 its series."""
    near = torch.abs(x) < 0.5
    far = torch.where(near, 1, x)
    inner = torch.where(near, x, 0)
    series = torch.ones_like(x)
    for divisor in (238, 180, 130, 88, 54, 28, 10):
        series = 1 - inner**2 / divisor * series
    return torch.where(near, -inner / 3 * series, (torch.cos(far) - torch.sin(far) / far) / far)
''',
})  # fmt: skip

_WIDENS = (sympy.Pow, sympy.exp, sympy.log, sympy.sinh, sympy.cosh, sympy.asinh)
"""What autocast computes in float32, besides softplus."""


def torch_file(function: ExportedFunction) -> str:
    """The text of a Python file: a class that takes `channels`, and a check that `python FILE` runs."""
    body = list(_forward(function))
    lines = [*head(function, "Needs torch alone, 2.0 or newer. `python FILE` checks it against exact values."), ""]
    lines += [*(["import math"] if used("math.", body) else []), "import sys", ""]
    lines += ["import torch", "from torch import Tensor, nn"]
    lines += ["", *gain_line(function)] if function.gain != 1 else []
    for helper, text in _HELPERS.items():
        if used(f"{helper}(", body):
            lines += ["", *text.rstrip().split("\n")]
    lines += ["", "", *_class(function), *body, "", "", *_check(function)]
    return "\n".join(lines) + "\n"


def _class(function: ExportedFunction) -> Iterator[str]:
    yield f"class {function.class_name}(nn.Module):"
    yield from docstring_start(function)
    yield ""
    yield "    Args:"
    betas = listed(function.betas)
    if betas:
        yield f"        channels: how many {betas}, one a channel; 1 shares one between all channels."
        yield "        channel_dim: the input's dimension that holds the channels, -1 for channels last."
        yield ""
        yield f"    Keep {betas} out of weight decay."
    else:
        yield "        channels, channel_dim: as functions with a trainable beta take them; no effect here."
    yield '    """'
    yield ""
    yield "    def __init__(self, channels: int = 1, channel_dim: int = 1) -> None:"
    yield "        super().__init__()"
    if betas:
        yield "        self.channel_dim = channel_dim"
    for name, start in function.betas.items():
        yield f"        self.{name} = nn.Parameter(torch.full((channels,), {start!r}, dtype=torch.float32))"
    yield ""
    yield "    def forward(self, x: Tensor) -> Tensor:"


def _forward(function: ExportedFunction) -> Iterator[str]:
    """The lines of the method's body."""
    printer = TorchFilePrinter()
    expr = function.expression.expr
    if function.betas:
        yield "        shape = [1] * x.ndim"
        yield "        shape[self.channel_dim] = -1"
    for name in function.betas:
        yield f"        {name} = self.{name}.to(x.dtype).view(shape)"
    named, result = parts(expr)
    for name, value in named:
        yield from statement(f"{name} = ", printer.code(value), 8)
    code = printer.code(scaled(result, function))
    if expr.is_number:
        yield from statement("return ", f"torch.full_like(x, {code})", 8)
    elif X not in expr.free_symbols:
        yield from statement("return ", f"({code}).expand_as(x)", 8)
    elif expr.has(*_WIDENS) or used("softplus(", [code]):
        yield from statement("y = ", code, 8)
        yield "        return y.to(x.dtype)"
    else:
        yield from statement("return ", code, 8)


def _check(function: ExportedFunction) -> Iterator[str]:
    name, betas = function.class_name, list(function.betas)
    yield f"# Exact values: {', '.join(['x', *betas, 'f(x)', *(f'df/d{b}' for b in ('x', *betas))])}"
    yield from ("REFERENCE = (", *table(gradient_rows(function)), ")", "", "")
    yield "def check() -> float:"
    yield '    """The largest |found - expected| / (|expected| + 0.001) over REFERENCE, in float64."""'
    yield "    rows = torch.tensor(REFERENCE, dtype=torch.float64)"
    yield f"    inputs, expected = rows[:, :{1 + len(betas)}], rows[:, {1 + len(betas)}:]"
    yield "    x = inputs[:, 0].clone().requires_grad_()"
    yield f"    activation = {name}(channels=len(rows)).double()"
    for k, beta in enumerate(betas, start=1):
        yield f"    activation.{beta}.data = inputs[:, {k}].clone()"
    tail = "" if X in function.expression.expr.free_symbols else " + 0 * x"
    yield f"    y = activation(x[None])[0]{tail}  # one channel a row"
    yield "    slopes = torch.autograd.grad(y.sum(), [x, *activation.parameters()])"
    yield "    found = torch.stack([y, *slopes], dim=1)"
    yield "    return ((found - expected).abs() / (expected.abs() + 1e-3)).max().item()"
    yield from ("", "", 'if __name__ == "__main__":', "    error = check()", "    if not error < 1e-9:")
    yield f'        sys.exit(f"wrong: {name} is off by {{error:.1e}} from exact values")'
    yield f'    print(f"ok: {name} matches {{len(REFERENCE)}} exact values and gradients, within {{error:.0e}}")'
