"""The run store: what goes in comes out, the first result stays, and a wrong name is one clear line."""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import JSON, Boolean, DateTime, MetaData, create_engine, event, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.types import TypeEngine

import actsearch.store
from actsearch.config import ChildSettings, PPOSettings, Recipe, RunConfig, SpaceSettings
from actsearch.errors import RunError
from actsearch.evaluation import CurvePoint, Evaluation, LayerRecord, Outcome, Rung
from actsearch.store import Advance, BatchRecord, NewEvaluation, NewProposal, RunState, Store

SCHEMAS = Path(__file__).parent / "schemas"


@pytest.fixture
def store(where: Path | URL) -> Iterator[Store]:
    with Store.open(where) as opened:
        yield opened


def key(index: int) -> str:
    return f"{index:016x}"


def asked(*indices: int) -> tuple[NewEvaluation, ...]:
    return tuple(
        NewEvaluation(
            key=key(i),
            tokens=("scale", "sigmoid", "multiply"),
            formula="f",
            canonical=f"c{i}",
            names=("Swish",),
            seed=i,
        )
        for i in indices
    )


def step(batch: int, *indices: int, told: int | None = None, state: bytes = b"state") -> Advance:
    new = asked(*indices)
    return Advance(
        told=None if told is None else BatchRecord(batch=told, told_at=datetime.now(UTC), metrics={}, digest="d"),
        proposed={batch: tuple(NewProposal(tokens=e.tokens, evaluation=e.key, is_new=True) for e in new)},
        new=new,
        controller=state,
        trace="t",
        seconds=1.5,
    )


def trained(index: int, accuracy: float, run: str = "first") -> Evaluation:
    return Evaluation(run=run, evaluation=key(index), outcome=Outcome.TRAINED, val_accuracy=accuracy)


# --- round trips -----------------------------------------------------------------------------------------------------

finite = st.floats(allow_nan=False, allow_infinity=False)
line = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30)
layers = st.builds(
    LayerRecord,
    name=line,
    channels=st.integers(1, 64),
    betas=st.dictionaries(st.sampled_from(["beta", "beta2"]), st.lists(finite, max_size=5).map(tuple), max_size=2),
    histogram=st.lists(st.integers(0, 10**12), max_size=5).map(tuple),
)
accuracy, seconds = st.floats(0, 1), st.floats(0, 1e9)
evaluations = st.builds(
    Evaluation,
    run=st.just("first"),
    evaluation=st.just(key(7)),
    outcome=st.sampled_from(Outcome),
    reason=line,
    val_accuracy=accuracy,
    predicted_accuracy=accuracy,
    val_loss=st.none() | finite,
    steps=st.integers(0, 10**6),
    gain=finite,
    curve=st.lists(st.builds(CurvePoint, step=st.integers(0, 99), val_accuracy=accuracy, val_loss=finite)).map(tuple),
    seconds=seconds,
    seconds_per_step=st.none() | seconds,
    parameters=st.none() | st.integers(0, 10**9),
    layers=st.lists(layers, max_size=3).map(tuple),
    worker=line,
    environment=line,
)
configs = st.builds(
    RunConfig,
    seed=st.integers(0, 2**31 - 1),
    evaluations=st.integers(1, 10**6),
    minutes=st.none() | st.floats(1e-3, 1e6),
    batch=st.integers(1, 100),
    controller=st.sampled_from(["ppo", "random"]),
    child=st.builds(ChildSettings, gain=st.sampled_from(["unit", "as_is"])),
    recipe=st.builds(Recipe, learning_rate=st.floats(1e-6, 100), clip_norm=st.just(0.0) | st.floats(1e-6, 10)),
    space=st.builds(SpaceSettings, unary=st.none() | st.just(("identity", "sigmoid"))),
    ppo=st.builds(PPOSettings, learning_rate=st.floats(1e-9, 1)),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=evaluations)
def test_an_evaluation_comes_back_as_it_went_in(made: Evaluation, store: Store) -> None:
    name = f"run{len(store.runs())}"
    evaluation = made.model_copy(update={"run": name})
    store.create_run(name, RunConfig(), command="", versions={})
    store.advance(name, step(0, 7))
    assert store.record(evaluation)
    (record,) = store.evaluations(name)
    assert record.evaluation == evaluation
    (light,) = store.evaluations(name, layers=False)
    assert light.evaluation == evaluation.model_copy(update={"layers": ()})
    assert store.proposals(name)[0].reward == evaluation.reward


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=configs, command=line, versions=st.dictionaries(line, line, max_size=3), data=st.data())
def test_a_run_comes_back_as_it_went_in(
    config: RunConfig, command: str, versions: dict[str, str], data: st.DataObject, store: Store
) -> None:
    name = f"run{len(store.runs())}"
    before = datetime.now(UTC)
    made = store.create_run(name, config, command=command, versions=versions)
    found = store.run(name)
    assert found == made
    assert (found.config, found.command, found.versions) == (config, command, versions)
    assert (found.state, found.reason, found.seconds, found.trace) == (RunState.RUNNING, "", 0.0, "")
    assert found.created_at.utcoffset() == timedelta(0)
    assert before <= found.created_at <= datetime.now(UTC)


def test_a_step_comes_back_in_order_and_numbers_evaluations_as_asked(store: Store) -> None:
    store.create_run("first", RunConfig(), command="", versions={})
    assert store.controller("first") is None
    store.advance("first", step(0, 30, 10))
    told = BatchRecord(batch=0, told_at=datetime(2026, 1, 2, tzinfo=UTC), metrics={"entropy": 2.5}, digest="abc")
    repeat = NewProposal(tokens=("abs", "abs", "add"), evaluation=key(10), is_new=False)
    fresh = NewProposal(tokens=("sin", "cos", "add"), evaluation=key(20), is_new=True)
    new = asked(20)
    store.advance(
        "first",
        Advance(told=told, proposed={1: (repeat, fresh)}, new=new, controller=b"\0\xff", trace="f" * 64, seconds=2.5),
    )
    assert [(e.number, e.key) for e in store.evaluations("first")] == [(1, key(30)), (2, key(10)), (3, key(20))]
    assert store.batches("first") == [told]
    assert [
        (p.batch, p.slot, p.tokens, p.evaluation, p.is_new, p.reward) for p in store.proposals("first", since=1)
    ] == [
        (1, 0, ("abs", "abs", "add"), key(10), False, None),
        (1, 1, ("sin", "cos", "add"), key(20), True, None),
    ]
    assert store.controller("first") == b"\0\xff"
    assert (store.run("first").trace, store.run("first").seconds) == ("f" * 64, 2.5)


def test_runs_in_one_store_do_not_meet(store: Store) -> None:
    for name in ("first", "second"):
        store.create_run(name, RunConfig(), command="", versions={})
        store.advance(name, step(0, 1, 2, state=name.encode()))
    store.record(trained(1, 0.5, run="second"))
    assert [e.evaluation is None for e in store.evaluations("first")] == [True, True]
    assert store.summary("first").told == 0
    assert store.summary("second").told == 1
    assert store.controller("first") == b"first"
    assert [run.name for run in store.runs()] == ["first", "second"]


# --- the first result stays ------------------------------------------------------------------------------------------


def test_a_finished_evaluation_never_changes(store: Store) -> None:
    store.create_run("first", RunConfig(), command="", versions={})
    store.advance("first", step(0, 1))
    assert store.record(trained(1, 0.8))
    before = store.evaluations("first")
    assert not store.record(trained(1, 0.9))
    assert not store.record(Evaluation(run="first", evaluation=key(1), outcome=Outcome.DIVERGED, reason="late"))
    assert store.evaluations("first") == before
    assert before[0].evaluation is not None
    assert before[0].evaluation.val_accuracy == 0.8


def test_a_result_that_the_run_never_asked_for_is_not_stored(store: Store) -> None:
    store.create_run("first", RunConfig(), command="", versions={})
    assert not store.record(trained(99, 0.9))
    assert store.evaluations("first") == []


def test_summary_counts_and_names_the_best(store: Store) -> None:
    store.create_run("first", RunConfig(), command="", versions={})
    empty = store.summary("first")
    assert (empty.asked, empty.told, empty.best, empty.batches_asked, empty.last_new_batch) == (0, 0, None, 0, -1)
    store.advance("first", step(0, 1, 2, 3, 4, 5))
    store.record(trained(3, 0.7))
    store.record(trained(2, 0.7))
    store.record(trained(1, 0.2))
    # A diverged child has no accuracy that counts, whatever it says.
    store.record(Evaluation(run="first", evaluation=key(4), outcome=Outcome.DIVERGED, val_accuracy=0.99))
    summary = store.summary("first")
    assert (summary.asked, summary.told) == (5, 4)
    assert summary.by_outcome == {Outcome.TRAINED: 3, Outcome.DIVERGED: 1}
    assert summary.best is not None
    assert (summary.best.number, summary.best.reward, summary.best.names) == (2, 0.7, ("Swish",))
    assert (summary.batches_asked, summary.batches_told, summary.last_new_batch) == (1, 0, 0)
    assert [record.number for record in store.evaluations("first") if record.evaluation is None] == [5]


# --- mistakes --------------------------------------------------------------------------------------------------------


def test_a_name_that_is_taken(store: Store) -> None:
    store.create_run("first", RunConfig(seed=1), command="", versions={})
    with pytest.raises(RunError, match="there is a run named 'first' already"):
        store.create_run("first", RunConfig(seed=2), command="", versions={})
    assert [run.config.seed for run in store.runs()] == [1]


def test_an_unknown_run_names_those_that_exist(store: Store) -> None:
    with pytest.raises(RunError, match="no run named 'x'; known: none yet"):
        store.run("x")
    store.create_run("first", RunConfig(), command="", versions={})
    store.create_run("second", RunConfig(), command="", versions={})
    with pytest.raises(RunError, match="no run named 'x'; known: first, second"):
        store.evaluations("x")


def test_reading_a_store_that_is_not_there_makes_none(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no run store at .*nothing\.sqlite"):
        Store.open(tmp_path / "nothing.sqlite", create=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["nonsense://x", "postgresql+nosuchdriver://me:hunter2@host/db"])
def test_an_impossible_url_is_one_line_without_its_password(where: str) -> None:
    with pytest.raises(RunError) as raised:
        Store.open(where)
    assert "hunter2" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_text("not a database, but long enough to be looked at" * 30)
    with pytest.raises(RunError, match=r"cannot open the run store .*not a database"):
        Store.open(tmp_path / "store.sqlite")


def test_a_second_controller_is_refused_and_changes_nothing(store: Store) -> None:
    store.create_run("first", RunConfig(), command="", versions={})
    store.advance("first", step(0, 1, state=b"mine"))
    with pytest.raises(RunError, match="advanced by another controller"):
        store.advance("first", step(0, 2, state=b"another"))
    assert store.controller("first") == b"mine"
    assert [record.key for record in store.evaluations("first")] == [key(1)]


def test_a_proposal_needs_its_evaluation(store: Store) -> None:
    store.create_run("first", RunConfig(), command="", versions={})
    orphan = NewProposal(tokens=("sin", "cos", "add"), evaluation=key(404), is_new=False)
    with pytest.raises(RunError):
        store.advance(
            "first", Advance(told=None, proposed={0: (orphan,)}, new=(), controller=b"", trace="", seconds=0.0)
        )
    assert store.controller("first") is None


# --- the file --------------------------------------------------------------------------------------------------------


def test_a_reader_sees_the_last_commit_while_a_writer_is_in_the_middle(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s.sqlite") as store, Store.open(tmp_path / "s.sqlite", create=False) as reader:
        store.create_run("first", RunConfig(), command="", versions={})
        writing = sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)
        try:
            writing.execute("BEGIN IMMEDIATE")
            writing.execute("UPDATE runs SET reason = 'half way'")
            start = time.monotonic()
            assert reader.run("first").reason == ""
            assert time.monotonic() - start < 1
            writing.execute("COMMIT")
        finally:
            writing.close()
        assert reader.run("first").reason == "half way"


@pytest.mark.parametrize("schema", sorted(path.stem for path in SCHEMAS.glob("*.sql")))
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_every_kept_schema_opens(kind: str, schema: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A database as each released schema made it, with a run in it."""
    rung = Rung(step=75, stop_below=0.5, forecast=((0.25, 0.375), (0.5, 0.75)))
    where: Path | URL = tmp_path / "kept.sqlite"
    with closing(sqlite3.connect(tmp_path / "kept.sqlite")) as old:
        old.executescript((SCHEMAS / f"{schema}.sql").read_text())
        if kind == "postgresql":
            where = url = request.getfixturevalue("postgres_server").new_database()
            copied(old, url, schema)
    with Store.open(where, create=False) as store:
        run = store.run("kept")
        assert run.config.seed == 3
        assert run.created_at == datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
        first, second = store.evaluations("kept")
        assert first.evaluation is not None
        assert first.evaluation.val_accuracy == 0.75
        assert first.evaluation.layers[0].betas == {"beta": (0.5, -1.0)}
        assert second.evaluation is None
        assert second.rungs == (() if schema < "0003" else (Rung(step=15), rung))
        assert [p.reward for p in store.proposals("kept")] == [0.75, None]
        assert store.controller("kept") == b"\x01\x02"
        finals = store.finals.get("kept")
        assert (finals is None) == (schema < "0002")
        if finals is not None:
            assert finals.plan.final_seeds == (3, 4, 5)
            assert finals.result is not None
            assert finals.result.best.test_accuracy == 0.8
            assert [t.accuracy for t in store.finals.test_accuracies("kept")] == [0.79]
        verified = store.verifications.of("kept")
        assert len(verified) == (0 if schema < "0004" else 1)
        for record in verified:
            assert record.plan.seeds == (6, 7)
            assert record.result is not None
            assert record.result.rows[0].grounds[0].accuracy == 0.9
            assert [e.val_accuracy for e in store.verifications.evaluations("kept").values()] == [0.875]
        assert store.record(trained(2, 0.5, run="kept"))


def copied(old: sqlite3.Connection, url: URL, revision: str) -> None:
    """Brings an empty database to a revision and copies an SQLite database of that revision into it."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(actsearch.store.__file__).parent / "migrations"))
    engine = create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        tables = MetaData()
        tables.reflect(connection)
        old.row_factory = sqlite3.Row
        for table in tables.sorted_tables:
            if table.name == "alembic_version":
                continue
            for row in old.execute(f"SELECT * FROM {table.name}"):
                values = {name: typed(row[name], table.columns[name].type) for name in row.keys()}  # noqa: SIM118
                connection.execute(table.insert().values(values))
    engine.dispose()


def typed(value: Any, kind: TypeEngine[Any]) -> Any:
    """What SQLite keeps as text or number, as a database with types of its own takes it."""
    if isinstance(value, str) and isinstance(kind, JSON):
        return json.loads(value)
    if isinstance(value, str) and isinstance(kind, DateTime):
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    return bool(value) if isinstance(kind, Boolean) else value


def tables(url: URL) -> dict[str, object]:
    """Columns, keys and constraints of every table, in whatever order they were made."""
    engine = create_engine(url)
    seen = inspect(engine)
    found: dict[str, object] = {
        name: (
            {column["name"]: {**column, "type": str(column["type"])} for column in seen.get_columns(name)},
            seen.get_pk_constraint(name),
            sorted(map(str, seen.get_foreign_keys(name))),
            sorted(map(str, seen.get_unique_constraints(name))),
            sorted(map(str, seen.get_indexes(name))),
        )
        for name in seen.get_table_names()
    }
    engine.dispose()
    return found


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_migrations_make_what_the_mappings_say(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from actsearch.store.database import HEAD
    from actsearch.store.schema import Base

    def empty(name: str) -> URL:
        if kind == "sqlite":
            return URL.create("sqlite", database=str(tmp_path / name))
        url: URL = request.getfixturevalue("postgres_server").new_database()
        return url

    new, migrated = empty("new"), empty("migrated")
    with closing(sqlite3.connect(tmp_path / "migrated")) as old:
        old.executescript((SCHEMAS / "0001.sql").read_text())
        if kind == "postgresql":
            copied(old, migrated, "0001")
    for url in (new, migrated):
        Store.open(url).close()
        engine = create_engine(url)
        with engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
            assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == HEAD
        engine.dispose()
    assert tables(new).keys() == {*Base.metadata.tables, "alembic_version"}
    assert tables(new) == tables(migrated)
    scripts = ScriptDirectory(str(Path(actsearch.store.__file__).parent / "migrations"))
    assert scripts.get_current_head() == HEAD


def test_a_store_of_a_newer_actsearch_is_refused_untouched(tmp_path: Path) -> None:
    Store.open(tmp_path / "s.sqlite").close()
    newer = sqlite3.connect(tmp_path / "s.sqlite")
    newer.execute("UPDATE alembic_version SET version_num = '9999'")
    newer.commit()
    with pytest.raises(RunError, match="schema 9999, this actsearch knows up to 0005"):
        Store.open(tmp_path / "s.sqlite")
    assert newer.execute("SELECT version_num FROM alembic_version").fetchone() == ("9999",)
    newer.close()


def test_ten_thousand_evaluations_are_read_in_seconds(tmp_path: Path) -> None:
    count = 10_000
    path = tmp_path / "s.sqlite"
    layer = LayerRecord(name="stage1.act", channels=16, betas={"beta": (0.123456789,) * 16}, histogram=(1234,) * 40)
    with Store.open(path) as store:
        store.create_run("first", RunConfig(), command="", versions={})
        store.advance("first", step(0, 1))
        store.record(trained(1, 0.5).model_copy(update={"layers": (layer,) * 7}))
        # The others are copies of the first: storing 10,000 one by one is not what is measured here.
        raw = sqlite3.connect(path)
        columns = [name for _, name, *_ in raw.execute("PRAGMA table_info(evaluations)")]
        copied = ["n" if name == "number" else "printf('%016x', n)" if name == "key" else name for name in columns]
        raw.execute(
            f"WITH RECURSIVE numbers(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}) "
            f"INSERT INTO evaluations ({', '.join(columns)}) SELECT {', '.join(copied)} FROM evaluations, numbers"
        )
        raw.commit()
        raw.close()
    with Store.open(path, create=False) as store:
        start = time.process_time()
        assert len(store.evaluations("first", layers=False)) == count
        assert time.process_time() - start < 5  # 0.5 to 1.3 s on a shared core: room for slower ones
        start = time.process_time()
        assert store.summary("first").told == count
        assert time.process_time() - start < 1  # 0.04 s


def test_a_run_is_bound_to_an_environment_and_has_an_id_of_its_own(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store.sqlite") as store:
        store.create_run("one", RunConfig(), command="", versions={"torch": "2.14"})
        before = store.run("one")
        assert before.environment is None
        store.set_environment("one", "0123abcd: torch 2.14, AMD EPYC")
        run = store.run("one")
        assert run.environment == "0123abcd"
        assert run.versions == {"torch": "2.14", "environment": "0123abcd: torch 2.14, AMD EPYC"}
        assert run.id == before.id
        assert store.create_run("two", RunConfig(), command="", versions={}).id != run.id


def test_a_few_keys_are_found_by_their_index_not_by_a_walk_through_the_run(tmp_path: Path) -> None:
    statements: list[tuple[str, Any]] = []
    with Store.open(tmp_path / "store.sqlite") as store:
        store.create_run("first", RunConfig(), command="", versions={})
        store.advance("first", step(0, 3, 1, 2))
        event.listen(store._engine, "before_cursor_execute", lambda *said: statements.append((said[2], said[3])))
        assert [record.number for record in store.lookup("first", [key(2), key(3)]).values()] == [1, 3]
    ((statement, values),) = [one for one in statements if "FROM evaluations" in one[0]]
    with closing(sqlite3.connect(tmp_path / "store.sqlite")) as raw:
        plan = raw.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
    assert [line for *_, line in plan if "(run_id=? AND key=?)" in line]
