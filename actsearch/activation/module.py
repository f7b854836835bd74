"""Any formula as an `nn.Module` with trainable per-channel β."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import Parameter, UninitializedParameter

from actsearch.activation.backends import BACKENDS, check_backend, fastest
from actsearch.activation.eager import evaluate, torch_function
from actsearch.errors import ConfigError
from actsearch.expression import Expression, expression_of
from actsearch.formula import Formula
from actsearch.identity import canonical
from actsearch.reader import read


def as_expression(formula: Formula | Expression | str) -> Expression:
    """The expression of a formula, of a text such as `x*sigmoid(beta*x)`, or itself."""
    if isinstance(formula, Formula):
        return expression_of(formula)
    return read(formula) if isinstance(formula, str) else formula


class Activation(LazyModuleMixin, nn.Module):
    """An activation function with one trainable β a channel for every β of its formula.

    The canonical form is what runs. β are float32 parameters of shape ``(channels,)`` named `beta`, `beta2`, …;
    without `channels` they take their size from the first input: run one forward pass (`materialize`) before an
    optimizer, a copy or a compiler sees the model. Keep them out of weight decay (`beta_parameters`).

    Attributes:
        expression: the canonical form.
        gain: the constant that the function is multiplied by.
        channel_dim: the input's dimension that holds the channels.
        backend: how it is computed (actsearch.activation.backends), or `auto`.
    """

    def __init__(
        self,
        formula: Formula | Expression | str,
        *,
        gain: float = 1.0,
        channel_dim: int = 1,
        channels: int | None = None,
        backend: str = "auto",
    ) -> None:
        """
        Args:
            formula: a formula, an expression, or its text.
            gain: multiplies the function; the children's unit gain, or 1.
            channel_dim: where the channels are, 1 for ``(batch, channels, height, width)``, -1 for channels last.
            channels: β's length, 1 for one β that serves all channels; None: taken from the first input.
            backend: eager, symbolic, native or compile; auto takes the fastest by a short measurement at the first
                input, kept for the machine. All compute the same function and round differently.

        Raises:
            ExpressionError: a text that is no expression.
            ConfigError: a backend that is not there, or native for a function that torch lacks.
        """
        check_backend(backend)
        with warnings.catch_warnings():  # torch announces on every construction that lazy modules are new
            warnings.filterwarnings("ignore", message="Lazy modules are a new feature")
            super().__init__()
        self.expression = canonical(as_expression(formula))
        self.gain = gain
        self.channel_dim = channel_dim
        self.backend = backend
        self._function = torch_function(self.expression)  # made here, for no compiler can trace how it is made
        for name in self.expression.initial:
            setattr(self, name, UninitializedParameter())
        if channels is not None:
            self._start(channels)
            self._infer_parameters(self, (torch.empty(0),))
        elif not self.expression.initial:
            self._infer_parameters(self, (torch.empty(0),))

    def initialize_parameters(self, x: Tensor, *_: Any) -> None:
        """Gives β its initial values, one for each of x's channels; torch calls it before the first forward."""
        if self.has_uninitialized_params():
            self._start(x.shape[self.channel_dim])

    def _start(self, channels: int) -> None:
        with torch.inference_mode(False), torch.no_grad():
            for name, parameter in self._betas():
                if isinstance(parameter, UninitializedParameter):
                    parameter.materialize((channels,), dtype=torch.float32)
                parameter.fill_(self.expression.initial[name])

    def _betas(self) -> Sequence[tuple[str, Parameter]]:
        return [(name, getattr(self, name)) for name in self.expression.initial]

    def betas(self) -> dict[str, Parameter]:
        """β by name, each ``(channels,)``."""
        return dict(self._betas())

    def forward(self, x: Tensor) -> Tensor:
        """gain · f(x), of x's shape and dtype.

        Raises:
            ConfigError: an x without floating point, without the channel dimension, on another device than β, or of
                another number of channels than β (one β may serve them all).
        """
        betas = self._fitting(x)
        if torch.compiler.is_compiling():  # a compiler fuses torch operations itself
            return evaluate(self._function, x, betas, self.gain, self.channel_dim)
        backend = fastest(self.expression, x) if self.backend == "auto" else self.backend
        return BACKENDS[backend](self.expression, x, betas, self.gain, self.channel_dim)

    def _fitting(self, x: Tensor) -> list[Tensor]:
        """β, one for each of x's channels."""
        if not x.is_floating_point():
            raise ConfigError(f"an activation takes floating-point input, got {x.dtype}")
        if self.expression.initial and not -x.ndim <= self.channel_dim < x.ndim:
            raise ConfigError(f"channel_dim = {self.channel_dim}: the input has the shape {tuple(x.shape)}")
        fitting: list[Tensor] = []
        for name, beta in self._betas():
            channels = x.shape[self.channel_dim]
            if beta.device != x.device:
                raise ConfigError(f"{name} is on {beta.device}, the input on {x.device}: move one to the other")
            if len(beta) not in (1, channels):
                where = f"dimension {self.channel_dim} of an input of shape {tuple(x.shape)}"
                raise ConfigError(f"{name} has {len(beta)} channels, {where} has {channels}")
            fitting.append(beta if len(beta) == channels else beta.expand(channels))
        return fitting

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_function"}  # which no pickle can hold

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._function = torch_function(self.expression)

    def extra_repr(self) -> str:
        return f"{self.expression}" + ("" if self.gain == 1 else f", gain={self.gain:.4g}")
