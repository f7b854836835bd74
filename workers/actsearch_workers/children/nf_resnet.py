"""ResNets without normalisation: the shape of the activation decides how they train.

After Brock, De, Smith 2021 (arXiv 2101.08692), section 3: pre-activation blocks x + α·f(x·s), where f keeps the
variance of its input and s is one over the standard deviation that x has at initialisation, known in closed form.
That the variance is kept takes weights from N(0, 1/fan_in) and an activation of unit gain.
"""

import math

import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn

from actsearch_workers.children.spec import ActLayer, Spec, drop_path_rates

ALPHA = 0.5
"""Weight of the residual branch; each block adds its square to the variance."""

WIDTHS = (8, 16, 32)


class NFBlock(nn.Module):
    """shortcut(x) + α·conv(act(conv(act(x·s)))), ``(batch, in_channels, h, w)`` to ``(batch, channels, h/s, w/s)``.

    Where the shape changes the shortcut is a 1x1 convolution of the activated input, so that the variance starts
    at 1 again.
    """

    def __init__(
        self, in_channels: int, channels: int, *, stride: int, variance: float, act_layer: ActLayer, drop_path: float
    ) -> None:
        """
        Args:
            in_channels: channels of x.
            channels: channels of the output.
            stride: of the first convolution and of the shortcut.
            variance: of x at initialisation.
            act_layer: makes the activation.
            drop_path: share of samples whose branch is dropped in training.
        """
        super().__init__()
        changes_shape = stride != 1 or in_channels != channels
        self.scale = 1 / math.sqrt(variance)
        self.act1 = act_layer()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1)
        self.act2 = act_layer()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.shortcut = nn.Conv2d(in_channels, channels, 1, stride) if changes_shape else None
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.out_variance = (1.0 if changes_shape else variance) + ALPHA**2

    def forward(self, x: Tensor) -> Tensor:
        activated = self.act1(x * self.scale)
        shortcut = x if self.shortcut is None else self.shortcut(activated)
        branch = self.conv2(self.act2(self.conv1(activated)))
        return torch.add(shortcut, self.drop_path(branch), alpha=ALPHA)


class NFResNet(nn.Module):
    """3x3 stem, three stages at strides 1, 2, 2, activation, mean over the image, linear layer."""

    def __init__(self, spec: Spec, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(spec.in_chans, WIDTHS[0], 3, padding=1)
        rates = iter(drop_path_rates(spec.drop_path_rate, blocks * len(WIDTHS)))
        channels, variance = WIDTHS[0], 1.0  # the stem's output, for standardised images
        stages: list[NFBlock] = []
        for stage, width in enumerate(WIDTHS):
            for k in range(blocks):
                block = NFBlock(
                    channels,
                    width,
                    stride=2 if stage > 0 and k == 0 else 1,
                    variance=variance,
                    act_layer=spec.act_layer,
                    drop_path=next(rates),
                )
                channels, variance = width, block.out_variance
                stages.append(block)
        self.blocks = nn.Sequential(*stages)
        self.scale = 1 / math.sqrt(variance)
        self.act = spec.act_layer()
        self.head = nn.Linear(channels, spec.num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                fan_in = module.weight[0].numel()
                nn.init.normal_(module.weight, std=fan_in**-0.5)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(batch, classes)`` of images ``(batch, channels, height, width)``."""
        features: Tensor = self.act(self.blocks(self.stem(x)) * self.scale)
        logits: Tensor = self.head(features.mean(dim=(2, 3)))
        return logits


def nf_resnet(spec: Spec, *, blocks: int) -> nn.Module:
    """The ResNet of depth 6·blocks + 2 without normalisation, widths 8/16/32.

    Training: SGD with a gradient clipped at norm 1, flips, no crops (`NF_RECIPE`, `SCREENING_RECIPE`).
    """
    return NFResNet(spec, blocks)
