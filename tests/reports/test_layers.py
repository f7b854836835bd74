"""β and pre-activations of layers, against numpy and against counts made by hand."""

import numpy as np
import pytest

from actsearch.evaluation import LayerRecord
from actsearch_reports import layers


def layer(name: str, channels: int, histogram: tuple[int, ...] = (), **betas: list[float]) -> LayerRecord:
    return LayerRecord(name=name, channels=channels, betas={k: tuple(v) for k, v in betas.items()}, histogram=histogram)


def test_summaries_of_recorded_channels_are_numpys() -> None:
    values = [-0.5, 0.25, 1.0, 3.0]
    overall, one = layers.beta_summaries([layer("act", 4, beta=values)], {"beta": 1.0})
    assert (overall.layer, one.layer, one.beta, one.channels, one.initial) == ("all layers", "act", "beta", 4, 1.0)
    assert (one.mean, one.median, one.minimum, one.maximum) == (
        float(np.mean(values)),
        float(np.median(values)),
        -0.5,
        3.0,
    )
    assert one.sd == pytest.approx(np.std(values))
    assert one.negative == 0.25


def test_quantiles_stand_for_all_channels_of_a_wide_layer() -> None:
    # 640 equally spaced values: their 33 quantiles must give back mean and median, and outweigh the 4 channels.
    wide = np.linspace(0, 2, 640)
    quantiles = np.quantile(wide, np.linspace(0, 1, 33))
    rows = layers.beta_summaries(
        [layer("narrow", 4, beta=[7.0] * 4), layer("wide", 640, beta=list(quantiles))], {"beta": 0.0}
    )
    overall, _, summary = rows
    assert summary.channels == 640
    assert summary.mean == pytest.approx(wide.mean())
    assert summary.median == pytest.approx(np.median(wide))
    assert overall.channels == 644
    assert overall.mean == pytest.approx((4 * 7.0 + wide.sum()) / 644)


def test_each_beta_has_its_own_summary_and_layers_without_it_are_left_out() -> None:
    found = [layer("a", 2, beta=[1.0, 2.0], beta2=[0.0, 0.5]), layer("b", 2), layer("c", 1, beta=[3.0])]
    rows = layers.beta_summaries(found, {"beta": 1.0, "beta2": 0.0})
    assert [(r.beta, r.layer, r.channels) for r in rows] == [
        ("beta", "all layers", 3),
        ("beta", "a", 2),
        ("beta", "c", 1),
        ("beta2", "all layers", 2),
        ("beta2", "a", 2),
    ]
    assert layers.mean_betas(found) == {"beta": 2.0, "beta2": 0.25}
    assert [(r.layer, r.beta, r.index, r.value, r.kind) for r in layers.beta_rows(found)][:3] == [
        ("a", "beta", 0, 1.0, "channel"),
        ("a", "beta", 1, 2.0, "channel"),
        ("c", "beta", 0, 3.0, "channel"),
    ]


def test_betas_count_past_nine() -> None:
    assert layers.beta_names([layer("a", 1, beta10=[1.0], beta=[1.0], beta2=[1.0])]) == ["beta", "beta2", "beta10"]


def test_without_beta_there_is_nothing() -> None:
    assert layers.mean_betas([layer("a", 2)]) == {}
    assert layers.beta_summaries([layer("a", 2)], {}) == []


@pytest.mark.parametrize(("weights", "median"), [([1, 1, 1], 2.0), ([1, 1, 2], 2.5), ([1, 1, 5], 3.0)])
def test_weighted_median(weights: list[float], median: float) -> None:
    assert layers.weighted_median(np.array([2.0, 1.0, 3.0]), np.array([weights[1], weights[0], weights[2]])) == median


def test_preactivations_of_a_known_histogram() -> None:
    # Bins of width 5: (-10, -5), (-5, 0), (0, 5), (5, 10).
    found = [
        layer("a", 1, histogram=(1, 5, 3, 1)),
        layer("b", 1, histogram=(0, 0, 10, 0)),
        layer("c", 1, histogram=(0,) * 4),
    ]
    overall, a, b = layers.preactivation_rows(found)
    assert (a.layer, a.values, a.negative, a.outside) == ("a", 10, 0.6, 0.2)
    assert a.median == pytest.approx(-1.0)  # 4 of the 5 values of (-5, 0) lie below the middle of all 10
    assert (b.negative, b.median, b.outside) == (0.0, 2.5, 0.0)
    assert (overall.layer, overall.values, overall.negative, overall.outside) == ("all layers", 20, 0.3, 0.1)
    rows = layers.histogram_rows(found)
    assert [(r.layer, r.left, r.right, r.count) for r in rows[:2]] == [("a", -10.0, -5.0, 1), ("a", -5.0, 0.0, 5)]
    assert len(rows) == 8


def test_no_histogram_no_rows() -> None:
    assert layers.preactivation_rows([layer("a", 1)]) == []


def test_a_beta_that_the_function_does_not_have_is_left_out() -> None:
    recorded = [layer("act", 4, beta=[1.0, 1.5], beta2=[0.5, 0.5])]
    assert {row.beta for row in layers.beta_summaries(recorded, {"beta": 1.0})} == {"beta"}
