"""What benchmarks/beyond_swish.py says of functions against SiLU, beside scipy's paired t-test."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from actsearch.finals import Candidate

SCRIPTS = Path(__file__).parents[1] / "benchmarks"
SILU, RELU = "x*sigmoid(x)", "max(x, 0)"
SEEDS = {SILU: range(20), RELU: range(20), "sin(x)": range(20), "tanh(x)": range(10, 20)}
CHILDREN = ("a", "b")


def test_differences_are_paired_by_seed_over_all_finals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import beyond_swish

    random = np.random.default_rng(0)
    of_seed = random.normal(0.8, 0.05, 20)  # what unpaired tests would drown in
    level = {SILU: 0.0, RELU: -0.01, "sin(x)": 0.002, "tanh(x)": 0.0015}
    accuracies = {
        (f, c, s): float(of_seed[s] + level[f] + random.normal(0, 0.002))
        for f, seeds in SEEDS.items()
        for c in CHILDREN
        for s in seeds
    }

    def means(f: str, seeds: range, children: Sequence[str] = CHILDREN) -> list[float]:
        return [float(np.mean([accuracies[f, c, s] for c in children])) for s in seeds]

    tests = {f: stats.ttest_rel(means(f, SEEDS[f]), means(SILU, SEEDS[f]), alternative="greater") for f in level}
    holm = {"sin(x)": 2 * tests["sin(x)"].pvalue, "tanh(x)": tests["tanh(x)"].pvalue, RELU: None}
    assert 1e-4 < holm["sin(x)"] < holm["tanh(x)"] < 0.05
    rows = beyond_swish.against_silu(accuracies)
    assert list(rows) == ["sin(x)", "tanh(x)", RELU]
    for f, row in rows.items():
        assert row.seeds == len(SEEDS[f])
        assert row.p_holm == pytest.approx(holm[f])
        compared = [(row.difference, SILU, CHILDREN), *((row.children[c], SILU, (c,)) for c in CHILDREN)]
        if row.from_relu is not None:
            compared.append((row.from_relu, RELU, CHILDREN))
        assert len(compared) == (3 if f == RELU else 4)
        for found, other, children in compared:
            both = stats.ttest_rel(means(f, SEEDS[f], children), means(other, SEEDS[f], children))
            low, high = both.confidence_interval()
            mean = np.subtract(means(f, SEEDS[f], children), means(other, SEEDS[f], children)).mean()
            assert (found.mean, found.low, found.high) == pytest.approx((mean, low, high))


def test_longer_trains_only_what_is_missing_and_leaves_other_functions_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import beyond_swish
    from rows import Rows

    rows = Rows(tmp_path / "rows.csv", beyond_swish.COLUMNS)
    wanted = [(f, c, s) for f in (SILU, RELU) for c in beyond_swish.CHILDREN for s in beyond_swish.SEEDS]
    missing = wanted.pop()
    for f, c, s in [*wanted, ("sin(x)", "resnet20", 2_000)]:
        rows.append(dict(zip(beyond_swish.COLUMNS, (f, c, s, "trained", 0.9), strict=True)))
    asked: list[tuple[str, str, int]] = []

    def add(self: Rows, tasks: list[Any], train: Any, *, processes: int) -> None:
        asked.extend((candidate.canonical, c, s) for candidate, c, s in tasks)
        self.append(dict(zip(beyond_swish.COLUMNS, (*asked[-1], "diverged", None), strict=True)))

    monkeypatch.setattr(Rows, "add", add)
    functions = {
        f: Candidate(
            tokens=(), formula=f, canonical=f, names=(), fingerprint=f, equivalence_class=f, search_accuracy=None
        )
        for f in (SILU, RELU)
    }
    accuracies = beyond_swish.longer(functions, rows, processes=1)
    assert asked == [missing]
    assert accuracies == dict.fromkeys(wanted, 0.9) | {missing: 0.0}
