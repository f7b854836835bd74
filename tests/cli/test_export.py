"""`actsearch export`: what it takes, where it writes, and what bad input gets."""

import csv
import io
import json
import sys
from pathlib import Path

import onnx
import pytest

from actsearch_cli.main import run
from tests.actsearch.stored_run import SEARCH, stored_run
from tests.cli.programs import assert_as_promised

SWISH = "x*sigmoid(beta*x)"

BAD_INPUT = [
    (["swsh"], "no run named 'swsh' in runs; known: first"),
    (
        ["swsh", "--format", "torch"],
        "'swsh' is neither a run in runs (known: first) nor an expression: no variable named 'swsh'",
    ),
    (["x*sigmod(x)", "--format", "jax"], "nor an expression: no function named 'sigmod'; known: abs"),
    (
        ["firts/", "--format", "latex"],
        "'firts/' is neither a run in runs (known: first) nor an expression: 'firts/' is not",
    ),
    (["x +" * 200, "--format", "torch"], "is neither a run"),
    (["(" * 300, "--format", "torch"], "is neither a run"),
    (
        [SWISH],
        "--format json writes a run's evaluations; one function goes with --format torch, onnx, latex, sympy or jax",
    ),
    ([SWISH, "--format", "csv"], "--format csv writes a run's evaluations"),
    ([SWISH, "--format", "torch", "--rank", "2"], f"--rank goes with a run; '{SWISH}' is an expression"),
    ([SWISH, "--format", "torch", "--beta", "mean"], f"--beta mean goes with a run; '{SWISH}' is an expression"),
    ([SWISH, "--format", "torch", "--shape", "N,3"], "--shape goes with --format onnx, not torch"),
    (
        [SWISH, "--format", "onnx", "--shape", "N,-3"],
        "--shape is names and at most one number such as N,64,H,W, got 'N,-3'",
    ),
    ([SWISH, "--format", "onnx", "--shape", "8,3"], "--shape has at most one number, the channels, got '8,3'"),
    ([SWISH, "--format", "onnx", "--shape", "N,N"], "--shape names each dimension once, got 'N,N'"),
    ([SWISH, "--format", "tensorflow"], "Invalid value for '--format'"),
    ([SWISH, "--format", "torch", "--beta", "median"], "Invalid value for '--beta'"),
    (["first", "--rank", "2"], "--rank goes with one function: --format torch, onnx, latex, sympy or jax, not json"),
    (["first", "--format", "csv", "--beta", "mean"], "--beta goes with one function"),
    (["first", "--format", "torch", "--rank", "0"], "Invalid value for '--rank'"),
    (["first", "--format", "torch", "--rank", "5"], "run 'first' has 4 trained functions, got --rank 5"),
    (["first", "--format", "torch", "--beta", "mean"], "no trained beta of 'beta*x*sigmoid(x)' is stored"),
    (["first", "--format", "landscape"], "--format landscape writes a folder; add --output FOLDER"),
    (
        [SWISH, "--format", "landscape", "--output", "out"],
        "--format landscape writes a run's evaluations; one function goes with --format torch",
    ),
    (["first", "--format", "landscape", "--output", "out", "--rank", "1"], "--rank goes with one function"),
    (["log(-1 - x**2)", "--format", "torch"], "cannot be checked, so is not exported: at none of 12 points"),
]


@pytest.fixture(autouse=True)
def _a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ACTSEARCH_RUNS", raising=False)
    stored_run(tmp_path / "runs")


@pytest.mark.parametrize(
    ("arguments", "expected"), BAD_INPUT, ids=lambda a: " ".join(a)[:40] if isinstance(a, list) else ""
)
def test_bad_input_gets_one_line(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", *arguments]) == 2
    out, err = capsys.readouterr()
    assert expected in err
    assert (err.count("\n"), out) == (1, "")
    assert len(err) < 500


def exported(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["export", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_json_and_csv_hold_every_evaluation(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(exported(["first"], capsys))
    assert_as_promised("export --format json", rows)
    assert [tuple(row["tokens"]) for row in rows] == [tokens for tokens, *_ in SEARCH]
    assert [row["reward"] for row in rows] == [reward or 0.0 for _, reward, *_ in SEARCH]
    assert {"evaluation", "formula", "outcome", "reason", "val_accuracy", "seed", "steps", "seconds"} <= rows[0].keys()
    table = list(csv.DictReader(io.StringIO(exported(["first", "--format", "csv"], capsys))))
    assert [row["formula"] for row in table] == [row["formula"] for row in rows]


@pytest.mark.parametrize(("name", "sign"), [
    ("torch", "class Swish(nn.Module):"), ("jax", "def swish("), ("sympy", "f = x * sigmoid(beta * x)"),
    ("latex", r"f(x) = x \sigma\left(\beta x\right)"),
])  # fmt: skip
def test_an_expression_goes_out_as_is(name: str, sign: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = exported([SWISH, "--format", name], capsys)
    assert sign in out
    assert "GAIN" not in out
    assert "\nf(x) = x " in out or "    f(x) = x*sigmoid(beta*x)\n" in out


def test_initial_values_travel(capsys: pytest.CaptureFixture[str]) -> None:
    assert "torch.full((channels,), 0.5, " in exported([SWISH + "; beta=0.5", "--format", "torch"], capsys)


def test_a_runs_winner_has_its_gain_and_says_where_it_is_from(capsys: pytest.CaptureFixture[str]) -> None:
    best = exported(["first", "--format", "torch"], capsys)
    assert "GAIN = 1.6765324703310907" in best
    assert "Found by run first: number 1 of 4 trained functions, reward 0.9500" in best
    assert "return GAIN * beta * x * torch.sigmoid(x)" in best
    swish = exported(["runs/first", "--format", "torch", "--rank", "2", "--beta", "mean"], capsys)
    assert "Known as: Swish (but for the constant)" in swish
    assert "torch.full((channels,), 1.52273, " in swish
    assert "Starts from beta = 1.52273, the mean over the first network that the search trained." in swish


def test_a_run_is_taken_before_an_expression_of_the_same_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored_run(tmp_path / "runs", "x")
    assert "Found by run x" in exported(["x", "--format", "latex"], capsys)
    assert exported(["(x)", "--format", "latex"], capsys).splitlines()[-1] == "f(x) = x"


def test_output_goes_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exported([SWISH, "--format", "torch", "--output", "swish.py"], capsys) == ""
    assert "class Swish" in (tmp_path / "swish.py").read_text(encoding="utf-8")
    assert exported([SWISH, "--format", "onnx", "--shape", "N,T,8", "--output", "swish.onnx"], capsys) == ""
    onnx.checker.check_model(str(tmp_path / "swish.onnx"))


def test_an_onnx_model_goes_to_a_pipe_but_not_to_a_terminal(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["export", SWISH, "--format", "onnx"]) == 0
    model = onnx.load_from_string(capsysbinary.readouterr().out)
    assert model.graph.name == "swish"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert run(["export", SWISH, "--format", "onnx"]) == 2
    out, err = capsysbinary.readouterr()
    assert (out, err) == (b"", b"error: an ONNX model is binary; add --output FILE, or pipe it\n")


def test_onnx_names_its_extra_where_it_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx.helper", None)
    assert run(["export", SWISH, "--format", "onnx", "--output", "f.onnx"]) == 2
    assert capsys.readouterr().err == "error: --format onnx needs the package onnx: pip install onnx\n"


def test_a_run_over_a_narrow_space_becomes_a_landscape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from actsearch.config import RunConfig, SpaceSettings
    from actsearch.evaluation import Evaluation, Outcome
    from actsearch.landscape import load
    from actsearch.runs import create_run
    from actsearch_controller.pipeline import Search

    space = SpaceSettings(unary=("identity", "scale"), binary=("gate", "max"))
    folder = create_run(tmp_path / "runs", "narrow", RunConfig(controller="exhaustive", batch=3, lag=1, space=space))
    with folder.open() as (store, name):
        search = Search(store, name)
        for job in search.ask():
            search.tell([Evaluation(run=name, evaluation=job.evaluation, outcome=Outcome.TRAINED, val_accuracy=0.5)])
    assert run(["export", "narrow", "--format", "landscape", "--output", "out"]) == 0
    assert "landscape narrow (CC0-1.0) covers 3 of 7 functions" in capsys.readouterr().out
    assert set(load(tmp_path / "out").true_rewards.values()) == {0.5}
