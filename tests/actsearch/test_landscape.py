"""Landscapes: what is read back, what is refused, how noise is drawn, and that the packaged ones are what they say."""

import csv
import gzip
import io
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev, variance

import numpy as np
import pytest
from scipy.stats import spearmanr

from actsearch.config import RunConfig, SpaceSettings
from actsearch.errors import LandscapeError, UnknownNameError
from actsearch.evaluation import Evaluation, Outcome, Rung
from actsearch.expression import expression_of
from actsearch.formula import Formula
from actsearch.identity import fingerprint, unit_gain
from actsearch.landscape import Completeness, Landscape, load, save
from actsearch.landscape.measured import from_store, noise_sd
from actsearch.space import Space
from actsearch.store import Store
from tests.actsearch.tiny_landscape import FUNCTIONS, MEASUREMENTS, PROTOCOL, measurement, tiny

# --- the table -------------------------------------------------------------------------------------------------------


def test_a_reward_is_the_mean_over_replicates_and_missing_where_not_covered() -> None:
    landscape = tiny()
    assert landscape.reward(("scale", "identity", "gate")) == pytest.approx((0.7 + 0.9 + 0.92) / 3)
    assert landscape.reward(("scale", "identity", "max")) == landscape.reward(("identity", "scale", "max")) == 0.75
    assert landscape.reward(("scale", "scale", "max")) == 0.0  # it diverged: measured, at the floor
    assert landscape.reward(("identity", "scale", "gate")) is None
    assert landscape.reward(("sin", "identity", "gate")) is None
    assert [function.id for function in landscape.not_covered] == ["scaled silu", "both"]
    assert landscape.completeness == Completeness(functions=7, covered=5, strings=8, covered_strings=6)
    assert "covers 5 of 7 functions (71.4%), 6 of 8 token sequences (75.0%)" in str(landscape)


def test_observed_rewards_are_stored_replicates_or_move_by_the_measured_noise() -> None:
    landscape, rng = tiny(noise_sd=0.02), np.random.default_rng(0)
    repeated = [landscape.observe("swish", rng) for _ in range(300)]
    counts = Counter((training.replicate, training.reward) for training in repeated)
    assert set(counts) == {(0, 0.7), (1, 0.9), (2, 0.92)}
    assert min(counts.values()) > 70
    single = [landscape.observe("silu", rng).reward for _ in range(2_000)]
    assert fmean(single) == pytest.approx(0.8, abs=4 * 0.02 / 2_000**0.5)
    assert stdev(single) == pytest.approx(0.02, rel=0.1)
    assert landscape.observe("max", rng).reward == 0.0
    assert tiny().observe("silu", rng).reward == 0.8
    loud = [tiny(noise_sd=3.0).observe("silu", rng).reward for _ in range(50)]
    assert min(loud) == 0.0
    assert max(loud) == 1.0


@pytest.mark.parametrize(
    ("functions", "measurements", "expected"),
    [
        ((*FUNCTIONS, FUNCTIONS[0]), MEASUREMENTS, "two functions share an id or a spelling"),
        (FUNCTIONS, (measurement("relu", 0.5),), "an evaluation is of 'relu', which is no function of it"),
        (FUNCTIONS, (*MEASUREMENTS, MEASUREMENTS[0]), "a replicate of a function occurs twice"),
    ],
)
def test_rows_that_contradict_each_other_are_refused(functions, measurements, expected) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(LandscapeError, match=expected):
        Landscape(tiny().description, functions, measurements)


# --- the files -------------------------------------------------------------------------------------------------------


def test_what_is_saved_is_loaded_and_equal_landscapes_give_equal_bytes(tmp_path: Path) -> None:
    landscape = tiny(noise_sd=0.01)
    for name in ("first", "second"):
        save(landscape, tmp_path / name)
    read = load(tmp_path / "first")
    assert read.description == landscape.description
    assert tuple(read.functions.values()) == FUNCTIONS
    assert read.measurements == MEASUREMENTS
    for file in (tmp_path / "first").iterdir():
        assert file.read_bytes() == (tmp_path / "second" / file.name).read_bytes()


def rewritten(path: Path, change: Callable[[list[list[str]]], None]) -> None:
    rows = list(csv.reader(io.StringIO(gzip.decompress(path.read_bytes()).decode())))
    change(rows)
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    path.write_bytes(gzip.compress(out.getvalue().encode()))


def test_rows_of_another_protocol_are_refused_wherever_they_come_from(tmp_path: Path) -> None:
    save(tiny(), tmp_path)
    other = tiny()
    other.description = other.description.model_copy(
        update={"protocol": PROTOCOL.model_copy(update={"split": "another"})}
    )
    with pytest.raises(LandscapeError, match="holds landscape 'tiny' of another protocol"):
        save(other, tmp_path)
    save(other, tmp_path / "other")
    strange = gzip.decompress((tmp_path / "other" / "evaluations.csv.gz").read_bytes()).decode().splitlines()[1]
    rewritten(tmp_path / "evaluations.csv.gz", lambda rows: rows.append(strange.split(",")))
    with pytest.raises(LandscapeError, match="rows of different protocols are never merged"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("file", "change", "expected"),
    [
        ("evaluations.csv.gz", lambda rows: rows[0].__setitem__(5, "score"), "right would be protocol, function"),
        ("evaluations.csv.gz", lambda rows: rows[1].__setitem__(5, "1.5"), r"a reward lies in \[0, 1\], got 1.5"),
        ("evaluations.csv.gz", lambda rows: rows[1].__setitem__(4, "lost"), "'lost' is not a valid Outcome"),
        ("evaluations.csv.gz", lambda rows: rows[1].pop(), "line 2: 12 cells for 13 columns"),
        ("functions.csv.gz", lambda rows: rows[1].__setitem__(4, "yes"), "swish is empty, family or strict"),
    ],
)
def test_a_damaged_table_gets_one_line(tmp_path: Path, file: str, change: Callable[..., None], expected: str) -> None:
    save(tiny(), tmp_path)
    rewritten(tmp_path / file, change)
    with pytest.raises(LandscapeError, match=expected) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "is not JSON"),
        ('{"format": 2}', "is no landscape of format 1"),
        ('{"format": 1, "name": "tiny"}', "space"),
    ],
)
def test_a_damaged_description_gets_one_line(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "landscape.json").write_text(text)
    with pytest.raises(LandscapeError, match=expected):
        load(tmp_path)


def test_damaged_bytes_get_one_line(tmp_path: Path) -> None:
    save(load("prototype"), tmp_path / "copy")
    path = tmp_path / "copy" / "evaluations.csv.gz"
    good = path.read_bytes()
    for start in range(0, len(good), len(good) // 20):
        path.write_bytes(good[:start] + bytes(40) + good[start + 40 :])
        with pytest.raises(LandscapeError, match=r"cannot read .*evaluations\.csv\.gz"):
            load(tmp_path / "copy")


def test_missing_files_and_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownNameError, match=r"no landscape named 'moon'; known: one_unit, prototype, or a folder with"
    ):
        load("moon")
    save(tiny(), tmp_path)
    (tmp_path / "functions.csv.gz").write_bytes(b"not compressed")
    with pytest.raises(LandscapeError, match=r"cannot read .*functions\.csv\.gz"):
        load(tmp_path)


# --- the packaged ones -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prototype() -> Landscape:
    return load("prototype")


def test_the_prototype_knows_every_string_of_the_space_once(prototype: Landscape) -> None:
    strings = [tokens for function in prototype.functions.values() for tokens in function.spellings]
    assert len(strings) == len(set(strings))
    assert set(strings) == {formula.tokens for formula in Space(SpaceSettings()).enumerate()}
    assert prototype.completeness.covered == len(prototype.measurements) == 976
    assert prototype.completeness.covered_strings == 1_498


def test_the_prototype_holds_what_its_author_measured(prototype: Landscape) -> None:
    """Rows read by eye in the original file."""
    assert prototype.reward(("scale", "identity", "gate")) == 0.8142
    assert prototype.reward(("relu", "relu", "max")) == 0.7775
    assert prototype.reward(("identity", "identity", "gate")) == 0.8156
    cubic = prototype.function_of(("identity", "cube", "add"))
    assert cubic is not None
    found = next(m for m in prototype.measurements if m.function == cubic.id)
    assert (found.outcome, found.steps, found.reward, found.gain) == (Outcome.DIVERGED, 28, 0.0, 0.2075)
    # Its grouping is its own: with one β for both slots these are one function, with two they are not.
    assert prototype.function_of(("scale", "scale", "mix")) is prototype.function_of(
        ("constant", "identity", "multiply")
    )


def test_the_prototype_flags_the_fifteen_spellings_of_the_swish_family(prototype: Landscape) -> None:
    spellings = dict.fromkeys(("", "family", "strict"), 0)
    for function in prototype.functions.values():
        spellings[function.swish] += len(function.spellings)
    assert spellings["family"] + spellings["strict"] == 15
    assert spellings["strict"] == 3


@pytest.fixture(scope="module")
def one_unit() -> Landscape:
    return load("one_unit")


def test_the_one_unit_landscape_is_whole(one_unit: Landscape) -> None:
    strings = [tokens for function in one_unit.functions.values() for tokens in function.spellings]
    assert sorted(strings) == sorted(formula.tokens for formula in Space(SpaceSettings()).enumerate())
    assert one_unit.completeness.covered == len(one_unit.functions) == 4_079
    by_replicate = Counter(m.replicate for m in one_unit.measurements)
    assert by_replicate == {0: 4_079, 1: 300, 2: 300}
    assert Counter(f.swish for f in one_unit.functions.values()) == {"": 4_070, "family": 6, "strict": 3}


def test_the_one_unit_landscape_is_of_this_package(one_unit: Landscape) -> None:
    """Ids, gains and screenings are what the package makes of some functions today."""
    first = {m.function: m for m in one_unit.measurements if m.replicate == 0}
    for function in list(one_unit.functions.values())[::400]:
        expression = expression_of(Formula.from_tokens(function.spellings[0]))
        assert fingerprint(expression) == function.id
        assert first[function.id].gain == pytest.approx(unit_gain(expression), rel=1e-12)
        if not function.finite or function.constant:
            assert first[function.id].outcome in (Outcome.NONFINITE, Outcome.CONSTANT)


def test_both_landscapes_agree_on_what_is_good(one_unit: Landscape, prototype: Landscape) -> None:
    """Two measurements that share a child, and neither split, gain, seed nor code."""
    both = [(r, one_unit.reward(prototype.functions[id_].spellings[0])) for id_, r in prototype.true_rewards.items()]
    assert len(both) == 976
    assert spearmanr(*zip(*both, strict=True)).statistic == pytest.approx(0.975, abs=0.001)


def test_loading_is_quick_and_needs_no_sympy() -> None:
    import subprocess
    import sys

    code = "import sys; from actsearch.landscape import load; load('prototype'); assert not {'sympy', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    started = time.perf_counter()
    load("prototype")
    assert time.perf_counter() - started < 2  # 0.1 s on an idle core


# --- from a run ------------------------------------------------------------------------------------------------------

NARROW = SpaceSettings(unary=("identity", "negative", "scale"), binary=("add", "gate", "max"))


def run_until(store: Store, evaluations: int) -> dict[str, list[float]]:
    """A run of exhaustive search with repeats, stopped after so many; the rewards told, by fingerprint."""
    from actsearch_controller.search import Search

    config = RunConfig(
        controller="exhaustive", evaluations=1_000, batch=5, lag=2, space=NARROW, repeats=3, repeat_best=3
    )
    store.create_run("part", config, command="", versions={"torch": "9.9"})
    run = Search(store, "part")
    told: dict[str, list[float]] = {}
    while not run.is_done:
        for job in run.ask():
            if sum(map(len, told.values())) == evaluations:
                return told
            identity = fingerprint(expression_of(Formula.from_tokens(job.tokens)))
            accuracy = (job.seed % 1_000) / 1_000
            run.tell(
                [Evaluation(run="part", evaluation=job.evaluation, outcome=Outcome.TRAINED, val_accuracy=accuracy)]
            )
            told.setdefault(identity, []).append(accuracy)
    return told


@pytest.mark.parametrize(("evaluations", "covered"), [(12, 12), (1_000, 21)])
def test_a_run_finished_or_not_becomes_a_landscape(tmp_path: Path, evaluations: int, covered: int) -> None:
    with Store.open(tmp_path / "s.sqlite") as store:
        told = run_until(store, evaluations)
        landscape = from_store(store, "part")
    assert {id_: pytest.approx(fmean(rewards)) for id_, rewards in told.items()} == landscape.true_rewards
    listed = {fingerprint(expression_of(formula)) for formula in Space(NARROW).enumerate()}
    assert set(landscape.functions) == listed
    assert landscape.completeness.strings == 27
    assert landscape.completeness.covered == len(told) == covered
    assert len(listed) == 21
    assert {m.replicate for m in landscape.measurements} == ({0} if evaluations == 12 else {0, 1, 2})
    assert (landscape.description.noise_sd is None) == (evaluations == 12)
    assert {f.swish for f in landscape.functions.values()} == {"", "family", "strict"}
    assert landscape.description.environment["torch"] == "9.9"
    save(landscape, tmp_path / "out")
    assert load(tmp_path / "out").true_rewards == landscape.true_rewards


def test_the_forecast_of_a_stopped_child_is_no_measurement(tmp_path: Path) -> None:
    from actsearch_controller.search import Search

    with Store.open(tmp_path / "s.sqlite") as store:
        config = RunConfig(controller="random_new", evaluations=2, batch=2, space=NARROW)
        store.create_run("part", config, command="", versions={})
        search = Search(store, "part")
        for job, outcome, accuracy in zip(search.ask(), (Outcome.STOPPED, Outcome.TRAINED), (0.5, 0.4), strict=True):
            search.tell(
                [
                    Evaluation(
                        run="part",
                        evaluation=job.evaluation,
                        outcome=outcome,
                        val_accuracy=accuracy,
                        predicted_accuracy=0.9 if outcome is Outcome.STOPPED else None,
                    )
                ]
            )
        assert list(from_store(store, "part").true_rewards.values()) == [0.4]


def test_a_run_without_results_or_with_too_large_a_space_is_refused(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.sqlite") as store:
        store.create_run("empty", RunConfig(), command="", versions={})
        store.create_run("large", RunConfig(space=SpaceSettings(units=2)), command="", versions={})
        with pytest.raises(LandscapeError, match="run 'empty' has measured nothing yet"):
            from_store(store, "empty")
        with pytest.raises(LandscapeError, match="156,250,000 token sequences, a landscape lists at most 1,000,000"):
            from_store(store, "large")


def test_noise_is_pooled_over_new_seeds_and_leaves_out_the_training_that_was_chosen() -> None:
    rows = [
        *(measurement("swish", reward, k) for k, reward in enumerate([0.99, 0.80, 0.82])),
        *(measurement("silu", reward, k) for k, reward in enumerate([0.99, 0.70, 0.71, 0.75])),
        *(measurement("prelu", reward, k) for k, reward in enumerate([0.6, 0.5])),  # one new seed: says nothing
        measurement("max", None),
    ]
    expected = (variance([0.80, 0.82]) + 2 * variance([0.70, 0.71, 0.75])) / 3
    assert noise_sd(rows) == pytest.approx(expected**0.5)
    assert noise_sd(rows[:2]) is None


def test_the_description_is_json_that_a_person_can_read(tmp_path: Path) -> None:
    save(tiny(), tmp_path)
    document = json.loads((tmp_path / "landscape.json").read_text())
    assert document["format"] == 1
    assert document["licence"] == "CC0-1.0"
    assert document["protocol"]["grouping"] == "by hand"


# --- early stopping --------------------------------------------------------------------------------------------------


def test_a_training_is_cut_at_the_first_rung_that_it_is_below() -> None:
    whole = replace(measurement("silu", 0.8), curve={50: 0.4, 75: 0.5, 100: 0.6, 150: 0.8})
    forecast = ((0.2, 0.3), (0.6, 0.7))
    missing, passed, missed = (
        Rung(step=s, stop_below=b, forecast=forecast) for s, b in ((40, 0.9), (50, 0.4), (75, 0.6))
    )
    cut = whole.cut([missing, passed, missed, Rung(step=100, stop_below=0.9, forecast=forecast)])
    assert (cut.outcome, cut.steps, cut.val_accuracy, cut.curve) == (Outcome.STOPPED, 75, 0.5, {50: 0.4, 75: 0.5})
    assert cut.reward == pytest.approx(0.6)
    assert whole.cut([missing, passed, Rung(step=75)]) is whole


def test_the_recorded_steps_are_those_before_the_last() -> None:
    assert tiny().recorded_steps == (50,)
