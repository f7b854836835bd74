"""The command line: what it prints, and what bad input gets."""

import csv
import io
import json
import os
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from actsearch.config import EarlyStoppingSettings, FinalsSettings, RunConfig
from actsearch.errors import ConfigError, UnknownNameError
from actsearch_cli.main import app, run
from actsearch_cli.settings import resolve
from tests.cli.programs import assert_as_promised

BAD_INPUT = [
    (["search", "--child", "resnet21"], "no child named 'resnet21'; known: nf_resnet8, "),
    (["search", "--dataset", "cifar11"], "no dataset named 'cifar11'; known: fashion-mini, "),
    (["search", "--dataset", "cifar10"], "actsearch data fetch cifar10"),
    (["search", "--dataset", "imagefolder:/nowhere"], "/nowhere"),
    (["search", "--controller", "ppp"], "no controller named 'ppp'; known: ppo, ppo_plain, random"),
    (["search", "--preset", "slow"], "no preset named 'slow'; known: quick, rediscover"),
    (["search", "--evaluations", "0"], "evaluations = '0': input should be greater than or equal to 1"),
    (["search", "--evaluations", "many"], "Invalid value for '--evaluations'"),
    (["search", "--minutes", "-1"], "minutes = '-1.0': input should be greater than 0"),
    (["search", "--steps", "0"], "recipe.steps = '0'"),
    (["search", "--gain", "half"], "child.gain = 'half': input should be 'unit' or 'as_is'"),
    (["search", "--batch", "0"], "batch = '0'"),
    (["search", "--workers", "0"], "Invalid value for '--workers'"),
    (["search", "--run", "a/b"], "a run's name has 1 to 100 letters"),
    (["search", "--bogus"], "No such option: --bogus"),
    (["search", "missing.toml"], "cannot read missing.toml: No such file or directory"),
    (["search", "--resume", "nothing"], "no run named 'nothing' in "),
    (["search", "--child", "mine:net"], "imported only with --allow-user-code"),
    (["search", "--child", "mine:net", "--allow-user-code"], "cannot import mine"),
    (["search", "--redis-url", "redis://:secret@localhost:1/0"], "a command line shows its password"),
    (["search", "--redis-url", "http://localhost"], "a Redis URL starts with redis://"),
    (["search", "--device", "banana"], "--device = 'banana': right would be auto, cpu or cuda:0"),
    (["search", "--device", "cuda:99"], "--device = 'cuda:99': this machine has"),
    (["search", "--environment", "any"], "--environment = 'any': right would be 8 hex digits"),
    (["controller"], "a controller needs a server"),
    (["controller", "--log-format", "xml"], "--log-format = 'xml': right would be text or json"),
    (["doctor", "--redis-url", "redis://:secret@localhost/0"], "a command line shows its password"),
    (["watch", "nothing"], "no run named 'nothing' in "),
    (["worker"], "a worker needs a server"),
    (["status", "nothing"], "no run named 'nothing' in "),
    (["report", "nothing"], "no run named 'nothing' in "),
    (["stop", "nothing"], "no run named 'nothing' in "),
    (["finals", "nothing"], "no run named 'nothing' in "),
    (["finals", "nothing", "--workers", "0"], "Invalid value for '--workers'"),
    (["export", "nothing"], "no run named 'nothing' in "),
    (["show", "x*sigmod(x)"], "no function named 'sigmod'; known: abs, "),
    (["show", "x +"], "'x +' is not an expression"),
    (["show", "__import__('os')"], "no function named '__import__'"),
    (["data", "fetch", "fashion-mini"], "has nothing to fetch"),
    (["data", "fetch", "cifar11"], "dataset 'cifar11' has nothing to fetch; these have: fashion-mnist, cifar10, "),
    (["show", "-x*sigmoid(x)"], "An expression that begins with a minus goes into brackets, '(-x)', or after a --"),
    (["search", "--units", "9"], "space.units = '9'"),
    (["search", "--finals", "0"], "finals.finalists = '0': input should be greater than or equal to 1"),
    (["space", "--units", "2", "--count"], "--count goes with --units 1"),
    (["serch"], "No such command 'serch'"),
]


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACTSEARCH_DATA", str(tmp_path / "data"))
    for name in ("ACTSEARCH_REDIS_URL", "ACTSEARCH_REDIS_PASSWORD_FILE", "ACTSEARCH_RUNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("arguments", "expected"), BAD_INPUT, ids=lambda a: " ".join(a)[:40] if isinstance(a, list) else ""
)
def test_bad_input_gets_one_line_and_leaves_nothing(
    arguments: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert expected in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert out == "" or arguments[0] == "data"
    assert not list(tmp_path.glob("runs/*"))


def test_an_unreachable_server_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    start = time.monotonic()
    assert run(["controller", "--redis-url", "redis://127.0.0.1:1/0", "--wait-redis", "0.3"]) == 2
    assert time.monotonic() - start < 5
    assert "no Redis-compatible server answers at redis://127.0.0.1:1/0 within 0.3 s" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("steps = 3", "unknown key 'steps'; known: seed, "),
        ("[recipe]\nepochs = 3", "unknown key 'recipe.epochs'; known: steps, batch_size, "),
        ("evaluations = 'ten'", "evaluations = 'ten'"),
        ("[finals]\nlooks = [5, 3]", "finals.looks = '[5, 3]': looks are ascending numbers of seeds from 2 on"),
        (
            "[finals]\nchildren = ['resnet8', 'resnet8']",
            "finals.children = \"['resnet8', 'resnet8']\": a panel has each",
        ),
        ("[finals]\nchildren = ['resnet9']", "no child named 'resnet9'; known: nf_resnet8"),
        ("[recipe]\nlearning_rate = inf", "recipe.learning_rate = 'inf'"),
        ("[space]\nunary = ['sigmod']", "no unary primitive named 'sigmod'; known: identity"),
        ("child = 3", "child = '3'"),
        ("recipe = 3", "recipe = '3'"),
        ("seed = ", "is not TOML"),
    ],
)
def test_a_bad_config_file_gets_one_line(
    text: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.toml").write_text(text)
    assert run(["search", "mine.toml"]) == 2
    err = capsys.readouterr().err
    assert expected in err
    assert err.count("\n") == 1


def test_settings_flags_over_file_over_preset_over_the_childs_recipe(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("evaluations = 7\nseed = 3\n[child]\nname = 'resnet8'\n[recipe]\nmomentum = 0.5\n")
    config = resolve(file, "quick", {"seed": 9, "recipe.steps": 33, "minutes": None})
    assert (config.evaluations, config.seed, config.batch) == (7, 9, 5)
    assert (config.recipe.steps, config.recipe.momentum, config.recipe.clip_norm) == (33, 0.5, 0)
    assert resolve(file, None, {}).batch == RunConfig().batch == 10
    assert resolve(None, None, {}).recipe.steps == 150


def test_the_preset_rediscover_is_a_clock_and_short_finals_that_flags_override() -> None:
    config = resolve(None, "rediscover", {})
    assert (config.minutes, config.controller, config.child) == (40, "ppo", RunConfig().child)
    assert config.finals == FinalsSettings(
        after_search=True, classes=32, screen_seeds=1, screen_steps=300, finalists=6, seeds=10, steps=300
    )
    own = resolve(None, "rediscover", {"minutes": 1.5, "evaluations": 7, "controller": "random", "finals.finalists": 3})
    assert (own.minutes, own.evaluations, own.controller) == (1.5, 7, "random")
    assert (own.finals.finalists, own.finals.classes, own.finals.after_search) == (3, 32, True)


def test_the_flag_turns_early_stopping_on_and_leaves_the_files_settings(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[early_stopping]\nkeep = 0.5\n")
    assert resolve(file, None, {}).early_stopping == EarlyStoppingSettings(keep=0.5)
    assert resolve(file, None, {"early_stopping": {}}).early_stopping == EarlyStoppingSettings(keep=0.5)
    assert resolve(None, None, {"early_stopping": {}}).early_stopping == EarlyStoppingSettings()
    assert resolve(None, None, {"early_stopping": None}).early_stopping is None


def test_a_resolved_config_is_read_back_the_same(tmp_path: Path) -> None:
    from actsearch.runs import to_toml

    config = resolve(None, None, {"child.name": "resnet20", "minutes": 2.5, "space.units": 2})
    assert config.recipe.clip_norm == 0  # not the default: a file without it would bring 1 back
    file = tmp_path / "config.toml"
    file.write_text(to_toml(config))
    assert resolve(file, None, {}) == config


def test_a_file_cannot_allow_user_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text("raise SystemExit('imported')")
    (tmp_path / "mine.toml").write_text("allow_user_code = true\n[child]\nname = 'mine:net'\n")
    assert run(["search", "mine.toml"]) == 2
    assert "imported only with --allow-user-code" in capsys.readouterr().err


@pytest.mark.parametrize("body", ["raise RuntimeError('boom')", "def net(:", "import nothing_of_that_name", "net = 3"])
def test_user_code_that_fails_gets_one_line(body: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = f"mine{abs(hash(body))}"
    (tmp_path / f"{name}.py").write_text(body)
    assert run(["search", "--child", f"{name}:net", "--allow-user-code"]) == 2
    err = capsys.readouterr().err
    assert f"child '{name}:net'" in err
    assert err.count("\n") == 1


def test_a_renamed_and_a_broken_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from actsearch.runs import create_run

    create_run(tmp_path / "runs", "first", RunConfig()).path.rename(tmp_path / "runs" / "shared")
    broken = tmp_path / "runs" / "broken"
    broken.mkdir()
    (broken / "config.toml").write_text("")
    assert run(["status", "shared", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"] == "first"
    assert run(["runs", "--json"]) == 0
    out, err = capsys.readouterr()
    assert [found["run"] for found in json.loads(out)] == ["first"]
    assert "broken" in err


def test_output_that_cannot_be_written_gets_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from actsearch.runs import create_run

    create_run(tmp_path / "runs", "first", RunConfig())
    assert run(["export", "first", "--output", "missing/file.json"]) == 1
    assert capsys.readouterr().err == "error: missing/file.json: No such file or directory\n"


def test_unknown_names_are_callers_errors() -> None:
    with pytest.raises(UnknownNameError):
        resolve(None, "nope", {})
    with pytest.raises(ConfigError):
        resolve(None, None, {"evaluations": 0})


def test_show_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", "sigmoid(beta*x)*x", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert_as_promised("show", shown)
    assert shown["names"] == ["Swish"]
    assert shown["canonical"] == "x*sigmoid(beta*x)"
    assert shown["properties"]["strict_swish"] is True


def test_space_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["space", "--units", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"units": 3, "slots": 15, "strings": 6_250**3 * 36}


def test_space_sample(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["space", "--units", "2", "--sample", "20", "--json"]) == 0
    counted = json.loads(capsys.readouterr().out)["sample"]
    assert counted["strings"] == 20
    assert 0 <= counted["constant"] + counted["not_finite"] <= counted["distinct"] <= 20


def test_data_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "list", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert_as_promised("data list", document)
    rows = {row["name"]: row["here"] for row in document}
    assert rows["fashion-mini"] is True
    assert rows["digits"] is True
    assert rows["cifar10"] is False


def test_runs_of_an_empty_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs"]) == 0
    assert "no runs under runs yet" in capsys.readouterr().out


def test_no_arguments_print_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "Commands:" in capsys.readouterr().out


@pytest.mark.parametrize("name", [c.name for c in app.registered_commands])
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert "Usage:" in out
    assert len(out.splitlines()) > 8


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"actsearch {version('actsearch')}\n"


def test_help_is_quick_and_imports_no_torch() -> None:
    code = "import sys; from actsearch_cli.main import run; run(['--help']); assert not {'torch', 'sympy', 'redis'} & set(sys.modules)"
    before = os.times()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    after = os.times()
    # Of the processor, whatever else it does: 0.2 s on an idle machine.
    assert after.children_user + after.children_system - before.children_user - before.children_system < 5


def test_export_reads_a_run_as_json_and_csv(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from actsearch.runs import create_run

    create_run(tmp_path / "runs", "empty", RunConfig())
    assert run(["export", "empty"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert run(["export", "empty", "--format", "csv"]) == 0
    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == []
    assert run(["status", "empty", "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["state"] == "interrupted"
    assert status["evaluations"] == {"budget": 60, "asked": 0, "told": 0, "by_outcome": {}}
    assert run(["stop", "empty"]) == 2
    assert "is not at work" in capsys.readouterr().err
    assert run(["search", "--run", "empty"]) == 2
    assert "there is a run named 'empty'" in capsys.readouterr().err
    assert run(["search", "--resume", "empty", "--seed", "3"]) == 2
    assert "--seed does not go with --resume" in capsys.readouterr().err
    assert run(["search", "--resume", "empty", "--early-stopping"]) == 2
    assert "--early-stopping does not go with --resume" in capsys.readouterr().err
