"""How a child's weights move: learning rate by step, what decays, stochastic gradient descent, their average."""

import math

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from actsearch.activation import beta_parameters
from actsearch.config import Recipe


def learning_rate(step: int, recipe: Recipe) -> float:
    """The rate of step 0, 1, …: a line up to the peak over the warm-up, then half a cosine towards 0.

    With w = warmup_fraction·steps, rounded: peak·(step + 1)/w below w, and from there
    peak·(1 + cos(π·(step - w)/(steps - w)))/2 (Loshchilov, Hutter 2017, arXiv 1608.03983, eq. 5, without restarts),
    which would reach 0 one step after the last.
    """
    warmup = round(recipe.warmup_fraction * recipe.steps)
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / (recipe.steps - warmup)
    return recipe.learning_rate * (1 + math.cos(math.pi * progress)) / 2


def optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum; weight decay only on weights of 2 or 4 dimensions, never on biases, norms or β."""
    betas = set(beta_parameters(model))
    decayed = [p for p in model.parameters() if p.ndim in (2, 4) and p not in betas]
    chosen = set(decayed)
    others = [p for p in model.parameters() if p not in chosen]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    # Fused: one kernel for all tensors, a tenth of nf_resnet8's step on a CPU.
    return torch.optim.SGD(
        [group for group in groups if group["params"]],
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
        fused=True,
    )


def averaged(model: nn.Module, recipe: Recipe) -> AveragedModel | None:
    """The exponential moving average of weights, β and norm statistics, from the first step on; None for a decay of 0.

    Source: the code of EfficientNet (tensorflow/tpu, models/official/efficientnet), with a decay of 0.9999.
    """
    if not recipe.ema_decay:
        return None
    moving = get_ema_multi_avg_fn(recipe.ema_decay)  # type: ignore[no-untyped-call]
    return AveragedModel(model, multi_avg_fn=moving, use_buffers=True)
