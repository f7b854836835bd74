"""Exact values, and what rounding may make of them.

`value` and `values` double the precision until two results agree (`arithmetic` has the operations). `conditioning`
bounds what rounding at every step of a computation does to its result, and says where a dtype overflows (`node_rules`
has each operation's partial derivatives).
"""

from actsearch.exact.values import value, values

__all__ = ["value", "values"]
