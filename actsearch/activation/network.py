"""Activations inside a network: the factory that timm takes, β's channels, and what an optimizer must know."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parameter import Parameter

from actsearch.activation.module import Activation, as_expression
from actsearch.expression import Expression
from actsearch.formula import Formula
from actsearch.identity import canonical


def act_layer(
    formula: Formula | Expression | str, *, gain: float = 1.0, backend: str = "auto"
) -> Callable[..., nn.Module]:
    """A factory of fresh activations, as timm's `act_layer` argument wants it: a plain function of `inplace`.

    `inplace` is accepted and has no effect: no formula can overwrite the input that its gradient needs.
    """
    expression = canonical(as_expression(formula))

    def make(inplace: bool = False) -> nn.Module:
        return Activation(expression, gain=gain, backend=backend)

    return make


def materialize(model: nn.Module, example_input: Tensor) -> None:
    """Gives every lazily made β its channels by one dry forward pass.

    The pass runs in eval mode without gradient, so that batch statistics and random numbers stay as they were; each
    module's training flag is restored.

    Args:
        model: a network that holds activations.
        example_input: one batch as the model takes it, any size, on the model's device.
    """
    with evaluating(model):
        model(example_input)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradient; each module's training flag is restored at the end."""
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, flag in training.items():
            module.training = flag


def activations(model: nn.Module) -> dict[str, Activation]:
    """Every `Activation` of a network by its path, in the order of construction."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Activation)}


def beta_parameters(model: nn.Module) -> list[Parameter]:
    """All β of a network, for an optimizer group without weight decay."""
    return [beta for module in activations(model).values() for beta in module.betas().values()]
