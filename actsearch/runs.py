"""Run folders: where a run's settings, store, logs and report live, and how a run is started and found.

`runs/<name>/` holds config.toml (the resolved settings), store.sqlite, logs/, redis/, report/, a `lock` that the
process driving the run holds, queue.json with what it last saw of its queue, and a file `stop` from the moment somebody
asks it to end. A run whose store is a shared database has `store.url` in place of store.sqlite, without a password.
Light to import.
"""

import fcntl
import os
import platform
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import IO, Any

import tomli_w
from sqlalchemy.engine import URL

from actsearch.config import RunConfig
from actsearch.errors import RunError, RunExistsError
from actsearch.store import Store
from actsearch.store.address import is_same_database, parse_store, without_ours, without_password

RECORDED = ("actsearch", "torch", "timm", "torchvision", "numpy", "sympy", "rq")
"""Distributions whose versions stand with a run."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class RunFolder:
    """A run's folder; the run is named like it."""

    path: Path
    database: URL | None = field(default=None, repr=False)
    """A shared database in place of the folder's own store.sqlite."""

    @classmethod
    def at(cls, path: Path, *, known: URL | None = None) -> "RunFolder":
        """The folder there, with the shared database that it names, if it names one.

        A folder may be somebody else's, and name a server that only waits for our password.

        Args:
            path: of the folder.
            known: a database of ours: another one is not given our password.
        """
        file = path / "store.url"
        if not file.is_file():
            return cls(path)
        named = parse_store(file.read_text(encoding="utf-8").strip(), str(file))
        return cls(path, known if known is not None and is_same_database(named, known) else without_ours(named))

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def config(self) -> Path:
        return self.path / "config.toml"

    @property
    def store(self) -> Path:
        return self.path / "store.sqlite"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def redis(self) -> Path:
        return self.path / "redis"

    @property
    def report(self) -> Path:
        return self.path / "report"

    @contextmanager
    def open(self) -> Iterator[tuple[Store, str]]:
        """The folder's store, and its run's name there: the one it was born with, whatever the folder is called now."""
        with Store.open(self.database or self.store, create=False) as store:
            names = [] if self.database else [record.name for record in store.runs()]
            yield store, names[0] if len(names) == 1 else self.name

    @property
    def shown(self) -> Path:
        """The path as a person would type it from the current folder."""
        return self.path.relative_to(Path.cwd()) if self.path.is_relative_to(Path.cwd()) else self.path

    @property
    def queue(self) -> Path:
        """What the process that drives the run last saw of its queue, as JSON (actsearch_workers.sight)."""
        return self.path / "queue.json"

    @property
    def stop_file(self) -> Path:
        """Its presence asks the process that drives the run to stop."""
        return self.path / "stop"

    def write_config(self, config: RunConfig) -> None:
        """Writes the resolved settings for people and for `actsearch search CONFIG.toml`; the store's copy decides.

        And where the store is, if not here.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self.config.write_text(to_toml(config), encoding="utf-8")
        if self.database is not None:
            url = without_password(self.database).render_as_string()
            (self.path / "store.url").write_text(f"{url}\n", encoding="utf-8")

    @property
    def is_driven_here(self) -> bool:
        """Whether a process with this folder drives the run right now; `Store.driver` finds those of other machines."""
        try:
            with (self.path / "lock").open(encoding="ascii") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Held by the one process that drives the run; the system drops it when that process ends, however it ends.

        The database's lock goes with it where the store is shared; the run may have been begun on another machine, so
        that its settings are written here too.

        Raises:
            RunError: another process holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("a+", encoding="ascii") as file:
            try:
                _flock(file)
            except BlockingIOError as err:
                file.seek(0)
                raise RunError(
                    f"run {self.name!r} is being driven by process {file.read() or '?'}; stop it first"
                ) from err
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            with self._database_lock():
                self.stop_file.unlink(missing_ok=True)
                self.queue.unlink(missing_ok=True)
                yield

    @contextmanager
    def _database_lock(self) -> Iterator[None]:
        if self.database is None:
            yield
            return
        with self.open() as (store, name), store.sole_driver(name):
            self.write_config(store.run(name).config)
            yield


def _flock(file: IO[str]) -> None:
    """An exclusive lock; tried for half a second, since whoever asks `is_driven_here` holds one for a moment."""
    for pause in (0.1, 0.2, 0.2, None):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if pause is None:
                raise
            time.sleep(pause)
        else:
            return


def create_run(runs_dir: Path, name: str | None, config: RunConfig, *, database: URL | None = None) -> RunFolder:
    """A new run: its folder with the resolved settings, and its row in the store. All of it or nothing.

    Args:
        runs_dir: folder of all runs, made where it is missing.
        name: letters, digits, `.`, `_`, `-`; None takes the first of run1, run2, … that is free.
        config: the resolved settings.
        database: a shared one in place of the folder's own store.sqlite.

    Raises:
        RunExistsError: the name is taken, here or in the shared database.
        RunError: no folder name, or a folder or store that cannot be made.
    """
    if name is not None and not _NAME.fullmatch(name):
        raise RunError(f"a run's name has 1 to 100 letters, digits, '.', '_' or '-', got {name[:60]!r}")
    for candidate in [name] if name else (f"run{number}" for number in count(1)):
        try:
            return _create(_claim(RunFolder((runs_dir / candidate).resolve(), database)), config)
        except RunExistsError:
            if name is not None:
                raise
    raise AssertionError("counting does not end")


def change_budget(
    folder: RunFolder,
    store: Store,
    run: str,
    *,
    evaluations: int | None = None,
    minutes: float | None = None,
    finalists: int | None = None,
) -> RunConfig:
    """Gives a run another budget before it is resumed; None keeps what it has.

    Args:
        folder: the run's.
        store: its store.
        run: its name there.
        evaluations: total over the run's life.
        minutes: likewise.
        finalists: of the finals that follow the search.

    Raises:
        ConfigError: a budget of 0 or less.
    """
    settings = store.run(run).config.model_dump(mode="json")
    changes: dict[str, Any] = {"evaluations": evaluations, "minutes": minutes}
    if finalists is not None:
        changes["finals"] = settings["finals"] | {"finalists": finalists, "after_search": True}
    config = RunConfig.parse(settings | {key: value for key, value in changes.items() if value is not None})
    store.set_config(run, config)
    folder.write_config(config)
    return config


def find_run(runs_dir: Path, run: str, *, database: URL | None = None) -> RunFolder:
    """The folder of an existing run, given its name under `runs_dir` or the folder's path.

    Args:
        runs_dir: folder of all runs.
        run: a name or a path.
        database: where given, a name is that of a run in it, which may have no folder on this machine yet.

    Raises:
        RunError: there is none; names those that exist.
    """
    if database is not None and _NAME.fullmatch(run):
        shared = RunFolder((runs_dir / run).resolve(), database)
        if shared.store.is_file():
            raise RunError(f"{shared.shown} holds a run that is not the database's {run!r}; give another --runs-dir")
        with shared.open() as (store, name):
            store.run(name)
        return shared
    for path in (runs_dir / run, Path(run)):
        if run and (path / "config.toml").is_file():
            return RunFolder.at(path.resolve(), known=database)
    known = [folder.name for folder in run_folders(runs_dir)]
    raise RunError(f"no run named {run!r} in {runs_dir}; known: {', '.join(known) or 'none yet'}")


def run_folders(runs_dir: Path, *, database: URL | None = None) -> list[RunFolder]:
    """Every run's folder, oldest settings first; those of a database's runs where one is given."""
    if database is not None:
        with Store.open(database, create=False) as store:
            return [RunFolder((runs_dir / record.name).resolve(), database) for record in store.runs()]
    if not runs_dir.is_dir():
        return []
    configs = sorted(runs_dir.glob("*/config.toml"), key=lambda path: (path.stat().st_mtime, path))
    return [RunFolder.at(path.parent.resolve()) for path in configs]


def to_toml(config: RunConfig) -> str:
    """The settings as TOML. What is None is left out: TOML has no word for it."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


def versions() -> Mapping[str, str]:
    """Versions of Python and of the libraries that decide a run's numbers, and the git commit where there is one."""
    found = {"python": platform.python_version()}
    for name in RECORDED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    commit = _git_commit(Path(__file__).parent.parent)
    return found if commit is None else {**found, "commit": commit}


def _claim(folder: RunFolder) -> RunFolder:
    """Makes the folder; that is what takes the name here, so that of two processes one gets it."""
    try:
        folder.path.parent.mkdir(parents=True, exist_ok=True)
        folder.path.mkdir()
    except FileExistsError as err:
        runs_dir = folder.path.parent
        if not runs_dir.is_dir():
            raise RunError(f"{runs_dir} is not a folder") from err
        raise RunExistsError(
            f"there is a run named {folder.name!r} in {runs_dir} already; choose another or resume it"
        ) from err
    except OSError as err:
        raise RunError(f"cannot make the run folder {folder.path}: {err.strerror}") from err
    return folder


def _create(folder: RunFolder, config: RunConfig) -> RunFolder:
    """Fills a new folder and puts the run into its store, or leaves nothing of it."""
    try:
        folder.write_config(config)
        for part in (folder.logs, folder.redis, folder.report):
            part.mkdir()
        with Store.open(folder.database or folder.store) as store:
            permission = ["--allow-user-code"] if config.allow_user_code else []
            command = shlex.join(["actsearch", "search", str(folder.shown / "config.toml"), *permission])
            store.create_run(folder.name, config, command=command, versions=versions())
    except BaseException:
        shutil.rmtree(folder.path, ignore_errors=True)
        raise
    return folder


def _git_commit(root: Path) -> str | None:
    """The commit of a checkout at `root`, with `-dirty` where files differ; None for an installed package."""
    if not (root / ".git").exists() or shutil.which("git") is None:
        return None
    git = ["git", "-C", str(root)]
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)  # noqa: S603
    if commit.returncode != 0:
        return None
    changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=False)  # noqa: S603
    return commit.stdout.strip() + ("-dirty" if changes.stdout else "")
