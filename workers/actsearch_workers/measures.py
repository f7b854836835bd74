"""What is measured on a child with validation images: accuracy and loss along the way, and its layers at the end."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from actsearch.activation import Activation, activations
from actsearch.evaluation import HISTOGRAM_BINS, MAX_BYTES, Evaluation, LayerRecord
from actsearch_workers.batches import Standardiser

CURVE_IMAGES = 2_000
"""Validation images of a measurement along the way; the last one takes all. Of nf_resnet8's 3 seconds four full
measurements would be one."""

HISTOGRAM_IMAGES = 500
"""Validation images behind the pre-activation histograms."""

MAX_CHANNELS = 64
"""Up to this many channels β is given for each, above by quantiles."""

QUANTILES = (33, 17, 9, 5)
"""Quantiles of β a layer: the first number for which the evaluation fits `MAX_BYTES` (ResNet-110, EfficientNet-B7)."""

_BATCH = 250
"""Images a forward pass; larger batches leave the CPU's caches (measured: 2,000 at once take 1.1 to 4 times longer)."""


def evenly_spaced(tensor: Tensor, count: int) -> Tensor:
    """At most `count` rows at equal distances, so that rows sorted by class stay balanced."""
    return tensor[:: math.ceil(len(tensor) / count)]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradients; training mode again afterwards."""
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train()


def accuracy_and_loss(
    model: nn.Module, images: Tensor, labels: Tensor, standardise: Standardiser
) -> tuple[float, float]:
    """Share of images classified right, and mean cross-entropy in nats, with batch norm in eval mode.

    Args:
        model: the child; left in training mode.
        images: uint8 ``(n, channels, height, width)``.
        labels: int64 ``(n,)``.
        standardise: of the training images.
    """
    correct, loss = 0, 0.0
    with evaluating(model):
        for x, y in zip(torch.split(images, _BATCH), torch.split(labels, _BATCH), strict=True):
            logits = model(standardise(x)).float()
            correct += int((logits.argmax(dim=1) == y).sum())
            loss += float(F.cross_entropy(logits, y, reduction="sum"))
    return correct / len(labels), loss / len(labels)


def layer_records(
    model: nn.Module, images: Tensor, standardise: Standardiser, quantiles: int = QUANTILES[0]
) -> tuple[LayerRecord, ...]:
    """Each activation's trained β and the histogram of what it receives, in the order of construction.

    Args:
        model: the trained child; left in training mode.
        images: uint8 validation images ``(n, channels, height, width)``.
        standardise: of the training images.
        quantiles: of β where a layer has more than 64 channels.
    """
    layers = activations(model)
    counts = {name: torch.zeros(HISTOGRAM_BINS, dtype=torch.int64) for name in layers}
    channels = dict.fromkeys(layers, 0)

    def observe(name: str, layer: Activation) -> RemovableHandle:
        def count(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            x = args[0].float()
            channels[name] = x.shape[layer.channel_dim]
            for part in torch.split(x.clamp(-10, 10).flatten(), 2**24):  # histc counts in float32, exact up to there
                counts[name] += torch.histc(part, bins=HISTOGRAM_BINS, min=-10, max=10).to("cpu", torch.int64)

        return layer.register_forward_pre_hook(count)

    handles = [observe(name, layer) for name, layer in layers.items()]
    try:
        with evaluating(model):
            for x in torch.split(images, _BATCH):
                model(standardise(x))
    finally:
        for handle in handles:
            handle.remove()
    return tuple(
        LayerRecord(
            name=name,
            channels=channels[name],
            betas={b: summary(value.detach().cpu(), MAX_CHANNELS, quantiles) for b, value in layer.betas().items()},
            histogram=tuple(int(c) for c in counts[name]),
        )
        for name, layer in layers.items()
        if channels[name]  # a layer that the network never calls has nothing to say
    )


def summary(values: Tensor, limit: int, quantiles: int) -> tuple[float, ...]:
    """The values ``(channels,)`` themselves up to `limit`, else equally spaced quantiles; five significant digits."""
    if len(values) > limit:
        values = torch.quantile(values, torch.linspace(0, 1, quantiles))
    return tuple(float(f"{v:.5g}") for v in values.tolist())


def with_layers(evaluation: Evaluation, layers: Sequence[LayerRecord]) -> Evaluation:
    """The evaluation with its layers, made to fit 64 KB.

    First β is given by fewer quantiles in every layer, then every second layer is left out until it fits, at last all.
    """
    for quantiles in QUANTILES:
        fitted = evaluation.model_copy(update={"layers": tuple(_thinned(layer, quantiles) for layer in layers)})
        if len(fitted.to_json()) <= _LAYER_BYTES:
            return fitted
    while fitted.layers and len(fitted.to_json()) > _LAYER_BYTES:
        fitted = fitted.model_copy(update={"layers": fitted.layers[::2] if len(fitted.layers) > 1 else ()})
    return fitted


_LAYER_BYTES = MAX_BYTES - 2_048  # the worker's name and environment are still to come


def _thinned(layer: LayerRecord, quantiles: int) -> LayerRecord:
    limit = MAX_CHANNELS if quantiles == QUANTILES[0] else quantiles
    betas = {name: summary(torch.tensor(values), limit, quantiles) for name, values in layer.betas.items()}
    return layer.model_copy(update={"betas": betas})
