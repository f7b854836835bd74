"""Which slots of a batch came back: what is told is a subsequence of what was asked (actsearch_controller.ports)."""

from collections.abc import Sequence

Choices = tuple[int, ...]


def slots_told(told: Sequence[Choices], asked: Sequence[Choices]) -> list[int]:
    """The slot of each formula told in the batch asked; `ValueError` where they are not some of it in its order."""
    slots, rest = [], iter(enumerate(asked))
    for choices in told:
        slot = next((slot for slot, other in rest if other == choices), None)
        if slot is None:
            raise ValueError("batches are told in the order asked, their formulas in slot order")
        slots.append(slot)
    return slots
