"""Expression swell: how much longer a derivative is than the function, and what sharing saves."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from chainrule.graph.ir import Graph
from chainrule.graph.numerals import superscript
from chainrule.graph.symbolic.counts import Operations
from chainrule.graph.symbolic.result import SymbolicGradient, count_text
from chainrule.graph.tables import Shown, Table
from chainrule.graph.trace import trace

READABLE = 150  # operations of a formula in a table


def product(x: Any) -> Any:
    """x₁·x₂·…·xₙ as a chain of products of two factors."""
    found = x[0]
    for i in range(1, len(x)):
        found = found * x[i]
    return found


def logistic_map(x: Any, n: int) -> Any:
    """The nested logistic map: l₁ = x, lₙ₊₁ = 4·lₙ·(1 − lₙ)."""
    for _ in range(n - 1):
        x = 4 * x * (1 - x)
    return x


class Row(NamedTuple):
    """One size of a family: operations of value and gradient, as formulas and with sharing."""

    n: int
    value: Operations
    value_shared: Operations
    naive: Operations
    shared: Operations
    gradients: tuple[SymbolicGradient, SymbolicGradient]


def swell(
    f: Callable[..., Any], sizes: Sequence[int], *, wrt: Any = None,
    example: Callable[[int], Any] | None = None,
) -> Swell:  # fmt: skip
    """Count how a derivative swells with n, written as formulas and with shared subexpressions.

    Args:
        f: a family of functions: f(x) of a vector of n entries, or f(x, n) of a number, where n is
            for example how often a loop runs; or with `example`, a function of those arguments.
            A function of n alone, so named, that returns graphs is a family as well.
        sizes: the values of n.
        wrt: the inputs to differentiate with respect to; all by default.
        example: the arguments for n, as a tuple.

    Returns:
        A table; see `Swell`.

    Raises:
        ValueError: if there are no sizes, or one is not positive.
        TypeError: if `f` takes other arguments and there is no `example`.

    Source: Baydin, Pearlmutter, Radul, Siskind, "Automatic differentiation in machine learning: a
    survey", Journal of Machine Learning Research 18 (2018), section 2.2 and table 1.

    >>> import chainrule as cr
    >>> table = cr.graph.swell(cr.prod, [10, 100])
    >>> [row.naive.multiplications for row in table.rows]  # n·(n - 2)
    [80, 9800]
    >>> [row.shared.multiplications for row in table.rows]  # 3·(n - 2)
    [24, 294]
    """
    sizes = [int(n) for n in sizes]
    if not sizes or min(sizes) < 1:
        raise ValueError(f"swell takes one or more sizes of at least 1, got {sizes}")
    rows = []
    for n in sizes:
        graph = _member(f, n, example)
        naive = SymbolicGradient(graph, wrt, sharing=False, simplify=False)
        shared = SymbolicGradient(graph, wrt, sharing=True, simplify=False)
        rows.append(
            Row(n, naive.value_operations, shared.value_operations, naive.operations,
                shared.operations, (naive, shared))
        )  # fmt: skip
    return Swell(getattr(f, "__name__", type(f).__name__), rows)


def _member(f: Callable[..., Any], n: int, example: Callable[[int], Any] | None) -> Graph:
    """The graph of one member of a family."""
    if example is not None:
        given = example(n)
        return trace(f, *(given if isinstance(given, tuple) else (given,)))
    parameters = _required(f)
    if parameters == ["n"]:
        made = f(n)
        if isinstance(made, Graph):
            return made
        raise TypeError(
            f"swell: a function of n alone must return a graph, got {type(made).__name__}"
        )
    if len(parameters) == 1:
        return trace(f, np.ones(n))
    if len(parameters) == 2:
        return trace(f, 0.5, n)
    raise TypeError(
        f"swell takes f(x) of a vector of n entries or f(x, n) of a number, but the function has "
        f"the parameters ({', '.join(parameters)}); say what to call it with: "
        "swell(f, sizes, example=lambda n: (...))"
    )


def _required(f: Callable[..., Any]) -> list[str]:
    return [
        name
        for name, p in inspect.signature(f).parameters.items()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
    ]


class Swell(Shown):
    """Operations of a family's value and gradient by n.

    Prints as a table, also with Rich; HTML in a notebook, `markdown()` for a page.

    Attributes:
        title: the name of the function.
        rows: one `Row` for each n: `n`, and the `Operations` `value`, `value_shared`, `naive`,
            `shared`.
    """

    HEAD = ("n", "f", "f′ naive", "its ×", "f′/f", "f′ shared", "its ×", "saving")

    def __init__(self, title: str, rows: Sequence[Row]) -> None:
        self.title = title
        self.rows = list(rows)

    def cells(self) -> list[tuple[str, ...]]:
        """The table's entries as text: total operations, and the multiplications among them."""
        return [
            (
                str(r.n), short_count(r.value.total), short_count(r.naive.total),
                short_count(r.naive.multiplications), _ratio(r.naive.total, r.value.total),
                short_count(r.shared.total), short_count(r.shared.multiplications),
                _ratio(r.naive.total, r.shared.total),
            )
            for r in self.rows
        ]  # fmt: skip

    @property
    def growth(self) -> str:
        """How both grow over the last two sizes, in words; empty for a single size."""
        if len(self.rows) < 2:
            return ""
        a, b = self.rows[-2:]
        parts = []
        for name, x, y in (
            ("naive", a.naive.total, b.naive.total),
            ("shared", a.shared.total, b.shared.total),
        ):
            if min(x, y) > 0 and a.n != b.n:
                parts.append(f"{name}: {_growth(a.n, b.n, x, y, self._is_exponential(name))}")
        return "; ".join(parts)

    def _is_exponential(self, name: str) -> bool:
        """Whether the logarithm of the counts grows with n rather than with log n."""
        points = [
            (r.n, math.log(getattr(r, name).total)) for r in self.rows if getattr(r, name).total
        ]
        if len(points) < 3:
            return False
        return _misfit(points) < _misfit([(math.log(n), v) for n, v in points])

    def table(self) -> Table:
        """The counts as a table."""
        notes = [self.growth] if self.growth else []
        title = f"operations of {self.title} and its gradient"
        return Table(title, self.HEAD, self.cells(), notes, left=(), ruled=False)

    def formulas(self, style: str = "unicode") -> list[tuple[int, str, str, str]]:
        """Per size n, the value, the naive gradient, and the gradient with sharing, as formulas.

        What is too long to be read is replaced by its number of operations.
        """
        return [
            (r.n, _value_text(r.gradients[0], style), _text(r.gradients[0], style),
             _text(r.gradients[1], style))
            for r in self.rows
        ]  # fmt: skip


def _text(gradient: SymbolicGradient, style: str) -> str:
    n = gradient.operations.total
    return gradient.formula(style) if n <= READABLE else f"{count_text(n)} operations"


def _value_text(gradient: SymbolicGradient, style: str) -> str:
    n = gradient.value_operations.total
    return gradient.value_formula(style) if n <= READABLE else f"{count_text(n)} operations"


def short_count(n: int) -> str:
    """A count in full, or from ten million on in powers of ten: 3.0·10⁷."""
    if n < 10**7:
        return f"{n:,}"
    # Numbers beyond floats: the first digits from the logarithm to base two.
    shift = max(n.bit_length() - 1000, 0)
    log = math.log10(n >> shift) + shift * math.log10(2)
    return f"{10 ** (log % 1):.1f}·10{superscript(int(log))}"


def _ratio(a: int, b: int) -> str:
    """A quotient of numbers that may be too large for floats."""
    if b == 0:
        return "–"
    tenths = (10 * a + b // 2) // b
    return f"{tenths / 10:.1f}" if tenths < 10**4 else short_count(tenths // 10)


def _growth(m: int, n: int, a: int, b: int, exponential: bool) -> str:
    rate = math.log(b) - math.log(a)
    if exponential:
        return f"×{math.exp(rate / (n - m)):.2f} for each step of n"
    return f"as n^{rate / (math.log(n) - math.log(m)):.2f}"


def _misfit(points: Sequence[tuple[float, float]]) -> float:
    """The squared distance of points from the best straight line."""
    x, y = (np.array(v, float) for v in zip(*points, strict=True))
    basis = np.stack([x, np.ones_like(x)], 1)
    return float(np.square(basis @ np.linalg.lstsq(basis, y, rcond=None)[0] - y).sum())
