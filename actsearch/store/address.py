"""Where a shared store is, and how its password gets to us.

A password never stands on a command line (every user of the machine sees those), in a run's folder, a log or an
error: it comes from a variable, from a file, or from where PostgreSQL's own clients look (PGPASSWORD, ~/.pgpass).
"""

from collections.abc import Mapping

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from actsearch.errors import ConfigError
from actsearch.passwords import from_file, on_command_line

URL_VARIABLE = "ACTSEARCH_STORE_URL"
PASSWORD_FILE_VARIABLE = "ACTSEARCH_STORE_PASSWORD_FILE"  # noqa: S105  (a variable's name)

DEFAULT_PORT = 5432

_DRIVER = "postgresql+psycopg"
_SCHEMES = ("postgresql", "postgres", _DRIVER)


def find_store(option: str | None, environment: Mapping[str, str]) -> URL | None:
    """The shared store that a command line names; None where neither option nor variable does.

    Args:
        option: `--store`; wins over ACTSEARCH_STORE_URL, and must not hold a password.
        environment: the process's environment, read by the caller, an entry point.

    Raises:
        ConfigError: no URL of a PostgreSQL database, a password on the command line, two passwords, or a password
            file that cannot be read.
    """
    text = option or environment.get(URL_VARIABLE) or None
    if text is None:
        return None
    url = parse_store(text, "--store" if option else URL_VARIABLE)
    if option and holds_password(url):
        ways = f"{PASSWORD_FILE_VARIABLE}, {URL_VARIABLE}, PGPASSWORD or ~/.pgpass"
        raise on_command_line("--store", shown(url), ways)
    return with_password(url, environment)


def parse_store(text: str, source: str) -> URL:
    """The URL of a PostgreSQL database, with the driver that we have; `source` is named where it is none."""
    right = "postgresql://USER@HOST/DATABASE"
    if text.count("@") > 1:  # a part of a password would count as the host, and be shown
        raise ConfigError(f"{source} has more than one @; right would be {right}, and %40 for any other @")
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigError(f"{source} is not the URL of a database; right would be {right}") from None
    if url.drivername not in _SCHEMES:
        raise ConfigError(f"{source} = '{shown(url)}': the store is a PostgreSQL database, as in {right}")
    return url.set(drivername=_DRIVER)


def with_password(url: URL, environment: Mapping[str, str]) -> URL:
    """The URL with the password from the file that ACTSEARCH_STORE_PASSWORD_FILE names, if it names one."""
    held = URL_VARIABLE if holds_password(url) else None
    password = from_file(environment.get(PASSWORD_FILE_VARIABLE), "store's", second_to=held)
    return url if password is None else url.set(password=password)


def without_password(url: URL) -> URL:
    """The same database, for a file that others may read."""
    bare = URL.create(url.drivername, url.username, None, url.host, url.port, url.database, url.query)
    return bare.difference_update_query(["password", "sslpassword"])


def is_same_database(one: URL, other: URL) -> bool:
    """Whether both are the same user's at the same place, whatever their passwords and other options."""
    return _place(one) == _place(other)


def _place(url: URL) -> tuple[object, ...]:
    port = url.query.get("port", str(url.port or DEFAULT_PORT))
    return url.username, url.host, port, url.database, url.query.get("host")


def without_ours(url: URL) -> URL:
    """The URL that somebody else's folder names, such that no password of ours goes there.

    An empty one keeps libpq from PGPASSWORD and from service files, not from ~/.pgpass, whose lines say for which host
    they are; so the address must be that host's, not a `hostaddr`.
    """
    url = url.difference_update_query(["hostaddr"])
    return url if url.password is not None or "password" in url.query else url.set(password="")


def holds_password(url: URL) -> bool:
    return url.password is not None or any("password" in key for key in url.query)


def shown(url: URL) -> str:
    """The URL as people may see it, with `***` for a password wherever it stands."""
    if url.password is not None and "@" in f"{url.host}{url.database}":  # the rest of a password that holds an @
        return f"{url.drivername}://***"
    if url.password == "":
        url = url._replace(password=None)
    hidden = {key: "***" for key in url.query if "password" in key}
    return url.update_query_dict(hidden).render_as_string(hide_password=True).replace("%2A%2A%2A", "***")
