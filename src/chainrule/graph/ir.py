"""The graph: inputs, outputs, and between them the nodes of a tape that knows no values.

A node is an equation; its place in `nodes` is after everything it needs.  Graphs are not changed:
passes and derivatives make new ones, which share the nodes that stay the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from chainrule.core.engine import reach
from chainrule.core.node import Node
from chainrule.core.primitive import PICK
from chainrule.core.tensor import Tensor
from chainrule.transforms.inputs import as_given
from chainrule.transforms.tracing import CONSTANT, INPUT
from chainrule.tree import Spec

if TYPE_CHECKING:
    from chainrule.graph.cost import Cost
    from chainrule.graph.symbolic import SymbolicGradient


class Role(NamedTuple):
    """What a node of a derivative stands for.

    Attributes:
        kind: "adjoint", "tangent", or "partial" for what goes into one.
        of: the node whose adjoint or tangent it is; None for a partial.
    """

    kind: str
    of: Node | None


class Graph:
    """A computation that can be held: run with any data, printed, differentiated, optimised.

    Made by `trace(f, *examples)`, by `Graph.of(tensor)`, or from variables (`chainrule.sym`).

    Attributes:
        inputs: the input nodes, in the order in which values are given.
        outputs: the nodes whose values are the result.
        title: the name of the function.
        in_spec: the structure of the arguments, `((args...), {kwargs...})`; None for a flat list.
        out_spec: the structure of the result; None for one output, or a tuple of several.
        roles: what the nodes of a derivative stand for.
        captured: tensors that the function met without being given, by their input node; they are
            among `inputs`, at the end, and need not be given.
        values: the values of one run by node, where the graph was made from a tape.
        arrays: whether results are arrays, because the examples were.
        dynamic: which leaves of the arguments are inputs; the others are constants of the graph.
        labels: names that nodes had in the graph from which this one was made.
        optimization: what `optimize` did to make the graph, a table; None if it was not.

    >>> import chainrule as cr
    >>> graph = cr.graph.trace(lambda x, y: cr.log(x) + x * y, 2.0, 5.0)
    >>> graph(2.0, 5.0)
    tensor(10.6931, dtype=chainrule.float64)
    """

    def __init__(
        self, inputs: Sequence[Node], outputs: Sequence[Node], *, title: str = "f",
        in_spec: Spec | None = None, out_spec: Spec | None = None,
        roles: Mapping[Node, Role] | None = None,
        captured: Mapping[Node, Tensor] | None = None,
        values: Mapping[Node, Any] | None = None, arrays: bool = False,
        dynamic: Sequence[bool] | None = None, labels: Mapping[Node, str] | None = None,
    ) -> None:  # fmt: skip
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.title = title
        self.in_spec = in_spec
        self.out_spec = out_spec
        self.roles = dict(roles or {})
        self.captured = dict(captured or {})
        self.values = dict(values or {})
        self.arrays = arrays
        self.dynamic = dynamic
        self.labels = dict(labels or {})
        self.optimization: Any = None

    @classmethod
    def of(cls, *tensors: Any, names: Mapping[str, Any] | None = None) -> Graph:
        """The graph of tensors that were computed: what the tape knows.

        Values are those of the run.  Arrays that no derivative needs are not on the tape; record
        under `graph.keep_everything()` to have them too.

        Args:
            tensors: one or more tensors that require grad.
            names: names for the tensors that it was computed from, `{"x": x}`; by default, the
                names of the caller's variables.

        Raises:
            RuntimeError: if a tensor was not recorded.

        >>> import chainrule as cr
        >>> x = cr.tensor(2.0, requires_grad=True)
        >>> print(cr.graph.Graph.of(x.exp() * x))
        graph of y(x):
          x: float32[]
          v2 = exp(x)
          v3 = v2*x
          return v3
        """
        from chainrule.graph.tape import graph_of

        return graph_of(tensors, names)

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes, inputs first, each after everything it needs."""
        given = set(self.inputs)
        rest = [n for n in reach(self.outputs) if n not in given]
        return (*self.inputs, *rest)

    @cached_property
    def position(self) -> dict[Node, int]:
        """The place of each node in `nodes`, from 0."""
        return {n: i for i, n in enumerate(self.nodes)}

    @cached_property
    def names(self) -> dict[Node, str]:
        """A name for each node: inputs have their own, the others are v3, v4, ..."""
        from chainrule.graph.naming import names_of

        return names_of(self)

    def labelled(self, labels: Mapping[Node, str]) -> Graph:
        """The same graph with other names for some nodes."""
        made = Graph.__new__(Graph)  # copy() would make new nodes
        made.__dict__.update(self.__dict__)
        made.__dict__.pop("names", None)
        made.labels = {**self.labels, **labels}
        return made

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs, in order."""
        return [n.params["name"] for n in self.inputs]  # type: ignore[index]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    @property
    def operations(self) -> int:
        """How many operations a run performs: inputs, constants and picks of outputs are none."""
        return sum(n.prim not in (INPUT, CONSTANT, PICK) for n in self.nodes)

    # ------------------------------------------------------------ running

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the graph on arguments like those it was traced with.

        Raises:
            TypeError: if there are too many arguments, or too few.
            RuntimeError: if an argument has another shape or dtype than its variable.
        """
        from chainrule.graph.binding import flat_arguments
        from chainrule.graph.run import run

        given = flat_arguments(self, args, kwargs)
        return self.result(run(self, given), arrays=self.arrays and not _tensors(args, kwargs))

    def bind(self, data: Mapping[str, Any] | None = None, /, **named: Any) -> Any:
        """Run the graph on values for its inputs, given by name.

        Raises:
            TypeError: if a variable has no value, two, or is not in the graph.
            RuntimeError: if a value has another shape or dtype than its variable.

        >>> import chainrule as cr
        >>> graph = cr.graph.trace(lambda x, y: x * y, 1.0, 1.0)
        >>> graph.bind(x=3.0, y=4.0)
        tensor(12., dtype=chainrule.float64)
        """
        from chainrule.graph.binding import named_values
        from chainrule.graph.run import run

        given = named_values(self, data, named)
        return self.result(run(self, given))

    def result(self, outs: Sequence[Any], arrays: bool = False) -> Any:
        """The outputs in the structure of the function's result."""
        made = [as_given(y, arrays) for y in outs]
        if self.out_spec is not None:
            return self.out_spec.unflatten(made)
        return made[0] if len(made) == 1 else tuple(made)

    def verify(self) -> Graph:
        """Check types, order and structure; returns the graph.

        Raises:
            GraphError: naming the node and what is wrong with it.
        """
        from chainrule.graph.verify import verify

        verify(self)
        return self

    def optimize(
        self, *, fast: bool = False, verbose: bool = False, passes: Sequence[Any] | None = None
    ) -> Graph:
        """The same computation in fewer operations; results stay within 4 ulp, nan and inf too.

        What each pass did is a table, printed if `verbose`, and `optimization` of the result.

        Args:
            fast: use rules that hold for ordinary numbers only, such as x - x = 0, too.
            verbose: print what each pass did.
            passes: the passes to run, or their names; by default, all of `graph.passes.PASSES`.

        Raises:
            ValueError, TypeError: if a pass is unknown.

        >>> import chainrule as cr
        >>> graph = cr.graph.trace(lambda x: (x.exp() * 1 + x.exp()) ** 1, 2.0)
        >>> print(graph.optimize())
        graph of <lambda>(x):
          x: float64[]
          v2 = exp(x)
          v5 = v2 + v2
          return v5
        """
        from chainrule.graph.passes import optimize

        return optimize(self, fast=fast, verbose=verbose, passes=passes)

    # ------------------------------------------------------------ storing

    def save(self, path: Any) -> None:
        """Write the graph to a file, as JSON that `Graph.load` reads.

        An existing file is replaced only after everything was written.

        Raises:
            GraphError: naming a node that cannot be stored: a function of the user's own.
            OSError: if the file cannot be written.
        """
        from chainrule.graph.store import save

        save(self, path)

    @staticmethod
    def load(path: Any) -> Graph:
        """The graph of a file that `save` wrote; see `chainrule.graph.load`."""
        from chainrule.graph.store import load

        return load(path)

    def __reduce__(self) -> tuple[Any, ...]:
        from chainrule.graph.store import reduced

        return reduced(self)

    # ------------------------------------------------------------ derivatives

    def grad(self, wrt: Any = None) -> Graph:
        """The graph of the gradient: this graph, extended by the adjoints of its nodes.

        Args:
            wrt: names (or input nodes, or positions) of the inputs to differentiate with respect
                to; one, or a sequence; None for all that are not integers.

        Raises:
            RuntimeError: if the output is not a single real number (take `vjp`), or an input is
                an integer or unknown.

        >>> import chainrule as cr
        >>> graph = cr.graph.trace(lambda x: x**3, 2.0)
        >>> graph.grad("x")(2.0), graph.grad("x").grad("x")(2.0)
        (tensor(12., dtype=chainrule.float64), tensor(12., dtype=chainrule.float64))
        """
        from chainrule.graph.extend import grad

        return grad(self, wrt)

    def value_and_grad(self, wrt: Any = None) -> Graph:
        """The graph of the value and the gradient: as `grad`, with the output in front."""
        from chainrule.graph.extend import value_and_grad

        return value_and_grad(self, wrt)

    def vjp(self, wrt: Any = None) -> Graph:
        """The graph of the pullback: inputs and cotangents of the outputs in, adjoints out."""
        from chainrule.graph.extend import vjp

        return vjp(self, wrt)

    def jvp(self, wrt: Any = None) -> Graph:
        """The graph of the pushforward: inputs and tangents in, outputs and their tangents out."""
        from chainrule.graph.extend import jvp

        return jvp(self, wrt)

    def backpropagate(self, *values: Any, wrt: Any = None) -> Any:
        """Reverse mode step by step, with the contents of `node_to_grad`, in one of its two forms.

        Given values for the inputs, numbers flow back over the graph and nothing new is recorded.
        Without, adjoints are new nodes, and the walk's `graph` is the graph extended by them.  The
        adjoints of the outputs are ones.

        >>> import chainrule as cr
        >>> graph = cr.graph.trace(lambda x: x * x, 3.0)
        >>> graph.backpropagate(3.0)
        1. visit v2: adjoint = 1
           node_to_grad = {v2: [1], x: [3, 3]}
        2. visit x: adjoint = 3 + 3 = 6
           node_to_grad = {v2: [1], x: [3, 3]}
        """
        from chainrule.graph.backprop import walk_nodes, walk_numbers
        from chainrule.graph.binding import flat_arguments

        if not values and self.inputs:
            return walk_nodes(self, wrt)
        given = flat_arguments(self, values, {})
        return walk_numbers(self, [getattr(x, "array", x) for x in given], wrt)

    # ------------------------------------------------------------ mathematics

    def symbolic_grad(
        self, wrt: Any = None, *, sharing: bool = True, simplify: bool = False
    ) -> SymbolicGradient:
        """The gradient as formulas; see `chainrule.graph.symbolic_grad`.

        >>> import chainrule as cr
        >>> print(cr.graph.trace(lambda x: cr.sin(x) ** 2, 1.0).symbolic_grad("x", sharing=False))
        2·sin x·cos x
        """
        from chainrule.graph.symbolic import symbolic_grad

        return symbolic_grad(self, wrt, sharing=sharing, simplify=simplify)

    def to_sympy(self, symbols: Mapping[str, Any] | None = None) -> Any:
        """The outputs as SymPy expressions in symbols named like the inputs.

        An input without dimensions is a symbol, declared real; entries of an input `x` with
        dimensions are x[0], x[1], ... of an IndexedBase.  A matrix gives an ImmutableMatrix, other
        arrays an ImmutableDenseNDimArray, several outputs a tuple.

        Args:
            symbols: symbols (or IndexedBases, MatrixSymbols, arrays) to take for inputs, by name.

        Raises:
            ImportError: if SymPy is not installed.
            chainrule.graph.NoFormula: if an operation has no formula, naming it and its line.
            chainrule.graph.TooLarge: if an expression is too large, as a tree.

        >>> import chainrule as cr
        >>> cr.graph.trace(lambda x, y: cr.log(x) + x * y, 2.0, 5.0).to_sympy()
        x*y + log(x)
        """
        from chainrule.graph.symbolic import to_sympy

        return to_sympy(self, symbols)

    def source(self, name: str = "f", module: str = "numpy") -> str:
        """The graph as a Python function, entry by entry.

        Args:
            name: the name of the function.
            module: "numpy", or "chainrule" for a function of tensors.

        Raises:
            NotImplementedError: if an operation is no function of the module, or has no formula.

        >>> import chainrule as cr
        >>> print(cr.graph.trace(lambda x, y: cr.log(x) + x * y, 2.0, 5.0).source())
        import numpy as np
        <BLANKLINE>
        <BLANKLINE>
        def f(x, y):
            return np.log(x) + x*y
        """
        from chainrule.graph.symbolic import source_of_graph

        return source_of_graph(self, name, module)

    def latex(self) -> str:
        r"""The equations of the graph as LaTeX; what is used once stands where it is used.

        >>> import chainrule as cr
        >>> print(cr.graph.trace(lambda x, y: cr.log(x) + x * y, 2.0, 5.0).latex())
        \begin{aligned}
        v_{5} &= \ln x + x \cdot y
        \end{aligned}
        """
        from chainrule.graph.symbolic import latex_of_graph

        return latex_of_graph(self)

    # ------------------------------------------------------------ showing

    def cost(self) -> Cost:
        """Operations, memory traffic and memory of a run, and what the gradient adds.

        >>> import chainrule as cr
        >>> graph = cr.graph.trace(lambda W, x: cr.tanh(W @ x).sum(), cr.ones(40, 30), cr.ones(30))
        >>> cost = graph.cost()
        >>> cost.operations, cost.flops, cost.transcendental
        (3, 2439, 40)
        """
        from chainrule.graph.cost import Cost

        return Cost(self)

    def __str__(self) -> str:
        from chainrule.graph.text import text_of

        return text_of(self)

    def __repr__(self) -> str:
        ins = ", ".join(self.input_names)
        return f"<Graph of {self.title}({ins}): {self.operations} operations>"


def _tensors(args: Any, kwargs: Any) -> bool:
    from chainrule import tree

    return any(isinstance(x, Tensor) for x in tree.leaves((args, kwargs)))


class GraphError(ValueError):
    """A graph is not well formed: a cycle, a node out of order, a wrong shape or dtype."""

    __module__ = "chainrule.graph"
