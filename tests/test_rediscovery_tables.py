"""What README and docs/rediscovery.md say of the six searches is what their archives say, digit by digit."""

import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SEARCHES = [f"{controller}-{seed}" for controller in ("ppo", "random") for seed in (1, 2, 3)]
SHOWN_OF_FINALS = 10
"""Functions that docs/rediscovery.md shows of the comparison with SiLU in finals."""

Tables = list[list[str]]
"""Rows of each table of a text, without its head."""


def tables(text: str) -> Tables:
    found: Tables = []
    before = ""
    for line in text.splitlines():
        if line.startswith("|"):
            if not before.startswith("|"):
                found.append([])
            found[-1].append(line)
        before = line
    return [rows[2:] for rows in found]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The folders of the six searches."""
    folder = tmp_path_factory.mktemp("runs")
    for name in SEARCHES:
        with tarfile.open(ROOT / "benchmarks" / "rediscovery" / f"{name}.tar.xz") as tar:
            tar.extractall(folder, filter="data")
    return [str(folder / name) for name in SEARCHES]


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def test_tables_of_searches_and_finals(
    runs: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import rediscovery

    monkeypatch.setattr(sys, "argv", ["rediscovery.py", *runs])
    rediscovery.main()
    in_short, searches, in_finals, betas, *finals, verified = tables(capsys.readouterr().out)
    page = tables((ROOT / "docs" / "rediscovery.md").read_text(encoding="utf-8"))
    assert len(finals) == len(SEARCHES)
    assert page[:8] == [searches, *finals, betas]
    assert tables((ROOT / "README.md").read_text(encoding="utf-8"))[0] == in_short
    assert tables((ROOT / "docs" / "verify.md").read_text(encoding="utf-8"))[-1] == verified
    assert all("| screened, not promoted |" in row or "| not screened |" in row for row in in_finals)


def test_tables_against_silu(
    runs: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import beyond_swish

    def train(*_: object) -> None:
        raise AssertionError("all trainings of the longer table are in the file")

    monkeypatch.setattr(beyond_swish, "trained", train)
    monkeypatch.setattr(sys, "argv", ["beyond_swish.py", *runs, "--longer", "--processes", "1"])
    beyond_swish.main()
    finals, longer = tables(capsys.readouterr().out)
    page = tables((ROOT / "docs" / "rediscovery.md").read_text(encoding="utf-8"))
    assert page[8:10] == [finals[:SHOWN_OF_FINALS], longer]


@pytest.mark.parametrize(
    ("canonical", "text"),
    [
        ("(beta + x)*sigmoid(min(x, 0)); beta=0", "(β + x)·σ(min(x, 0)), β from 0"),
        ("beta*x*sigmoid(beta2*x)", "βx·σ(β₂x)"),
        ("(beta + x)*sigmoid(beta3 + x); beta=0, beta3=0.5", "(β + x)·σ(β₃ + x), β from 0, β₃ from 0.5"),
        ("-x*sigmoid(x) - sin(x)", "−x·σ(x) − sin(x)"),
        ("exp(-4*beta*x**2)", "exp(−4·βx²)"),
        ("x/(x**2 + 1e-5)", "x/(x² + 1e-5)"),
    ],
)
def test_formulas_as_one_writes_them(canonical: str, text: str) -> None:
    from tables import shown

    assert shown(canonical) == text
