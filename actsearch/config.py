"""One run's settings: what a TOML file or flags say, validated before any work, stored with the run.

Everything here crosses a file or a process, so these are frozen pydantic models in which an unknown key is an
error. Names of children, data sets and controllers are checked where their tables are.
"""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from actsearch.errors import ConfigError

MAX_TIMEOUT_SECONDS = 30 * 24 * 3600
"""What one child may be given at most."""


class Settings(BaseModel):
    """Base of all models that cross a file or a process: frozen, unknown keys refused, finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Self:
        """The validated model; `ConfigError` in one line that names key, value and what would be right."""
        try:
            return cls.model_validate(data)
        except ValidationError as err:
            raise ConfigError(_one_line(cls, err)) from err


def _one_line(model: type[Settings], err: ValidationError) -> str:
    first = err.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"]) or err.title
    if first["type"] == "extra_forbidden":
        return f"unknown key {key!r}{_known_keys(model, first['loc'][:-1])}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{key} = {str(first['input'])[:60]!r}: {message[0].lower()}{message[1:]}"


def _known_keys(model: type[BaseModel], path: Sequence[int | str]) -> str:
    """The keys beside an unknown one, as the end of a sentence; empty below a list, whose items have no name."""
    for part in path:
        field = model.model_fields.get(str(part))
        kinds = () if field is None else (field.annotation, *get_args(field.annotation))
        tables = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not tables:
            return ""
        model = tables[0]
    return f"; known: {', '.join(model.model_fields)}"


class Recipe(Settings):
    """How one child network is trained: SGD with Nesterov momentum, linear warm-up, cosine to zero."""

    steps: int = Field(150, ge=1, le=1_000_000)
    """Optimizer steps (batches)."""
    batch_size: int = Field(128, ge=1, le=65_536)
    """Images a step."""
    learning_rate: float = Field(0.4, gt=0, le=100)
    """Peak learning rate, reached after the warm-up."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Nesterov momentum."""
    weight_decay: float = Field(5e-4, ge=0, lt=1)
    """L2 coefficient, on weights of 2 or 4 dimensions only: never on biases, norm scales or β."""
    warmup_fraction: float = Field(0.1, ge=0, lt=1)
    """Share of the steps over which the learning rate rises linearly."""
    clip_norm: float = Field(1.0, ge=0)
    """Gradient norm above which the gradient is scaled down; 0: never."""
    ema_decay: float = Field(0.0, ge=0, lt=1)
    """Decay a step of the moving average of the weights that is measured in place of the last ones; 0: no average."""
    flip: bool = True
    """Random horizontal flips."""
    crop_padding: int = Field(0, ge=0, le=32)
    """Pixels of zero padding before a random crop to the original size; 0: no crops."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target spread over all classes."""
    drop_path_rate: float = Field(0.0, ge=0, lt=1)
    """Stochastic depth, per sample, rising linearly over depth, where the child supports it."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 trains under autocast."""
    curve_points: int = Field(4, ge=1, le=200)
    """Validation measurements along the way, the last one after the last step."""


class ChildSettings(Settings):
    """Which child network the candidate goes into, and how."""

    name: str = "nf_resnet8"
    """An entry of the children table, or the user's own `module:function(act_layer, num_classes, in_chans)`."""
    gain: Literal["unit", "as_is"] = "unit"
    """`unit` divides the function by √E f(z)², z ~ N(0, 1), at β's initial values (actsearch.identity.unit_gain)."""
    squeeze_excite: Literal["candidate", "fixed"] = "candidate"
    """Whether activations inside squeeze-excite take the candidate too, or stay SiLU."""


class SpaceSettings(Settings):
    """The search space."""

    units: int = Field(1, ge=1, le=8)
    """Core units b(u1(x1), u2(x2)) of a formula."""
    unary: tuple[str, ...] | None = None
    """Names of the unary functions available, as `actsearch space` lists them; None: all 25."""
    binary: tuple[str, ...] | None = None
    """Names of the binary functions available; None: all 10."""


class PPOSettings(Settings):
    """The controller `ppo` and its training. What NASNet (arXiv 1707.07012, appendix A) has is noted beside."""

    hidden: int = Field(100, ge=1, le=4096)
    """Units of the one-layer LSTM and size of its token embeddings."""
    learning_rate: float = Field(1e-3, gt=0, le=1)
    """Adam's step size. NASNet: 3.5e-4, for 20,000 children."""
    epochs: int = Field(4, ge=1, le=100)
    """Passes over a batch. Not in NASNet; a small usual value."""
    clip_coef: float = Field(0.2, gt=0, lt=1)
    """PPO's epsilon (arXiv 1707.06347, section 6.1)."""
    entropy_coef: float = Field(1e-2, ge=0)
    """Weight of the mean entropy per token in the objective. NASNet: 1e-5."""
    baseline_decay: float = Field(0.95, ge=0, lt=1)
    """Decay of the moving average that is the baseline."""
    max_grad_norm: float = Field(0.5, gt=0)
    """Norm at which the controller's gradient is clipped."""
    advantage: Literal["rank", "reward"] = "rank"
    """What the policy learns from: the normal score of a reward's rank among all told, or, as in NASNet, the reward."""
    memory: bool = True
    """Whether functions proposed before are passed over, in any spelling. NASNet: no. Ranks and those below need it."""
    candidates: int = Field(5, ge=1, le=1000)
    """Candidates that the policy writes for each new proposal; a surrogate keeps the best. NASNet: 1, no choice."""
    uniform: float = Field(0.5, ge=0, le=1)
    """Share of new proposals whose candidates are drawn uniformly, so that the policy closes no part of the space."""
    retrain: float = Field(0.15, ge=0, lt=1)
    """Share of a batch that trains the best functions so far again, where `repeats` allows. NASNet: none."""

    @model_validator(mode="after")
    def _parts_that_need_memory(self) -> Self:
        if not self.memory and (self.advantage != "reward" or self.candidates > 1 or self.retrain):
            raise ValueError(
                "without memory there are no ranks, candidates or repeats: advantage = 'reward', "
                "candidates = 1, retrain = 0"
            )
        return self


PLAIN_PPO = MappingProxyType({"advantage": "reward", "memory": False, "candidates": 1, "retrain": 0.0})
"""Settings of PPO as in the papers, without what is added here."""


class FinalsSettings(Settings):
    """How the best functions of a search are trained again and compared: docs/finals.md."""

    after_search: bool = False
    """Whether a search that is done goes on with its finals."""
    classes: int = Field(64, ge=1, le=10_000)
    """Classes f ~ a·f(b·x) of functions that are screened, best search score first."""
    screen_seeds: int = Field(2, ge=1, le=100)
    """Fresh seeds that each of them is trained with in the search's child."""
    screen_steps: int | None = Field(None, ge=1, le=1_000_000)
    """Steps of a screening; None: twice the search's."""
    finalists: int = Field(12, ge=1, le=100)
    """Functions that the screening promotes."""
    seeds: int = Field(10, ge=2, le=1000)
    """Paired seeds that finalists and controls are trained with in every child of the panel."""
    looks: tuple[int, ...] = (4, 7)
    """Numbers of seeds, ascending, after which hopeless finalists are dropped; those from `seeds` on are unused."""
    children: tuple[str, ...] = Field(("nf_resnet8", "resnet20", "efficientnet_tiny"), min_length=1, max_length=20)
    """The panel: entries of the children table, or the user's own."""
    steps: int | None = Field(None, ge=1, le=1_000_000)
    """Steps in the panel; None: each child's own number, but no fewer than a screening's."""

    @field_validator("children")
    @classmethod
    def _distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("a panel has each child once")
        return names

    @field_validator("looks")
    @classmethod
    def _ascending(cls, looks: tuple[int, ...]) -> tuple[int, ...]:
        if list(looks) != sorted(set(looks)) or any(look < 2 for look in looks):
            raise ValueError("looks are ascending numbers of seeds from 2 on")
        return looks


class EarlyStoppingSettings(Settings):
    """Which children are not trained to the end; the defaults are from docs/early-stopping.md."""

    rungs: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field((0.1, 0.25, 0.5), min_length=1, max_length=20)
    """Shares of the recipe's steps after which a child may end."""
    keep: float = Field(0.33, gt=0, lt=1)
    """Share of the children that reached a rung, among those told, which would pass it."""
    calibration: int = Field(10, ge=2)
    """Children trained to the end, among those told, before a rung stops any."""


class RunConfig(Settings):
    """Everything that decides what a run does. The number of workers is not here: it decides nothing."""

    seed: int = Field(0, ge=0, lt=2**31)
    """Every random number of the run derives from it."""
    evaluations: int = Field(60, ge=1)
    """New evaluations after which the search ends; a function known from as many as `repeats` of them is free."""
    minutes: float | None = Field(None, gt=0)
    """Wall-clock minutes after which nothing new is proposed; None: no limit."""
    batch: int = Field(10, ge=1, le=100_000)
    """Proposals a batch: one controller update each."""
    lag: int = Field(2, ge=1, le=1000)
    """Batch n is proposed by the controller that has been told batches up to n - lag."""
    controller: str = "ppo"
    """An entry of the controllers table."""
    repeats: int | None = Field(None, ge=1, le=100)
    """Trainings of one function at most: proposed again, it is trained again with its next seed; then it is free.
    None: as many as suit the controller."""
    repeat_best: int = Field(300, ge=0)
    """How many of the best functions the exhaustive controller proposes again when it has been through the space."""
    dataset: str = "fashion-mini"
    """An entry of the data sets table, `imagefolder:PATH`, or `module:function` of the user's own."""
    child: ChildSettings = ChildSettings()
    recipe: Recipe = Recipe()
    """The child's training. `resolve` starts from the child's own recipe, not from these defaults."""
    space: SpaceSettings = SpaceSettings()
    ppo: PPOSettings = PPOSettings()
    early_stopping: EarlyStoppingSettings | None = None
    """None: every child is trained to the end, as those of finals always are."""
    finals: FinalsSettings = FinalsSettings()
    max_operations: int = Field(400, ge=1)
    """Operation count (of the compiled formula) above which a function is too costly to train."""
    timeout_seconds: int = Field(3600, ge=1, le=MAX_TIMEOUT_SECONDS)
    """Wall-clock limit of one child; passing it is a fault of the machine, not of the function."""
    allow_user_code: bool = False
    """Whether `module:function` names may be imported; each worker must be given the same permission."""


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; `ConfigError` where it cannot be read or is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise ConfigError(f"cannot read {path}: {err.strerror}") from err
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise ConfigError(f"{path} is not TOML: {err}") from err
