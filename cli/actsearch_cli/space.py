"""`actsearch space`: how large a search space is."""

import json
from typing import Annotated

import typer

from actsearch_cli.options import Json

NAME = "space"


def command(
    units: Annotated[int, typer.Option("--units", help="Core units of a formula.", min=1, max=8)] = 1,
    count: Annotated[bool, typer.Option("--count", help="With one unit: count distinct functions (20 s).")] = False,
    as_json: Json = False,
) -> None:
    """Show a search space: its primitives, its slots and how many formulas it has."""
    from actsearch.config import SpaceSettings
    from actsearch.errors import ConfigError
    from actsearch.expression import expression_of
    from actsearch.identity import canonical_text, is_constant, is_finite
    from actsearch.primitives import BINARY, UNARY
    from actsearch.space import Space

    space = Space(SpaceSettings(units=units))
    document: dict[str, object] = {"units": units, "slots": len(space.slots), "strings": space.size}
    if count:
        if units > 1:
            raise ConfigError(f"--count goes with --units 1, got {units}: more units have too many formulas to list")
        functions = {canonical_text(e): e for e in map(expression_of, space.enumerate())}
        document["distinct"] = len(functions)
        document["constant"] = sum(map(is_constant, functions.values()))
        document["not_finite"] = sum(not is_finite(e) for e in functions.values())
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
        print(f"{document['distinct']:,} distinct functions, of which {document['constant']:,} constant")
