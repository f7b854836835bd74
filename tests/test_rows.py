"""Trainings that leave a row each in a file, by benchmarks/rows.py."""

import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "benchmarks"


def train(task: tuple[str, int]) -> dict[str, object]:
    """Leaves a file behind, so that who asks knows what was trained; fails at the third task."""
    folder, number = task
    (Path(folder) / str(number)).touch()
    if number == 2:
        raise ValueError("this one fails")
    time.sleep(0.05)
    return {"number": number}


def test_a_failure_ends_it_and_keeps_the_rows_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from rows import Rows

    rows = Rows(tmp_path / "rows.csv", ("number",))
    with pytest.raises(ValueError, match="this one fails"):
        rows.add([(str(tmp_path), n) for n in range(40)], train, processes=1)
    assert [row["number"] for row in rows.read()] == ["0", "1"]
    assert len([file for file in tmp_path.iterdir() if file.name.isdigit()]) < 30, "most of the others are not trained"
