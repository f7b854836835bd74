"""Children that timm builds: its published networks, adapted to small images, and a tiny EfficientNet."""

from functools import partial
from typing import Any

import timm
from timm.models._efficientnet_blocks import SqueezeExcite
from timm.models._efficientnet_builder import decode_arch_def
from timm.models.efficientnet import EfficientNet
from timm.models.resnet import ResNet
from torch import nn

from actsearch_workers.children.spec import Spec

SMALL = 64
"""Images up to this many pixels a side enter published networks without the first halvings."""


def timm_net(spec: Spec, *, model: str) -> nn.Module:
    """A network of timm by its name there, with the candidate at every activation; nothing is downloaded.

    Its first layers halve a 224-pixel image once (EfficientNet) or twice (ResNet) before the first block. At 64
    pixels and below these strides become 1; ResNet's 7x7 stem becomes 3x3 and its pooling goes, the usual changes for
    CIFAR. Above, parameter counts are as published: ResNet-18 11,689,512, EfficientNet-B0 5,288,548 at 1,000 classes.

    Training: SGD 0.1 at batch 128 (`LONG_RECIPE`); batch norm lets one rate serve all of them.
    """
    kwargs: dict[str, Any] = {}
    if model.startswith("efficientnet"):
        kwargs["se_layer"] = _squeeze_excite(spec)
    net: nn.Module = timm.create_model(
        model,
        pretrained=False,
        num_classes=spec.num_classes,
        in_chans=spec.in_chans,
        act_layer=spec.act_layer,
        drop_path_rate=spec.drop_path_rate,
        **kwargs,
    )
    if spec.image_size <= SMALL:
        _adapt_to_small_images(net)
    return net


def efficientnet_tiny(spec: Spec) -> nn.Module:
    """Three stages of EfficientNet's blocks (Tan, Le 2019, arXiv 1905.11946, Table 1), small enough for a CPU.

    Stem of 8 channels at stride 1, then MBConv1 8, MBConv4 24 and two MBConv4 40 at strides 1, 2, 2, all with
    squeeze-excite, head of 128 channels. A step on 128 images at 14x14 (forward, backward, SGD) takes about 50 ms
    with ReLU or Swish on one core of a server.

    Training: SGD 0.1 at batch 128, flips (`BN_RECIPE`).
    """
    stages = [["ds_r1_k3_s1_e1_c8_se0.25"], ["ir_r1_k3_s2_e4_c24_se0.25"], ["ir_r2_k3_s2_e4_c40_se0.25"]]
    net: nn.Module = EfficientNet(
        decode_arch_def(stages),  # type: ignore[no-untyped-call]
        num_classes=spec.num_classes,
        num_features=128,
        in_chans=spec.in_chans,
        stem_size=8,
        act_layer=spec.act_layer,
        se_layer=_squeeze_excite(spec),
        drop_path_rate=spec.drop_path_rate,
    )
    _adapt_to_small_images(net)
    return net


def _squeeze_excite(spec: Spec) -> Any:
    return SqueezeExcite if spec.squeeze_excite == "candidate" else partial(SqueezeExcite, force_act_layer=nn.SiLU)


def _adapt_to_small_images(net: Any) -> None:
    if isinstance(net, EfficientNet):
        stem: Any = net.conv_stem
        stem.stride = (1, 1)
    elif isinstance(net, ResNet):
        _enter_at_full_size(net)
    else:
        raise TypeError(f"no small-image form of {type(net).__name__} is known")


def _enter_at_full_size(net: Any) -> None:
    old = net.conv1
    net.conv1 = nn.Conv2d(old.in_channels, old.out_channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
    net.maxpool = nn.Identity()
