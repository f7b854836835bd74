"""Functions that torch has itself, found by their canonical form."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from actsearch.backend import native_name
from actsearch.errors import ConfigError
from actsearch.expression import Expression


def native(expression: Expression) -> Callable[[Tensor], Tensor] | None:
    """Torch's own function for a canonical form, or None."""
    name = native_name(expression.full_text)
    if name is None:
        return None
    function: Callable[[Tensor], Tensor] = getattr(F, name, None) or getattr(torch, name)
    return function


def apply_native(expression: Expression, x: Tensor, betas: Sequence[Tensor], gain: float, channel_dim: int) -> Tensor:
    """gain · f(x) by torch's own function; `ConfigError` where it has none."""
    function = native(expression)
    if function is None:
        raise ConfigError(f"torch has no function of its own for {expression}; right would be eager or symbolic")
    return function(x) if gain == 1 else function(x) * gain
