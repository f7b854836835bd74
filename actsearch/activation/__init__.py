"""Formulas as torch modules; the only torch in this package.

`Activation` is the module, `act_layer` makes it for timm, `materialize` gives lazily made β their channels, `swap` puts
it into a ready network.
"""

from actsearch.activation.module import Activation, as_expression
from actsearch.activation.network import act_layer, activations, beta_parameters, materialize
from actsearch.activation.swapping import swap

__all__ = ["Activation", "act_layer", "activations", "as_expression", "beta_parameters", "materialize", "swap"]
