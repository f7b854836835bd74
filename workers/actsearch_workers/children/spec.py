"""What every builder of a child network is told."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn

ActLayer = Callable[..., nn.Module]
"""A plain function `(inplace=False)` that makes one fresh activation (actsearch.activation.act_layer)."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """The candidate, and the data's and the recipe's demands on the network.

    Attributes:
        act_layer: makes the activation for every place that has one.
        num_classes: outputs.
        in_chans: channels of the images.
        image_size: longer side of the images in pixels.
        drop_path_rate: stochastic depth of the last block, rising linearly over depth.
        squeeze_excite: whether squeeze-excite takes the candidate too, or stays SiLU.
    """

    act_layer: ActLayer
    num_classes: int
    in_chans: int
    image_size: int
    drop_path_rate: float = 0.0
    squeeze_excite: Literal["candidate", "fixed"] = "candidate"


def drop_path_rates(last: float, blocks: int) -> list[float]:
    """Rates of `blocks` blocks, linear from 0 to `last` (Huang et al. 2016, arXiv 1603.09382, eq. 4)."""
    return [last * k / max(blocks - 1, 1) for k in range(blocks)]
