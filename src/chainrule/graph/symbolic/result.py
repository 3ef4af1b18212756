"""The symbolic derivative: an object that can be read, run, counted and written as a program."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from chainrule.core.node import Node
from chainrule.core.primitive import REGISTRY, make_node
from chainrule.graph.extend import chosen, tree_of
from chainrule.graph.formula import nested
from chainrule.graph.ir import Graph
from chainrule.graph.numerals import numeral, subscript
from chainrule.graph.symbolic.counts import Operations, shared_operations, tree_operations
from chainrule.graph.symbolic.derivative import adjoints, naive
from chainrule.graph.symbolic.entries import Entries
from chainrule.graph.symbolic.expressions import (
    Builder,
    Expr,
    TooLarge,
    is_leaf,
    use_counts,
)
from chainrule.graph.trace import trace
from chainrule.transforms.tracing import constant_node, equation

WRITTEN = 20_000  # operations in a formula that is written out
BUILT = 200_000  # operations in a tree that is built


def symbolic_grad(
    graph: Graph | Callable[..., Any], wrt: Any = None, *, sharing: bool = True,
    simplify: bool = False,
    examples: Sequence[Any] | Mapping[str, Any] | None = None,
) -> SymbolicGradient:  # fmt: skip
    """The gradient as formulas, by the chain rule on the graph's own operations.

    Tensors are taken entry by entry: for an input `x` of shape (n,) there are n formulas, in terms
    of x[0], x[1], ...

    Args:
        graph: a graph of one real number; or a function of tensors and numbers, which is traced;
            or an expression of variables (`chainrule.sym`).
        wrt: names (or input nodes, or positions) of the inputs to differentiate with respect to;
            one, or a sequence; None for all that are not integers.
        sharing: True for adjoints, in which every subexpression is made once and used again; False
            for the formulas that the rules of differentiation give on paper, which repeat their
            parts (Baydin et al., "Automatic differentiation in machine learning: a survey", 2018,
            section 2.2: expression swell).
        simplify: whether to simplify without changing any value, not even in its last bit.
        examples: arguments to trace a function with; without, each of its parameters is a number.
            For an expression, the shapes of variables that were declared without, by name.

    Raises:
        RuntimeError: if the output is not one real number, or an input is unknown or an integer.
        chainrule.graph.NoFormula: if an operation has no formula, naming it and its line.
        chainrule.graph.TooLarge: if there are more than half a million distinct subexpressions.

    >>> import chainrule as cr
    >>> df = cr.graph.symbolic_grad(lambda x, y: cr.log(x) + x * y - cr.sin(y))
    >>> print(df)
    ∂f/∂x = 1/x + y
    ∂f/∂y = x − cos y
    """
    if not isinstance(graph, Graph):
        graph = traced_with(graph, examples)
    _check(graph)
    return SymbolicGradient(graph, wrt, sharing, simplify)


def traced_with(f: Callable[..., Any], examples: Sequence[Any] | Mapping[str, Any] | None) -> Graph:
    """The graph of a function; without examples, of one number for each parameter."""
    expression = getattr(f, "graph", None)
    if callable(expression):  # of declared variables, chainrule.sym
        found: Graph = expression(examples or {})
        return found
    if not callable(f):
        raise TypeError(
            f"a graph or a function is differentiated symbolically, not {type(f).__name__}"
        )
    if examples is None:
        examples = [1.0] * _count_of_parameters(f)
    return trace(f, *examples)


def _count_of_parameters(f: Callable[..., Any]) -> int:
    parameters = inspect.signature(f).parameters.values()
    return sum(
        p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
        for p in parameters
    )


def _check(graph: Graph) -> None:
    """Raise if a graph is not one of a single real number."""
    if len(graph.outputs) != 1 or graph.outputs[0].shape != ():
        shapes = ", ".join(str(list(n.shape or ())) for n in graph.outputs)
        raise RuntimeError(
            "symbolic_grad can be implicitly created only for scalar outputs; the outputs of "
            f"{graph.title} have shapes {shapes}. Sum the output, or index one entry"
        )
    kind = graph.outputs[0].dtype.kind
    if kind != "f":
        raise RuntimeError(
            f"symbolic_grad takes graphs of a real number, but the output of {graph.title} is "
            f"{graph.outputs[0].dtype}"
        )


class SymbolicGradient:
    """The formulas of a gradient.

    Made by `symbolic_grad`.  Calling it evaluates the formulas.

    Attributes:
        value: the graph that was differentiated.
        wrt: the inputs that it was differentiated by.
        sharing: whether subexpressions are shared.
        formulas: per input of `wrt` an array of expressions, in the input's shape.
    """

    def __init__(self, graph: Graph, wrt: Any, sharing: bool, simplify: bool) -> None:
        self.value = graph
        self.wrt = chosen(graph, wrt, "symbolic_grad")
        self.single = wrt is not None and not isinstance(wrt, (list, tuple))
        self.sharing = sharing
        builder = Builder(simplify)
        entries = Entries(graph, builder)
        self._leaves = entries.leaves
        self._output = entries.outputs[0][()]
        arrays = [entries.inputs[graph.inputs.index(n)] for n in self.wrt]
        leaves = [leaf for a in arrays for leaf in a.ravel()]
        found = (adjoints if sharing else naive)(builder, self._output, leaves)
        self.formulas: list[np.ndarray] = []
        for a in arrays:
            made = np.empty(a.size, object)
            made[:], found = found[: a.size], found[a.size :]
            self.formulas.append(made.reshape(a.shape))

    @cached_property
    def _roots(self) -> list[Expr]:
        return [e for a in self.formulas for e in a.ravel()]

    # ------------------------------------------------------------ counting

    @cached_property
    def operations(self) -> Operations:
        """The operations of the formulas: as they are written, or with sharing, distinct ones.

        Trees are counted without being built.
        """
        return (shared_operations if self.sharing else tree_operations)(self._roots)

    @cached_property
    def value_operations(self) -> Operations:
        """The operations of the value, counted likewise."""
        return (shared_operations if self.sharing else tree_operations)([self._output])

    # ------------------------------------------------------------ writing

    def formula(self, style: str = "unicode", digits: int = 4) -> str:
        """The formulas, one line each; with sharing, names for what is used repeatedly come first.

        Args:
            style: "unicode", "ascii" or "latex".
            digits: decimals of constants.

        Raises:
            chainrule.graph.TooLarge: if they are too long to be read.
        """
        names, lines = self._names(style), []
        self._check_written(WRITTEN)
        for node, name in self._repeated(names, style):
            lines.append((name, nested(node, names, style, digits)))
            names[node] = name
        for lhs, e in zip(self._titles(style), self._roots, strict=True):
            lines.append((lhs, self._text(e, names, style, digits)))
        if style == "latex":
            body = " \\\\\n".join(f"{lhs} &= {rhs}" for lhs, rhs in lines)
            return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"
        if len(lines) == 1 and self.single:
            return lines[0][1]
        return "\n".join(f"{lhs} = {rhs}" for lhs, rhs in lines)

    def value_formula(self, style: str = "unicode", digits: int = 4) -> str:
        """The formula of the value itself, without sharing."""
        n = tree_operations([self._output]).total
        if n > WRITTEN:
            raise TooLarge(f"{self.value.title} has {count_text(n)} operations written out")
        return self._text(self._output, self._names(style), style, digits)

    def __str__(self) -> str:
        return self.formula()

    def __repr__(self) -> str:
        how = "with sharing" if self.sharing else "without sharing"
        by = ", ".join(n.params["name"] for n in self.wrt)  # type: ignore[index]
        return f"<gradient of {self.value.title} by {by}, {how}: {self.operations}>"

    def latex(self) -> str:
        r"""The formulas as LaTeX, an `aligned` environment for use between $$.

        >>> import chainrule as cr
        >>> print(cr.graph.symbolic_grad(lambda x: cr.exp(x) * x).latex())
        \begin{aligned}
        t_{1} &= e^{x} \\
        \frac{\partial f}{\partial x} &= t_{1} \cdot x + t_{1}
        \end{aligned}
        """
        return self.formula("latex")

    def _repr_latex_(self) -> str:
        return f"$$\n{self.latex()}\n$$"

    def source(self, name: str = "df", module: str = "numpy") -> str:
        """The formulas as a Python function of the inputs.

        Args:
            name: the name of the function.
            module: "numpy", or "chainrule" for a function that takes tensors and can be
                differentiated again.

        Raises:
            NotImplementedError: if a function is not in the module.

        >>> import chainrule as cr
        >>> print(cr.graph.symbolic_grad(lambda x: cr.sin(x) * x, "x").source())
        import numpy as np
        <BLANKLINE>
        <BLANKLINE>
        def df(x):
            return x*np.cos(x) + np.sin(x)
        """
        from chainrule.graph.symbolic.source import source_of

        self._check_written(BUILT)
        return source_of(
            self.value, name, module, self.formulas, self._names("python"),
            shared=self.sharing, single=self.single,
        )  # fmt: skip

    def to_sympy(self, simplify: bool = False) -> Any:
        """The formulas as SymPy expressions: one, or an array, per input of `wrt`.

        Args:
            simplify: whether SymPy simplifies them, which may take long.
        """
        from chainrule.graph.symbolic.sympy_bridge import expressions_to_sympy

        found = expressions_to_sympy(self.value, self._leaves, self.formulas, {}, simplify)
        return found[0] if self.single or len(found) == 1 else tuple(found)

    def _check_written(self, limit: int) -> None:
        n = self.operations.total
        if n > limit:
            cure = "" if self.sharing else "; with sharing=True it is much shorter"
            raise TooLarge(
                f"the derivative of {self.value.title} has {count_text(n)} operations written out, "
                f"too many to be written (the limit is {limit:,}){cure}. Its .operations are "
                "counted without writing it"
            )

    def _names(self, style: str) -> dict[Node, str]:
        return {n: entry_name(*at, style) for n, at in self._leaves.items()}

    def _titles(self, style: str) -> list[str]:
        made = []
        for node, a in zip(self.wrt, self.formulas, strict=True):
            for place in np.ndindex(a.shape):
                x = entry_name(node.params["name"], place, style)  # type: ignore[index]
                if style == "latex":
                    made.append(rf"\frac{{\partial f}}{{\partial {x}}}")
                else:
                    made.append(f"{'∂f/∂' if style == 'unicode' else 'df/d'}{x}")
        return made

    def _text(self, e: Expr, names: dict[Node, str], style: str, digits: int) -> str:
        if type(e) is not Node:
            return numeral(e, digits, style)
        return names[e] if e in names else nested(e, names, style, digits)

    def _repeated(self, names: dict[Node, str], style: str) -> list[tuple[Node, str]]:
        """What is used more than once, in order, with names; nothing without sharing."""
        if not self.sharing:
            return []
        letter = "t"
        while any(n.params["name"].startswith(letter) for n in self.value.inputs):  # type: ignore[index]
            letter += "t"
        found = repeated(self._roots)
        return [(n, entry_name(f"{letter}{i}", (), style)) for i, n in enumerate(found, 1)]

    # ------------------------------------------------------------ running

    @cached_property
    def graph(self) -> Graph:
        """A graph that computes the formulas; without sharing, a tree, which repeats its parts.

        Raises:
            chainrule.graph.TooLarge: if the tree has too many operations to be built.
        """
        roots = self._roots
        if not self.sharing:
            self._check_written(BUILT)
            roots = [unshared(r) for r in roots]
        outputs = []
        for a in self.formulas:
            part, roots = roots[: a.size], roots[a.size :]
            outputs.append(_assembled(part, a.shape, self.value.outputs[0].dtype))
        old = self.value
        return Graph(
            old.inputs, outputs, title=f"symbolic gradient of {old.title}", in_spec=old.in_spec,
            out_spec=None if self.single or len(outputs) == 1 else tree_of(len(outputs)),
            captured=old.captured, arrays=old.arrays, dynamic=old.dynamic,
        )  # fmt: skip

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.graph(*args, **kwargs)


def repeated(roots: Sequence[Expr]) -> list[Node]:
    """The operations that expressions use more than once, in order."""
    uses = use_counts(roots)
    return [n for n in uses if uses[n] > 1 and not is_leaf(n)]


def unshared(root: Expr) -> Expr:
    """A copy of an expression in which nothing is used twice, but for inputs."""
    if type(root) is not Node or is_leaf(root):
        return root
    # Copies are made bottom up: each visit of an operand leaves a fresh copy on `done`.
    done: list[Node | None] = []
    stack: list[tuple[Node | None, bool]] = [(root, False)]
    while stack:
        node, ready = stack.pop()
        if node is None or is_leaf(node):
            done.append(node)
        elif not ready:
            stack.append((node, True))
            stack += [(p, False) for p in reversed(node.parents)]
        else:
            n = len(node.parents)
            parents = tuple(done[len(done) - n :])
            del done[len(done) - n :]
            place = (node.code, node.lasti)
            made = make_node(node.prim, node.args, node.out, node.params, parents, place)
            made.shape, made.dtype = node.shape, node.dtype
            done.append(made)
    return done[0]


def _assembled(roots: Sequence[Expr], shape: tuple[int, ...], dt: np.dtype[Any]) -> Node:
    """The node of an array of expressions."""
    nodes = [r if type(r) is Node else constant_node(r) for r in roots]
    if shape == ():
        return nodes[0]
    if not nodes:
        return constant_node(np.zeros(shape, dt))
    place = (nodes[0].code, nodes[0].lasti)
    flat = equation(REGISTRY["stack"], [n.out for n in nodes], nodes, {"axis": 0}, place)
    if len(shape) == 1:
        return flat
    return equation(REGISTRY["reshape"], (flat.out,), (flat,), {"shape": shape}, place)


def entry_name(name: str, place: tuple[int, ...], style: str) -> str:
    """The name of an entry of an input: x[0], x₀, x_{0}."""
    if style in ("ascii", "python"):
        return name + (f"[{', '.join(map(str, place))}]" if place else "")
    stem = name.rstrip("0123456789")
    digits = name[len(stem) :]
    if not stem.isidentifier() or stem.endswith("_"):
        stem, digits = name, ""
    if style == "latex":
        inside = ",".join([*([digits] if digits else []), *map(str, place)])
        shown = stem if len(stem) == 1 else rf"\mathrm{{{stem}}}".replace("_", r"\_")
        return shown + (f"_{{{inside}}}" if inside else "")
    if len(place) == 1 and not digits:
        return stem + subscript(place[0])
    return stem + subscript(digits) + (f"[{','.join(map(str, place))}]" if place else "")


def count_text(n: int) -> str:
    """A number of operations: in full, or where that is long, as a power of ten."""
    if n < 10**9:
        return f"{n:,}"
    digits = len(str(n)) if n < 10**4000 else int(n.bit_length() * 0.30103)
    return f"about 10^{digits - 1}"
