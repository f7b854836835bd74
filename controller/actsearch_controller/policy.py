"""The RNN policy: a one-layer LSTM that writes a formula token by token.

After Zoph & Le 2016 (arXiv 1611.01578) and NASNet (arXiv 1707.07012, appendix A): each token is fed back as an
embedding, each slot has a head of its own over that slot's choices, weights start uniform in [-0.1, 0.1]. A slot lists
only legal choices, so that every sample is a formula.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from actsearch.space import Slot

INIT_RANGE = 0.1
"""Half-width of the uniform initial distribution of every weight (NASNet, appendix A)."""


@dataclass(frozen=True)
class Scores:
    """What the policy says of given formulas, both ``(batch, length)``, in nats, with gradient.

    Attributes:
        log_prob: log-probability of each token, given those before it.
        entropy: entropy of the distribution that each token was drawn from.
    """

    log_prob: Tensor
    entropy: Tensor


class Policy(nn.Module):
    """A distribution over the formulas of a space, as choices ``(batch, length)``: one index a slot."""

    def __init__(self, slots: Sequence[Slot], *, hidden: int, generator: torch.Generator) -> None:
        """A fresh policy, nearly uniform.

        Args:
            slots: the space's slots, in order; ``length`` of them.
            hidden: units of the LSTM and size of the embeddings.
            generator: what initial weights are drawn from, on the CPU.
        """
        super().__init__()
        sizes = [len(slot.choices) for slot in slots]
        self.hidden = hidden
        self.start = nn.Parameter(torch.empty(1, hidden))
        self.cell = nn.LSTMCell(hidden, hidden)
        self.heads = nn.ModuleList(nn.Linear(hidden, size) for size in sizes)
        # The last token is never fed back.
        self.embeddings = nn.ModuleList(nn.Embedding(size, hidden) for size in sizes[:-1])
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-INIT_RANGE, INIT_RANGE, generator=generator)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draws formulas.

        Returns:
            Choices ``(n, length)``, int64, and the log-probability of each formula ``(n,)``.
        """
        choices, log_prob = [], torch.zeros(n)
        memory, token = self._begin(n)
        for slot in range(len(self.heads)):
            log_probs, memory = self._step(slot, token, memory)
            chosen = torch.multinomial(log_probs.exp(), 1, generator=generator)
            log_prob = log_prob + log_probs.gather(1, chosen).squeeze(1)
            choices.append(chosen.squeeze(1))
            token = self._embed(slot, choices[-1])
        return torch.stack(choices, dim=1), log_prob

    def forward(self, choices: Tensor) -> Scores:
        """Scores given formulas, choices ``(batch, length)``, in one pass over the whole batch."""
        log_prob, entropy = [], []
        memory, token = self._begin(len(choices))
        for slot, chosen in enumerate(choices.unbind(dim=1)):
            log_probs, memory = self._step(slot, token, memory)
            log_prob.append(log_probs.gather(1, chosen.unsqueeze(1)).squeeze(1))
            entropy.append(-(log_probs.exp() * log_probs).sum(dim=1))  # (batch, choices) -> (batch,)
            token = self._embed(slot, chosen)
        return Scores(torch.stack(log_prob, dim=1), torch.stack(entropy, dim=1))

    def _begin(self, batch: int) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Zero memory and the start token for every formula: nothing is carried from one batch to the next."""
        zeros = torch.zeros(batch, self.hidden)
        return (zeros, zeros), self.start.expand(batch, -1)

    def _step(self, slot: int, token: Tensor, memory: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Log-probabilities ``(batch, choices)`` of one slot, and the LSTM's memory after it."""
        memory = self.cell(token, memory)
        return torch.log_softmax(self.heads[slot](memory[0]), dim=1), memory

    def _embed(self, slot: int, chosen: Tensor) -> Tensor:
        if slot == len(self.embeddings):
            return chosen  # the last token: nobody reads it
        embedded: Tensor = self.embeddings[slot](chosen)
        return embedded
