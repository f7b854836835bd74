"""What can go wrong, and whose turn it is then.

ActsearchError
├── CallerError (ValueError)      the caller's mistake, found before any work: the command line prints it and exits 2
│   ├── ConfigError               a setting out of range, unknown, or at odds with another
│   ├── UnknownNameError          a name that is in no table; lists those that are
│   ├── FormulaError              tokens that are no formula of a space
│   ├── ExpressionError           a text that the expression reader refuses
│   ├── SwapError                 a network whose activations cannot be swapped as asked
│   ├── DataMissingError          a data set that is not on this machine
│   ├── RunError                  a run that is not there, or cannot do what was asked
│   │   ├── RunExistsError        a name that is taken
│   │   └── StoreMissingError     a place that holds no runs yet
│   ├── LandscapeError            a landscape whose files are damaged or mix protocols
│   └── ServerUnreachableError    no Redis-compatible server answers
├── NumericError (ArithmeticError) a value that exact arithmetic cannot give
│   ├── OutOfRangeError           an intermediate too large for any arithmetic
│   ├── UndefinedError            no finite real value: 1/0, log of a negative number
│   └── InexactError              more digits needed than allowed
└── RunPausedError                infrastructure gave out; everything told is kept, exit 1, `--resume` goes on

A formula that does not train is none of these: it is an Evaluation with its outcome (actsearch.evaluation).
"""

from collections.abc import Iterable


class ActsearchError(Exception):
    """Base of every error that actsearch raises on purpose."""


class CallerError(ActsearchError, ValueError):
    """The caller's mistake; its text is one line that names the thing, the value found and what would be right."""


class ConfigError(CallerError):
    """A setting that is out of range, unknown, or at odds with another."""


class UnknownNameError(CallerError):
    """A name that is in no table of its kind."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(f"no {kind} named {name!r}; known: {', '.join(known)}")


class FormulaError(CallerError):
    """Tokens that are no formula of the space."""


class ExpressionError(CallerError):
    """A text that the safe expression reader refuses."""


class SwapError(CallerError):
    """A network whose activations cannot be found, reached, told apart or swapped; it is left as it was."""


class DataMissingError(CallerError):
    """A data set whose files are not on this machine."""


class RunError(CallerError):
    """A run that does not exist, whose name is taken, or that cannot do what was asked."""


class RunExistsError(RunError):
    """A run of that name exists already."""


class StoreMissingError(RunError):
    """No run store is there: no file, or a database without tables."""


class LandscapeError(CallerError):
    """A landscape whose files are missing, damaged, or hold rows of different protocols."""


class ServerUnreachableError(CallerError):
    """No Redis-compatible server answers at the address given."""


class NumericError(ActsearchError, ArithmeticError):
    """A value that exact arithmetic (actsearch.exact) cannot give."""


class OutOfRangeError(NumericError):
    """An intermediate is too large for any arithmetic.

    Attributes:
        sign: of the intermediate, 1 or -1; 0 where it is not known.
    """

    def __init__(self, message: str, sign: int = 0) -> None:
        super().__init__(message)
        self.sign = sign


class UndefinedError(NumericError):
    """There is no finite real value, or no exact form of a function."""


class InexactError(NumericError):
    """The digits asked for need more digits of arithmetic than allowed."""


class RunPausedError(ActsearchError):
    """Infrastructure gave out; the run is paused with everything told kept, and `--resume` goes on."""
