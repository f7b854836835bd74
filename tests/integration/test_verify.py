"""A verification on a real worker: its own data sets, its own binding, and the run's own left alone."""

import json
from pathlib import Path

import pytest

from actsearch.runs import RunFolder
from actsearch_cli import session
from actsearch_cli.main import run as actsearch
from actsearch_workers.data import load
from tests.cli.test_finals import finals, folder
from tests.integration.conftest import PATIENCE_SECONDS

__all__ = ["folder"]  # the fixture: a run whose search is done

pytestmark = [pytest.mark.slow, pytest.mark.timeout(6 * PATIENCE_SECONDS)]


def test_it_trains_on_data_of_its_own(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(session, "_write_report", lambda *_: None)  # to save time
    finals(folder)
    with folder.open() as (store, name):
        store.set_environment(name, "0123abcd: a machine that is gone")
    grounds = ["--data", "digits,fashion-mini", "--children", "resnet8", "--seeds", "2", "--steps", "1"]
    assert actsearch(["verify", "first", *grounds, "--workers", "1", "--json"]) == 0
    verification = json.loads(capsys.readouterr().out)["verification"]
    assert verification["state"] == "done"
    assert verification["grounds"] == ["resnet8 on digits", "resnet8 on fashion-mini"]
    assert all(0 < row["accuracy"] < 1 for f in verification["functions"] for row in f["grounds"])
    with folder.open() as (store, name):
        places = [evaluation.environment for evaluation in store.verifications.evaluations(name).values()]
        assert store.run(name).environment == "0123abcd", "the run's own stays what it was"
    data = {load(name, data_dir=Path()).digest[:16] for name in ("digits", "fashion-mini")}
    assert {place.rpartition(" ")[2] for place in places} == data
    assert len({place.partition(":")[2].rpartition(",")[0] for place in places}) == 1, "one machine"
