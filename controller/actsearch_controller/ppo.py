"""PPO on whole formulas: one formula is one rollout with one reward at its end.

Batches come back late: with lag 2 a batch is told to a policy that has learned another one since it wrote it. The
ratio's denominator is therefore the log-probability under the policy that *sampled* the batch, kept with the batch
while it is in flight; the clip then bounds how far an update may leave that policy. (Recomputing it at the update
would make the first ratio 1 and train on the batch as if it were fresh.)
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from actsearch.config import PPOSettings
from actsearch.formula import Formula
from actsearch.space import Space
from actsearch_controller.metrics import mean_reward
from actsearch_controller.policy import Policy, Scores

KINDS = ("input", "unary", "binary")


def clipped_surrogate(new_log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, clip_coef: float) -> Tensor:
    """PPO's clipped policy loss, to be minimised.

    Args:
        new_log_prob: log-probability (natural log) of each formula under the policy in training, ``(batch,)``.
        old_log_prob: the same under the policy that sampled the batch, ``(batch,)``, without gradient.
        advantage: reward minus baseline, in accuracy units (0-1), ``(batch,)``.
        clip_coef: the paper's epsilon, in (0, 1).

    Returns:
        The mean over the batch, a scalar that carries gradient.

    Source: Schulman et al. 2017, arXiv:1707.06347, eq. 7.
    """
    ratio = (new_log_prob - old_log_prob).exp()
    clipped = ratio.clamp(1 - clip_coef, 1 + clip_coef)
    return -torch.minimum(ratio * advantage, clipped * advantage).mean()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch on one thread meanwhile: how a sum is split among threads changes its last bits, and so the trace.

    It is the faster way too: the policy's matrices are small.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class _Rollout:
    """A batch in flight: choices ``(n, length)`` and their log-probabilities ``(n,)`` when they were sampled."""

    choices: Tensor
    log_prob: Tensor


class PPOController:
    """An LSTM policy that learns by PPO from the rewards of its formulas. Fits the `Proposer` port.

    The baseline is an exponential moving average over all rewards told, one after another in slot order (NASNet,
    arXiv 1707.07012, appendix A.2). It starts at the first batch's mean: started at 0, every function of the first
    batches would look good and all of them would be reinforced.
    """

    def __init__(self, space: Space, settings: PPOSettings, *, seed: int) -> None:
        """A fresh controller; `seed` decides its initial weights and every sample."""
        self._space = space
        self._settings = settings
        self._generator = torch.Generator().manual_seed(seed)
        self._policy = Policy(space.slots, hidden=settings.hidden, generator=self._generator)
        self._optimizer = torch.optim.Adam(self._policy.parameters(), lr=settings.learning_rate)
        self._baseline: float | None = None
        self._updates = 0
        self._in_flight: list[_Rollout] = []
        # A slot with one choice has no entropy and would only dilute the mean.
        self._free = [k for k, slot in enumerate(space.slots) if len(slot.choices) > 1]

    def ask(self, n: int) -> list[Formula]:
        """`n` formulas sampled from the policy as it is now; remembered until they are told."""
        with _one_thread():
            choices, log_prob = self._policy.sample(n, self._generator)
        self._in_flight.append(_Rollout(choices, log_prob))
        return [self._space.formula(row) for row in choices.tolist()]

    def tell(self, formulas: Sequence[Formula], rewards: Sequence[float]) -> dict[str, float]:
        """One update from the oldest batch asked and not yet told.

        Args:
            formulas: those of that batch that have a reward, in slot order.
            rewards: one for each, higher is better.

        Returns:
            Metrics, defined in `docs/metrics.md`; none where no formula had a reward, and then nothing is learned.

        Raises:
            ValueError: other formulas than those asked first.
        """
        rollout = self._take(formulas)
        if not formulas:
            return {}
        baseline = fmean(rewards) if self._baseline is None else self._baseline
        with _one_thread():
            metrics = self._update(rollout, torch.tensor([reward - baseline for reward in rewards]))
        for value in rewards:
            baseline += (1 - self._settings.baseline_decay) * (value - baseline)
        self._baseline = baseline
        self._updates += 1
        return {**metrics, **mean_reward(rewards), "baseline": baseline}

    def _take(self, formulas: Sequence[Formula]) -> _Rollout:
        if not self._in_flight:
            raise ValueError("nothing was asked that is not told yet")
        oldest = self._in_flight[0]
        slots = _slots([self._space.choices(formula) for formula in formulas], oldest.choices.tolist())
        del self._in_flight[0]
        return _Rollout(oldest.choices[slots], oldest.log_prob[slots])

    def _update(self, rollout: _Rollout, advantage: Tensor) -> dict[str, float]:
        for _ in range(self._settings.epochs):
            scores = self._policy(rollout.choices)
            policy_loss = clipped_surrogate(
                scores.log_prob.sum(dim=1), rollout.log_prob, advantage, self._settings.clip_coef
            )
            loss = policy_loss - self._settings.entropy_coef * self._entropy(scores)
            self._optimizer.zero_grad()
            torch.autograd.backward(loss)
            grad_norm = nn.utils.clip_grad_norm_(self._policy.parameters(), self._settings.max_grad_norm)
            self._optimizer.step()
        return {
            "policy_loss": float(policy_loss.detach()),
            "grad_norm": float(grad_norm),
            **self._distance(rollout),
        }

    def _entropy(self, scores: Scores) -> Tensor:
        """Mean entropy a token, over the slots that have a choice, in nats."""
        if not self._free:
            return torch.zeros(())
        return scores.entropy[:, self._free].mean()

    @torch.no_grad()
    def _distance(self, rollout: _Rollout) -> dict[str, float]:
        """How the policy after the update differs from the one that sampled the batch, and how sure it is."""
        scores = self._policy(rollout.choices)
        log_ratio = scores.log_prob.sum(dim=1) - rollout.log_prob
        ratio = log_ratio.exp()
        metrics = {
            # E[(r - 1) - log r] is never negative and has less variance than E[-log r] (Schulman 2020, "Approximating
            # KL divergence", estimator k3).
            "approx_kl": float((ratio - 1 - log_ratio).mean()),
            "clip_fraction": float(((ratio - 1).abs() > self._settings.clip_coef).float().mean()),
            "entropy": float(self._entropy(scores)),
        }
        for kind in KINDS:
            slots = [k for k in self._free if self._space.slots[k].kind == kind]
            if slots:
                metrics[f"entropy_{kind}"] = float(scores.entropy[:, slots].mean())
        return metrics

    def state(self) -> bytes:
        """Everything that decides what comes next, as safetensors; equal states give equal bytes.

        Weights, Adam's moments, the generator, the baseline, and the batches in flight.
        """
        tensors = {f"policy.{name}": value for name, value in self._policy.state_dict().items()}
        for index, moments in self._optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{name}": value for name, value in moments.items()}
        for index, rollout in enumerate(self._in_flight):
            tensors |= {f"in_flight.{index}.choices": rollout.choices, f"in_flight.{index}.log_prob": rollout.log_prob}
        tensors["generator"] = self._generator.get_state()
        tensors["updates"] = torch.tensor(self._updates)
        if self._baseline is not None:
            tensors["baseline"] = torch.tensor(self._baseline, dtype=torch.float64)
        return save({name: value.contiguous() for name, value in tensors.items()})

    def restore(self, state: bytes) -> None:
        """Goes on from a `state` of a controller with the same space and settings."""
        tensors = load(state)
        self._policy.load_state_dict(_under("policy", tensors))
        optimizer = self._optimizer.state_dict()
        optimizer["state"] = {
            index: _under(f"adam.{index}", tensors)
            for index in range(len(optimizer["param_groups"][0]["params"]))
            if f"adam.{index}.step" in tensors
        }
        self._optimizer.load_state_dict(optimizer)
        self._generator.set_state(tensors["generator"])
        self._updates = int(tensors["updates"])
        self._baseline = float(tensors["baseline"]) if "baseline" in tensors else None
        self._in_flight = []
        while f"in_flight.{len(self._in_flight)}.choices" in tensors:
            batch = _under(f"in_flight.{len(self._in_flight)}", tensors)
            self._in_flight.append(_Rollout(batch["choices"], batch["log_prob"]))


def _slots(told: Sequence[Sequence[int]], asked: Sequence[Sequence[int]]) -> list[int]:
    """The slot of each formula told, in a batch asked; `ValueError` where they are not some of it in its order."""
    slots, rest = [], iter(enumerate(asked))
    for choices in told:
        slot = next((slot for slot, other in rest if tuple(other) == tuple(choices)), None)
        if slot is None:
            raise ValueError("batches are told in the order asked, their formulas in slot order")
        slots.append(slot)
    return slots


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix.`, without it."""
    return {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}
