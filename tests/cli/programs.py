"""What docs/programs.md promises of `--json`, held against what a command printed."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "programs.md"
VALUES = {"all", "done", "false", "inf", "interrupted", "null", "paused", "running", "status", "true"}
"""Words of the page that stand for values."""


def assert_as_promised(command: str, document: Any, *parts: dict[str, Any]) -> None:
    """Every key that the page promises of a command is there, and every key of its document has its word on the page.

    Args:
        command: as the first column of the page has it.
        document: what `--json` printed; keys of its own level, of its first element where it is a list.
        parts: inner documents whose keys the page has to name too.
    """
    (row,) = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{command}` |")]
    promised = set(re.findall(r"`\"?(\w+)\"?`", row.split("|", 2)[2]))
    outer = document[0] if isinstance(document, list) else document
    printed = {key for part in (outer, *parts) for key in part}
    untold, broken = printed - promised, promised - VALUES - set(keys_in(document))
    assert not untold, f"{command} prints what the page does not tell: {sorted(untold)}"
    assert not broken, f"{command} does not print what the page promises: {sorted(broken)}"


def keys_in(document: Any) -> Iterator[str]:
    """All keys at any depth."""
    if isinstance(document, dict):
        yield from document
        for inner in document.values():
            yield from keys_in(inner)
    elif isinstance(document, list):
        for inner in document:
            yield from keys_in(inner)
