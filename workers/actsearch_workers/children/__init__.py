"""The child networks a candidate is tried in: a table of names, builders and recipes.

Importing this package imports no torch, so that a command line or a controller can check a name and take a recipe;
`actsearch_workers.children.build` makes the networks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from actsearch.config import Recipe
from actsearch.errors import UnknownNameError
from actsearch_workers.user_code import is_user_code, user_function

__all__ = ["CHILDREN", "Child", "child"]


@dataclass(frozen=True, kw_only=True)
class Child:
    """A child network by name.

    Attributes:
        name: its entry in the table, or the user's `module:function`.
        summary: one line for lists.
        build: `module:function` of its builder, imported when a network is made.
        options: the builder's keyword arguments.
        recipe: how it is trained where a run says nothing else.
        is_users: whether `build` is the user's own code.
    """

    name: str
    summary: str
    build: str
    options: Mapping[str, int | str] = field(default_factory=lambda: MappingProxyType({}))
    recipe: Recipe
    is_users: bool = False


NF_RECIPE = Recipe(steps=150, learning_rate=0.2, weight_decay=5e-4, clip_norm=1.0, flip=True, crop_padding=0)
"""Of networks without normalisation: a gradient clipped at norm 1 is what keeps them at that rate."""

SCREENING_RECIPE = NF_RECIPE.model_copy(update={"learning_rate": 0.4})
"""Of the child that searches judge by: of 16 cheap trainings the one that predicts networks with batch norm best, at
half of the rate at which half of them fail (docs/fidelity.md)."""

BN_RECIPE = Recipe(steps=400, learning_rate=0.1, weight_decay=5e-4, clip_norm=0, flip=True, crop_padding=0)
"""Of networks with batch norm in short trainings: learning rate 0.1 at batch 128 as in He et al. 2016 (arXiv
1512.03385, section 4.2), who need no clipping because batch norm bounds each layer's scale. No crops: in 400 steps on
fashion-mini with Swish, a pad of one pixel took ResNet-8 from .880 to .838 and efficientnet_tiny from .869 to .822."""

LONG_RECIPE = BN_RECIPE.model_copy(update={"steps": 10_000, "crop_padding": 4})
"""Of large networks: the 10,000 steps that children have in Ramachandran, Zoph, Le 2017, section 3, and He's crops with
4 pixels of padding, meant for 32x32."""


def _cifar_resnet(depth: int, recipe: Recipe) -> Child:
    return Child(
        name=f"resnet{depth}",
        summary=f"ResNet-{depth} for small images with batch norm (He et al. 2016, section 4.2), widths 16/32/64",
        build="actsearch_workers.children.cifar_resnet:cifar_resnet",
        options=MappingProxyType({"blocks": (depth - 2) // 6}),
        recipe=recipe,
    )


def _nf_resnet(depth: int, recipe: Recipe) -> Child:
    return Child(
        name=f"nf_resnet{depth}",
        summary=f"ResNet-{depth} without normalisation (Brock, De, Smith 2021), widths 8/16/32",
        build="actsearch_workers.children.nf_resnet:nf_resnet",
        options=MappingProxyType({"blocks": (depth - 2) // 6}),
        recipe=recipe,
    )


def _timm(name: str, summary: str) -> Child:
    return Child(
        name=name,
        summary=f"{summary}, from timm; small images enter at stride 1",
        build="actsearch_workers.children.timm_nets:timm_net",
        options=MappingProxyType({"model": name}),
        recipe=LONG_RECIPE,
    )


def _table(*children: Child) -> Mapping[str, Child]:
    table = {entry.name: entry for entry in children}
    assert len(table) == len(children), "two children share a name"
    return MappingProxyType(table)


CHILDREN = _table(
    _nf_resnet(8, SCREENING_RECIPE),
    _nf_resnet(20, NF_RECIPE),
    _cifar_resnet(8, BN_RECIPE),
    _cifar_resnet(20, BN_RECIPE.model_copy(update={"steps": 1_000})),
    _cifar_resnet(56, LONG_RECIPE),
    _cifar_resnet(110, LONG_RECIPE),
    Child(
        name="efficientnet_tiny",
        summary="three stages of EfficientNet's blocks with squeeze-excite, for 14x14 images on one CPU core",
        build="actsearch_workers.children.timm_nets:efficientnet_tiny",
        recipe=BN_RECIPE.model_copy(update={"steps": 1_000}),
    ),
    _timm("resnet18", "ResNet-18 (He et al. 2016)"),
    *(_timm(f"efficientnet_b{k}", f"EfficientNet-B{k} (Tan, Le 2019)") for k in range(8)),
)
"""Every child by name. One entry here is all that the command line, the workers and the tests need."""


def child(name: str, allow_user_code: bool = False) -> Child:
    """The child of a name: an entry of the table, or the user's own `module:function`, trained by `BN_RECIPE`.

    Raises:
        UnknownNameError: neither of both.
        ConfigError: user code that is not allowed here or cannot be imported.
    """
    if name in CHILDREN:
        return CHILDREN[name]
    if not is_user_code(name):
        raise UnknownNameError("child", name, [*CHILDREN, "module:function"])
    user_function("child", name, allow_user_code=allow_user_code)
    return Child(name=name, summary="the user's own", build=name, recipe=BN_RECIPE, is_users=True)
