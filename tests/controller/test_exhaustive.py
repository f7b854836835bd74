"""Exhaustive search: each function once, then the best again, through the pipeline and a restart."""

from collections import Counter, deque
from pathlib import Path

import pytest

from actsearch.config import RunConfig, SpaceSettings
from actsearch.errors import ConfigError
from actsearch.expression import expression_of
from actsearch.identity import fingerprint
from actsearch.space import Space
from actsearch.store import Store
from actsearch_controller.baselines.exhaustive import ExhaustiveController
from actsearch_controller.search import Search, search
from tests.controller.synthetic import ShuffledEvaluator, answer

NARROW = SpaceSettings(unary=("identity", "negative", "abs", "square", "sin"), binary=("add", "max", "multiply"))


def functions(settings: SpaceSettings) -> set[str]:
    return {fingerprint(expression_of(formula)) for formula in Space(settings).enumerate()}


def test_each_function_once_in_an_order_that_the_seed_decides() -> None:
    space = Space(NARROW)
    orders = [ExhaustiveController(space, seed=seed).ask(1_000) for seed in (0, 0, 1)]
    for order in orders:
        found = [fingerprint(expression_of(formula)) for formula in order]
        assert len(found) == len(set(found))
        assert set(found) == functions(NARROW)
    assert orders[0] == orders[1] != orders[2]


def test_through_the_pipeline_the_best_are_trained_again_and_then_it_ends(tmp_path: Path) -> None:
    config = RunConfig(
        controller="exhaustive", evaluations=10_000, batch=7, lag=2, space=NARROW, repeats=3, repeat_best=5, seed=3
    )
    with Store.open(tmp_path / "s.sqlite") as store:
        record = search(config, ShuffledEvaluator(1, workers=4), store=store, run="first")
        rows = store.evaluations("first")
    assert record.reason == "nothing left to propose"
    counts = Counter(row.canonical for row in rows)
    assert len(counts) == len(functions(NARROW))
    assert sorted(counts.values(), reverse=True)[:6] == [3, 3, 3, 3, 3, 1]
    rewards = {r.canonical: r.evaluation.reward for r in rows if r.replicate == 0 and r.evaluation}
    best = sorted(rewards, key=lambda text: -rewards[text])[:5]
    assert {text for text, count in counts.items() if count == 3} == set(best)
    assert {(r.canonical, r.replicate) for r in rows if r.replicate} == {(text, k) for text in best for k in (1, 2)}
    assert len({row.seed for row in rows}) == len(rows)


def test_it_goes_on_after_a_restart() -> None:
    space = Space(NARROW)
    first = ExhaustiveController(space, seed=0, repeats=2, repeat_best=2)
    told = first.ask(9)
    first.tell(told, [k / 10 for k in range(9)])
    second = ExhaustiveController(space, seed=5, repeats=2, repeat_best=2)
    second.restore(first.state())
    rest = first.ask(1_000)
    assert rest == second.ask(1_000)
    assert first.ask(5) == []  # which are the best hangs on what is not told yet
    first.tell(rest, [0.2] * len(rest))
    assert first.ask(1) == [told[8]]
    assert first.ask(5) == [told[7]]
    assert first.ask(5) == []


def test_a_space_too_large_to_list_is_refused_in_one_line() -> None:
    with pytest.raises(
        ConfigError, match=r"the space has 156,250,000 token sequences, at most 1,000,000 can be listed"
    ):
        ExhaustiveController(Space(SpaceSettings(units=2)), seed=0)


def test_repeats_are_cut_where_a_batch_ends_and_go_on_in_the_next() -> None:
    space = Space(NARROW)
    first = ExhaustiveController(space, seed=0, repeats=4, repeat_best=2)
    told = first.ask(1_000)
    first.tell(told, [k / 1_000 for k in range(len(told))])
    assert first.ask(5) == [told[-1]] * 3 + [told[-2]] * 2
    second = ExhaustiveController(space, seed=1, repeats=4, repeat_best=2)
    second.restore(first.state())
    assert second.ask(5) == first.ask(5) == [told[-2]]


@pytest.mark.parametrize("controller", ["exhaustive", "random_new"])
def test_neither_polls_nor_restarts_change_the_trace_where_a_space_ends(controller: str, tmp_path: Path) -> None:
    """There a controller has nothing to propose while results are on their way, and is asked again."""
    config = RunConfig(
        controller=controller, evaluations=10_000, batch=7, lag=3, space=NARROW, repeats=2, repeat_best=4
    )

    def played(name: str, *, polls: int = 0, restarts: bool = False) -> tuple[str, int]:
        with Store.open(tmp_path / name) as store:
            store.create_run("first", config, command="", versions={})
            one = Search(store, "first")
            waiting = deque(one.ask())
            while not one.is_done:
                for _ in range(polls):
                    one.tell([])
                if restarts and len(waiting) % 5 == 0:
                    one = Search(store, "first")
                    waiting = deque(one.ask())
                one.tell([answer(waiting.popleft())] if waiting else [])
                waiting += one.ask()
            return store.run("first").trace, store.summary("first").told

    undisturbed = played("undisturbed")
    assert undisturbed[1] >= len(functions(NARROW))
    assert played("polled", polls=3) == undisturbed
    assert played("restarted", restarts=True) == undisturbed
