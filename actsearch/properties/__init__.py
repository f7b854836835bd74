"""What a function is like as an activation: ends, zeros, extremes, slope, kinks and scale.

`summary` puts it together from where the function is positive, zero and negative (`signs`) and what it approaches
(`asymptotes`), with its `gain`.
"""

from actsearch.properties.gain import Gain
from actsearch.properties.summary import Extremum, Interval, Kink, Properties, properties

__all__ = ["Extremum", "Gain", "Interval", "Kink", "Properties", "properties"]
