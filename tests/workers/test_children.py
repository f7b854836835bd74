"""The child networks: published sizes, the candidate everywhere, and what each architecture promises."""

import math
import sys
import time
from pathlib import Path
from subprocess import run
from typing import Any

import numpy as np
import pytest
import torch
from timm.layers.drop import DropPath
from torch import nn

from actsearch.activation import act_layer, activations, materialize
from actsearch.config import ChildSettings
from actsearch.errors import CallerError, ConfigError, UnknownNameError
from actsearch.identity import unit_gain
from actsearch.reader import read
from actsearch_workers.children import CHILDREN, child
from actsearch_workers.children.build import build_child, stock_activations
from actsearch_workers.children.nf_resnet import NFResNet
from actsearch_workers.children.spec import ActLayer
from actsearch_workers.optimisation import optimizer

SWISH = "x*sigmoid(beta*x)"
SMALL = [name for name in CHILDREN if not name.startswith(("efficientnet_b", "resnet56", "resnet110"))]


def _build(
    name: str,
    layer: ActLayer | None = None,
    *,
    num_classes: int = 10,
    in_chans: int = 1,
    image_size: int = 14,
    squeeze_excite: str = "candidate",
    drop_path_rate: float = 0.0,
    allow_user_code: bool = False,
) -> nn.Module:
    return build_child(
        ChildSettings.parse({"name": name, "squeeze_excite": squeeze_excite}),
        layer or act_layer(SWISH),
        num_classes=num_classes,
        in_chans=in_chans,
        image_size=image_size,
        drop_path_rate=drop_path_rate,
        allow_user_code=allow_user_code,
    )


def _parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "classes", "image_size", "published"),
    [
        ("resnet18", 1000, 224, 11_689_512),  # torchvision's and timm's documentation
        ("efficientnet_b0", 1000, 224, 5_288_548),
        ("efficientnet_b1", 1000, 240, 7_794_184),
        ("resnet20", 10, 32, 272_474),  # He et al. 2016: 0.27 million, here with 1x1 shortcuts
        ("resnet56", 10, 32, 855_770),  # 0.85 million
        ("resnet110", 10, 32, 1_730_714),  # 1.7 million
    ],
)
def test_parameter_counts_are_the_published_ones(name: str, classes: int, image_size: int, published: int) -> None:
    model = _build(name, act_layer("max(x, 0)"), num_classes=classes, in_chans=3, image_size=image_size)
    assert _parameters(model) == published


@pytest.mark.parametrize(("name", "places"), [
    ("nf_resnet8", 7), ("nf_resnet20", 19), ("resnet8", 7), ("resnet20", 19), ("resnet18", 17), ("efficientnet_b0", 49),
])  # fmt: skip
def test_number_of_activations(name: str, places: int) -> None:
    assert len(activations(_build(name))) == places


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(("image_size", "in_chans", "classes"), [(8, 1, 10), (14, 1, 10), (32, 3, 100)])
def test_every_child_takes_small_images(name: str, image_size: int, in_chans: int, classes: int) -> None:
    model = _build(name, in_chans=in_chans, num_classes=classes, image_size=image_size)
    x = torch.zeros(2, in_chans, image_size, image_size)
    materialize(model, x)
    assert stock_activations(model) == []
    assert model(x).shape == (2, classes)
    for layer in activations(model).values():
        assert layer.betas()["beta"].numel() > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(CHILDREN) - set(SMALL)))
def test_every_large_child_takes_small_images(name: str) -> None:
    test_every_child_takes_small_images(name, 32, 3, 100)


def test_squeeze_excite_may_stay_as_it_was() -> None:
    free, fixed = _build("efficientnet_b0"), _build("efficientnet_b0", squeeze_excite="fixed")
    assert len(activations(free)) - len(activations(fixed)) == 16  # one for each of B0's blocks
    assert stock_activations(fixed, "fixed") == []
    left = stock_activations(fixed)
    assert len(left) == 16
    assert all(path.endswith("se.act1") and isinstance(fixed.get_submodule(path), nn.SiLU) for path in left)


def test_a_stock_activation_that_is_left_is_found() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.GELU(), act_layer(SWISH)(False)), nn.Softmax(dim=1))
    assert stock_activations(model) == ["1.0"]


@pytest.mark.parametrize(("name", "factor"), [("resnet18", 4), ("efficientnet_b0", 2)])
def test_published_networks_keep_their_strides_for_large_images(name: str, factor: int) -> None:
    def feature_size(image_size: int) -> int:
        model: Any = _build(name, act_layer("max(x, 0)"), in_chans=3, image_size=image_size)
        return int(model.eval().forward_features(torch.zeros(1, 3, 96, 96)).shape[-1])

    assert feature_size(96) == 96 // 32
    assert feature_size(64) == factor * feature_size(96)


@pytest.mark.parametrize(("name", "blocks"), [("nf_resnet20", 9), ("resnet20", 9), ("resnet18", 8)])
def test_drop_path_rises_linearly_over_depth(name: str, blocks: int) -> None:
    rates = [m.drop_prob for m in _build(name, drop_path_rate=0.2).modules() if isinstance(m, DropPath)]
    assert rates == pytest.approx([0.2 * k / (blocks - 1) for k in range(1, blocks)])  # the first block has rate 0
    assert not any(isinstance(m, DropPath) for m in _build(name).modules())


def _variances(model: NFResNet, x: torch.Tensor) -> dict[str, float]:
    """Mean square of what each activation of the network receives."""
    seen: dict[str, float] = {}
    for name, layer in activations(model).items():
        layer.register_forward_pre_hook(lambda _, args, name=name: seen.update({name: float(args[0].square().mean())}))
    with torch.no_grad():
        model(x)
    return seen


@pytest.mark.parametrize("text", ["max(x, 0)", SWISH, "sinc(x) - softplus(x)", "asinh(x) - cos(x)"])
def test_nf_resnet_keeps_variance_one_at_every_activation(text: str) -> None:
    """What the analytic s and unit gain are for: on white noise every pre-activation has variance near 1."""
    layer = act_layer(text, gain=unit_gain(read(text)))
    sums: dict[str, list[float]] = {}
    for seed in range(24):
        torch.manual_seed(seed)
        model = _build("nf_resnet8", layer)
        assert isinstance(model, NFResNet)
        x = torch.randn(4, 1, 48, 48)
        materialize(model, x)
        for name, variance in _variances(model, x).items():
            sums.setdefault(name, []).append(variance)
    # 24 networks of 8 to 32 channels leave a standard error of 0.06; zero padding takes a tenth at 12 pixels a side.
    means = {name: float(np.mean(values)) for name, values in sums.items()}
    assert all(0.7 < mean < 1.25 for mean in means.values()), means


def test_nf_resnet_is_the_recipes_formula() -> None:
    """Forward pass written out from the paper's recipe, in a loop over the blocks' weights."""
    torch.manual_seed(0)
    model = _build("nf_resnet8", act_layer("tanh(x)"))
    assert isinstance(model, NFResNet)
    x = torch.randn(4, 1, 14, 14)
    h = nn.functional.conv2d(x, model.stem.weight, padding=1)
    variance = 1.0
    for k, block in enumerate(model.blocks):
        stride = 1 if k == 0 else 2
        a = torch.tanh(h / math.sqrt(variance))
        branch = nn.functional.conv2d(a, block.conv1.weight, stride=stride, padding=1)  # type: ignore[arg-type, union-attr]
        branch = nn.functional.conv2d(torch.tanh(branch), block.conv2.weight, padding=1)  # type: ignore[arg-type, union-attr]
        if k == 0:
            h, variance = h + 0.5 * branch, variance + 0.25
        else:
            h = nn.functional.conv2d(a, block.shortcut.weight, stride=2) + 0.5 * branch  # type: ignore[arg-type, union-attr]
            variance = 1.25
    expected = torch.tanh(h / math.sqrt(variance)).mean(dim=(2, 3)) @ model.head.weight.T
    assert torch.allclose(model(x), expected, atol=1e-5)


def test_nf_resnet_starts_from_its_distribution() -> None:
    torch.manual_seed(0)
    model = _build("nf_resnet20")
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert module.bias is not None
            assert not module.bias.any()
            weight = module.weight.detach()
            fan_in, n = weight[0].numel(), weight.numel()
            # The standard deviation of n normal numbers is within four of its own standard errors.
            assert float(weight.std()) * fan_in**0.5 == pytest.approx(1, abs=4 / math.sqrt(2 * n))
    assert not any(isinstance(m, nn.modules.batchnorm._NormBase) for m in model.modules())


@pytest.mark.slow
def test_a_step_of_efficientnet_tiny_stays_near_80_ms() -> None:
    """CPU time of forward, backward and SGD on 128 images at 14x14; the fastest of 20, since neighbours slow the rest.

    The target is 80 ms on a quiet core; 83 ms was seen on a busy one, so the limit is half as much again: a step that grows fails.
    """
    model = _build("efficientnet_tiny")
    x, y = torch.randn(128, 1, 14, 14), torch.arange(128) % 10
    materialize(model, x)
    model = model.to(memory_format=torch.channels_last)
    sgd = optimizer(model, child("efficientnet_tiny").recipe)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = []
    for _ in range(20):
        began = time.process_time()
        sgd.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(model(x), y))
        sgd.step()
        seconds.append(time.process_time() - began)
    torch.set_num_threads(threads)
    assert min(seconds) <= 0.120


@pytest.mark.parametrize("name", CHILDREN)
def test_every_entry_has_its_own_recipe(name: str) -> None:
    entry = child(name)
    assert entry.name == name
    assert entry.summary
    if name.startswith("nf_"):
        rate = 0.4 if name == "nf_resnet8" else 0.2
        assert (entry.recipe.learning_rate, entry.recipe.clip_norm, entry.recipe.crop_padding) == (rate, 1.0, 0)
        assert (entry.recipe.batch_size, entry.recipe.weight_decay, entry.recipe.steps) == (128, 5e-4, 150)
        assert (entry.recipe.momentum, entry.recipe.warmup_fraction, entry.recipe.flip) == (0.9, 0.1, True)
    else:
        assert (entry.recipe.learning_rate, entry.recipe.clip_norm) == (0.1, 0)
        assert entry.recipe.crop_padding == (4 if entry.recipe.steps == 10_000 else 0)


@pytest.mark.parametrize(
    ("name", "error", "line"),
    [
        ("resnet21", UnknownNameError, "no child named 'resnet21'; known: nf_resnet8, nf_resnet20, "),
        ("", UnknownNameError, "no child named ''"),
        ("a:b:c", UnknownNameError, "no child named 'a:b:c'"),
        ("mine:net", ConfigError, "child 'mine:net' is user code; it is imported only with --allow-user-code"),
    ],
)
def test_bad_names_get_one_line(name: str, error: type[CallerError], line: str) -> None:
    with pytest.raises(error) as info:
        child(name)
    assert line in str(info.value)
    assert "\n" not in str(info.value)


def test_importing_the_table_imports_no_torch() -> None:
    code = "import sys, actsearch_workers.children; sys.exit(bool({'torch', 'timm'} & set(sys.modules)))"
    assert run([sys.executable, "-c", code], check=False).returncode == 0


USER_MODULE = """
from torch import nn
def net(act_layer, num_classes, in_chans):
    return nn.Sequential(nn.Conv2d(in_chans, 4, 3), act_layer(), nn.Flatten(), nn.LazyLinear(num_classes))
def without(act_layer, num_classes, in_chans):
    return nn.Sequential(nn.Flatten(), nn.ReLU())
def text(act_layer, num_classes, in_chans):
    return "net"
"""


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "actsearch_test_child.py").write_text(USER_MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "actsearch_test_child", raising=False)
    return "actsearch_test_child"


def test_the_users_own_child(user_module: str) -> None:
    with pytest.raises(ConfigError, match="--allow-user-code"):
        _build(f"{user_module}:net")
    model = _build(f"{user_module}:net", allow_user_code=True)
    materialize(model, torch.zeros(2, 1, 8, 8))
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    assert child(f"{user_module}:net", allow_user_code=True).is_users


@pytest.mark.parametrize(
    ("function", "line"),
    [
        ("without", "every candidate would be equal"),
        ("text", "returns an nn.Module, got str"),
        ("no", "attribute 'no'"),
    ],
)
def test_what_a_users_function_returns_is_checked(user_module: str, function: str, line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        _build(f"{user_module}:{function}", allow_user_code=True)
