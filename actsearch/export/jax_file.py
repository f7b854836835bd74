"""A function as pure JAX: one plain function of x and β, in a file that needs jax alone."""

from collections.abc import Iterator
from types import MappingProxyType
from typing import ClassVar

from actsearch.export.code import CodePrinter, parts, statement, used
from actsearch.export.document import docstring_start, gain_line, head, listed, scaled
from actsearch.export.function import ExportedFunction
from actsearch.export.reference import gradient_rows, table
from actsearch.expression import X


class JaxFilePrinter(CodePrinter):
    """Plain jax, whose gradients at kinks are the project's but for |x|: 0 for relu, shared where max or min tie."""

    calls: ClassVar = MappingProxyType({
        "Abs": "absolute",
        "Heaviside": "step",
        "asinh": "jnp.arcsinh",
        "atan": "jnp.arctan",
        "cos": "jnp.cos",
        "cosh": "jnp.cosh",
        "erf": "jax.scipy.special.erf",
        "exp": "jnp.exp",
        "log": "jnp.log",
        "maximum": "jnp.maximum",
        "minimum": "jnp.minimum",
        "relu": "jax.nn.relu",
        "sigmoid": "jax.nn.sigmoid",
        "sign": "jnp.sign",
        "sin": "jnp.sin",
        "sinc": "sinc",
        "sinc_slope": "sinc_slope",
        "sinh": "jnp.sinh",
        "softplus": "jax.nn.softplus",
        "sqrt": "jnp.sqrt",
        "tanh": "jnp.tanh",
    })  # fmt: skip


_HELPERS = MappingProxyType({
    "absolute": '''
def absolute(x: Array) -> Array:
    """|x| with slope 0 at 0, where jnp.abs has 1."""
    return jnp.sign(x) * x
''',
    "step": '''
def step(x: Array) -> Array:
    """0 below 0, 1 above, 1/2 at 0."""
    return (jnp.sign(x) + 1) / 2
''',
    "sinc": '''
def sinc(x: Array) -> Array:
    """sin(x)/x; near 0 its series, where the quotient's gradient would cancel."""
    near = jnp.abs(x) < 0.5
    far = jnp.where(near, 1, x)
    square = jnp.where(near, x, 0) ** 2
    series = jnp.ones_like(x)
    for divisor in (210, 156, 110, 72, 42, 20, 6):
        series = 1 - square / divisor * series
    return jnp.where(near, series, jnp.sin(far) / far)
''',
    "sinc_slope": '''
def sinc_slope(x: Array) -> Array:
    """The derivative of sin(x)/x; near 0 its series."""
    near = jnp.abs(x) < 0.5
    far = jnp.where(near, 1, x)
    inner = jnp.where(near, x, 0)
    series = jnp.ones_like(x)
    for divisor in (238, 180, 130, 88, 54, 28, 10):
        series = 1 - inner**2 / divisor * series
    return jnp.where(near, -inner / 3 * series, (jnp.cos(far) - jnp.sin(far) / far) / far)
''',
})  # fmt: skip


def jax_file(function: ExportedFunction) -> str:
    """The text of a Python file: a pure function of x and β, and a check that `python FILE` runs."""
    body = list(_body(function))
    lines = [*head(function, "Needs jax alone. `python FILE` checks it against exact values."), ""]
    lines += [*(["import math"] if used("math.", body) else []), "import sys", ""]
    lines += ["import jax", "import jax.numpy as jnp", "from jax import Array"]
    lines += ["", *gain_line(function)] if function.gain != 1 else []
    for helper, text in _HELPERS.items():
        if used(f"{helper}(", body):
            lines += ["", *text.rstrip().split("\n")]
    lines += ["", "", *_signature(function), *body, "", "", *_check(function)]
    return "\n".join(lines) + "\n"


def _signature(function: ExportedFunction) -> Iterator[str]:
    betas = [f"{name}: Array | float = {start!r}" for name, start in function.betas.items()]
    one_line = f"def {function.function_name}({', '.join(['x: Array', *betas])}) -> Array:"
    if len(one_line) <= 100:
        yield one_line
    else:
        yield from (f"def {function.function_name}(", *(f"    {a}," for a in ["x: Array", *betas]), ") -> Array:")
    yield from docstring_start(function)
    if betas:
        yield ""
        yield f"    {listed(function.betas)}: trainable, a number or an array that broadcasts against x."
        yield "    The result has x's dtype."
        yield '    """'
    else:
        yield '    """'


def _body(function: ExportedFunction) -> Iterator[str]:
    printer = JaxFilePrinter()
    expr = function.expression.expr
    for name in function.betas:
        yield f"    {name} = jnp.asarray({name}, jnp.result_type(x))"
    named, result = parts(expr)
    for name, value in named:
        yield from statement(f"{name} = ", printer.code(value))
    code = printer.code(scaled(result, function))
    if expr.is_number:
        code = f"jnp.full_like(x, {code})"
    elif X not in expr.free_symbols:
        code = f"jnp.broadcast_to({code}, jnp.shape(x))"
    yield from statement("return ", code)


def _check(function: ExportedFunction) -> Iterator[str]:
    name, betas = function.function_name, list(function.betas)
    inputs = 1 + len(betas)
    yield f"# Exact values: {', '.join(['x', *betas, 'f(x)', *(f'df/d{b}' for b in ('x', *betas))])}"
    yield from ("REFERENCE = (", *table(gradient_rows(function)), ")", "", "")
    yield "def check() -> float:"
    yield '    """The largest |found - expected| / (|expected| + 0.001) over REFERENCE; jax in 64 bits."""'
    yield "    columns = jnp.array(REFERENCE).T"
    yield f"    inputs, expected = columns[:{inputs}], columns[{inputs}:]"
    yield f"    value_and_slopes = jax.value_and_grad({name}, argnums={tuple(range(inputs))})"
    yield "    value, slopes = jax.jit(jax.vmap(value_and_slopes))(*inputs)"
    yield "    found = jnp.stack([value, *slopes])"
    yield "    return float(jnp.max(jnp.abs(found - expected) / (jnp.abs(expected) + 1e-3)))"
    yield from ("", "", 'if __name__ == "__main__":', '    jax.config.update("jax_enable_x64", True)')
    yield from ("    error = check()", "    if not error < 1e-9:")
    yield f'        sys.exit(f"wrong: {name} is off by {{error:.1e}} from exact values")'
    yield f'    print(f"ok: {name} matches {{len(REFERENCE)}} exact values and gradients, within {{error:.0e}}")'
