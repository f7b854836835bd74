"""The ways to compute a function, and which one a formula takes.

`eager` is torch operations with autograd's gradient. `symbolic` has sympy's gradient, keeps x and β alone, and is
machine code on a CPU. `native` is torch's own function where it has one. `compile` is torch.compile of the eager form:
tens of seconds at first use.
"""

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor

from actsearch.activation.eager import apply_eager, evaluate, torch_function
from actsearch.activation.native import apply_native, native
from actsearch.activation.symbolic import apply_symbolic, engine_of
from actsearch.activation.timing import measure
from actsearch.errors import ConfigError
from actsearch.expression import Expression

Backend = Literal["eager", "symbolic", "native", "compile"]

_SAMPLE = (32, 16, 14, 14)
"""Shape of the tensor on which backends are compared: a small child's activation."""


def apply_compiled(expression: Expression, x: Tensor, betas: Sequence[Tensor], gain: float, channel_dim: int) -> Tensor:
    """gain · f(x) by torch.compile."""
    return _compiled(expression, gain, channel_dim)(x, *betas)


@lru_cache(maxsize=64)
def _compiled(expression: Expression, gain: float, channel_dim: int) -> Callable[..., Tensor]:
    function = torch_function(expression)

    def activation(x: Tensor, *betas: Tensor) -> Tensor:
        return evaluate(function, x, betas, gain, channel_dim)

    compiled: Callable[..., Tensor] = torch.compile(activation)
    return compiled


Apply = Callable[[Expression, Tensor, Sequence[Tensor], float, int], Tensor]

BACKENDS: Mapping[str, Apply] = MappingProxyType({
    "eager": apply_eager, "symbolic": apply_symbolic, "native": apply_native, "compile": apply_compiled,
})  # fmt: skip
"""By name: (canonical form, x, β ``(channels,)`` each, gain, channel dimension) -> gain · f(x)."""


def check_backend(name: str) -> None:
    """`ConfigError` for a backend that is not there."""
    if name != "auto" and name not in BACKENDS:
        raise ConfigError(f"backend = {name!r}: right would be auto, {', '.join(BACKENDS)}")


def fastest(expression: Expression, x: Tensor) -> Backend:
    """The fastest backend for a canonical form on tensors like x: torch's own function, else by a measurement.

    The measurement takes some milliseconds, forward and backward, and is made once a machine: results stand in
    `backends.json` in the user's cache folder. `compile` is never taken by itself.
    """
    return _fastest(expression, x.device, x.dtype, torch.get_num_threads())


@lru_cache(maxsize=4096)
def _fastest(expression: Expression, device: torch.device, dtype: torch.dtype, threads: int) -> Backend:
    if native(expression) is not None:
        return "native"
    key = f"{device.type} {dtype} {threads} {engine_of(device.type)} {expression.full_text}"
    known = _measured()
    if key not in known:
        known[key] = _measure(expression, device, dtype)
        _store(known)
    return known[key]


def _measure(expression: Expression, device: torch.device, dtype: torch.dtype) -> Backend:
    names: tuple[Backend, ...] = ("eager", "symbolic")
    betas = [torch.full((_SAMPLE[1],), value, device=device) for value in expression.initial.values()]
    betas = [beta.requires_grad_() for beta in betas]
    functions = {name: _bound(name, expression, betas) for name in names}
    with torch.enable_grad():
        timings = measure(functions, _SAMPLE, rounds=3, seconds=0.01, dtype=dtype, device=device, threads=None)
    return min(names, key=lambda name: timings[name].total)


def _bound(name: str, expression: Expression, betas: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: BACKENDS[name](expression, x, betas, 1.0, 1)


@cache
def _measured() -> dict[str, Backend]:
    """What was measured on this machine before."""
    return _document().get(_machine(), {})


def _store(known: Mapping[str, Backend]) -> None:
    """Adds to the file what was measured; a folder that cannot be written costs a measurement a process, no more."""
    path = _file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(f".{os.getpid()}")
        document = {**_document(), _machine(): {**_document().get(_machine(), {}), **known}}
        new.write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
        new.replace(path)
    except OSError:
        return


def _document() -> dict[str, dict[str, Backend]]:
    """What the file says, by machine; nothing where it is missing or says something else."""
    try:
        document = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(document, dict):
        return {}
    return {
        machine: {key: name for key, name in rows.items() if name in ("eager", "symbolic")}
        for machine, rows in document.items()
        if isinstance(rows, dict)
    }


def _file() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "actsearch" / "backends.json"


def _machine() -> str:
    return f"{platform.node()} {platform.machine()} torch {torch.__version__}"
