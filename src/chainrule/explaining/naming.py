"""What values are called in an explanation: v₃ the value, v̇₃ its tangent, v̄₃ its adjoint."""

from __future__ import annotations

import re
from dataclasses import dataclass

from chainrule.graph.numerals import subscript


@dataclass(frozen=True)
class Symbol:
    """A name in an explanation.

    Attributes:
        kind: "value", "tangent" or "adjoint".
        index: the number of the value, from 1.
    """

    kind: str
    index: int

    def text(self, style: str) -> str:
        """The symbol in a style of `chainrule.graph.formula.Writer`."""
        return MARKS[style][self.kind].format(
            subscript(self.index) if style == "unicode" else self.index
        )


# A dot for tangents and a bar for adjoints, as in Griewank and Walther, Evaluating Derivatives.
MARKS = {
    "unicode": {"value": "v{}", "tangent": "v̇{}", "adjoint": "v̄{}"},
    "ascii": {"value": "v{}", "tangent": "tan_v{}", "adjoint": "adj_v{}"},
    "python": {"value": "v{}", "tangent": "tan_v{}", "adjoint": "adj_v{}"},
    "latex": {"value": "v_{{{}}}", "tangent": r"\dot{{v}}_{{{}}}", "adjoint": r"\bar{{v}}_{{{}}}"},
}
_NUMBERED = re.compile(r"([^\W\d_]+)_?(\d+)")


def variable(name: str, style: str = "unicode") -> str:
    """A variable of the user's, its number as a subscript: x1 is x₁."""
    found = _NUMBERED.fullmatch(name)
    if found is None:
        if style == "latex" and not re.fullmatch(r"[^\W\d_]", name):
            return r"\mathit{" + name.replace("_", r"\_") + "}"
        return name
    letters, digits = found.groups()
    if style == "unicode":
        return letters + subscript(digits)
    if style == "latex":
        word = letters if len(letters) == 1 else r"\mathit{" + letters + "}"
        return f"{word}_{{{digits}}}"
    return name


def derivative(of: str, by: str, style: str = "unicode") -> str:
    """∂y/∂x₁."""
    if style == "latex":
        return rf"\partial {of} / \partial {by}"
    return f"∂{of}/∂{by}" if style == "unicode" else f"d{of}/d{by}"
