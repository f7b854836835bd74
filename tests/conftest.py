"""Options of the whole suite."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.engine import URL

from actsearch.store import Store

if TYPE_CHECKING:
    from tests.postgres import Server

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: the test processes fill the cores, and their children inherit it

TESTS = Path(__file__).parent


@pytest.fixture(autouse=True, scope="session")
def cache_folder_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is measured once a machine is measured once a suite, and leaves the user's cache alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


LONGEST_FIRST = ("integration", "controller", "actsearch", "reports", "workers", "cli")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Folders whose files take long come first: of two processes none is left alone with one of them at the end."""
    folders = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: folders.get(item.path.relative_to(TESTS).parts[0], len(folders)))


def pytest_collection_finish() -> None:
    """What the imports left in memory stays: not to be searched for garbage again and again saves a fifteenth."""
    gc.collect()
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite the files under tests/golden; the commit that does it says why",
    )


@pytest.fixture(scope="session")
def postgres_server() -> "Iterator[Server]":
    """A PostgreSQL server for the whole session, with a database `migrated` to copy from."""
    from tests import postgres

    initdb, program = postgres.program("initdb"), postgres.program("postgres")
    if initdb is None or program is None:
        pytest.skip("PostgreSQL's server programs are missing: apt-get install postgresql")
    with postgres.running(initdb, program) as server:
        server.execute("CREATE DATABASE migrated")
        Store.open(server.url("migrated")).close()
        yield server


@pytest.fixture
def postgres_url(postgres_server: "Server") -> Iterator[URL]:
    """A database with tables and no runs."""
    url = postgres_server.new_database("migrated")
    yield url
    # At once: the files of forty of them take ten seconds to delete at the end.
    postgres_server.execute(f"DROP DATABASE {url.database} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Path | URL:
    """Where a new store is: what holds of one database holds of the other."""
    if request.param == "sqlite":
        return tmp_path / "store.sqlite"
    url: URL = request.getfixturevalue("postgres_url")
    return url
