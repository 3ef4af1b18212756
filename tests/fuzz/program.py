"""A random program as data: statements in two dialects, printable and executable.

The two dialects differ only where something is written in place: chainrule writes, JAX computes
the written array anew.  Everything else is the same text, run against `chainrule` itself or
against `tests.fuzz.jax_dialect`, which gives JAX the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

INDENT = "    "


@dataclass(frozen=True)
class Line:
    """One statement; `jax` are the lines that say the same without writing in place."""

    text: str
    jax: tuple[str, ...] | None = None

    def render(self, dialect: str) -> list[str]:
        return [self.text] if dialect == "cr" or self.jax is None else list(self.jax)


@dataclass(frozen=True)
class Block:
    """A header such as `if ...:`, `for ...:` or `def ...:` and the statements under it."""

    header: str
    body: Sequence[Line | Block]

    def render(self, dialect: str) -> list[str]:
        inner = [line for s in self.body for line in s.render(dialect)]
        return [self.header, *(INDENT + line for line in inner)]


@dataclass(frozen=True)
class Program:
    """A function of one flat vector, and the seed its input is made from.

    `branches` says that Python control flow looks at values, so that the program cannot be
    mapped; `detaches` that it hides something from every derivative.
    """

    function: Block
    size: int
    seed: int
    features: tuple[str, ...]
    branches: bool = False
    detaches: bool = False

    def source(self, dialect: str = "cr") -> str:
        """The program as Python source, ready to be pasted and run."""
        return "\n".join(self.function.render(dialect)) + "\n"

    def inputs(self, batch: tuple[int, ...] = ()) -> np.ndarray:
        """The point (or with `batch` the points) at which the program is examined."""
        rng = np.random.default_rng(self.seed)
        return rng.uniform(-1.5, 1.5, (*batch, self.size))

    def load(self, namespace: dict[str, Any], dialect: str = "cr") -> Callable[[Any], Any]:
        """The program as a Python function over `namespace`."""
        scope = dict(namespace)
        exec(compile(self.source(dialect), "<fuzzed program>", "exec"), scope)
        function: Callable[[Any], Any] = scope["f"]
        return function

    def __repr__(self) -> str:
        return f"\n{self.preamble()}{self.source()}{self.epilogue()}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))  # Hypothesis would print the fields

    def preamble(self) -> str:
        """What the source needs before it."""
        lines = ["import numpy as np", "import chainrule as cr"]
        if "Pair(" in self.source():
            lines += ["from tests.fuzz.program import Pair"]
        return "\n".join(lines) + "\n\n"

    def epilogue(self) -> str:
        """The input at which the program was examined."""
        made = f"np.random.default_rng({self.seed}).uniform(-1.5, 1.5, {self.size})"
        return f"\nx = cr.tensor({made})\n"


@dataclass
class Pair:
    """The dataclass that programs use as a container."""

    left: Any
    right: Any
