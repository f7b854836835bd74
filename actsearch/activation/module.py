"""Any formula as an `nn.Module` with trainable per-channel β."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import Parameter, UninitializedParameter

from actsearch.activation.eager import torch_function
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
    """

    def __init__(
        self,
        formula: Formula | Expression | str,
        *,
        gain: float = 1.0,
        channel_dim: int = 1,
        channels: int | None = None,
    ) -> None:
        """
        Args:
            formula: a formula, an expression, or its text.
            gain: multiplies the function; the children's unit gain, or 1.
            channel_dim: where the channels are, 1 for ``(batch, channels, height, width)``, -1 for channels last.
            channels: β's length; None: taken from the first input.

        Raises:
            ExpressionError: a text that is no expression.
        """
        with warnings.catch_warnings():  # torch announces on every construction that lazy modules are new
            warnings.filterwarnings("ignore", message="Lazy modules are a new feature")
            super().__init__()
        self.expression = canonical(as_expression(formula))
        self.gain = gain
        self.channel_dim = channel_dim
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
        for name, parameter in self._betas():
            if isinstance(parameter, UninitializedParameter):
                parameter.materialize((channels,), dtype=torch.float32)
            with torch.no_grad():
                parameter.fill_(self.expression.initial[name])

    def _betas(self) -> Sequence[tuple[str, Parameter]]:
        return [(name, getattr(self, name)) for name in self.expression.initial]

    def betas(self) -> dict[str, Parameter]:
        """β by name, each ``(channels,)``."""
        return dict(self._betas())

    def forward(self, x: Tensor) -> Tensor:
        """gain · f(x), of x's shape and dtype."""
        shape = [1] * x.ndim
        shape[self.channel_dim] = -1
        betas = [beta.to(x.dtype).view(shape) for _, beta in self._betas()]
        value = torch_function(self.expression)(x, *betas)
        if not isinstance(value, Tensor):
            return torch.full_like(x, self.gain * value)
        value = value if self.gain == 1 else value * self.gain
        # autocast computes exp, log and the like in float32, and a function of β alone lacks x's dimensions
        return value.to(x.dtype).expand(x.shape) if value.shape != x.shape else value.to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.expression}" + ("" if self.gain == 1 else f", gain={self.gain:.4g}")
