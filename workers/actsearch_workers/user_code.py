"""The user's own `module:function` names: imported only where the user has allowed it."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from actsearch.errors import ConfigError


def is_user_code(name: str) -> bool:
    """Whether a name has the form `module:function`."""
    module, colon, function = name.partition(":")
    return bool(colon) and function.isidentifier() and all(part.isidentifier() for part in module.split("."))


def user_function(kind: str, name: str, *, allow_user_code: bool) -> Callable[..., Any]:
    """The function that a user's `module:function` names.

    Modules are looked up as Python always does, and then in the current folder, which a console script would
    otherwise not search.

    Args:
        kind: what the function makes, for the error line: `child`, `dataset`.
        name: `module:function`.
        allow_user_code: whether this process may import the user's modules.

    Raises:
        ConfigError: user code is not allowed here, the module cannot be imported, or it has no such function.
        OSError, MemoryError, TimeoutError: the machine's, while the module was imported.
    """
    if not allow_user_code:
        raise ConfigError(f"{kind} {name!r} is user code; it is imported only with --allow-user-code")
    module_name, _, function_name = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except ImportError as err:
        raise ConfigError(f"{kind} {name!r}: cannot import {module_name}: {_one_line(err)}") from err
    except AttributeError as err:
        raise ConfigError(f"{kind} {name!r}: {_one_line(err)}") from err
    except Exception as err:
        if _is_the_machines(err):
            raise
        raise ConfigError(f"{kind} {name!r}: importing {module_name} raised {_named(err)}") from err
    if not callable(function):
        raise ConfigError(f"{kind} {name!r}: {function_name} is a {type(function).__name__}, not a function")
    return function  # type: ignore[no-any-return]


def call_users(kind: str, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """What the user's function returns; `ConfigError` if it raises: no other worker or attempt would fare better.

    What another attempt may not meet is raised as it is: files, memory and time that the function lacked.
    """
    try:
        return function(*arguments)
    except Exception as err:
        if _is_the_machines(err):
            raise
        raise ConfigError(f"{kind} {name!r} raised {_named(err)}") from err


def _is_the_machines(err: Exception) -> bool:
    """Whether an error says that disk, network, memory or time ran out, rather than that the code is wrong."""
    from rq.timeouts import BaseTimeoutException  # the job's own limit; here, since checking a name does without RQ

    torchs = (type(err).__module__, type(err).__name__) == ("torch", "OutOfMemoryError")
    return torchs or isinstance(err, OSError | MemoryError | BaseTimeoutException)


def _named(err: Exception) -> str:
    return f"{type(err).__name__}: {_one_line(err)}"[:300]


def _one_line(err: Exception) -> str:
    return " ".join(str(err).split())
