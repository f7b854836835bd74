"""What controllers with a policy share: sampling, batches in flight, one way to take a step, a state that is whole.

Batches come back late: with lag 2 a batch is told to a policy that has learned another one since it wrote it. So the
log-probabilities under the policy that *sampled* a batch are kept with it while it is in flight.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean
from typing import final

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from actsearch.config import PPOSettings
from actsearch.formula import Formula
from actsearch.space import Space
from actsearch_controller.metrics import mean_reward
from actsearch_controller.policy import Policy, Scores
from actsearch_controller.subsequence import slots_told


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
class Rollout:
    """A batch in flight: choices ``(n, length)`` and their log-probabilities ``(n,)`` when they were sampled."""

    choices: Tensor
    log_prob: Tensor


class MovingBaseline:
    """An exponential moving average over all rewards told, one after another in slot order (NASNet, appendix A.2).

    It starts at the first batch's mean: started at 0, every function of the first batches would look good and all of
    them would be reinforced.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self.value: float | None = None

    def advantage(self, rewards: Sequence[float]) -> Tensor:
        """Reward minus the baseline as it was before this batch, ``(batch,)``; then the baseline learns the batch."""
        before = value = fmean(rewards) if self.value is None else self.value
        for reward in rewards:
            value += (1 - self._decay) * (reward - value)
        self.value = value
        return torch.tensor([reward - before for reward in rewards])

    @property
    def metrics(self) -> dict[str, float]:
        """Its value by name; nothing before the first batch."""
        return {} if self.value is None else {"baseline": self.value}

    def tensors(self) -> dict[str, Tensor]:
        return {} if self.value is None else {"baseline": torch.tensor(self.value, dtype=torch.float64)}

    def recall(self, tensors: Mapping[str, Tensor]) -> None:
        self.value = float(tensors["baseline"]) if "baseline" in tensors else None


class PolicyController(ABC):
    """An LSTM policy that writes formulas; how it learns from their rewards is a subclass's. Fits `Proposer`."""

    def __init__(self, space: Space, settings: PPOSettings, *, learning_rate: float, seed: int) -> None:
        """A fresh controller.

        Args:
            space: what it proposes from.
            settings: size of the policy, weight of the entropy, largest norm of a gradient.
            learning_rate: Adam's step size.
            seed: decides its initial weights and every sample.
        """
        self._space = space
        self._settings = settings
        self._generator = torch.Generator().manual_seed(seed)
        self._policy = Policy(space.slots, hidden=settings.hidden, generator=self._generator)
        self._optimizer = torch.optim.Adam(self._policy.parameters(), lr=learning_rate)
        self._updates = 0
        self._in_flight: list[Rollout] = []
        # A slot with one choice has no entropy and would only dilute the mean.
        self._free = [k for k, slot in enumerate(space.slots) if len(slot.choices) > 1]

    @abstractmethod
    def _learn(self, rollout: Rollout, rewards: Sequence[float]) -> dict[str, float]:
        """One update from a batch of at least one formula; returns metrics of its own."""

    @abstractmethod
    def _memory(self) -> dict[str, Tensor]:
        """What a subclass remembers beside the policy, as tensors."""

    @abstractmethod
    def _recall(self, tensors: Mapping[str, Tensor]) -> None:
        """Remembers what `_memory` gave."""

    @final
    def ask(self, n: int) -> list[Formula]:
        """`n` formulas sampled from the policy as it is now; remembered until they are told.

        Fewer, or none, where a subclass has no more to propose; then its state is as it was.
        """
        with _one_thread():
            rollout = self._propose(n)
        if len(rollout.choices):
            self._in_flight.append(rollout)
        return [self._space.formula(row) for row in rollout.choices.tolist()]

    def _propose(self, n: int) -> Rollout:
        """The next batch."""
        return Rollout(*self._policy.sample(n, self._generator))

    @final
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
        with _one_thread():
            metrics = self._learn(rollout, rewards) | self._distance(rollout)
        self._updates += 1
        return metrics | mean_reward(rewards)

    def _take(self, formulas: Sequence[Formula]) -> Rollout:
        if not self._in_flight:
            raise ValueError("nothing was asked that is not told yet")
        oldest = self._in_flight[0]
        told = [self._space.choices(formula) for formula in formulas]
        slots = slots_told(told, [tuple(choices) for choices in oldest.choices.tolist()])
        del self._in_flight[0]
        return Rollout(oldest.choices[slots], oldest.log_prob[slots])

    def _descend(self, choices: Tensor, loss: Callable[[Scores], Tensor], *, steps: int) -> dict[str, float]:
        """Optimizer steps on a loss of the scores of given choices, less the entropy bonus; metrics of the last one."""
        for _ in range(steps):
            scores = self._policy(choices)
            policy_loss = loss(scores)
            self._optimizer.zero_grad()
            torch.autograd.backward(policy_loss - self._settings.entropy_coef * self._entropy(scores))
            grad_norm = nn.utils.clip_grad_norm_(self._policy.parameters(), self._settings.max_grad_norm)
            self._optimizer.step()
        return {"policy_loss": float(policy_loss.detach()), "grad_norm": float(grad_norm)}

    @torch.no_grad()
    def _log_prob(self, choices: Tensor) -> Tensor:
        """Log-probability of formulas ``(n, length)`` under the policy as it is now, ``(n,)``."""
        scores: Scores = self._policy(choices)
        return scores.log_prob.sum(dim=1)

    def _entropy(self, scores: Scores) -> Tensor:
        """Mean entropy a token, over the slots that have a choice, in nats."""
        if not self._free:
            return torch.zeros(())
        return scores.entropy[:, self._free].mean()

    @torch.no_grad()
    def _distance(self, rollout: Rollout) -> dict[str, float]:
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
            "uniform_entropy": self._space.uniform_entropy,
        }
        by_slot = scores.entropy.mean(dim=0).tolist()  # (batch, length) -> (length,)
        return metrics | {f"entropy_{self._space.slot_names[k]}": by_slot[k] for k in self._free}

    @final
    def state(self) -> bytes:
        """Everything that decides what comes next, as safetensors; equal states give equal bytes.

        Weights, Adam's moments, the generator, the batches in flight, and what the subclass remembers.
        """
        tensors = {f"policy.{name}": value for name, value in self._policy.state_dict().items()}
        for index, moments in self._optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{name}": value for name, value in moments.items()}
        for index, rollout in enumerate(self._in_flight):
            tensors |= {f"in_flight.{index}.choices": rollout.choices, f"in_flight.{index}.log_prob": rollout.log_prob}
        tensors["generator"] = self._generator.get_state()
        tensors["updates"] = torch.tensor(self._updates)
        tensors |= self._memory()
        return save({name: value.contiguous() for name, value in tensors.items()})

    @final
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
        self._in_flight = []
        while f"in_flight.{len(self._in_flight)}.choices" in tensors:
            batch = _under(f"in_flight.{len(self._in_flight)}", tensors)
            self._in_flight.append(Rollout(batch["choices"], batch["log_prob"]))
        self._recall(tensors)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix.`, without it."""
    return {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}
