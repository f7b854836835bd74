"""Tables as the pages in docs/ show them: Markdown, with formulas as one would write them by hand."""

import re
from collections.abc import Iterable, Sequence


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a Markdown table and an empty line."""
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")
    print()


def shown(canonical: str) -> str:
    """A canonical form as mathematics: `beta*x*sigmoid(beta2*x); beta=0` is βx·σ(β₂x), β from 0."""
    formula, *initial = re.split(r"[;,] (?=beta\d*=)", canonical)
    text = formula.replace("sigmoid", "σ").replace("beta2", "β₂").replace("beta", "β")
    text = re.sub(r"(β₂?)\*x", r"\1x", text).replace("*", "·").replace("-x", "−x").replace(" - ", " − ")
    from_what = [one.replace("beta2=", "β₂ from ").replace("beta=", "β from ") for one in initial]
    return ", ".join([text, *from_what])
