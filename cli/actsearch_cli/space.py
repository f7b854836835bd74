"""`actsearch space`: how large a search space is."""

import json
from itertools import repeat
from typing import Annotated

import typer

from actsearch_cli.counting import counted
from actsearch_cli.options import Json

NAME = "space"


def command(
    units: Annotated[int, typer.Option("--units", help="Core units of a formula.", min=1, max=8)] = 1,
    count: Annotated[
        bool, typer.Option("--count", help="With one unit: count functions, constants, never finite ones (a minute).")
    ] = False,
    sample: Annotated[
        int, typer.Option("--sample", help="Count them among N strings drawn at random, with any units.", min=0)
    ] = 0,
    as_json: Json = False,
) -> None:
    """Show a search space: its primitives, its slots and how many formulas and functions it has."""
    import numpy as np

    from actsearch.census import census
    from actsearch.config import SpaceSettings
    from actsearch.errors import ConfigError
    from actsearch.primitives import BINARY, UNARY
    from actsearch.space import Space

    space = Space(SpaceSettings(units=units))
    document: dict[str, object] = {"units": units, "slots": len(space.slots), "strings": space.size}
    if count and units > 1:
        raise ConfigError(
            f"--count goes with --units 1, got {units}: there are too many formulas to list; --sample 1000 draws some"
        )
    if count:
        document |= census(counted(space.enumerate(), space.size)).counts
    if sample:
        rng = np.random.default_rng(0)
        document["sample"] = census(counted((space.sample(rng) for _ in repeat(None, sample)), sample)).counts
    if as_json:
        print(json.dumps(document, indent=2))
        return
    for kind, table in (("unary", UNARY), ("binary", BINARY)):
        print(f"{len(table)} {kind} functions")
        for primitive in table.values():
            beta = "" if primitive.beta is None else f"   β starts at {primitive.beta:g}"
            print(f"  {primitive.name:<10} {primitive.text}{beta}")
    print(f"{units} core unit{'s' * (units > 1)}, {len(space.slots)} tokens: {space.size:,} strings")
    if count:
        print(_sentence(document))
    if sample:
        print(f"of {sample:,} strings drawn at random: {_sentence(document['sample'])}")


def _sentence(counts: object) -> str:
    assert isinstance(counts, dict)
    distinct, constant, not_finite = (f"{counts[key]:,}" for key in ("distinct", "constant", "not_finite"))
    return f"{distinct} distinct functions, of which {constant} constant and {not_finite} never finite"
