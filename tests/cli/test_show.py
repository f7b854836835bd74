"""`actsearch show`: text, JSON and plot."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from actsearch_cli.main import run
from actsearch_cli.show_text import number


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, str]:
    """The rows of the text by their labels."""
    assert run(["show", *arguments, "--no-cost"]) == 0
    rows: dict[str, str] = {}
    label = ""
    for line in capsys.readouterr().out.splitlines():
        assert len(line) <= 80
        label = line[:13].strip() or label
        rows[label] = f"{rows.get(label, '')} {line[13:]}".strip()
    return rows


def test_swish(capsys: pytest.CaptureFixture[str]) -> None:
    rows = shown(capsys, "sigmoid(x*beta)*x")
    assert rows["canonical"] == "x*sigmoid(beta*x)"
    assert rows["names"] == "Swish"
    assert rows["limits"] == "→ 0 as x → -∞; → ∞ as x → ∞"
    assert rows["zeros"] == "x = 0"
    assert rows["minimum"] == "-0.278465 at x = -1.27846"
    assert rows["maximum"] == "none: unbounded above"
    assert rows["monotone"] == "falls for x ≤ -1.27846, rises for x ≥ -1.27846"
    assert rows["Lipschitz"] == "1.09984   (sup |f′|, at x = 2.39936)"
    assert rows["smooth"] == "infinitely differentiable"
    assert rows["β starts at"] == "beta = 1"
    assert "unit gain 1.67653" in rows["gain"]
    assert rows["cost"] == "not measured: --no-cost"


def test_the_texts_beta_is_the_one_shown(capsys: pytest.CaptureFixture[str]) -> None:
    rows = shown(capsys, "x*sigmoid(beta*x); beta=2")
    assert rows["β starts at"] == "beta = 2"
    assert rows["minimum"] == "-0.139232 at x = -0.639232"


@pytest.mark.parametrize(
    ("text", "label", "words"),
    [
        ("max(x, 0)", "smooth", "C⁰: f′ jumps at x = 0"),
        ("max(x, 0)", "zeros", "x ≤ 0"),
        ("max(x, 0)", "Lipschitz", "1   (sup |f′|, at x = 0)"),
        ("sin(x)", "limits", "oscillates between -1 and 1 as x → ±∞"),
        ("sin(x)", "zeros", "13 in [-20, 20]: x = 0, π, -π, 2π, -2π, 3π, -3π, …"),
        ("sin(x)", "monotone", "no: turns 12 times in [-20, 20]"),
        ("x**2", "Lipschitz", "no bound: |f′| → ∞ as x → -∞"),
        ("atan(x)", "minimum", "none: approaches -π/2 as x → -∞"),
        ("x/(x + 1e-5)", "poles", "without bound near x = -1e-5"),
        ("log(x)", "undefined", "for x ≤ 0"),
        ("step(x)", "Lipschitz", "no bound: f jumps at x = 0"),
        ("step(x)", "smooth", "not continuous: f jumps at x = 0"),
        ("x/6 - step(x - 1)", "limits", "→ -∞ as x → -∞; → ∞ as x → ∞"),
        ("tanh(x) - 2*step(x - 1)", "maximum", "none: approaches 0.761594 as x → 1"),
        ("3", "monotone", "constant everywhere"),
        ("exp(x)", "gain", "mean 1.649, root mean square 2.718, of f′ 2.718 for x ~ N(0, 1); unit gain 0.367879 (×f has mean square 1)"),
        ("x**3/(x + 1e-5)", "gain", "no finite mean square for x ~ N(0, 1); unit gain 0.57735 (of a grid that misses the pole)"),
        ("1/x", "gain", "no finite mean square for x ~ N(0, 1); unit gain 1: no scale to speak of"),
        ("sqrt(x)", "gain", "no moments for x ~ N(0, 1); unit gain 1: no scale to speak of"),
        ("0", "gain", "mean 0, root mean square 0, of f′ 0 for x ~ N(0, 1); unit gain 1: no scale to speak of"),
        ("sin(1/x)", "gain", "mean 0, root mean square 0.7624 for x ~ N(0, 1); unit gain 1: no scale to speak of"),
        ("x", "gain", "mean 0, root mean square 1, of f′ 1 for x ~ N(0, 1); unit gain 1 (×f has mean square 1)"),
        ("min(sqrt(abs(x)), 1)", "smooth", "C⁰: f′ is infinite at x = 0 and jumps at x = -1, 1"),
        ("sqrt(x)", "undefined", "for x < 0"),
        ("sqrt(x)", "minimum", "0 at x = 0"),
        ("sign(x)", "minimum", "-1 for x < 0"),
        ("sign(x)", "maximum", "1 for x > 0"),
        ("exp(exp(x))", "range", "overflows in float32 and float64 for |x| ≤ 100"),
    ],
)  # fmt: skip
def test_words(text: str, label: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, text)[label] == words


def test_json_has_no_infinities(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", "max(x, 0)/x", "--json", "--no-cost"]) == 0
    out = capsys.readouterr().out
    document = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert {
        "formula",
        "latex",
        "canonical",
        "fingerprint",
        "class",
        "names",
        "derivative",
        "properties",
        "cost",
    } <= set(document)
    known = document["properties"]
    assert known["limits"][1] == {"kind": "converges", "low": 1.0, "high": 1.0}
    assert known["slopes"][0]["start"] == "-inf"
    assert document["cost"] == {"reason": "--no-cost"}


def test_moments_that_are_not_finite_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", "1/(x - 3)**2", "--json", "--no-cost"]) == 0
    known = json.loads(capsys.readouterr().out)["properties"]
    assert known["gain"] == {"mean": None, "root_mean_square": None, "slope_root_mean_square": None}
    assert known["unit_gain"] == 1


@pytest.mark.parametrize("text", ["0**x", "(-8)**x"])
def test_a_power_without_a_value_gets_one_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", text, "--no-cost"]) == 2
    error = capsys.readouterr().err
    assert f"'{text}'" in error
    assert error.count("\n") == 1


def test_cost_against_relu_and_silu(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", "x*sigmoid(beta*x)", "--json"]) == 0
    cost = json.loads(capsys.readouterr().out)["cost"]
    assert set(cost["nanoseconds"]) == {"f", "ReLU", "SiLU"}
    assert all(0 < t["forward"] < t["total"] for t in cost["nanoseconds"].values())
    assert cost["machine"]


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("PDF", b"%PDF")])
def test_plot(suffix: str, start: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / f"f.{suffix}"
    assert run(["show", "beta*abs(x) - 1/(x + 2)", "--plot", str(file), "--no-cost"]) == 0
    assert file.read_bytes().startswith(start)


def test_a_plot_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", "x", "--plot", str(tmp_path / "f.gif")]) == 2
    assert "ends in .png, .svg, .pdf" in capsys.readouterr().err
    assert run(["show", "x", "--plot", str(tmp_path / "missing" / "f.png"), "--no-cost"]) == 1
    assert "No such file or directory" in capsys.readouterr().err


def test_without_torch_cost_is_left_out_with_a_reason() -> None:
    code = "import sys; sys.modules['torch'] = None; from actsearch_cli.main import run; sys.exit(run(['show', 'max(x, 0)']))"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "cost         not measured: torch is not installed" in done.stdout
    assert done.stderr == ""
    assert time.perf_counter() - start < 15


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-1e-17, "0"), (3.141592653589793, "π"), (-4.71238898038469, "-3π/2"), (1.0471975511965976, "π/3"),
     (3.1415, "3.1415"), (1e-5, "1e-5"), (123456789.0, "1.23457e8"), (float("-inf"), "-∞"), (-31.41592653589793, "-10π")],
)  # fmt: skip
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text
