"""Landscapes: tables of evaluations over a whole space, so that controllers can be compared without training.

    from actsearch.landscape import load

    landscape = load("prototype")              # packaged, or a folder that `actsearch export` wrote
    print(landscape)                           # protocol and completeness
    landscape.reward(("scale", "identity", "gate"))

The files are described in docs/landscape.md; a run becomes a landscape in actsearch.landscape.measured. Light to
import: neither sympy nor torch.
"""

from actsearch.landscape.description import Description, Protocol
from actsearch.landscape.files import PACKAGED, load, save
from actsearch.landscape.table import Completeness, Landscape, LandscapeFunction, Measurement

__all__ = [
    "PACKAGED",
    "Completeness",
    "Description",
    "Landscape",
    "LandscapeFunction",
    "Measurement",
    "Protocol",
    "load",
    "save",
]
