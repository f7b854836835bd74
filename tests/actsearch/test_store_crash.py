"""A writer that is killed with SIGKILL between or inside transactions leaves a whole store."""

import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psycopg
from sqlalchemy.engine import URL

from actsearch.store import Store

WRITER = """
import sys
from datetime import UTC, datetime
from actsearch.config import RunConfig
from actsearch.evaluation import Evaluation, Outcome
from actsearch.store import Advance, BatchRecord, NewEvaluation, NewProposal, Store

store = Store.open(sys.argv[1])
if not store.runs():
    store.create_run("first", RunConfig(), command="", versions={})
batch = store.summary("first").batches_asked
while True:
    new = tuple(
        NewEvaluation(key=f"{batch * 3 + i:016x}", tokens=("a", "b", "c"), formula="f", canonical="c", names=(), seed=i)
        for i in range(3)
    )
    told = None
    if batch:
        for asked in store.proposals("first", since=batch - 1):
            store.record(Evaluation(run="first", evaluation=asked.evaluation, outcome=Outcome.TRAINED, val_accuracy=0.5))
        told = BatchRecord(batch=batch - 1, told_at=datetime.now(UTC), metrics={}, digest="")
    store.advance("first", Advance(
        told=told,
        proposed={batch: tuple(NewProposal(tokens=e.tokens, evaluation=e.key, is_new=True) for e in new)},
        new=new, controller=str(batch).encode() * 200_000, trace=str(batch), seconds=0.0,
    ))
    batch += 1
    print(batch, flush=True)
"""


def test_a_killed_writer_leaves_whole_transactions(where: Path | URL) -> None:
    """On PostgreSQL the server may end the transaction after its client: it is whole or gone all the same."""
    address = str(where) if isinstance(where, Path) else where.render_as_string()
    rng = random.Random(0)
    reached = 0
    for _ in range(4):
        with subprocess.Popen([sys.executable, "-c", WRITER, address], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            said = int(writer.stdout.readline())  # it writes now
            assert said == reached + 1, "goes on where the killed one stood"
            for _ in range(rng.randint(1, 5)):
                said = int(writer.stdout.readline())
            time.sleep(rng.uniform(0, 0.02))  # a transaction takes about 0.01 s
            writer.kill()
            said = max([said, *map(int, writer.stdout.read().split())])
        if isinstance(where, URL):
            wait_for_sessions_to_end(where)
        with Store.open(where, create=False) as store:
            run, summary = store.run("first"), store.summary("first")
            last = int(run.trace)
            reached = last + 1
            assert last in (said - 1, said), "a transaction that was confirmed is there"
            assert summary.batches_asked == last + 1
            assert summary.batches_told == last == len(store.batches("first"))
            assert store.controller("first") == str(last).encode() * 200_000
            assert summary.asked == 3 * (last + 1) == len(store.proposals("first"))
            assert summary.told >= 3 * last
        if isinstance(where, Path):
            raw = sqlite3.connect(where)
            assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
            raw.close()
    assert reached > 8, "too few transactions for the kills to fall among them"


def wait_for_sessions_to_end(database: URL) -> None:
    """Until the server has seen that the killed client is gone."""
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    libpq = database.set(drivername="postgresql").render_as_string()
    for _ in range(1000):
        with psycopg.connect(libpq) as connection:
            if connection.execute(others).fetchone() == (0,):
                return
    raise AssertionError("the session of a killed client stays")
