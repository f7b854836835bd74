"""A landscape of seven functions made by hand: two Swish, one that diverged, one measured three times, two not covered."""

from actsearch.config import SpaceSettings
from actsearch.evaluation import Outcome
from actsearch.landscape import Description, Landscape, LandscapeFunction, Measurement, Protocol

PROTOCOL = Protocol(
    child="none",
    recipe="none",
    dataset="none",
    split="none",
    gain="none",
    betas="each its own",
    grouping="by hand",
    screening="none",
)
SPACE = SpaceSettings(unary=("identity", "scale"), binary=("gate", "max"))

FUNCTIONS = (
    LandscapeFunction("silu", "x*sigmoid(x)", False, True, "family", (("identity", "identity", "gate"),)),
    LandscapeFunction("scaled silu", "beta*x*sigmoid(x)", False, True, "family", (("identity", "scale", "gate"),)),
    LandscapeFunction("swish", "x*sigmoid(beta*x)", False, True, "strict", (("scale", "identity", "gate"),)),
    LandscapeFunction("both", "beta*x*sigmoid(beta2*x)", False, True, "strict", (("scale", "scale", "gate"),)),
    LandscapeFunction("identity", "x", False, True, "", (("identity", "identity", "max"),)),
    LandscapeFunction(
        "prelu", "max(x, beta*x)", False, True, "", (("identity", "scale", "max"), ("scale", "identity", "max"))
    ),
    LandscapeFunction("max", "max(beta*x, beta2*x)", False, True, "", (("scale", "scale", "max"),)),
)


def measurement(function: str, reward: float | None, replicate: int = 0) -> Measurement:
    """A training that reached a reward; None for one that diverged at step 7."""
    return Measurement(
        function=function,
        replicate=replicate,
        seed=replicate,
        outcome=Outcome.DIVERGED if reward is None else Outcome.TRAINED,
        reward=reward or 0.0,
        val_accuracy=reward,
        val_loss=None if reward is None else 1.25,
        gain=1.5,
        steps=7 if reward is None else 150,
        seconds=4.5,
        curve={} if reward is None else {50: 0.1, 150: reward},
    )


MEASUREMENTS = (
    measurement("silu", 0.8),
    measurement("swish", 0.7),
    measurement("swish", 0.9, 1),
    measurement("swish", 0.92, 2),
    measurement("identity", 0.5),
    measurement("prelu", 0.75),
    measurement("max", None),
)


def tiny(noise_sd: float | None = None) -> Landscape:
    """The landscape; without noise where it was not measured."""
    description = Description(
        name="tiny",
        space=SPACE,
        protocol=PROTOCOL,
        environment={},
        noise_sd=noise_sd,
        noise="by hand",
        coverage="five of seven functions",
    )
    return Landscape(description, FUNCTIONS, MEASUREMENTS)
