"""The part of landscape one_unit that nothing was tuned on, as a landscape of its own.

    python benchmarks/held_out.py held-out
    actsearch bench --landscape held-out --batch 15 --seeds 200 --controllers ppo,random,random_new,local,evolution,tpe

Left out are the functions that the landscape `prototype` covers, on which the controller was tuned, and the first 579
of one_unit, which had been measured by then. The Swish family is among them: nothing can be said about it here.
"""

import argparse
from pathlib import Path

from actsearch.landscape import Landscape, load, save

FIRST = 579
"""Functions of one_unit that were measured when the surrogate's kernel was chosen, in the order of its rows."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the landscape is written to")
    folder = parser.parse_args().folder
    whole = load("one_unit")
    known = tuned_on(whole, load("prototype"))
    left_out = f"one_unit without the {len(known):,} functions that settings were tuned on"
    description = whole.description.model_copy(update={"name": "held_out", "coverage": left_out})
    rest = [row for row in whole.measurements if row.function not in known]
    landscape = Landscape(description, list(whole.functions.values()), rest)
    save(landscape, folder)
    print(landscape)


def tuned_on(whole: Landscape, prototype: Landscape) -> set[str]:
    """Ids, in `whole`, of the functions that were known when the controller was tuned."""
    by_spelling = {tokens: f.id for f in whole.functions.values() for tokens in f.spellings}
    covered = {row.function for row in prototype.measurements}
    spellings = (tokens for name in covered for tokens in prototype.functions[name].spellings)
    order = dict.fromkeys(row.function for row in whole.measurements)
    return {by_spelling[tokens] for tokens in spellings} | {*list(order)[:FIRST]}


if __name__ == "__main__":
    main()
