"""Why nothing moves: every cause has its sentence, and where something moves there is none."""

import socket
import time
from pathlib import Path

import pytest

from actsearch_workers.sight import QueueStatus, Sighting, WorkerState, standstill

RUN = "run1-0123456789ab"
BUSY = WorkerState(name="busy", evaluation="ab", run=RUN)
IDLE = WorkerState(name="idle")
ELSEWHERE = WorkerState(name="elsewhere", evaluation="cd", run="run2-ba9876543210")
SUSPENDED = WorkerState(name="suspended", suspended=True)
OTHER = WorkerState(name="other", idles={RUN: "torch 2.14.0, not 2.9.1"})
FOREIGN = WorkerState(name="foreign", idles={"": "it is no worker of actsearch"})


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({}, "no worker serves this server: start some with `actsearch worker`"),
        ({"workers": (SUSPENDED,)}, "all workers that fit are suspended"),
        ({"workers": (SUSPENDED, OTHER)}, "all workers that fit are suspended"),
        (
            {"workers": (OTHER, FOREIGN)},
            "no worker fits the run (other: torch 2.14.0, not 2.9.1; foreign",
        ),
        ({"workers": (ELSEWHERE,)}, "all workers that fit are busy with run2-ba9876543210"),
        ({"workers": (ELSEWHERE, SUSPENDED)}, "all workers that fit are busy with run2-ba9876543210"),
        ({"workers": (IDLE,)}, "no worker has taken the run yet"),
        ({"workers": (BUSY,), "silent": 1}, "waiting until 1 lease runs out"),
        ({"workers": (BUSY,), "missing": 2}, "2 lost with their worker"),
        ({"workers": (), "silent": 3}, "waiting until 3 leases run out"),
        ({"workers": (BUSY,), "away_seconds": 7.4}, "the server has not answered for 7 s"),
    ],
)
def test_each_cause_has_its_sentence(status: dict[str, object], says: str) -> None:
    (reason,) = standstill(QueueStatus.parse({"run": RUN, **status}), 5)
    assert reason.startswith(says)


@pytest.mark.parametrize(
    ("status", "in_flight"),
    [
        ({"workers": (BUSY,)}, 5),
        ({"workers": (BUSY, BUSY), "silent": 1}, 5),
        ({"workers": (IDLE,), "environment": "12345678: here"}, 5),
        ({}, 0),
    ],
)
def test_where_something_moves_there_is_none(status: dict[str, object], in_flight: int) -> None:
    assert standstill(QueueStatus.parse({"run": RUN, **status}), in_flight) == []


def sighting(
    address: str, *workers: WorkerState, age: float = 0.0, in_flight: int = 1, most: int | None = 2
) -> Sighting:
    queue = QueueStatus(run=RUN, workers=workers)
    return Sighting(at=time.time() - age, address=address, in_flight=in_flight, in_flight_at_most=most, queue=queue)


def test_a_server_that_is_down_is_found_out_without_its_password(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        server.listen()
        address = f"unix://{tmp_path}/socket"
        assert sighting(address).why_nothing_moves() == standstill(QueueStatus(run=RUN), 1)
        assert "not looked at the queue for 60 s" in sighting(address, age=60).why_nothing_moves()[0]
    assert sighting(address).why_nothing_moves() == [f"the server {address} is down: the run goes on when it is back"]
    assert sighting(address, in_flight=0).why_nothing_moves() == []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert "down" not in sighting(f"rediss://user:***@127.0.0.1:{port}/0").why_nothing_moves()[0]
    assert "is down" in sighting(f"redis://127.0.0.1:{port}/0").why_nothing_moves()[0]


def test_more_workers_than_jobs_is_a_warning(tmp_path: Path) -> None:
    assert sighting("unix:///x", BUSY, IDLE, OTHER).warnings() == []
    (warning,) = sighting("unix:///x", BUSY, IDLE, ELSEWHERE).warnings()
    assert warning == "3 workers for at most 2 jobs in flight (lag x batch): 1 idle always"
    assert sighting("unix:///x", BUSY, IDLE, ELSEWHERE, most=None).warnings() == []


def test_a_file_is_read_back_or_is_nothing(tmp_path: Path) -> None:
    file = tmp_path / "queue.json"
    assert Sighting.read(file) is None
    written = sighting("unix:///x", OTHER, BUSY)
    written.write(file)
    assert Sighting.read(file) == written
    file.write_text('{"at": 1, "of": "another version"}')
    assert Sighting.read(file) is None
