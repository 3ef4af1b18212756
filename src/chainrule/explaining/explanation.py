"""An explanation: the traces of a computation and its derivatives, with symbols and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.core.node import Node
from chainrule.core.source import line_of
from chainrule.explaining.fold import Repeat, folded
from chainrule.explaining.naming import derivative, variable
from chainrule.explaining.traces import (
    Row,
    Trace,
    Values,
    forward_trace,
    numbered,
    reverse_trace,
    tangent_trace,
)
from chainrule.graph.formula import nested, piece_of
from chainrule.graph.ir import Graph
from chainrule.graph.numerals import numeral
from chainrule.graph.pieces import Writer, total
from chainrule.graph.tables import Table
from chainrule.graph.tape import RESULT
from chainrule.graph.walk import needed
from chainrule.transforms.tracing import INPUT

SHORT = 12  # operations of a function whose formula is its title
FEW = 4  # entries of a vector that are written into a formula
TITLES = {
    "forward": "Forward: values",
    "tangent": "Tangents along {along}",
    "reverse": "Reverse: adjoints v̄ᵢ = ∂{y}/∂vᵢ",
}


class Explanation:
    """What `explain` found: printed as tables, shown in notebooks, saved as a page.

    Attributes:
        graph: the graph of the run.
        result: the value of the function.
        gradients: the derivative of the result by each input, by name; None where the result does
            not depend on an input.
        forward: the trace of values.
        tangents: the traces of tangents, one for each input asked for.
        reverse: the trace of adjoints.
    """

    def __init__(
        self, graph: Graph, wrt: Sequence[Node], *, expression: str | None = None,
        unused: Sequence[str] = (), digits: int = 3, tangents: Mapping[Node, Any] | None = None,
        seeds: Mapping[Node, Any],
    ) -> None:  # fmt: skip
        self.graph = graph
        self.digits = digits
        self.expression = expression
        self.unused = tuple(unused)
        self.values = Values(graph.values)
        self.index = numbered(graph)
        self.graph = graph.labelled({n: f"v{i}" for n, i in self.index.items()})
        self.values.compute(graph.nodes)
        self.forward = forward_trace(graph, self.index)
        self.reverse = reverse_trace(graph, self.index, wrt, self.values, seeds)
        self.tangents = [
            tangent_trace(graph, self.index, along, direction, self.values)
            for along, direction in (tangents or {}).items()
        ]
        self.wrt = tuple(wrt)

    @property
    def result(self) -> Any:
        """The value of the function: an array, or a list of them for several outputs."""
        found = [self.values[n] for n in self.graph.outputs]
        return found[0] if len(found) == 1 else found

    @property
    def gradients(self) -> dict[str, Any]:
        """The derivative by each input; None where the result does not depend on it."""
        adjoints = {row.of: row.target for row in self.reverse.rows}
        found: dict[str, Any] = {}
        for n in self.wrt:
            found[_name(n)] = self.values[adjoints[n]] if n in adjoints else None
        return {**found, **dict.fromkeys(self.unused)}

    # ------------------------------------------------------------ rows as texts

    @cached_property
    def _symbols(self) -> dict[Node, Any]:
        """The symbol of every node that stands for one."""
        found = {}
        for trace in [self.forward, *self.tangents, self.reverse]:
            for row in trace.rows:
                found[row.target] = row.symbol
        return found

    def names(self, style: str) -> dict[Node, str]:
        """What values, tangents and adjoints are called in a style."""
        return {node: symbol.text(style) for node, symbol in self._symbols.items()}

    def number(self, node: Node, style: str = "unicode") -> str:
        """The value of a node in few characters."""
        value = self.values[node]
        if type(value) is tuple:
            return "(" + ", ".join(numeral(v, self.digits, style) for v in value) + ")"
        return numeral(value, self.digits, style)

    def formula(self, row: Row, style: str = "unicode") -> str:
        """The right-hand side of a row in symbols."""
        if not row.terms or self.is_seed(row):
            return self._given(row, style)
        names = self.names(style)
        seeds = {seed: self.number(seed, style) for seed in self.reverse.seeds.values()}
        return self._sum(row, {**names, **seeds}, style)

    def numbers(self, row: Row, style: str = "unicode") -> str:
        """The right-hand side of a row with numbers for symbols; empty for large arrays."""
        if not row.terms:
            return ""
        if any(_is_large(self.values[p]) for t in row.terms for p in self.leaves(t)):
            return ""
        if self.is_seed(row):
            return ""
        return self._sum(row, {n: self.number(n, style) for n in self._ends(row)}, style)

    def is_seed(self, row: Row) -> bool:
        """Whether a row is an adjoint to begin with, and nothing else."""
        return len(row.terms) == 1 and row.terms[0] in self.reverse.seeds.values()

    def _sum(self, row: Row, names: Mapping[Node, str], style: str) -> str:
        writer = Writer(style, self.digits)
        keep = {t for t in row.terms if t is row.of}
        pieces = [piece_of(t, names, writer) if t in keep or t not in names
                  else writer.name(names[t]) for t in row.terms]  # fmt: skip
        return total(writer, pieces).text

    def leaves(self, term: Node) -> list[Node]:
        """The nodes at which the formula of a term ends: symbols, and seeds."""
        found = []
        stack = [p for p in term.parents if p is not None] if term in self._computed else [term]
        seen = set(stack)
        while stack:
            node = stack.pop()
            if node in self._symbols or node.prim is INPUT:
                found.append(node)
                continue
            for p in node.parents:
                if p is not None and p not in seen:
                    seen.add(p)
                    stack.append(p)
        return found

    @cached_property
    def _computed(self) -> set[Node]:
        """The nodes of the graph that are computed: their own rows write out their equations."""
        return {row.of for row in self.forward.rows if row.terms}

    def _ends(self, row: Row) -> set[Node]:
        """The nodes that are numbers in a row's formula.

        In rows of derivatives, local derivatives are numbers too: v̄₅·cos v₂ is (−1)·0.284.  The
        reciprocal of a value is left, so that v̄₃/v₁ is 1/2.
        """
        found = {n for t in row.terms for n in self.leaves(t)}
        if row.symbol.kind == "value":
            return found
        for t in row.terms:
            found |= self._local(t)
        return found

    def _local(self, term: Node) -> set[Node]:
        """The largest parts of a term in which no tangent or adjoint occurs."""
        moving: dict[Node, bool] = {}
        order = needed([term], self._symbols)
        for node in order:
            moving[node] = node.prim is INPUT or any(
                p is not None and (moving[p] if p in moving else self._symbols[p].kind != "value")
                for p in node.parents
            )
        found = set()
        for node in order:
            if not moving[node]:
                continue
            for p in node.parents:
                if p in moving and not moving[p]:
                    found.add(p)
        return {n for n in found if not self._is_plain_reciprocal(n)}

    def _is_plain_reciprocal(self, node: Node) -> bool:
        return node.prim.name == "reciprocal" and node.parents[0] in self._symbols

    def _given(self, row: Row, style: str) -> str:
        """What stands for a value that is given rather than computed."""
        if row.symbol.kind == "value":
            return variable(_name(row.of), style)
        return ""

    # ------------------------------------------------------------ tables

    @property
    def y(self) -> str:
        """What the result is called: y, or another letter if an input has that name."""
        taken = {*self.graph.input_names, *self.unused}
        return next((name for name in "yzwus" if name not in taken), "result")

    @property
    def title(self) -> str:
        """What was explained, in a line."""
        values = [f"{variable(_name(n))} = {self.number(n)}" for n in self.graph.inputs]
        at = ", ".join(values)
        return f"{self.what} at {at}" if at else self.what

    @cached_property
    def what(self) -> str:
        """The function: y = f(x₁, x₂) = ln x₁ + x₁·x₂, its formula if that is short."""
        arguments = ", ".join(map(variable, self.graph.input_names))
        title = self.graph.title
        known = self.expression is None and title.isidentifier() and title != RESULT
        parts = [self.y, f"{self.graph.title}({arguments})"] if known else [self.y]
        if self.graph.operations <= SHORT and len(self.graph.outputs) == 1:
            names = {n: variable(_name(n)) for n in self.graph.inputs}
            parts.append(nested(self.graph.outputs[0], names, digits=self.digits))
        elif self.expression is not None:
            parts.append(self.expression)
        return " = ".join(parts)

    def table(self, trace: Trace, style: str = "unicode") -> Table:
        """A trace as a table; the later rounds of loops are folded."""
        places = self._places(trace)
        columns = ["", "formula", "numbers", "value"]
        if places:
            columns.append("line")
        made = Table(self.title_of(trace), columns, left=None, ruled=False)
        for item in self.shown(trace):
            if isinstance(item, Repeat):
                made.rows.append([self.fold_text(trace, item)])
                continue
            row = trace.rows[item]
            names = self.names(style)
            cells = [names[row.target], self._equals(self.formula(row, style)),
                     self._equals(self.numbers(row, style)),
                     self._equals(self.number(row.target, style))]  # fmt: skip
            made.rows.append([*cells, places[item]] if places else cells)
        return made

    def _equals(self, text: str) -> str:
        return f"= {text}" if text else ""

    def title_of(self, trace: Trace) -> str:
        """The heading of a trace."""
        along = "" if trace.along is None else variable(_name(trace.along))
        return TITLES[trace.kind].format(along=along, y=self.y)

    def shown(self, trace: Trace) -> list[int | Repeat]:
        """The rows to show: positions, and what is folded between them."""
        return folded([(r.of.prim, r.of.code, r.of.lasti) for r in trace.rows])

    def fold_text(self, trace: Trace, repeat: Repeat) -> str:
        """The word on folded rounds."""
        row = trace.rows[repeat.start]
        lines = f"{repeat.length} line{'s' if repeat.length > 1 else ''}"
        place = self.place(row.of) or "one place"
        return f"… ×{repeat.rounds}: {lines} like these, in a loop at {place}"

    def _places(self, trace: Trace) -> list[str]:
        """The user's line of each row; none if all have the same."""
        found = [self.place(r.of) for r in trace.rows]
        distinct = {
            p for p, r in zip(found, trace.rows, strict=True) if p and r.of.prim is not INPUT
        }
        return found if len(distinct) > 1 else []

    def gradient_table(self, style: str = "unicode") -> Table:
        """The derivatives by the inputs."""
        made = Table("Gradient", ["", "value"], left=None, ruled=False)
        for name, value in self.gradients.items():
            what = derivative(self.y, variable(name, style), style)
            if value is None:
                text = (
                    r"0 \text{ (not used)}"
                    if style == "latex"
                    else "0 (the result does not depend on it)"
                )
            else:
                text = numeral(value, self.digits, style)
            made.rows.append([what, f"= {text}"])
        return made

    def traces(self, mode: str = "all") -> list[Trace]:
        """The traces of a mode: "forward", "tangent", "reverse", or "all".

        Raises:
            ValueError: for another word.
        """
        all_ = [self.forward, *self.tangents, self.reverse]
        if mode == "all":
            return all_
        if mode not in TITLES:
            raise ValueError(f"mode is one of {', '.join(TITLES)} and all, not {mode!r}")
        return [t for t in all_ if t.kind == mode]

    def tables(self, style: str = "unicode", mode: str = "all") -> list[Table]:
        """The tables of a mode in order."""
        made = [self.table(t, style) for t in self.traces(mode)]
        return [*made, self.gradient_table(style)] if mode in ("all", "reverse") else made

    def term(self, node: Node, style: str = "unicode") -> str:
        """A term of a sum in symbols."""
        names = self.names(style)
        return names[node] if node in names else nested(node, names, style, self.digits)

    def place(self, node: Node) -> str:
        """The user's file and line of a node, in short."""
        return "" if self.expression is not None else place_of(node)

    # ------------------------------------------------------------ forms

    def text(self, mode: str = "all") -> str:
        """The explanation in plain characters."""
        return "\n\n".join([self.title, *[t.text() for t in self.tables(mode=mode)]])

    def markdown(self, mode: str = "all") -> str:
        """The explanation in Markdown."""
        parts = [f"### {self.title}", *[t.markdown() for t in self.tables(mode=mode)]]
        return "\n\n".join(parts) + "\n"

    def latex(self, mode: str = "all") -> str:
        """The explanation as LaTeX tables; they need the package amsmath."""
        return "\n\n".join(t.latex() for t in self.tables("latex", mode)) + "\n"

    def html(self, mode: str = "all") -> str:
        """The explanation as HTML tables, for a page or a notebook."""
        tables = "".join(t.html() for t in self.tables(mode=mode))
        return f"<h4>{escape(self.title)}</h4>{tables}"

    def show(self, mode: str = "all", console: Any = None) -> None:
        """Print the tables with colours, by `rich` where it is installed."""
        try:
            from rich.console import Console
        except ImportError:
            print(self.text(mode))
            return
        console = console or Console()
        console.print(self.title, style="bold", highlight=False)
        for t in self.tables(mode=mode):
            console.print(t.rich())

    def render(
        self, format: str = "table", *, mode: str = "all", digits: int | None = None,
        color: bool = False, width: int = 100,
    ) -> str:  # fmt: skip
        """The explanation as a text: "table", "markdown", "latex", "html" (a page) or "json".

        Raises:
            ValueError: for another format.
        """
        from chainrule.explaining.files import rendered

        return rendered(self.with_digits(digits), format, mode, color, width)

    def with_digits(self, digits: int | None) -> Explanation:
        """The same explanation with other decimals; itself for None."""
        if digits is None or digits == self.digits:
            return self
        made = copy(self)
        made.digits = digits
        return made

    def page(self, mode: str = "all") -> str:
        """The step player: one HTML file that needs nothing else."""
        from chainrule.explaining.model import model_of
        from chainrule.explaining.player import page

        return page(model_of(self, mode))

    def picture(self) -> Any:
        """The graph as a picture, with values and adjoints."""
        from chainrule.explaining.model import drawing_of

        return drawing_of(self)

    def save(self, path: Any, *, mode: str = "all", digits: int | None = None) -> Path:
        """Write the explanation to a file, by its suffix: .html (a page to step through), .svg (a
        picture), .md, .tex, .txt, .json.

        Raises:
            ValueError: for another suffix.
            OSError: if the file cannot be written; what was there stays.
        """
        from chainrule.explaining.files import save

        return save(self.with_digits(digits), path, mode)

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.html()

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def _repr_latex_(self) -> str:
        return self.latex()


def _is_large(value: Any) -> bool:
    """Whether a value, written into a formula, would hide it."""
    return type(value) is tuple or np.ndim(value) > 1 or np.size(value) > FEW


def _name(node: Node) -> str:
    name: str = node.params["name"]  # type: ignore[index]
    return name


def place_of(node: Node) -> str:
    """The user's file and line, in short."""
    found = line_of(node.code, node.lasti)
    if found is None:
        return ""
    file, line = found
    return f"{Path(file).name}:{line}"
