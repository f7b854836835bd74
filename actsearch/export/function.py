"""What leaves the project: one function with the constant and the β that a file starts from."""

import re
from dataclasses import dataclass

from actsearch.expression import Expression
from actsearch.identity import canonical, names
from actsearch.reader import read

_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z -]*( \([A-Za-z ]+\))?")

_TAKEN = frozenset({"absolute", "check", "sinc", "sinc_slope", "step"})
"""Functions that an exported file may define beside the activation."""


@dataclass(frozen=True)
class ExportedFunction:
    """gain · f(x), and where it comes from.

    Attributes:
        expression: f in canonical form; its initial values are those that the file gives β.
        gain: the constant that multiplies f, 1 for a plain expression.
        origin: sentences for the file's head: the run, the reward, the command.
    """

    expression: Expression
    gain: float = 1.0
    origin: tuple[str, ...] = ()

    @classmethod
    def of_text(cls, text: str) -> "ExportedFunction":
        """The function of an expression as a person writes it, as is; `ExpressionError` for anything else."""
        return cls(canonical(read(text)))

    @property
    def names(self) -> tuple[str, ...]:
        """Well-known names, most specific first; the Swish family is no name of one function."""
        return tuple(name for name in names(self.expression) if not name.endswith("family"))

    @property
    def class_name(self) -> str:
        """A Python class name: `Swish`, `LeakyReLU`; `Activation` where no known name is plain words."""
        for name in self.names:
            if _PLAIN_NAME.fullmatch(name):
                return "".join(word[0].upper() + word[1:] for word in re.findall(r"[A-Za-z]+", name))
        return "Activation"

    @property
    def function_name(self) -> str:
        """The class name as a Python function's: `swish`, `leaky_relu`."""
        if self.class_name == "Activation":
            return "activation"
        name = next(name for name in self.names if _PLAIN_NAME.fullmatch(name))
        plain = "_".join(re.findall(r"[a-z]+", name.lower()))
        return f"{plain}_activation" if plain in _TAKEN else plain

    @property
    def betas(self) -> dict[str, float]:
        """The values that β start from, by name."""
        return dict(self.expression.initial)

    @property
    def text(self) -> str:
        """gain · f as plain mathematics, the gain to six digits."""
        text = self.expression.text
        if self.gain == 1:
            return text
        return f"{self.gain:.6g}*{f'({text})' if self.expression.expr.is_Add else text}"

    @property
    def latex(self) -> str:
        """gain · f in LaTeX, the gain to six digits, without delimiters."""
        latex = self.expression.latex
        if self.gain == 1:
            return latex
        return rf"{self.gain:.6g} \cdot " + (rf"\left({latex}\right)" if self.expression.expr.is_Add else latex)
