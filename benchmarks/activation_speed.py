"""What activations cost, side by side in one process: the tables in docs/activations.md.

python benchmarks/activation_speed.py                      # SiLU and Swish against torch's silu, then 100 formulas
python benchmarks/activation_speed.py --formulas 10 --json # fewer of them, as JSON
python benchmarks/activation_speed.py --profile            # what a call and a first use consist of

Forward and backward together, float32, one thread, medians of interleaved rounds. `plain` is the formula as one would
write it with torch's own functions and autograd (a subexpression that occurs twice is computed twice); `ours` is what
a search uses (actsearch.backend.backend_of). The formulas are in better_half.txt.
"""

import argparse
import json
import os
import tempfile
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: one thread, as a worker has

import math
from collections.abc import Callable
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

import sympy
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from actsearch.activation import Activation, dense
from actsearch.activation.eager import TorchPrinter
from actsearch.activation.program import backward_program, forward_program
from actsearch.activation.symbolic import engine_of
from actsearch.activation.timing import measure
from actsearch.backend import backend_of
from actsearch.expression import Expression, expression_of
from actsearch.formula import Formula
from actsearch.identity import canonical, canonical_text
from actsearch.reader import read

SHAPES = ((128, 16, 14, 14), (64, 64, 32, 32))
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


class PlainPrinter(TorchPrinter):
    """Torch's own functions in place of ours."""

    def doprint(self, expr: sympy.Expr, assign_to: object = None) -> str:
        text = super().doprint(expr, assign_to).replace("kernels.softplus", "F.softplus").replace("kernels.", "torch.")
        return (
            text.replace("torch.sinc_slope", "sinc_slope").replace("torch.sinc(", "sinc(").replace("torch.step", "step")
        )


class Plain(nn.Module):
    """A function by torch's operations and autograd, β one parameter a channel."""

    def __init__(self, expression: Expression, channels: int) -> None:
        super().__init__()
        names = list(expression.initial)
        self.betas = nn.ParameterList(torch.full((channels,), expression.initial[name]) for name in names)
        space = {
            "torch": torch,
            "F": F,
            "sinc": lambda u: torch.sinc(u / math.pi),
            "step": lambda u: torch.heaviside(u, torch.tensor(0.5)),
        }
        code = PlainPrinter({"fully_qualified_modules": False}).doprint(expression.expr)
        self.function: Callable[..., Tensor] = eval(f"lambda {', '.join(['x', *names])}: {code}", space)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *(beta.view(1, -1, 1, 1) for beta in self.betas)).expand(x.shape)


def better_half() -> list[Expression]:
    """The 100 formulas, as canonical forms."""
    lines = Path(__file__).with_name("better_half.txt").read_text(encoding="utf-8").splitlines()
    tokens = [line.split() for line in lines if line and not line.startswith("#")]
    return [canonical(expression_of(Formula.from_tokens(words))) for words in tokens]


def ours(expression: Expression, channels: int) -> Activation:
    return Activation(expression, channels=channels, backend=backend_of(expression.full_text))


def known(shape: tuple[int, ...], memory_format: torch.memory_format, rounds: int) -> dict[str, float]:
    """Times of SiLU and Swish, each as a ratio to `F.silu`."""
    silu, swish = canonical(read("x*sigmoid(x)")), canonical(read("x*sigmoid(beta*x)"))
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "F.silu": F.silu,
        "SiLU, ours": ours(silu, shape[1]),
        "SiLU, plain": Plain(silu, shape[1]),
        "Swish, ours": ours(swish, shape[1]),
        "Swish, plain": Plain(swish, shape[1]),
    }
    timings = measure(functions, shape, rounds=rounds, memory_format=memory_format)
    return {name: timing.total / timings["F.silu"].total for name, timing in timings.items()}


def ratio(expression: Expression, shape: tuple[int, ...], memory_format: torch.memory_format, rounds: int) -> float:
    """Our time over the plain one."""
    pair = {"ours": ours(expression, shape[1]), "plain": Plain(expression, shape[1])}
    timings = measure(pair, shape, rounds=rounds, memory_format=memory_format)
    return timings["ours"].total / timings["plain"].total


def first_use(expression: Expression, backend: str | None = None, shape: tuple[int, ...] = (2, 4, 3, 3)) -> float:
    """Milliseconds from an expression to its first gradient; the search's backend if none is named."""
    x = torch.randn(*shape, requires_grad=True)
    start = time.perf_counter()
    name = backend or backend_of(canonical_text(expression))
    Activation(expression, channels=shape[1], backend=name)(x).sum().backward()
    return 1e3 * (time.perf_counter() - start)


class Bare(torch.autograd.Function):
    """Swish's two passes of machine code, and nothing around them."""

    form = canonical(read("x*sigmoid(beta*x)"))

    @staticmethod
    def forward(ctx: Any, x: Tensor, beta: Tensor) -> Tensor:
        ctx.save_for_backward(x, beta)
        return dense.forward(forward_program(Bare.form), x, [beta], 1.0, 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, beta = ctx.saved_tensors
        slope, (sums,) = dense.backward(backward_program(Bare.form), x, [beta], grad, 1.0, 1)
        return slope, sums


def profile(rounds: int) -> None:
    """Prints what a call of Swish adds to its passes, beside `F.silu` alone, and what a first use costs."""
    shape = SHAPES[0]
    for name, memory_format in FORMATS.items():
        beta = nn.Parameter(torch.ones(shape[1]))
        functions: dict[str, Callable[[Tensor], Tensor]] = {
            "F.silu": F.silu,
            "bare passes": lambda x, beta=beta: Bare.apply(x, beta),  # type: ignore[misc]
            "F.silu again": F.silu,
            "Activation": ours(Bare.form, shape[1]),
        }
        timings = measure(functions, shape, rounds=rounds, memory_format=memory_format)
        base = timings["F.silu"]
        ratios = {
            label: tuple(round(getattr(t, part) / getattr(base, part), 2) for part in ("forward", "backward", "total"))
            for label, t in timings.items()
        }
        print(json.dumps({"shape": shape, "format": name, "ratios: forward, backward, both": ratios}))
    first_use(read("x*sin(beta*x)/3"))
    half = better_half()
    rows = {
        "the search's backend": [first_use(Expression(e.expr, e.initial)) for e in half[:50]],
        "another order of memory, with β": [first_use(e, shape=(2, 4, 17, 16)) for e in half[:50] if e.initial],
        "auto, measured for the first time": [first_use(Expression(e.expr, e.initial), "auto") for e in half[50:]],
    }
    print(json.dumps({"first use, ms, median": {name: round(median(times), 1) for name, times in rows.items()}}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--formulas", type=int, default=100, help="how many of the 100")
    parser.add_argument(
        "--rounds", type=int, default=7, help="rounds for each formula; SiLU and Swish take five times as many"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--profile", action="store_true", help="what a call and a first use consist of")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.profile:
        os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp()  # where nothing was measured before
        profile(8 * options.rounds)
        return
    read("x"), engine_of("cpu")
    formulas = better_half()[: options.formulas]
    first_use(read("x*sin(beta*x)/3"))  # LLVM's own start, once a process
    starts = [first_use(Expression(e.expr, e.initial)) for e in formulas]
    document: dict[str, object] = {
        "engine": engine_of("cpu"),
        "first_use_ms": {"median": median(starts), "worst": max(starts)},
        "layouts": [],
    }
    for shape in SHAPES:
        for name, memory_format in FORMATS.items():
            row: dict[str, object] = {"shape": shape, "format": name, **known(shape, memory_format, 5 * options.rounds)}
            ratios = {e.text: ratio(e, shape, memory_format, options.rounds) for e in formulas}
            worst = sorted(ratios, key=lambda text: -ratios[text])[:3]
            row |= {"geometric_mean": geometric_mean(ratios.values()), "worst": {text: ratios[text] for text in worst}}
            document["layouts"].append(row)  # type: ignore[attr-defined]
            if not options.json:
                print(json.dumps(row, ensure_ascii=False, default=str), flush=True)
    print(json.dumps(document if options.json else document["first_use_ms"], indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
