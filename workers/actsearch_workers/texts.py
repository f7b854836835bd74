"""Texts that somebody else wrote, made fit for a terminal and for a line of a log. Light to import."""

from typing import Annotated

from pydantic import AfterValidator

MAX_CHARACTERS = 500


def one_line(text: str, most: int = MAX_CHARACTERS) -> str:
    """The text's first characters, with a space for each that is not printable.

    Those are what moves a terminal's cursor, writes its clipboard or turns its direction, and what ends a line.
    """
    text = text[:most]
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


Line = Annotated[str, AfterValidator(one_line)]
"""Of a model: a text of which only that is kept."""
