"""The rules by which a password gets to us, the same for the queue's server and the store's.

It never stands on a command line, which every user of the machine can read, but in a variable's URL or in a file.
"""

from pathlib import Path

from actsearch.errors import ConfigError


def on_command_line(option: str, shown: str, ways: str) -> ConfigError:
    """What to raise for an option whose URL holds a password.

    Args:
        option: the option's name.
        shown: the URL without the password.
        ways: how to give it instead.
    """
    return ConfigError(
        f"{option} = '{shown}': a command line shows its password to every user of the machine; give it by {ways}"
    )


def from_file(file: str | Path | None, whose: str, *, second_to: str | None) -> str | None:
    """The password in a file, without the white space around it; None where no file is named.

    Args:
        file: an option's or a variable's value; an empty one names no file.
        whose: `Redis` or `store's`, for errors.
        second_to: where a password was found already; None: nowhere.

    Raises:
        ConfigError: two passwords, or a file that cannot be read or is empty.
    """
    if not file:
        return None
    if second_to is not None:
        raise ConfigError(f"a password stands both in {second_to} and in the file {file}; give one of them")
    try:
        password = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"cannot read the {whose} password file {file}: {err.__class__.__name__}") from err
    if not password:
        raise ConfigError(f"the {whose} password file {file} is empty")
    return password
