"""Controllers set against each other seed by seed: against counts by hand and against brute force over all signs."""

from itertools import product

import numpy as np
import pytest

from actsearch_controller.arena import Play
from actsearch_controller.comparison import Comparison
from actsearch_controller.differences import differences, measures, signed_rank_p

GAPS = [0.3, -0.1, 0.7, 0.2, 0.45, 0.6, 0.05, 0.9]


def comparison(regrets: list[float], found: list[dict[str, int]]) -> Comparison:
    """Searches of two evaluations, of which the second ends at these regrets."""
    plays = [
        Play(
            regret=np.array([0.9, regret]),
            found=targets,
            proposals=2,
            repeats=0,
            not_covered=0,
            entropy=None,
            is_over=False,
            seconds=0.0,
            steps=np.array([1, 2]),
            stopped=0,
        )
        for regret, targets in zip(regrets, found, strict=True)
    ]
    return Comparison(plays, budget=2, highest=0.9)


def test_what_was_not_found_counts_as_found_after_the_budget() -> None:
    found = measures(comparison([0.1, 0.2], [{"swish": 1}, {}]))
    assert list(found) == ["regret at 2", "swish", "strict_swish", "top_1_percent"]
    assert found["regret at 2"].tolist() == [0.1, 0.2]
    assert found["swish"].tolist() == [1, 3]
    assert found["strict_swish"].tolist() == [3, 3]


def test_the_p_value_is_the_share_of_signs_as_far_out() -> None:
    ranks = np.argsort(np.argsort(np.abs(GAPS))) + 1

    def gap(signs: np.ndarray) -> float:
        return abs(float((ranks * signs).sum()))

    signs = np.array(list(product((-1, 1), repeat=len(GAPS))))
    as_far = np.mean([gap(row) >= gap(np.sign(GAPS)) for row in signs])
    assert signed_rank_p(GAPS) == pytest.approx(as_far)
    assert signed_rank_p([0.0, 0.0]) == 1


def test_each_is_set_against_the_first_and_the_p_values_adjusted_together() -> None:
    nothing: list[dict[str, int]] = [{} for _ in GAPS]
    first = comparison([0.0] * len(GAPS), nothing)
    worse, same = comparison(GAPS, nothing), comparison([0.0] * len(GAPS), nothing)
    found = differences({"first": first, "worse": worse, "same": same})
    assert list(found) == ["worse", "same"]
    regret = found["worse"]["regret at 2"]
    assert regret.mean == pytest.approx(np.mean(GAPS))
    assert regret.p == pytest.approx(8 * signed_rank_p(GAPS)), "two controllers by four measures"
    assert {d.p for d in found["same"].values()} == {1}


def test_one_alone_is_set_against_nothing() -> None:
    assert differences({"first": comparison([0.1], [{}])}) == {}
