"""The `actsearch` command: one module a subcommand, errors as one line, layers imported when called."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer
from typer.exceptions import TyperException

from actsearch.errors import ActsearchError, CallerError
from actsearch_cli import (
    bench,
    controller,
    data,
    doctor,
    export,
    finals,
    report,
    runs,
    search,
    show,
    space,
    status,
    stop,
    verify,
    watch,
    worker,
)

app = typer.Typer(
    name="actsearch",
    help="Find activation functions: a controller proposes formulas, workers train child networks with them.",
    epilog="Start with `actsearch search`; read the result with `actsearch report RUN`.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
for _module in (
    search,
    controller,
    worker,
    status,
    watch,
    runs,
    stop,
    finals,
    verify,
    report,
    show,
    export,
    bench,
    space,
    doctor,
):
    app.command(_module.NAME, short_help=(_module.command.__doc__ or "").partition("\n")[0])(_module.command)
app.add_typer(data.app, name="data")


def _print_version(asked: bool) -> None:
    if asked:
        print(f"actsearch {version('actsearch')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None: ...


def main() -> None:
    """Entry point. Exit 0 done, 1 failed or paused, 2 the caller's mistake, 130 interrupted."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command line; returns its exit code."""
    if arguments in ([], ["data"]):
        arguments = [*arguments, "--help"]
    try:
        return int(app(arguments, standalone_mode=False) or 0)
    except TyperException as err:
        return _fail(_sentence(err, arguments), 2)
    except CallerError as err:
        return _fail(str(err), 2)
    except ActsearchError as err:
        return _fail(str(err), 1)
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        sys.stderr.close()
        return 0
    except OSError as err:
        return _fail(f"{err.filename or 'system'}: {err.strerror or err}", 1)
    except typer.Abort:
        return 130
    except KeyboardInterrupt:
        return 130


def _sentence(err: TyperException, arguments: list[str]) -> str:
    text = " ".join(str(err.format_message()).split()).replace("Value error, ", "")
    if text.startswith("No such option") and arguments[0] in (show.NAME, export.NAME):
        return f"{text}. An expression that begins with a minus goes into brackets, '(-x)', or after a --"
    return f"{text} Try `actsearch --help`." if "command" in text else text


def _fail(message: str, code: int) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
