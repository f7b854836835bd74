"""Where the Redis-compatible server is, how its password gets to us, and how to reach it.

A password never stands on a command line (every user of the machine sees those), in a log or in an error: it
comes from a file or from a variable, and every text made here shows `***` in its place.
"""

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

import redis
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.retry import Retry

from actsearch.errors import ConfigError, ServerUnreachableError
from actsearch.passwords import from_file, on_command_line

URL_VARIABLE = "ACTSEARCH_REDIS_URL"
PASSWORD_FILE_VARIABLE = "ACTSEARCH_REDIS_PASSWORD_FILE"  # noqa: S105  (a variable's name)

GIVE_UP_SECONDS = 10.0
"""How long a server that was never reached is tried for."""
RECONNECTS = 25
"""Attempts of a patient client's command: with the back-off below, a minute and a half (simulated: 87 to 105 s)."""
PATIENT_ANSWER_SECONDS = 30.0
"""How long a patient client waits for each answer."""
ANSWER_SECONDS = 5.0
"""How long one that is not waits, and how long both wait for a connection."""
_SCHEMES = ("redis", "rediss", "unix")
_RIGHT = "right would be redis://HOST:PORT/0, and in a password %40 for @, %2F for /, %3F for ?, %23 for #, %25 for %"


@dataclass(frozen=True)
class Address:
    """A server's URL and its password. As text it is the URL without any password."""

    url: str = field(repr=False)
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return redacted(self.url)


def find_address(
    url_option: str | None, password_file_option: Path | None, environment: Mapping[str, str]
) -> Address | None:
    """The server's address from options and environment; None where neither names one.

    Args:
        url_option: `--redis-url`; wins over ACTSEARCH_REDIS_URL, and must not hold a password.
        password_file_option: `--redis-password-file`; wins over ACTSEARCH_REDIS_PASSWORD_FILE.
        environment: the process's environment, read by the caller, an entry point.

    Raises:
        ConfigError: a password on the command line, two passwords, a URL or a file that cannot be read.
    """
    url = url_option or environment.get(URL_VARIABLE) or None
    if url is None:
        return None
    source = "--redis-url" if url_option else URL_VARIABLE
    holds_password = _holds_password(_split(url, source))
    if url_option and holds_password:
        ways = f"--redis-password-file, {PASSWORD_FILE_VARIABLE} or {URL_VARIABLE}"
        raise on_command_line("--redis-url", redacted(url), ways)
    file = password_file_option or environment.get(PASSWORD_FILE_VARIABLE)
    return Address(url, from_file(file, "Redis", second_to=source if holds_password else None))


def environment_of(address: Address) -> dict[str, str]:
    """The variables by which a process that we start finds the server, its password among them."""
    url = address.url
    if address.password is not None:
        parts = urlsplit(url)
        if parts.scheme == "unix":
            url += ("&" if parts.query else "?") + urlencode({"password": address.password})
        else:
            user, _, host = parts.netloc.rpartition("@")
            url = parts._replace(netloc=f"{user}:{quote(address.password, safe='')}@{host}").geturl()
    return {URL_VARIABLE: url}


def redacted(url: str) -> str:
    """The URL with `***` for its password, whether that stands before the host or in the query.

    Of any text: where a password holds what should be encoded too, only a user's name is shown before the last @.
    """
    try:
        urlsplit(url)
    except ValueError:
        return "(not a URL)"
    scheme, is_url, rest = url.partition("://")
    if not is_url:
        return "(not a URL)"
    user, at, host = rest.rpartition("@")
    if ":" in user:
        user = user.partition(":")[0] + ":***"
    place, mark, query = f"{user}{at}{host}".partition("?")
    return f"{scheme}://{place}{mark}{'&'.join(map(_redacted_parameter, query.split('&')))}"


def _redacted_parameter(text: str) -> str:
    name, equals, _ = text.partition("=")
    return f"{name}{equals}***" if "password" in unquote(name) else text


def connect(address: Address, *, timeout_seconds: float = GIVE_UP_SECONDS, patient: bool = True) -> redis.Redis:
    """A client of a server that has answered.

    Args:
        address: the server.
        timeout_seconds: how long to wait for the first answer, also while the server reads its file.
        patient: whether its commands reconnect with back-off from then on; else each gives up within seconds, for a
            caller who has a loop of his own and other things to look after in it.

    Raises:
        ServerUnreachableError: nobody answers in time, or the password is wrong.
    """
    deadline = time.monotonic() + timeout_seconds
    probe = _client(address, Retry(NoBackoff(), 0), answer_seconds=max(0.1, min(ANSWER_SECONDS, timeout_seconds)))
    pause = 0.02
    while True:
        try:
            probe.ping()
            break
        except redis.exceptions.AuthenticationError as err:
            hint = (
                "wrong password" if address.password or _holds_password(urlsplit(address.url)) else "no password given"
            )
            raise ServerUnreachableError(f"{address} refuses us ({hint}): {_first_line(err)}") from None
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as err:
            if isinstance(err.__context__, ssl.SSLCertVerificationError):
                raise ServerUnreachableError(
                    f"{address} has a certificate that is not trusted here: {_first_line(err.__context__)}; "
                    "name its issuer's, as in rediss://HOST:6380/0?ssl_ca_certs=ca.pem"
                ) from None
            if time.monotonic() + pause > deadline:
                raise ServerUnreachableError(
                    f"no Redis-compatible server answers at {address} within {timeout_seconds:g} s: {_first_line(err)}"
                ) from None
        except redis.exceptions.ResponseError as err:
            raise ServerUnreachableError(f"{address} answers, but not as a Redis would: {_first_line(err)}") from None
        time.sleep(pause)
        pause = min(2 * pause, 1.0)
    probe.close()
    if not patient:
        return _client(address, Retry(NoBackoff(), 0), answer_seconds=ANSWER_SECONDS)
    backoff = ExponentialWithJitterBackoff(cap=5.0, base=0.1)
    return _client(address, Retry(backoff, RECONNECTS), answer_seconds=PATIENT_ANSWER_SECONDS)


def _client(address: Address, retry: Retry, answer_seconds: float) -> redis.Redis:
    options: dict[str, Any] = {} if address.password is None else {"password": address.password}
    if _split(address.url, "the server's address").scheme == "rediss":
        options["ssl_check_hostname"] = True  # before version 6 redis-py did so only where it was asked to
    try:
        return redis.Redis.from_url(
            address.url,
            retry=retry,
            socket_connect_timeout=min(ANSWER_SECONDS, answer_seconds),
            socket_timeout=answer_seconds,
            health_check_interval=30,
            **options,
        )
    except ValueError as err:
        raise ConfigError(f"{address} is not the URL of a Redis server: {_first_line(err)}") from None


def _split(url: str, source: str) -> SplitResult:
    """The URL's parts; `ConfigError`, which does not repeat it, where a password may stand in the wrong one."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed when it is asked for
    except ValueError:  # its text may hold a part of the password
        raise ConfigError(f"{source} is not a URL; {_RIGHT}") from None
    if parts.netloc and "@" in parts.path + parts.query + parts.fragment:
        raise ConfigError(f"{source} has an @ behind its host; {_RIGHT}")
    if parts.scheme not in _SCHEMES:
        raise ConfigError(
            f"{source} = '{redacted(url)}': a Redis URL starts with redis://, rediss:// or unix://, "
            "as in redis://HOST:6379/0"
        )
    return parts


def _holds_password(parts: SplitResult) -> bool:
    return bool(parts.password) or any("password" in key for key, _ in parse_qsl(parts.query))


def _first_line(err: Exception) -> str:
    return str(err).strip().partition("\n")[0] or err.__class__.__name__
