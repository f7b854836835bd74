"""`actsearch bench`: its numbers as JSON, CSV and table, and what bad input gets."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from actsearch.landscape import Landscape, load, save
from actsearch_cli.main import run
from tests.actsearch.tiny_landscape import FUNCTIONS, MEASUREMENTS, tiny
from tests.cli.programs import assert_as_promised

FAST = ["bench", "--processes", "1", "--seeds", "3"]

BAD_INPUT = [
    (["--controllers", "ppo,radom"], "no controller named 'radom'; known: ppo, ppo_plain, random"),
    (["--controllers", " , "], "--controllers names at least one, such as ppo,random"),
    (["--landscape", "moon"], "no landscape named 'moon'; known: one_unit, prototype, or a folder with landscape.json"),
    (["--evaluations", "0"], "evaluations = '0': input should be greater than or equal to 1"),
    (["--batch", "0"], "batch = '0'"),
    (["--lag", "0"], "lag = '0'"),
    (["--seeds", "0"], "Invalid value for '--seeds'"),
    (["--keep", "0.3"], "--keep goes with --early-stopping"),
    (["--early-stopping", "--keep", "1"], "early_stopping.keep = '1.0': input should be less than 1"),
    (["--figure", "curves.gif"], "--figure curves.gif: a picture ends in .png, .svg or .pdf"),
    (["--output", "nowhere/curves.csv"], "--output nowhere/curves.csv: there is no folder nowhere"),
]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("arguments", "expected"), BAD_INPUT)
def test_bad_input_gets_one_line(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*FAST, *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert expected in err
    assert err.count("\n") == 1


def test_json_has_the_promised_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*FAST, "--controllers", "random,random_new", "--evaluations", "120", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert_as_promised("bench", found | {"early_stopping": None})
    assert (found["landscape"], found["seeds"]) == ("one_unit", 3)
    assert list(found["controllers"]) == ["random", "random_new"]
    for controller in found["controllers"].values():
        for target in ("swish", "strict_swish", "top_1_percent"):
            needed = controller[f"evaluations_to_{target}"]
            assert {"median", "q25", "q75", "found_by"} == needed.keys()
            assert needed["found_by"]["1000"] is None  # not run
        assert set(controller["regret"]) >= {"100", "300", "1000"}
        assert controller["regret"]["300"] is controller["regret"]["1000"] is None
        assert 0 <= controller["regret"]["120"] <= controller["regret_spread"]["120"]["q75"]
        assert controller["seconds"] > 0
        assert controller["evaluations"] == 120
    assert found["controllers"]["random_new"]["repeats"] == 0 < found["controllers"]["random"]["repeats"]
    assert found["reference"] == "random"
    assert list(found["minus_reference"]) == ["random_new"]
    assert found["minus_reference"]["random_new"]["regret at 120"].keys() == {"mean", "p"}


def test_the_table_and_the_curves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tiny(), tmp_path / "mine")
    arguments = ["--landscape", "mine", "--controllers", "random_new", "--evaluations", "9", "--output", "curves.csv"]
    arguments += ["--figure", "curves.png"]
    assert run([*FAST, *arguments]) == 0
    out = capsys.readouterr().out
    assert "landscape tiny (CC0-1.0) covers 5 of 7 functions" in out
    assert "random_new: 100% of the searches had nothing new left" in out
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((tmp_path / "curves.csv").read_text().splitlines()))
    assert [row["evaluations"] for row in rows] == [str(n) for n in range(1, 10)]
    assert float(rows[-1]["found_swish"]) == 1
    regrets = [float(row["regret"]) for row in rows]
    # The best function was measured as 0.7, 0.9 and 0.92; who sees 0.7 stays with another of 0.8.
    assert regrets[-1] in (0, pytest.approx(0.04))


def test_the_packaged_landscape_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*FAST, "--controllers", "random", "--evaluations", "3"]) == 0
    out = capsys.readouterr().out
    assert str(load("one_unit")).splitlines()[0] in out
    assert "Minus" not in out, "there is no other controller"


def test_controllers_are_set_against_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*FAST, "--controllers", "random,random_new", "--evaluations", "3"]) == 0
    title, heads, row = capsys.readouterr().out.strip().splitlines()[-3:]
    assert title.startswith("Minus random, mean over the seeds in pairs")
    assert heads.split("  ")[:2] == ["controller", "regret at 3"]
    assert row.startswith("random_new  ")
    assert row.count("(p ") == 4


def test_early_stopping_is_told_beside_the_searches_without(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--controllers", "random_new", "--evaluations", "90", "--early-stopping"]
    assert run([*FAST, *arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    saved = found["early_stopping"]["random_new"]
    assert 0 < saved["steps_stopping"] < saved["steps"] <= 150 * 90
    assert 0.2 < saved["stopped"] < 0.9
    assert saved["evaluations"] > 90
    assert found["controllers"]["random_new"]["evaluations"] == 90
    assert run([*FAST, *arguments, "--keep", "0.6"]) == 0
    out = capsys.readouterr().out
    assert "with early stopping\nrandom_new: " in out
    assert re.search(r"in as many steps \d+ evaluations, \d+% of the children stopped, regret [+-]\d\.\d{3} ± ", out)


def test_a_landscape_without_curves_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = [replace(m, curve={}) for m in MEASUREMENTS]
    save(Landscape(tiny().description, FUNCTIONS, bare), tmp_path / "bare")
    assert run([*FAST, "--landscape", "bare", "--early-stopping"]) == 2
    assert "--early-stopping: landscape 'tiny' has no learning curves" in capsys.readouterr().err
