"""How many cores there are for us: the kernel's files as containers have them."""

import os
from pathlib import Path

import pytest

from actsearch.cores import usable_cores


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("100000 100000", 1),
        ("150000 100000", 2),
        ("20000 100000", 1),
        ("1600000 100000", 8),
        ("max 100000", 8),
        ("", 8),
    ],
)
def test_a_limit_of_version_2_counts(quota: str, cores: int, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(f"{quota}\n", encoding="ascii")
    assert usable_cores(tmp_path) == cores


@pytest.mark.parametrize(("quota", "cores"), [("300000", 3), ("-1", 8)])
def test_a_limit_of_version_1_counts(quota: str, cores: int, tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n", encoding="ascii")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n", encoding="ascii")
    assert usable_cores(tmp_path) == cores


def test_without_limits_all_cores_count(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == 8
