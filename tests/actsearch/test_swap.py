"""`swap` on real networks: every place once, β on the channels of the layer that feeds it, nothing else changed."""

import copy
import io
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from actsearch.activation import Activation, activations, beta_parameters, swap
from actsearch.activation.swapping.axes import ChannelAxes
from actsearch.errors import ExpressionError, SwapError

SWISH = "x*sigmoid(beta*x)"
TWO_BETAS = "x*sigmoid(beta*x) + beta2*sin(x); beta2=0"


@pytest.fixture(autouse=True, scope="module")
def one_thread(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One thread, for many threads on small tensors wait for each other; backends measured for these tests alone."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
    torch.set_num_threads(threads)


def images(size: int, batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))


def torchvision_net(name: str) -> nn.Module:
    model: nn.Module = getattr(torchvision.models, name)(weights=None, num_classes=10)
    return model


def timm_net(name: str, **arguments: int) -> nn.Module:
    model: nn.Module = timm.create_model(name, pretrained=False, num_classes=10, **arguments)  # type: ignore[arg-type]
    return model


# the widths that the papers' tables give: ResNet (He et al. 2016, table 1), EfficientNet-B0 (Tan & Le 2019, table 1),
# ConvNeXt (Liu et al. 2022, sec. 3: 4 times the block's width), ViT-Tiny (Touvron et al. 2021: MLP 4 times 192)
RESNET18 = [64] * 5 + [128] * 4 + [256] * 4 + [512] * 4
RESNET50 = [64] + [w * k for n, w in [(3, 64), (4, 128), (6, 256), (3, 512)] for _ in range(n) for k in (1, 1, 4)]
CONVNEXT_TINY = [384] * 3 + [768] * 3 + [1536] * 9 + [3072] * 3


def efficientnet_b0() -> list[int]:
    """Stem; of each block the expanded width (twice, once for the first stage) and the squeeze; head."""
    widths = [32]
    before = 32
    for expand, out, blocks in [(1, 16, 1), (6, 24, 2), (6, 40, 2), (6, 80, 3), (6, 112, 3), (6, 192, 4), (6, 320, 1)]:
        for inside in [before, *[out] * (blocks - 1)]:
            widths += [inside * expand] * (1 if expand == 1 else 2) + [inside // 4]
        before = out
    return [*widths, 1280]


NETWORKS: list[tuple[str, Callable[[], nn.Module], int, list[int], set[int]]] = [
    ("torchvision resnet18", lambda: torchvision_net("resnet18"), 32, RESNET18, {1}),
    ("torchvision resnet50", lambda: torchvision_net("resnet50"), 32, RESNET50, {1}),
    ("torchvision efficientnet_b0", lambda: torchvision_net("efficientnet_b0"), 32, efficientnet_b0(), {1}),
    ("torchvision convnext_tiny", lambda: torchvision_net("convnext_tiny"), 32, CONVNEXT_TINY, {-1}),
    ("timm resnet18", lambda: timm_net("resnet18"), 32, RESNET18, {1}),
    ("timm resnet50", lambda: timm_net("resnet50"), 32, RESNET50, {1}),
    ("timm efficientnet_b0", lambda: timm_net("efficientnet_b0"), 32, efficientnet_b0(), {1}),
    ("timm convnext_atto", lambda: timm_net("convnext_atto"), 32, [160] * 2 + [320] * 2 + [640] * 6 + [1280] * 2, {1}),
    ("timm convnext_tiny", lambda: timm_net("convnext_tiny"), 32, CONVNEXT_TINY, {-1}),
    ("timm vit_tiny", lambda: timm_net("vit_tiny_patch16_224", img_size=64), 64, [768] * 12, {-1}),
]  # fmt: skip
FAST = {"torchvision resnet18", "timm efficientnet_b0", "timm vit_tiny", "timm convnext_atto"}


def called_widths(model: nn.Module, x: Tensor) -> list[int]:
    """β's length of each activation in the order in which a forward pass meets them."""
    met: list[int] = []
    hooks = [
        module.register_forward_pre_hook(lambda module, _: met.append(len(module.beta)))
        for module in activations(model).values()
    ]
    with torch.no_grad():
        model.eval()(x)
    for hook in hooks:
        hook.remove()
    return met


@pytest.mark.parametrize(
    ("name", "make", "size", "widths", "dims"),
    [pytest.param(*case, id=case[0], marks=[] if case[0] in FAST else pytest.mark.slow) for case in NETWORKS],
)
def test_the_papers_networks(
    name: str, make: Callable[[], nn.Module], size: int, widths: list[int], dims: set[int]
) -> None:
    model = make()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    made = swap(model, SWISH, images(size))
    assert len(made) == len(widths)
    assert called_widths(model, images(size, 1)) == widths
    assert {activation.channel_dim for activation in made.values()} == dims
    after = model.state_dict()
    assert {key for key in after if key not in before} == {f"{path}.beta" for path in made}
    assert all(torch.equal(after[key], value) for key, value in before.items())
    model.train()(images(size)).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in beta_parameters(model))
    # stochastic depth drops blocks in training, and timm starts the last norm of a residual branch at 0
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    model.zero_grad()
    model.eval()(images(size, 1)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in beta_parameters(model))


@pytest.mark.slow
@pytest.mark.parametrize(("make", "size"), [
    (lambda: torchvision_net("mobilenet_v3_small"), 32), (lambda: torchvision_net("regnet_y_400mf"), 32),
    (lambda: torchvision_net("vgg11_bn"), 32), (lambda: torchvision_net("swin_t"), 64),
    (lambda: torchvision_net("vit_b_16"), 224), (lambda: torchvision_net("shufflenet_v2_x0_5"), 32),
    (lambda: timm_net("mobilenetv3_small_100"), 32), (lambda: timm_net("regnety_002"), 32),
    (lambda: timm_net("nf_resnet26"), 32), (lambda: timm_net("mixer_s32_224"), 224), (lambda: timm_net("levit_128s"), 224),
    (lambda: timm_net("maxvit_pico_rw_256"), 256), (lambda: timm_net("xcit_nano_12_p16_224"), 224),
    (lambda: timm_net("dla34"), 64), (lambda: timm_net("inception_v3"), 96), (lambda: timm_net("coatnet_nano_rw_224"), 224),
])  # fmt: skip
def test_the_axis_is_that_of_the_layer_before(make: Callable[[], nn.Module], size: int) -> None:
    """The layer that ran last before each activation, of those with a number of output channels, has as many as β."""
    model = make()
    swap(model, SWISH, images(size))
    last: list[int] = []
    compared = 0

    def produced(module: nn.Module, _: object, output: Tensor) -> None:
        width = next(getattr(module, n) for n in ("out_channels", "out_features", "num_features") if hasattr(module, n))
        last[:] = [width]

    def activated(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        nonlocal compared
        compared += 1
        shape = args[0].shape
        assert isinstance(module, Activation)
        width = len(module.betas()["beta"])
        assert shape[module.channel_dim] == width
        assert width == last[0] or last[0] not in shape  # joined, or merged from attention's heads
        assert module.channel_dim == -1 or shape[1] == width

    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
            module.register_forward_hook(produced)
        elif isinstance(module, Activation):
            module.register_forward_pre_hook(activated)
    with torch.no_grad():
        model.eval()(images(size, 3))
    assert compared >= len(activations(model))


class Permuted(nn.Module):
    """Channels last after a convolution, a residual, and merged heads: nothing that a shape alone would tell."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.proj = nn.Conv2d(3, 6, 1), nn.LayerNorm(6), nn.Conv2d(6, 6, 1)
        self.last, self.first, self.joined, self.heads, self.pooled = (nn.ReLU() for _ in range(5))
        self.head = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Any:
        x = self.conv(x)
        x = self.last(x.permute(0, 2, 3, 1) + 1)
        x = self.first(self.norm(x).permute(0, 3, 1, 2))
        x = self.joined(torch.cat([x, self.proj(x)], dim=1))[:, :6]
        tokens = x.flatten(2).transpose(1, 2)
        q = self.head(tokens).reshape(len(x), 36, 2, 3).transpose(1, 2)
        attended = (q.softmax(-1) @ (q.transpose(-1, -2) @ q).softmax(-1)).transpose(1, 2).reshape(len(x), 36, 6)
        return self.pooled(self.heads(attended).mean(1))


@pytest.mark.parametrize("batch", [1, 6])  # every extent is 6: only the way that the channels took tells them
def test_functions_between_do_not_fool_the_axis(batch: int) -> None:
    model = Permuted()
    made = swap(model, "x + beta; beta=0", torch.randn(batch, 3, 6, 6))
    expected = {"last": (-1, 6), "first": (1, 6), "joined": (1, 12), "heads": (-1, 6), "pooled": (-1, 6)}
    assert {path: (a.channel_dim, len(a.betas()["beta"])) for path, a in made.items()} == expected


def steps(x: Tensor, data: st.DataObject) -> tuple[Tensor, bool]:
    """One operation that keeps each value's channel; whether it may hide the channels for good."""
    ndim = x.ndim
    varying = channel_of(x)
    others = [d for d in range(ndim) if d != varying]
    kind = data.draw(
        st.sampled_from(["permute", "transpose", "flatten", "unflatten", "add", "cat", "mean", "stack", "new"])
    )
    if kind == "permute":
        return x.permute(data.draw(st.permutations(range(ndim)))), True
    if kind == "transpose":
        return x.transpose(*data.draw(st.tuples(*[st.integers(-ndim, ndim - 1)] * 2))), True
    if kind == "flatten" and ndim > 2:
        at = data.draw(st.integers(0, ndim - 2))
        return x.reshape(*x.shape[:at], -1, *x.shape[at + 2 :]), True
    if kind == "unflatten" and ndim < 5 and (wide := [d for d in others if x.shape[d] > 3 and x.shape[d] % 3 == 0]):
        at = data.draw(st.sampled_from(wide))
        return x.reshape(*x.shape[:at], 3, -1, *x.shape[at + 1 :]), False
    if kind == "add":
        return (x * torch.ones(2, *x.shape) if ndim < 5 else x + torch.zeros_like(x)), False
    if kind == "cat" and others:
        return torch.cat([x, x], dim=data.draw(st.sampled_from(others))), False
    if kind == "mean" and ndim > 2 and others:
        return x.mean(data.draw(st.sampled_from(others)), keepdim=data.draw(st.booleans())), False
    if kind == "stack" and ndim < 5:
        return torch.stack([x, x], dim=data.draw(st.integers(-ndim - 1, ndim))), False
    return (x[:, None] if ndim < 5 else x.relu()), False


def channel_of(x: Tensor) -> int:
    """The one dimension along which the values, which are the channels' numbers, change."""
    (found,) = [d for d in range(x.ndim) if bool((x != x.narrow(d, 0, 1)).any())]
    return found


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_the_axis_is_the_one_along_which_channel_numbers_change(data: st.DataObject) -> None:
    conv = nn.Conv2d(1, 3, 1)
    with torch.no_grad():
        conv.weight.zero_()
        assert conv.bias is not None
        conv.bias.copy_(torch.arange(3.0))
        with ChannelAxes() as axes:
            x = conv(torch.zeros(3, 1, 3, 3))  # every extent is 3
            hidden = False
            for _ in range(data.draw(st.integers(1, 6))):
                before = channel_of(x)
                x, may_hide = steps(x, data)
                hidden |= may_hide and x.shape[channel_of(x)] != 3
                assert axes.axis(x) == channel_of(x) or (hidden and axes.axis(x) is None), (before, x.shape)


@pytest.mark.parametrize(("layers", "shape", "dim"), [
    ([nn.Linear(3, 4)], (2, 3), -1), ([nn.Linear(3, 4)], (2, 5, 4, 3), -1), ([nn.Conv1d(3, 4, 1)], (2, 3, 4), 1),
    ([nn.Conv2d(3, 4, 1), nn.InstanceNorm2d(4, affine=True)], (2, 3, 4, 4), 1), ([nn.Conv3d(3, 4, 1)], (2, 3, 4, 4, 4), 1),
    ([nn.ConvTranspose2d(3, 4, 1), nn.GroupNorm(2, 4)], (2, 3, 4, 4), 1), ([nn.BatchNorm1d(4)], (2, 4, 4), 1),
    ([nn.Conv2d(3, 4, 1), nn.Flatten(2)], (2, 3, 2, 2), 1), ([nn.Conv2d(3, 4, 1), nn.Flatten()], (2, 3, 1, 1), -1),
    ([nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(4), nn.Dropout()], (2, 3, 6, 6), 1), ([nn.Embedding(5, 4)], (2, 4), -1),
    ([nn.Conv2d(3, 16, 1), nn.PixelShuffle(2)], (2, 3, 2, 2), 1), ([nn.LayerNorm((4, 4, 4))], (2, 4, 4, 4), 1),
    ([nn.Conv2d(3, 4, 1), nn.Upsample(scale_factor=2)], (2, 3, 2, 2), 1), ([nn.Linear(3, 4), nn.RMSNorm(4)], (4, 4, 3), -1),
])  # fmt: skip
def test_the_axis_after_each_layer(layers: list[nn.Module], shape: tuple[int, ...], dim: int) -> None:
    model = nn.Sequential(*layers, nn.ReLU()).eval()
    x = torch.randint(5, shape) if isinstance(layers[0], nn.Embedding) else torch.randn(shape)
    (activation,) = swap(model, SWISH, x).values()
    assert (activation.channel_dim, len(activation.betas()["beta"])) == (dim, 4)


def test_an_unknown_axis_is_asked_for() -> None:
    model = nn.Sequential(nn.ReLU(), nn.Conv2d(3, 3, 1))
    with pytest.raises(
        SwapError, match=r"^where the channels are in 0's input \(2, 3, 4, 4\) cannot be told; .*'0': 1"
    ):
        swap(model, SWISH, images(4))
    assert isinstance(model[0], nn.ReLU)
    assert swap(model, SWISH, images(4), channel_dims={"0": 1})["0"].channel_dim == 1
    assert list(swap(nn.Sequential(nn.ReLU(), nn.Conv2d(3, 3, 1)), "sin(x)", images(4))) == ["0"]
    with pytest.raises(SwapError, match="channel_dims='head' matches none of the places to replace, such as 0"):
        swap(model, SWISH, images(4), channel_dims={"head": 1})


class Block(nn.Module):
    """One activation, three uses, one of them in training only."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.conv, self.wide, self.act = (
            nn.Conv2d(width, width, 1),
            nn.Conv2d(width, 2 * width, 1),
            nn.ReLU(inplace=True),
        )
        self.back, self.note = nn.Conv2d(2 * width, width, 1), "kept"

    def forward(self, x: Tensor, extra: Tensor | None = None) -> Any:
        if extra is not None:
            x = x + extra
        y = self.act(self.conv(x))
        y = nn.functional.dropout(self.act(self.wide(y)), 0.5, self.training)
        return self.act(self.back(y) + x)


def test_one_module_at_several_places_is_split_in_order() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), Block(), Block())
    expected = copy.deepcopy(model)
    made = swap(model, "max(x, 0) + 0*beta*x", images(4))
    assert list(made) == [f"{block}.act{use}" for block in (1, 2) for use in ("", "_2", "_3")]
    made = swap(model, "max(x, 0) + beta*x; beta=0", images(4))
    assert [len(a.betas()["beta"]) for a in made.values()] == [4, 8, 4] * 2
    block = model[1]
    assert isinstance(block, Block)
    assert (type(block).__name__, block.note) == ("Block", "kept")
    for mode in (False, True):
        outputs = []
        for network in (model.train(mode), expected.train(mode)):
            torch.manual_seed(3)
            outputs.append(network(images(4)))
        torch.testing.assert_close(*outputs)
        assert not torch.equal(outputs[0], model.train(not mode)(images(4)))
    with pytest.raises(SwapError, match=r"^extra was None when"):
        block(torch.zeros(1, 4, 2, 2), torch.ones(1, 4, 2, 2))


def test_one_module_under_several_names_and_a_block_that_repeats() -> None:
    act = nn.ReLU()
    several = nn.Sequential(nn.Linear(3, 4), act, nn.Linear(4, 5), act)
    assert [len(a.betas()["beta"]) for a in swap(several, SWISH, torch.zeros(2, 3)).values()] == [4, 5]
    block = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    made = swap(nn.Sequential(block, block, nn.ModuleDict({"again": block})["again"]), SWISH, torch.zeros(2, 3))
    assert list(made) == ["0.1"]


def test_a_traced_model_is_split_in_its_graph() -> None:
    traced = torch.fx.symbolic_trace(torchvision_net("resnet18").eval())
    made = swap(traced, SWISH, images(32))
    assert called_widths(traced, images(32)) == RESNET18
    assert list(made)[1:3] == ["layer1.0.relu", "layer1.0.relu_2"]


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.act = nn.Linear(3, 3), nn.ReLU()

    def forward(self, x: Tensor) -> Any:
        x = self.act(self.fc(x))
        return self.act(x) if x.sum() > -1 else x


class Asking(Branching):
    def forward(self, x: Tensor) -> Any:
        return self.act(self.fc(self.act(self.fc(x)))) if isinstance(x, Tensor) else self.act(self.act(x))


class Weightless(Branching):
    def __init__(self) -> None:
        super().__init__()
        self.act = nn.Sequential(nn.ReLU(), nn.Dropout())  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Any:
        return self.act(self.fc(self.act(self.fc(x))))


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Any:
        return nn.functional.silu(nn.functional.relu(self.fc(x)))


class Unused(Branching):
    def forward(self, x: Tensor) -> Any:
        return self.fc(x)


class Hidden(Branching):
    def __init__(self) -> None:
        super().__init__()
        self.list = [self.act]

    def forward(self, x: Tensor) -> Any:
        return self.list[0](self.fc(x))


def lazy() -> nn.Module:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Lazy modules")
        return nn.Sequential(nn.LazyLinear(3), nn.ReLU())


def compiled() -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    model[1].compile()
    return model


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        module: nn.Module = torch.jit.script(nn.Sequential(nn.Linear(3, 3), nn.ReLU()))
    return module


REFUSED: list[tuple[Callable[[], nn.Module], object, dict[str, object], str]] = [
    (lambda: nn.Linear(3, 3), torch.zeros(1, 3), {}, r"^Linear holds no activation module such as nn.ReLU$"),
    (nn.ReLU, torch.zeros(1, 3), {}, r"^ReLU holds no activation module"),
    (Functional, torch.zeros(1, 3), {}, r"it calls functions, which cannot be replaced \(relu, silu in the forward of Functional itself\): make them modules"),
    (Branching, torch.zeros(1, 3), {}, r"^the model \(Branching\) calls one activation several times and its forward torch.fx cannot trace \(TraceError"),
    (Asking, torch.zeros(1, 3), {}, r"^torch.fx does not follow the forward of the model \(Asking\)"),
    (Weightless, torch.zeros(1, 3), {}, r"^act.0 serves several places through act \(Sequential\), which holds no weights"),
    (Unused, torch.zeros(1, 3), {}, r"^the example never reaches act \(ReLU\); skip it"),
    (Hidden, torch.zeros(1, 3), {}, r"^the example never reaches act \(ReLU\)"),
    (lazy, torch.zeros(1, 3), {}, r"^0.weight is uninitialised; run the model once"),
    (lambda: nn.Sequential(nn.Linear(3, 3), nn.ReLU()), torch.zeros(1, 4), {}, r"^Sequential fails on example_input \(float32 \(1, 4\)\): RuntimeError: "),
    (lambda: nn.Sequential(nn.Linear(3, 3), nn.ReLU()), torch.zeros(1, 3).int(), {}, r"^Sequential fails on example_input \(int32 \(1, 3\)\)"),
    (lambda: nn.Sequential(nn.Linear(3, 3), nn.ReLU()), [[1.0]], {}, r"^Sequential fails on example_input \(list\)"),
    (lambda: nn.Sequential(nn.Linear(3, 3), nn.ReLU()), "image", {}, r"^example_input must be a tensor, .* got str$"),
    (lambda: nn.Sequential(nn.Linear(3, 3), nn.ReLU()), None, {}, r"^example_input must be a tensor, .* got NoneType$"),
    (lambda: nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Softmax(-1)), torch.zeros(1, 3), {"only": "2*"}, r"^only='2\*' matches no activation, but Softmax: .* only=\('Softmax',\)$"),
    (lambda: nn.Sequential(nn.Linear(3, 3), nn.ReLU()), torch.zeros(1, 3), {"only": ["1", "3"]}, r"^only='3' matches no activation; near: 1; classes: ReLU$"),
    (lambda: nn.Sequential(nn.Linear(3, 3), nn.ReLU()), torch.zeros(1, 3), {"skip": "ReLU6"}, r"^skip='ReLU6' matches no activation; near: 1"),
    (lambda: nn.Sequential(nn.Linear(3, 3), nn.ReLU()), torch.zeros(1, 3), {"skip": "*"}, r"^skip=\['\*'\] leaves none of the model's 1 activations"),
    (lambda: nn.Sequential(nn.Linear(3, 4), nn.GLU()), torch.zeros(1, 3), {"only": "GLU"}, r"^1 \(GLU\) is no elementwise function"),
    (lambda: nn.DataParallel(nn.Sequential(nn.Linear(3, 3), nn.ReLU())), torch.zeros(1, 3), {}, r"^the model \(DataParallel\) is wrapped or compiled already; swap first$"),
    (compiled, torch.zeros(1, 3), {}, r"^1 \(ReLU\) is wrapped or compiled already"),
    (scripted, torch.zeros(1, 3), {}, r"^the model \(RecursiveScriptModule\) is compiled by torch.jit"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "x", "arguments", "line"), REFUSED)
def test_a_refusal_is_one_line_and_leaves_the_model(
    make: Callable[[], nn.Module], x: object, arguments: dict[str, object], line: str
) -> None:
    model = make()

    def state() -> list[object]:
        return [
            (p, type(m), m, list(m._forward_hooks), list(m._forward_pre_hooks), m.training)
            for p, m in model.named_modules()
        ]

    before = state()
    with pytest.raises(SwapError, match=line) as caught:
        swap(model, SWISH, x, **arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert state() == before


class Overwriting(nn.Module):
    """Drops what its activation returns, but not the first's."""

    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        self.first, self.c, self.act = nn.ReLU(inplace=True), nn.Conv2d(3, 4, 1), act

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.c(self.first(x))
        self.act(h)
        return h


class Skipping(Overwriting):
    """Adds its input, which the activation has overwritten."""

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.c(self.first(x))
        total: Tensor = h + self.act(h)
        return total


class Doubling(Overwriting):
    """Overwrites one input twice, which a module that does not overwrite does as well."""

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.c(self.first(x)) + self.c(self.act(x))
        return total


@pytest.mark.parametrize("kind", [Overwriting, Skipping])
@pytest.mark.parametrize("act", [nn.ReLU(inplace=True), nn.SiLU(inplace=True), nn.Hardtanh(inplace=True)])
def test_a_forward_that_relies_on_overwriting_is_refused(kind: type[Overwriting], act: nn.Module) -> None:
    torch.manual_seed(0)
    model, x = kind(act), 9 * images(4)
    before = model(x.clone())
    with pytest.raises(SwapError, match=r"^the forward relies on act \(\w+\) overwriting the input, .*skip it$"):
        swap(model, SWISH, x, channel_dims={"first": 1})
    assert model.act is act
    assert torch.equal(model(x.clone()), before)
    assert list(swap(model, SWISH, x, skip="act", channel_dims={"first": 1})) == ["first"]


def test_overwriting_that_nothing_relies_on_is_swapped() -> None:
    model = Doubling(nn.ReLU(inplace=True))
    assert list(swap(model, SWISH, images(4), channel_dims={"*": 1})) == ["first", "act"]


def test_the_dry_run_leaves_no_trace() -> None:
    model = nn.Sequential(
        nn.ReLU(inplace=True), nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout()
    )
    model[2].eval()
    x, state = images(4), torch.get_rng_state()
    untouched = x.clone()
    made = swap(model, SWISH, x, skip="0")
    assert torch.equal(x, untouched)
    assert torch.equal(torch.get_rng_state(), state)
    assert [m.training for m in model] == [True, True, False, True, True]
    assert torch.equal(model.get_buffer("2.running_mean"), torch.zeros(4))
    assert not made["3"].has_uninitialized_params()
    assert type(model[0]) is nn.ReLU


def test_only_and_skip() -> None:
    def places(**arguments: object) -> list[str]:
        model = timm_net("efficientnet_lite0" if "lite" in arguments else "mobilenetv3_small_050")
        arguments.pop("lite", None)
        return list(swap(model, "sin(x)", images(32), **arguments))  # type: ignore[arg-type]

    every = places()
    assert len(every) == 33
    assert not any(path.endswith("gate") for path in every)
    assert places(only="blocks.0") == [p for p in every if p.startswith("blocks.0.")]
    assert places(only="*.se.act1", skip="blocks.[0-3]*") == [p for p in every if ".se." in p and p[7] > "3"]
    gates = places(only=["Hardsigmoid", "ReLU"], skip="blocks.0")
    assert sum(path.endswith("gate") for path in gates) == 8
    assert len(places(lite=True)) == 33  # ReLU6 everywhere, no squeeze-excite: stem, 16 + 15 in blocks, head


def test_functions_left_are_listed_once() -> None:
    model = nn.Sequential(Functional(), nn.Linear(3, 3), nn.GELU())
    with pytest.warns(UserWarning, match=r"^left as they are, .*: relu, silu in 0 \(Functional\)$"):
        assert list(swap(model, SWISH, torch.zeros(2, 3))) == ["2"]
    assert list(swap(model, SWISH, torch.zeros(2, 3), only="2")) == ["2"]


def test_torchs_transformer_layer_holds_a_function_and_a_fused_path() -> None:
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, enable_nested_tensor=False)
    made = swap(model, "sin(beta*x)", torch.randn(2, 5, 8))
    assert {path: len(a.betas()["beta"]) for path, a in made.items()} == {f"layers.{i}.activation": 16 for i in (0, 1)}
    x = torch.randn(2, 5, 8)
    slow = model.eval()(x).detach()
    with torch.no_grad():
        torch.testing.assert_close(model(x), slow)


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pair, self.act = nn.Bilinear(3, 4, 5), nn.ReLU()

    def forward(self, a: Tensor, b: Tensor) -> Any:
        return self.act(self.pair(a, b))


class GELUActivation(nn.Module):
    """As transformers has it: a function inside a module."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.functional.gelu

    def forward(self, x: Tensor) -> Any:
        return self.act(x)


class Bump(GELUActivation):
    pass


def test_classes_of_other_libraries_and_of_ones_own() -> None:
    assert list(swap(nn.Sequential(nn.Linear(3, 4), GELUActivation()), SWISH, torch.zeros(1, 3))) == ["1"]
    assert list(swap(nn.Sequential(nn.Linear(3, 4), Bump()), SWISH, torch.zeros(1, 3))) == ["1.act"]
    assert list(swap(nn.Sequential(nn.Linear(3, 4), Bump()), SWISH, torch.zeros(1, 3), only="Bump")) == ["1"]
    sigmoids = nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 2), nn.Sigmoid())
    with pytest.raises(SwapError, match=r"^Sequential holds no activation module such as nn.ReLU$"):
        swap(sigmoids, SWISH, torch.zeros(1, 3))
    assert list(swap(sigmoids, SWISH, torch.zeros(1, 3), only="1")) == ["1"]
    assert list(swap(sigmoids, SWISH, torch.zeros(1, 3), only="Sigmoid")) == ["3"]


def test_a_model_without_data() -> None:
    with torch.device("meta"):
        model = torchvision_net("resnet18")
        made = swap(model, SWISH, torch.zeros(1, 3, 32, 32))
    assert {a.betas()["beta"].device.type for a in made.values()} == {"meta"}
    assert [len(a.betas()["beta"]) for a in made.values()] == RESNET18


def test_several_arguments_and_named_ones() -> None:
    a, b = torch.randn(2, 3), torch.randn(2, 4)
    for example in ((a, b), [a, b], {"a": a, "b": b}):
        assert len(swap(Pair(), SWISH, example, channel_dims={"act": -1})["act"].betas()["beta"]) == 5


def test_an_activation_is_swapped_again_and_a_text_is_checked_first() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.PReLU(4), nn.Linear(4, 5), nn.Tanh())
    with pytest.raises(ExpressionError):
        swap(model, "sigmod(x)", torch.zeros(1, 3))
    swap(model, SWISH, torch.zeros(1, 3))
    again = swap(model, "sin(beta*x)", torch.zeros(1, 3), gain=2)
    assert [str(a.expression) for a in again.values()] == ["sin(beta*x)"] * 2
    assert {a.gain for a in again.values()} == {2}
    assert list(model.state_dict()) == ["0.weight", "0.bias", "1.beta", "2.weight", "2.bias", "3.beta"]


# --- surviving what people do with a network, in every backend; eager torch operations are the reference

BACKENDS = ["eager", "symbolic", "auto"]
each_backend = pytest.mark.parametrize("backend", BACKENDS)


class Small(nn.Module):
    """Both axes, and one activation used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.block = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), Block()
        self.act, self.tokens, self.head = nn.SiLU(), nn.Linear(4, 8), nn.Linear(8, 5)
        self.gelu = nn.GELU()

    def forward(self, x: Tensor) -> Any:
        x = self.block(self.act(self.norm(self.stem(x))))
        return self.head(self.gelu(self.tokens(x.flatten(2).transpose(1, 2))).mean(1))


def small(backend: str = "auto", text: str = TWO_BETAS) -> nn.Module:
    torch.manual_seed(0)
    model = Small()
    swap(model, text, images(8), backend=backend)
    with torch.no_grad():
        for number, beta in enumerate(beta_parameters(model)):
            beta.add_(0.1 * torch.arange(len(beta)) / len(beta) + 0.05 * number)
    return model


def trained_alike(
    model: Callable[[Tensor], Tensor], twin: Callable[[Tensor], Tensor], rtol: float = 1.3e-6, atol: float = 1e-5
) -> None:
    """Same outputs and same gradients of the input."""
    x, y = images(8).requires_grad_(), images(8).requires_grad_()
    torch.manual_seed(3)
    a = model(x)
    torch.manual_seed(3)
    b = twin(y)
    torch.testing.assert_close(a, b, rtol=rtol, atol=atol)
    for output in (a, b):
        output.square().sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(x.grad, y.grad, rtol=rtol, atol=atol)


@each_backend
def test_deepcopy_and_pickle_make_twins_of_their_own(backend: str) -> None:
    model = small(backend).eval()
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    for twin in (copy.deepcopy(model), torch.load(buffer, weights_only=False)):
        trained_alike(model, twin)
        assert [type(m).__name__ for m in twin.modules()] == [type(m).__name__ for m in model.modules()]
        assert isinstance(twin.block, Block)
        with torch.no_grad():
            beta_parameters(twin)[0].fill_(7)
        assert not (beta_parameters(model)[0] == 7).any()
        assert not torch.equal(model(images(8)), twin(images(8)))


@each_backend
def test_the_state_loads_into_a_network_swapped_alike(backend: str) -> None:
    model, other = small(backend).eval(), Small().eval()
    swap(other, TWO_BETAS, images(8), backend=backend)
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    trained_alike(model, other)


@each_backend
def test_ddp(backend: str, tmp_path: Path) -> None:
    model, alone = small(backend), small(backend)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(model)
        trained_alike(wrapped, alone)
        for ours, theirs in zip(beta_parameters(model), beta_parameters(alone), strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad)
            assert ours.grad is not None
            assert ours.grad.abs().sum() > 0
    finally:
        torch.distributed.destroy_process_group()


@each_backend
@pytest.mark.parametrize("text", [TWO_BETAS, "exp(-beta*x**2)", "log(abs(x) + 1e-5)", "max(x, 0)"])
def test_autocast_keeps_the_inputs_dtype(backend: str, text: str) -> None:
    model, plain = small(backend, text), small("eager", text)
    seen: dict[str, tuple[torch.dtype, torch.dtype]] = {}
    for path, activation in activations(model).items():
        activation.register_forward_hook(lambda _, args, y, path=path: seen.update({path: (args[0].dtype, y.dtype)}))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = model.eval()(images(8))
    y.float().sum().backward()
    assert all(out == into for into, out in seen.values())
    assert torch.bfloat16 in {into for into, _ in seen.values()}
    assert all(b.grad is not None and b.grad.dtype == torch.float32 for b in beta_parameters(model))
    torch.testing.assert_close(y.float(), plain.eval()(images(8)), rtol=0.1, atol=0.1)


@each_backend
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions(backend: str, dtype: torch.dtype) -> None:
    model, plain = small(backend).eval(), small("eager").eval()
    model.to(dtype)
    x = images(8).to(dtype).requires_grad_()
    y = model(x)
    assert y.dtype == dtype
    y.float().sum().backward()
    assert all(b.grad is not None and b.grad.isfinite().all() for b in beta_parameters(model))
    torch.testing.assert_close(y.float(), plain(images(8)), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_in_half_precision_is_swapped(dtype: torch.dtype) -> None:
    model = Small().to(dtype)
    made = swap(model, SWISH, images(8).to(dtype))
    assert {a.betas()["beta"].dtype for a in made.values()} == {torch.float32}
    assert model(images(8).to(dtype)).dtype == dtype


@each_backend
def test_channels_last_memory(backend: str) -> None:
    model, plain = small(backend).eval(), small(backend).eval()
    model.to(memory_format=torch.channels_last)
    made = activations(model)["act"]
    layouts = []
    made.register_forward_hook(
        lambda _, args, y: layouts.append([t.is_contiguous(memory_format=torch.channels_last) for t in (args[0], y)])
    )
    trained_alike(lambda x: model(x.contiguous(memory_format=torch.channels_last)), plain, rtol=1e-4, atol=1e-5)
    assert layouts == [[True, True]]


@pytest.mark.parametrize("backend", [pytest.param("eager", marks=pytest.mark.slow), "symbolic"])
def test_compile_traces_it_whole(backend: str) -> None:
    model = small(backend).eval()
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    trained_alike(compiled, small("eager").eval(), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("text", [TWO_BETAS, "sinc(x)*max(x, beta)", "min(x, sin(beta*x)) + softplus(x)"])
def test_inductor(text: str) -> None:
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of inductor's own
        trained_alike(torch.compile(small("auto", text).eval()), small("eager", text).eval(), rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_the_compile_backend_alone() -> None:
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = small("compile").eval()
        trained_alike(model, small("eager").eval(), rtol=1e-3, atol=1e-4)
        trained_alike(copy.deepcopy(model), model)


@pytest.mark.parametrize("backend", ["symbolic", pytest.param("auto", marks=pytest.mark.slow)])
@pytest.mark.parametrize("strict", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_export(backend: str, strict: bool) -> None:
    model = small(backend).eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(model, (images(8),), strict=strict, dynamic_shapes=({0: batch},))
    x = torch.cat([images(8), images(8) / 2, images(8) * 3])[:5]
    torch.testing.assert_close(program.module()(x), model(x), rtol=1e-4, atol=1e-5)
    assert [key for key in program.state_dict if key.endswith("beta2")] == [f"{p}.beta2" for p in activations(model)]
