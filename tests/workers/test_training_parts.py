"""Batches, learning rate, decay groups, screening and measures, each against a closed form or a loop."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from actsearch.activation import Activation, act_layer, activations, materialize
from actsearch.config import ChildSettings, Recipe
from actsearch.evaluation import HISTOGRAM_BINS, MAX_BYTES, CurvePoint, Evaluation, LayerRecord, Outcome
from actsearch.reader import read
from actsearch_workers.batches import Standardiser, augment, batch_rows
from actsearch_workers.children.build import build_child
from actsearch_workers.data import Split
from actsearch_workers.measures import (
    accuracy_and_loss,
    evenly_spaced,
    layer_records,
    summary,
    with_layers,
)
from actsearch_workers.optimisation import learning_rate, optimizer
from actsearch_workers.screening import screen

CPU = torch.device("cpu")
PLAIN = Standardiser(torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1))


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_standardised_training_images_have_mean_0_and_deviation_1() -> None:
    images = np.random.default_rng(0).integers(0, 200, (50, 2, 4, 4), dtype=np.uint8)
    images[:, 1] = 7  # a constant channel
    train = Split(images, np.zeros(50, dtype=np.int64), np.arange(50))
    x = Standardiser.of(train, CPU)(torch.tensor(images))
    assert x[:, 0].mean().item() == pytest.approx(0, abs=1e-6)
    assert x[:, 0].std(correction=0).item() == pytest.approx(1, abs=1e-6)
    assert (x[:, 1] == 0).all()
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_each_epoch_shows_every_image_once_in_a_new_order() -> None:
    batches = batch_rows(10, 5, _generator())
    epochs = [torch.cat([next(batches), next(batches)]).tolist() for _ in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_an_incomplete_rest_is_left_out() -> None:
    batches = batch_rows(7, 3, _generator())
    for _ in range(5):
        epoch = torch.cat([next(batches), next(batches)]).tolist()
        assert len(set(epoch)) == 6
    assert len(next(batch_rows(4, 128, _generator()))) == 4


@pytest.mark.parametrize(("pad", "flip"), [(0, True), (1, False), (2, True)])
def test_augment_against_every_possible_crop_and_flip(pad: int, flip: bool) -> None:
    """Each result is one of the (2·pad + 1)²·2 images a loop makes, and over many images each comes up equally often."""
    image = np.arange(1, 2 * 4 * 5 + 1, dtype=np.uint8).reshape(2, 4, 5)
    padded = np.pad(image, ((0, 0), (pad, pad), (pad, pad)))
    possible = {}
    for dy in range(2 * pad + 1):
        for dx in range(2 * pad + 1):
            crop = padded[:, dy : dy + 4, dx : dx + 5]
            possible[crop.tobytes()] = (dy, dx, False)
            if flip:
                possible[crop[:, :, ::-1].tobytes()] = (dy, dx, True)
    n = 5_000
    recipe = Recipe(flip=flip, crop_padding=pad)
    out = augment(torch.tensor(image).expand(n, -1, -1, -1), recipe, _generator())
    assert out.dtype == torch.uint8
    seen = Counter(possible[one.numpy().tobytes()] for one in out.contiguous())
    expected = n / len(possible)
    assert len(seen) == len(possible)
    # Chi-square with as many degrees of freedom as cells, less one: mean that, standard deviation √(2·that).
    chi2 = sum((count - expected) ** 2 / expected for count in seen.values())
    assert chi2 < len(possible) + 5 * math.sqrt(2 * len(possible))


def test_augment_does_nothing_where_the_recipe_has_nothing() -> None:
    images = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    generator = _generator()
    before = generator.get_state()
    assert augment(images, Recipe(flip=False, crop_padding=0), generator) is images
    assert torch.equal(generator.get_state(), before)


def test_learning_rate_at_the_schedules_landmarks() -> None:
    recipe = Recipe(steps=100, learning_rate=0.2, warmup_fraction=0.1)
    assert learning_rate(0, recipe) == pytest.approx(0.02)
    assert learning_rate(4, recipe) == pytest.approx(0.1)
    assert learning_rate(9, recipe) == pytest.approx(0.2)
    assert learning_rate(10, recipe) == pytest.approx(0.2)
    assert learning_rate(10 + 30, recipe) == pytest.approx(0.2 * (1 + 0.5) / 2)  # cos(π/3)
    assert learning_rate(10 + 45, recipe) == pytest.approx(0.1)
    assert learning_rate(10 + 60, recipe) == pytest.approx(0.2 * (1 - 0.5) / 2)  # cos(2π/3)
    assert 0 < learning_rate(99, recipe) < 1e-4
    rates = [learning_rate(step, recipe) for step in range(10, 100)]
    assert rates == sorted(rates, reverse=True)


def test_learning_rate_without_warm_up_and_with_one_step() -> None:
    assert learning_rate(0, Recipe(steps=10, learning_rate=0.3, warmup_fraction=0)) == pytest.approx(0.3)
    assert learning_rate(0, Recipe(steps=1, learning_rate=0.3)) == pytest.approx(0.3)


@pytest.mark.parametrize("name", ["nf_resnet8", "resnet8", "efficientnet_tiny"])
def test_only_weights_of_two_or_four_dimensions_decay(name: str) -> None:
    model = build_child(
        ChildSettings(name=name), act_layer("x*sigmoid(beta*x)"), num_classes=10, in_chans=1, image_size=14
    )
    materialize(model, torch.zeros(1, 1, 14, 14))
    groups = {group["weight_decay"]: set(group["params"]) for group in optimizer(model, Recipe()).param_groups}
    assert set(groups) == {0.0, 5e-4}
    expected = {m.weight for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    assert groups[5e-4] == expected
    assert groups[0.0] == set(model.parameters()) - expected
    assert {beta for layer in activations(model).values() for beta in layer.betas().values()} <= groups[0.0]


@pytest.mark.parametrize(
    ("text", "outcome", "reason"),
    [
        ("x*sigmoid(beta*x)", None, ""),
        ("max(x, 0)", None, ""),
        ("beta", Outcome.CONSTANT, "the function does not depend on x"),
        ("x - x + 3", Outcome.CONSTANT, "the function does not depend on x"),
        ("exp(exp(exp(exp(x))))", Outcome.NONFINITE, "the function is not finite at x = "),
        ("1/max(x, 0)", Outcome.NONFINITE, "the function is not finite at x = -3.6"),
        ("sqrt(max(x, 0))", Outcome.NONFINITE, "the derivative by x is not finite at x = -3.6"),
    ],
)
def test_screening(text: str, outcome: Outcome | None, reason: str) -> None:
    verdict = screen(read(text), 1.0, max_operations=400, backend="symbolic")
    if outcome is None:
        assert verdict is None
    else:
        assert verdict is not None
        assert verdict[0] is outcome
        assert verdict[1].startswith(reason)


def test_screening_by_cost_names_both_numbers() -> None:
    assert screen(read("x*sigmoid(x)"), 1.0, max_operations=1, backend="symbolic") == (
        Outcome.TOO_COSTLY,
        "2 operations, at most 1 are allowed",
    )


def test_accuracy_and_loss_against_a_loop() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 3))
    images = torch.randint(0, 5, (601, 1, 2, 2), dtype=torch.uint8)
    labels = torch.randint(0, 3, (601,))
    accuracy, loss = accuracy_and_loss(model, images, labels, PLAIN)
    assert model.training
    assert model[1].num_batches_tracked == 0  # batch norm was in eval mode
    model.eval()
    right, total = 0, 0.0
    for image, label in zip(images, labels, strict=True):
        probability = torch.softmax(model(image[None].float())[0].double(), dim=0)
        right += int(probability.argmax() == label)
        total -= math.log(probability[label].item())
    assert accuracy == right / 601
    assert loss == pytest.approx(total / 601, rel=1e-5)


@pytest.mark.parametrize(("n", "count", "kept"), [(8_000, 2_000, 2_000), (10, 20, 10), (10, 3, 3), (11, 10, 6)])
def test_evenly_spaced(n: int, count: int, kept: int) -> None:
    rows = evenly_spaced(torch.arange(n), count)
    assert len(rows) == kept <= count
    assert len(set(np.diff(rows.numpy()).tolist())) <= 1


def test_layer_records_count_what_the_activations_receive() -> None:
    model = nn.Sequential(Activation("x*sigmoid(beta*x)", channels=2), Activation("max(x, 0)"))
    with torch.no_grad():
        model[0].beta.copy_(torch.tensor([-0.5, 2.0]))  # type: ignore[operator]
    images = torch.zeros(300, 2, 1, 2, dtype=torch.uint8)
    images[:, 1] = 30  # beyond the last bin
    images[0, 0, 0, 0] = 3
    first, second = layer_records(model, images, PLAIN)
    assert (first.name, first.channels, first.betas) == ("0", 2, {"beta": (-0.5, 2.0)})
    assert (second.name, second.channels, second.betas) == ("1", 2, {})
    histogram = [0] * HISTOGRAM_BINS
    histogram[20], histogram[26], histogram[39] = 599, 1, 600  # bins of 0.5 from -10
    assert list(first.histogram) == histogram
    assert sum(second.histogram) == 1200
    assert not model[0]._forward_pre_hooks or len(model[0]._forward_pre_hooks) == 0
    assert model.training


def test_summary_gives_values_or_quantiles() -> None:
    assert summary(torch.tensor([1.234567, -2.0]), 64, 33) == (1.2346, -2.0)
    assert summary(torch.arange(101.0), 64, 5) == (0.0, 25.0, 50.0, 75.0, 100.0)


@pytest.mark.parametrize(("layers", "betas"), [(49, 2), (109, 2), (109, 8), (400, 8)])
def test_any_number_of_layers_fits_the_message(layers: int, betas: int) -> None:
    record = LayerRecord(
        name="blocks.6.0.conv_pwl.act1",
        channels=64,
        betas={f"beta{k}": tuple(-1.2345e-05 * j for j in range(1, 65)) for k in range(betas)},
        histogram=(123_456,) * HISTOGRAM_BINS,
    )
    blank = Evaluation(run="r", evaluation="0" * 16, outcome=Outcome.TRAINED, val_accuracy=0.5)
    fitted = with_layers(blank, [record] * layers)
    assert len(fitted.to_json()) <= MAX_BYTES - 2_048
    assert len(fitted.layers) == {(109, 8): 55, (400, 8): 50}.get((layers, betas), layers)
    assert Evaluation.from_json(fitted.to_json()) == fitted


@pytest.mark.timeout(60)
@pytest.mark.parametrize("layers", [0, 1, 3])
def test_layers_are_left_out_where_the_rest_alone_is_too_large(layers: int) -> None:
    record = LayerRecord(name="act", channels=1, betas={}, histogram=(0,) * HISTOGRAM_BINS)
    curve = tuple(CurvePoint(step=step, val_accuracy=0.1, val_loss=2.3) for step in range(1500))
    large = Evaluation(run="r", evaluation="0" * 16, outcome=Outcome.DIVERGED, curve=curve)
    assert with_layers(large, [record] * layers) == large, "whoever publishes it refuses it, with its size"
