"""What is known about a function before a child is built: too costly, constant, or not finite."""

import torch

from actsearch.activation import Activation
from actsearch.evaluation import Outcome
from actsearch.expression import Expression
from actsearch.identity import is_constant, is_finite, operation_count

_SAMPLE = 4_096
"""Points of a standard normal's quantiles: |x| up to 3.7, as a layer of variance 1 has them in a batch."""


def screen(expression: Expression, gain: float, max_operations: int, backend: str) -> tuple[Outcome, str] | None:
    """The outcome and its reason of a function that need not be trained; None for one that may.

    Args:
        expression: the function.
        gain: the constant it will be multiplied by.
        max_operations: operation count above which it is too costly.
        backend: how it will be computed.
    """
    operations = operation_count(expression)
    if operations > max_operations:
        return Outcome.TOO_COSTLY, f"{operations} operations, at most {max_operations} are allowed"
    if is_constant(expression):
        return Outcome.CONSTANT, "the function does not depend on x"
    if not is_finite(expression):
        return Outcome.NONFINITE, "the function is not real and finite"
    return _screen_values(Activation(expression, gain=gain, channels=_SAMPLE, backend=backend))


def _screen_values(activation: Activation) -> tuple[Outcome, str] | None:
    """Runs the very module that would train, each point a channel of its own so that each has its own β gradient."""
    probability = (torch.arange(_SAMPLE, dtype=torch.float64) + 0.5) / _SAMPLE
    x = torch.special.ndtri(probability).float().view(1, -1).requires_grad_()
    with torch.enable_grad():
        y = activation(x)
        parameters = activation.betas()
        gradients = torch.autograd.grad(y.sum(), [x, *parameters.values()], allow_unused=True, materialize_grads=True)
    for name, values in zip(["", "x", *parameters], [y, *gradients], strict=True):
        bad = ~torch.isfinite(values.detach().flatten())
        if bad.any():
            what = f"the derivative by {name}" if name else "the function"
            at = float(x.detach().flatten()[bad.nonzero()[0, 0]])
            return Outcome.NONFINITE, f"{what} is not finite at x = {at:.4g}"
    return None
