"""The trace hash: stable for ever, and moved by everything that it covers."""

from dataclasses import replace

from actsearch_controller.trace import TracedSlot, digest, extend

SLOT = TracedSlot(tokens=("a", "b", "c"), canonical="x", backend="native", seed=7, outcome="trained", reward=0.1 + 0.2)
OTHER = TracedSlot(tokens=("d", "e", "f"), canonical="-x", backend="native", seed=8, outcome="diverged", reward=0.0)


def test_every_part_moves_it() -> None:
    base = extend("", 0, [SLOT, OTHER], digest(b"state"))
    changed = [
        extend(base, 0, [SLOT, OTHER], digest(b"state")),
        extend("", 1, [SLOT, OTHER], digest(b"state")),
        extend("", 0, [OTHER, SLOT], digest(b"state")),
        extend("", 0, [SLOT], digest(b"state")),
        extend("", 0, [SLOT, OTHER], digest(b"another")),
        *(
            extend("", 0, [replace(SLOT, **change), OTHER], digest(b"state"))
            for change in (
                {"tokens": ("a", "b", "d")},
                {"canonical": "x**2"},
                {"backend": "symbolic"},
                {"seed": 8},
                {"outcome": "stopped"},
                {"reward": 0.3},  # one unit in the last place below 0.1 + 0.2
            )
        ),
    ]
    assert len({base, *changed}) == 12


def test_it_is_the_same_for_ever() -> None:
    """Computed by hand: sha256 of the JSON with sorted keys. A change here makes old runs incomparable."""
    import hashlib

    text = (
        '{"batch": 0, "controller": "c", "slots": [{"backend": "native", "canonical": "x", "outcome": "trained", '
        '"reward": 0.30000000000000004, "seed": 7, "tokens": ["a", "b", "c"]}], "trace": ""}'
    )
    assert extend("", 0, [SLOT], "c") == hashlib.sha256(text.encode()).hexdigest()
