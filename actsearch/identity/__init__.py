"""Which function it is, in any spelling.

The *canonical form* is one expression for the many spellings of a function, the one that is compiled and shown
(`canonical_form`, by `rules`, `kinks` and `dominance`). The *fingerprint* is its identity, from exact values at generic
`points` (`fingerprints`). The *class* is coarser: f ~ a·f(b·x), which affine layers absorb (`equivalence`). `facts` are
whether it is a function at all, its scale and its cost; `naming` has the well-known names and the Swish family.
"""

from actsearch.identity.canonical_form import canonical, canonical_text
from actsearch.identity.equivalence import equivalence_class
from actsearch.identity.facts import is_constant, is_finite, operation_count, unit_gain
from actsearch.identity.fingerprints import fingerprint, formula_fingerprint
from actsearch.identity.naming import is_strict_swish, is_swish_family, names

__all__ = [
    "canonical",
    "canonical_text",
    "equivalence_class",
    "fingerprint",
    "formula_fingerprint",
    "is_constant",
    "is_finite",
    "is_strict_swish",
    "is_swish_family",
    "names",
    "operation_count",
    "unit_gain",
]
