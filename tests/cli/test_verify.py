"""`actsearch verify`: which one is meant, what it prints, what programs get, and what bad input gets."""

import json
import re
from pathlib import Path

import pytest

from actsearch.errors import DataMissingError, RunError
from actsearch.evaluation import Evaluation, Job
from actsearch.runs import RunFolder
from actsearch.store import RunState
from actsearch.verification import VerifySettings
from actsearch_cli import verify_session
from actsearch_cli.live import FinalsLines
from actsearch_cli.main import run as actsearch
from actsearch_controller.finals.progress import FinalsProgress
from actsearch_controller.finals.verification import begin, drive
from actsearch_workers import data
from tests.cli.programs import assert_as_promised
from tests.cli.test_finals import RECIPES, finals, folder, trained
from tests.controller.synthetic import ShuffledEvaluator

__all__ = ["folder"]  # the fixture: a run whose search is done

VERIFY = VerifySettings(data=("digits",), children=("resnet8",), seeds=2, steps=7)
OPTIONS = ["--data", "digits", "--children", "resnet8", "--seeds", "2", "--steps", "7"]


def elsewhere(job: Job) -> Evaluation:
    return trained(job).model_copy(update={"test_accuracy": None})


def verified(folder: RunFolder, settings: VerifySettings = VERIFY) -> None:
    """Plays finals and a verification to the end."""
    finals(folder)
    with folder.open() as (store, name):
        record = begin(store, name, settings, RECIPES | {"resnet8": RECIPES["resnet20"]})
        assert drive(store, name, ShuffledEvaluator(0, 3, elsewhere), record=record) is not None


def test_a_second_call_prints_what_is_there(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    verified(folder)
    for arguments in ([], OPTIONS):
        assert actsearch(["verify", "first", *arguments]) == 0
        out = capsys.readouterr().out
        lines = {line.split("  ")[0].strip(): line for line in out.splitlines()}
        assert "verification 1: 2 paired seeds, validation accuracy" in out
        assert re.search(r"\+10\.00 \(\+10\.00 to \+10\.00\) +0 of 1 ", lines["beta*x*sigmoid(x)"])
        assert "reference" in lines["max(x, 0)"]
        # Two functions with σ are equally far ahead and the others equal, in the finals as here.
        assert "rank correlation of the mean over all with the finals: +1.00 (95 % " in out
        assert "rank correlation of resnet8 on digits with the finals: +1.00" in out
        assert "no test image was touched" in out
    assert not (folder.report / "report.html").exists(), "nothing is new"


def test_json_has_every_number(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    verified(folder)
    assert actsearch(["verify", "first", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    document = printed["verification"]
    assert_as_promised("verify", printed, document, *document["functions"], *document["correlations"])
    assert (document["number"], document["state"], document["reference"], document["seeds"]) == (1, "done", "ReLU", 2)
    assert document["settings"] == {"data": ["digits"], "children": ["resnet8"], "seeds": 2, "steps": 7}
    assert document["grounds"] == ["resnet8 on digits"]
    assert [c["ground"] for c in document["correlations"]] == ["all", "resnet8 on digits"]
    swish = next(f for f in document["functions"] if f["formula"] == "beta*x*sigmoid(x)")
    assert swish["final_difference"] == pytest.approx(0.1)
    assert swish["grounds"][0]["accuracy"] == pytest.approx(0.8, abs=0.01)


def test_finals_json_says_what_became_of_swish(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    finals(folder)
    assert actsearch(["finals", "first", "--json"]) == 0
    family, strict = json.loads(capsys.readouterr().out)["rediscovery"]
    assert (family["kind"], family["final"], family["final_place"]) == ("Swish family", "beta*x*sigmoid(x)", 1)
    assert (family["is_tied"], family["is_better"], family["beaten_by"]) == (True, True, [])
    assert family["random_median_draws"] == pytest.approx(288.5, abs=0.1)
    assert (strict["kind"], strict["first_evaluation"], strict["final"]) == ("Strict Swish", 3, "")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--seeds", "1"], "seeds = '1': input should be greater than or equal to 2"),
        (["--steps", "0"], "steps = '0'"),
        (["--data", "mnist"], "no dataset named 'mnist'; known: fashion-mini"),
        (["--data", "cifar10"], "actsearch data fetch cifar10"),
        (["--children", "resnet9"], "no child named 'resnet9'; known: nf_resnet8, "),
        (["--children", "resnet8,resnet8"], "each name once"),
        (["--data", ","], "data = '[]'"),
        (["--device", "cuda:99"], "--device = 'cuda:99': this machine has"),
    ],
)
def test_bad_input_begins_nothing(
    arguments: list[str],
    expected: str,
    folder: RunFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ACTSEARCH_DATA", str(tmp_path / "nothing"))
    assert actsearch(["verify", "first", *arguments]) == 2
    err = capsys.readouterr().err
    assert expected in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    with folder.open() as (store, name):
        assert store.verifications.of(name) == []


def test_a_run_without_finals(folder: RunFolder) -> None:
    settings = verify_session.settings_of(folder, {}, allow_user_code=False)
    with pytest.raises(
        RunError, match="has no finals that are done, so there are no finalists; `actsearch finals first`"
    ):
        verify_session.begin(folder, settings, allow_user_code=False)


def test_the_defaults_take_what_is_on_disk(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(name: str, *, data_dir: Path) -> None:
        if name == "cifar10":
            raise DataMissingError("not here")

    monkeypatch.setattr(data, "check_dataset", check)
    found = verify_session.settings_of(folder, {"seeds": 3}, allow_user_code=False)
    assert found == VerifySettings(data=("fashion-mini", "digits", "fashion-mnist"), seeds=3)


def test_without_options_the_newest_is_meant(folder: RunFolder) -> None:
    verified(folder)
    other = VERIFY.model_copy(update={"seeds": 3})
    with folder.open() as (store, name):
        begin(store, name, other, RECIPES | {"resnet8": RECIPES["resnet20"]})
    assert verify_session.settings_of(folder, {}, allow_user_code=False) == other
    assert not verify_session.is_done(folder, other)
    assert verify_session.is_done(folder, VERIFY)
    assert (verify_session.number_of(folder, VERIFY), verify_session.number_of(folder, other)) == (1, 2)


def test_an_unfinished_one_says_how_it_goes_on(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    from actsearch_cli.session import conclude_verification

    finals(folder)
    with folder.open() as (store, name):
        begin(store, name, VERIFY, RECIPES | {"resnet8": RECIPES["resnet20"]})
        store.verifications.set_state(name, 1, RunState.INTERRUPTED, "stopped on request")
    conclude_verification(folder, 1, Console(), False, is_new=False)
    out = capsys.readouterr().out
    assert "interrupted: stopped on request" in out
    assert "actsearch verify first" in out


def test_progress_is_a_line() -> None:
    progress = FinalsProgress(
        run="first",
        stage="2 of child and data",
        told=3,
        budget=40,
        in_flight=2,
        standing=8,
        dropped=0,
        failures=0,
        seconds=9.0,
        seconds_left=90.0,
    )
    assert FinalsLines("verify").line(progress) == (
        "verify: 3/40 trainings, 2 of child and data, 8 functions, 2 min left"
    )
