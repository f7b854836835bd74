"""ResNets for small images with batch norm, assembled from timm's `BasicBlock`.

He et al. 2016 (arXiv 1512.03385), section 4.2, with 1x1 convolutions where the shape changes (option B).
"""

from timm.layers.drop import DropPath
from timm.models.resnet import BasicBlock, downsample_conv
from torch import Tensor, nn

from actsearch_workers.children.spec import Spec, drop_path_rates

WIDTHS = (16, 32, 64)


class CifarResNet(nn.Module):
    """3x3 stem, three stages of `blocks` basic blocks at strides 1, 2, 2, mean over the image, linear layer."""

    def __init__(self, spec: Spec, blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(spec.in_chans, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.act1 = spec.act_layer()
        rates = iter(drop_path_rates(spec.drop_path_rate, blocks * len(WIDTHS)))
        channels = WIDTHS[0]
        layers = []
        for stage, width in enumerate(WIDTHS):
            for k in range(blocks):
                stride = 2 if stage > 0 and k == 0 else 1
                rate = next(rates)
                layers.append(
                    BasicBlock(
                        channels,
                        width,
                        stride,
                        downsample_conv(channels, width, 1, stride) if channels != width else None,
                        act_layer=spec.act_layer,  # type: ignore[arg-type]  # timm calls it, whatever it is
                        drop_path=DropPath(rate) if rate else None,
                    )
                )
                channels = width
        self.blocks = nn.Sequential(*layers)
        self.fc = nn.Linear(channels, spec.num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # He et al. 2015 (arXiv 1502.01852), as in timm's ResNets
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(batch, classes)`` of images ``(batch, channels, height, width)``."""
        features: Tensor = self.blocks(self.act1(self.bn1(self.conv1(x))))
        logits: Tensor = self.fc(features.mean(dim=(2, 3)))
        return logits


def cifar_resnet(spec: Spec, *, blocks: int) -> nn.Module:
    """The ResNet of depth 6·blocks + 2; ResNet-20 has 272,474 parameters at 3 channels and 10 classes without β.

    Training: SGD 0.1 at batch 128 as He et al. do, flips (`BN_RECIPE`); crops from depth 56 (`LONG_RECIPE`).
    """
    return CifarResNet(spec, blocks)
