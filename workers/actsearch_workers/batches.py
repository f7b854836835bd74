"""Images on their way into a child: one uint8 tensor on the device, standardised, cropped and flipped by the batch.

Every image of a batch gets its own crop and flip (torchvision's transforms would draw once for a whole batch). All
random numbers come from one CPU generator, so that a GPU sees the batches that a CPU sees.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from actsearch.config import Recipe
from actsearch_workers.data import Split


@dataclass(frozen=True, eq=False)
class Standardiser:
    """Maps uint8 images to float32 of mean 0 and standard deviation 1 for each channel of the training images.

    Attributes:
        mean: of the training pixels (0–255) by channel, ``(1, channels, 1, 1)``.
        deviation: their standard deviation, the same shape; 1 for a channel that is constant.
    """

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, train: Split, device: torch.device) -> Self:
        """The statistics of all pixels of the training images, in float64 before they are rounded."""
        mean = torch.from_numpy(train.images.mean(axis=(0, 2, 3), dtype="f8"))
        deviation = torch.from_numpy(train.images.std(axis=(0, 2, 3), dtype="f8"))
        deviation = torch.where(deviation == 0, 1.0, deviation)
        return cls(*(t.to(device, torch.float32).view(1, -1, 1, 1) for t in (mean, deviation)))

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 ``(batch, channels, height, width)`` to float32 of the same shape, channels last in memory."""
        return ((images.float() - self.mean) / self.deviation).contiguous(memory_format=torch.channels_last)


def on_device(split: Split, device: torch.device) -> tuple[Tensor, Tensor]:
    """A split's uint8 images and int64 labels, copied to the device."""
    return torch.tensor(split.images, device=device), torch.tensor(split.labels, device=device)


def batch_rows(n: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Rows of one batch after another, without end: each epoch a new permutation, its incomplete rest left out.

    Args:
        n: images.
        batch_size: rows a batch; all n where there are fewer.
        generator: a CPU generator.
    """
    size = min(batch_size, n)
    while True:
        order = torch.randperm(n, generator=generator)
        for start in range(0, n - size + 1, size):
            yield order[start : start + size]


def augment(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Each image shifted by its own crop and mirrored with probability 1/2, as the recipe says.

    Args:
        images: uint8 ``(batch, channels, height, width)``.
        recipe: `crop_padding` pixels of black around the image before a crop of its own size; `flip`.
        generator: a CPU generator.

    Returns:
        The same shape and type, a new tensor where anything was done.
    """
    n, _, height, width = images.shape
    pad = recipe.crop_padding
    if pad == 0 and not recipe.flip:
        return images
    rows = torch.arange(height).expand(n, -1)
    columns = torch.arange(width).expand(n, -1)
    if recipe.flip:
        mirrored = torch.rand(n, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    if pad:
        shift = torch.randint(2 * pad + 1, (2, n, 1), generator=generator)
        rows, columns = rows + shift[0], columns + shift[1]
        images = F.pad(images, (pad, pad, pad, pad))
    # One gather does both. Indices (batch, height, width) around the channels' slice put the channels last.
    index = torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]
    first, second, third = (i.to(images.device) for i in index)
    return images.permute(0, 2, 3, 1)[first, second, third].permute(0, 3, 1, 2)
