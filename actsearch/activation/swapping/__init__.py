"""Activations into a ready network: where they go, which axis holds the channels, modules that serve several places.

`swap` does it: `places` finds the modules to replace, `dry_run` watches one forward pass, in which `axes` follows the
channels; `sharing` decides which places share a module, and `retracing` gives each its own by torch.fx.
"""

from actsearch.activation.swapping.swap import swap

__all__ = ["swap"]
