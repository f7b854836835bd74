"""The controller's memory: what counts as new, what is trained again, and that it travels whole."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from actsearch_controller.memory import Memory

steps = st.lists(
    st.tuples(st.sampled_from(["propose", "tell", "again", "move"]), st.integers(0, 11), st.integers(0, 4)),
    max_size=40,
)


def same(memory: Memory, other: Memory) -> bool:
    mine, others = memory.tensors(), other.tensors()
    return mine.keys() == others.keys() and all(torch.equal(mine[name], others[name]) for name in mine)


def test_spellings_of_one_function_are_one() -> None:
    memory = Memory()
    assert memory.propose((0, 1), "x")
    assert not memory.propose((1, 0), "x")
    assert memory.propose((1, 1), "sin")
    assert all(memory.knows(row) for row in ((0, 1), (1, 0), (1, 1)))
    assert not memory.knows((2, 2))
    memory.forget([(1, 0)])
    assert not memory.knows((1, 0))
    memory.tell([(0, 1), (1, 1)], [0.5, 0.25])
    assert memory.told == [((0, 1), 0.5), ((1, 1), 0.25)]


def test_the_best_by_mean_come_again_until_they_had_their_trainings() -> None:
    memory = Memory()
    for row, reward in (((0,), 0.7), ((1,), 0.9), ((2,), 0.8)):
        memory.propose(row, str(row))
        memory.tell([row], [reward])
    assert memory.best_again(2, 3) == [(1,), (2,)]
    memory.tell([(1,), (2,)], [0.5, 0.9])  # means 0.7 and 0.85: now (2,) leads, and (0,) ties with (1,)
    assert memory.best_again(2, 3) == [(2,), (0,)]
    assert memory.best_again(3, 2) == []
    assert memory.best_again(3, 3) == [(0,), (1,)]
    assert memory.best_again(3, 3) == []
    assert memory.rewards == [0.7, 0.9, 0.8, 0.5, 0.9]


@given(steps)
def test_moved_at_any_time_it_goes_on_the_same(script: list[tuple[str, int, int]]) -> None:
    stays, moves = Memory(), Memory()
    for what, spelling, number in script:
        row = (spelling // 4, spelling % 4)
        function = str(spelling // 2)
        for memory in (stays, moves):
            if what == "propose" and not memory.knows(row):
                memory.propose(row, function)
            elif what == "tell" and memory.knows(row):
                memory.tell([row], [number / 4])
        if what == "again":
            assert stays.best_again(number, 3) == moves.best_again(number, 3)
        elif what == "move":
            moves = Memory.from_tensors(moves.tensors())
        assert same(stays, moves)
        assert stays.told == moves.told
        assert stays.rewards == moves.rewards
