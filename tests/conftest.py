"""Options of the whole suite."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

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
