"""The arena: a controller searches a landscape, with the batches and lag of a real run but without store or training.

Batch n is proposed by the controller that has been told batches 0 … n - lag (actsearch_controller.pipeline). A function
that the landscape does not cover gets no invented reward: its slot is masked, that is neither told nor counted.
"""

import math
import time
import zlib
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from actsearch.evaluation import FLOOR_REWARD, Outcome, Rung
from actsearch.formula import Formula
from actsearch.landscape import Landscape, Measurement
from actsearch.standings import Standings
from actsearch_controller.early_stopping import EarlyStopping
from actsearch_controller.pipeline import EXHAUSTED_AFTER
from actsearch_controller.ports import Identify, Proposer

TARGETS = ("swish", "strict_swish", "top_1_percent")
"""What a search is to find: a member of the Swish family, of its strict part, of the best covered functions."""


@dataclass(frozen=True)
class Play:
    """What one search of a landscape did.

    Attributes:
        regret: after each evaluation, ``(evaluations,)``: the best true reward of the landscape minus that of the
            incumbent, which is the function that stands first by what was *observed* so far (actsearch.standings);
            luck counts as in a run.
        found: evaluations up to the first member of each of `TARGETS`; those not found are left out.
        proposals: formulas proposed in batches that were told or counted.
        repeats: those whose function had been proposed before.
        not_covered: those that were masked.
        entropy: the policy's, nats a token, where the controller reports it.
        is_over: whether the controller had nothing new left before the budget was used up.
        seconds: processor time.
        steps: steps that all children up to each evaluation were trained for, ``(evaluations,)``; a failure whose
            steps the landscape does not know counts as none.
        stopped: evaluations that ended at a rung.
    """

    regret: npt.NDArray[np.float64]
    found: Mapping[str, int]
    proposals: int
    repeats: int
    not_covered: int
    entropy: float | None
    is_over: bool
    seconds: float
    steps: npt.NDArray[np.int64]
    stopped: int


class Arena:
    """A landscape made ready for many searches."""

    def __init__(self, landscape: Landscape) -> None:
        self.landscape = landscape
        rewards = landscape.true_rewards
        self.best = max(rewards.values(), default=FLOOR_REWARD)
        covered = [landscape.functions[id_] for id_ in rewards]
        self.targets: Mapping[str, frozenset[str]] = MappingProxyType({
            "swish": frozenset(f.id for f in covered if f.swish),
            "strict_swish": frozenset(f.id for f in covered if f.swish == "strict"),
            "top_1_percent": frozenset(sorted(rewards, key=lambda id_: -rewards[id_])[: -(-len(rewards) // 100)]),
        })  # fmt: skip
        """Ids of the covered functions that count as found, by target."""

    def identify(self, formula: Formula) -> str:
        """The id of a formula's function, or its tokens where the landscape's space does not hold it."""
        function = self.landscape.function_of(formula.tokens)
        return " ".join(formula.tokens) if function is None else function.id

    def play(
        self,
        build: Callable[[Identify], Proposer],
        *,
        seed: int,
        evaluations: int,
        batch: int,
        lag: int,
        repeats: int = 1,
        every_draw_counts: bool = False,
        early_stopping: EarlyStopping | None = None,
        steps: int | None = None,
    ) -> Play:
        """One search.

        Args:
            build: a fresh controller, given what tells functions apart here.
            seed: decides the noise of each function, the same for every controller.
            evaluations: evaluations after which it ends.
            batch: proposals a batch.
            lag: batches in flight.
            repeats: trainings of one function at most; proposed again after that, it is free.
            every_draw_counts: whether that counts as an evaluation nevertheless.
            early_stopping: a fresh one, of steps that the landscape recorded; None trains every child to the end.
            steps: training steps of all children after which it ends, if evaluations do not end it; None: no limit.
        """
        proposer = build(self.identify)
        started = time.process_time()
        score = _Score(self, seed, evaluations, math.inf if steps is None else steps, repeats, every_draw_counts)
        in_flight: deque[list[_Answer]] = deque()
        metrics: Mapping[str, float] = {}
        number, last_new, is_over = 0, -1, False
        while not score.is_full:
            while len(in_flight) < lag and not (is_over or score.is_full):
                formulas = proposer.ask(batch)
                if not formulas:
                    is_over = not in_flight
                    break
                known = len(score.seen)
                rungs = early_stopping.rungs if early_stopping else ()
                in_flight.append(list(score.answers(formulas, rungs)))
                last_new = number if len(score.seen) > known else last_new
                is_over = number - last_new >= EXHAUSTED_AFTER
                number += 1
            if not in_flight:
                break
            told = in_flight.popleft()
            if early_stopping:
                for training in (answer.measurement for answer in told if answer.is_new):
                    is_trained = training.outcome is Outcome.TRAINED
                    early_stopping.tell(training.curve, training.reward if is_trained else None)
            metrics = proposer.tell([a.formula for a in told], [a.measurement.reward for a in told]) or metrics
        return Play(
            regret=np.array(score.regret),
            found=score.found,
            proposals=score.proposals,
            repeats=score.repeats,
            not_covered=score.not_covered,
            entropy=metrics.get("entropy"),
            is_over=is_over,
            seconds=time.process_time() - started,
            steps=np.array(score.steps, dtype=np.int64),
            stopped=score.stopped,
        )


@dataclass(frozen=True)
class _Answer:
    """A covered formula, the training that answers it, and whether that training is the first of its function."""

    formula: Formula
    measurement: Measurement
    is_new: bool


class _Score:
    """One search as it goes: answers proposals and keeps the count."""

    def __init__(
        self, arena: Arena, seed: int, budget: int, limit: float, repeats: int, every_draw_counts: bool
    ) -> None:
        self._arena, self._seed, self._budget, self._limit = arena, seed, budget, limit
        self._trainings, self._every_draw_counts = repeats, every_draw_counts
        self._observed: defaultdict[str, list[Measurement]] = defaultdict(list)
        self._standings = Standings()
        self.seen: set[str] = set()
        self.regret: list[float] = []
        self.steps: list[int] = []
        self.stopped = 0
        self.found: dict[str, int] = {}
        self.proposals = self.repeats = self.not_covered = 0

    @property
    def is_full(self) -> bool:
        return len(self.regret) >= self._budget or (bool(self.steps) and self.steps[-1] >= self._limit)

    def answers(self, formulas: Sequence[Formula], rungs: Sequence[Rung]) -> Iterator[_Answer]:
        """The formulas that are covered, up to the one that fills the budget."""
        for formula in formulas:
            function = self._arena.identify(formula)
            is_new = function not in self.seen
            self.seen.add(function)
            self.proposals += 1
            self.repeats += not is_new
            if not self._arena.landscape.is_covered(function):
                self.not_covered += 1
                continue
            observed = self._observed[function]
            trains = len(observed) < self._trainings
            if trains:
                observed.append(self._train(function, len(observed), rungs))
            training = observed[-1] if trains else observed[0]
            if trains or self._every_draw_counts:
                self._count(training, trains)
            yield _Answer(formula, training, is_new)
            if self.is_full:
                return

    def _noise(self, function: str, replicate: int) -> np.random.Generator:
        """The same luck for the same function, replicate and seed, whoever proposes it: searches compare in pairs."""
        return np.random.Generator(np.random.PCG64([self._seed, zlib.crc32(function.encode()), replicate]))

    def _train(self, function: str, replicate: int, rungs: Sequence[Rung]) -> Measurement:
        """One training; it counts in the standings unless it is stopped, as only a function's first may be."""
        training = self._arena.landscape.observe(function, self._noise(function, replicate))
        if not replicate:
            training = training.cut(rungs)
        if training.outcome is not Outcome.STOPPED:
            self._standings.add(function, training.reward)
        return training

    def _count(self, training: Measurement, trains: bool) -> None:
        """Counts an evaluation; one that only draws a function again trains nothing."""
        first = self._standings.first
        assert first is not None, "no child is stopped before others were trained to the end"
        self.regret.append(self._arena.best - self._arena.landscape.true_rewards[first.function])
        self.steps.append((self.steps[-1] if self.steps else 0) + (training.steps or 0) * trains)
        if training.outcome is Outcome.STOPPED:
            self.stopped += trains
            return
        for target, members in self._arena.targets.items():
            if training.function in members:
                self.found.setdefault(target, len(self.regret))
