"""How far a long command is: a count on stderr, where that is a terminal."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def counted(items: Iterable[T], total: int) -> Iterator[T]:
    """Passes the items on, and shows how many of `total` have come, at most a hundred times."""
    every = max(total // 100, 1)
    for number, item in enumerate(items, 1):
        if sys.stderr.isatty() and (number % every == 0 or number == total):
            print(f"\r{number:,} of {total:,}", end="\n" if number == total else "", file=sys.stderr, flush=True)
        yield item
