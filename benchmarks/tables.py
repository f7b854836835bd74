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
    text = formula.replace("sigmoid", "σ").replace("**2", "²").replace("**3", "³").replace("**", "^")
    text = re.sub(r"(?<!e)-", "−", re.sub(r"(beta\d*)\*x", r"\1x", text)).replace("*", "·")
    return _with_betas(", ".join([text, *(one.replace("=", " from ") for one in initial)]))


def _with_betas(text: str) -> str:
    return re.sub(r"beta(\d*)", lambda found: "β" + found[1].translate(_SUBSCRIPTS), text)


_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
