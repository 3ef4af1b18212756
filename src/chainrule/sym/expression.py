"""What all expressions can do: take data, be differentiated, be printed, become a graph.

An expression is a tensor without values.  If the shapes of its variables were declared, it is a
traced tensor: every operation checks shapes at once (`Declared`).  Otherwise it is a program that
waits for shapes (`chainrule.sym.deferred`).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from chainrule.core.engine import reach
from chainrule.core.node import Aval, Node
from chainrule.core.source import describe
from chainrule.graph.binding import named_values
from chainrule.graph.ir import Graph, GraphError
from chainrule.graph.run import run
from chainrule.transforms.tracing import INPUT, Traced, TracedArray, traced


class Variable:
    """A variable: a name, and what was declared of its shape and dtype.

    Variables are the same only if they were declared at once: two calls of `var` make two.

    Attributes:
        source: the node, or the call, that stands for it.
        shape, dtype: None where not declared.
        derived: whether it is a cotangent or tangent, whose shape follows from other variables.
    """

    __slots__ = ("derived", "dtype", "name", "place", "seq", "shape", "source")

    def __init__(
        self, source: Any, name: str, shape: Any, dtype: Any, seq: int, place: Any,
        derived: bool = False,
    ) -> None:  # fmt: skip
        self.source = source
        self.name = name
        self.shape = shape
        self.dtype = dtype
        self.seq = seq
        self.place = place
        self.derived = derived


def unique(found: Sequence[Variable]) -> list[Variable]:
    """Variables in the order in which they were declared.

    Raises:
        GraphError: if two different ones have one name.
    """
    ordered = sorted(found, key=lambda v: v.seq)
    known: dict[str, Variable] = {}
    for v in ordered:
        other = known.setdefault(v.name, v)
        if other.source is not v.source:
            raise GraphError(
                f"two different variables have the name {v.name!r}, one declared at "
                f"{describe(*other.place)}, one at {describe(*v.place)}: give one of them another "
                "name, or declare it once and use it twice"
            )
    return list(known.values())


class Expression:
    """A computation on variables, which `bind` gives data.

    Made by `sym.var`, and by applying operators, methods, and functions of chainrule and NumPy.
    """

    __slots__ = ()

    def _variables(self) -> list[Variable]:
        raise NotImplementedError

    def _graph_for(self, values: Mapping[str, Any]) -> Graph:
        """The graph for values, shapes or abstract arrays of the variables by name."""
        raise NotImplementedError

    def _derivatives(self, kind: str, names: Sequence[str]) -> tuple[Any, ...]:
        """Expressions of one derivative for each name."""
        raise NotImplementedError

    @property
    def variables(self) -> tuple[Any, ...]:
        """The variables that the expression is computed from, in the order of declaration.

        >>> from chainrule import sym
        >>> a, b = sym.vars("a b")
        >>> (b * a).variables
        (a, b)
        """
        raise NotImplementedError

    def bind(self, data: Mapping[str, Any] | None = None, /, **named: Any) -> Any:
        """The value of the expression for data, given by name.

        The graph is made on the first call, and kept for data of the same shapes and dtypes.

        Args:
            data: values by name; for names that are no identifiers.
            named: values by name: tensors, arrays, numbers, or lists of numbers.

        Raises:
            TypeError: if a variable has no value, two, or does not occur, or a value is no number.
            RuntimeError: if a value has another shape or dtype than was declared, or the shapes do
                not fit each other.

        >>> from chainrule import sym
        >>> x = sym.var("x")
        >>> (x @ x).bind(x=[1.0, 2.0, 3.0])
        tensor(14., dtype=chainrule.float64)
        """
        found = self._variables()
        given = merged(data, named, [v.name for v in found])
        graph = self._graph_for(given)
        return graph.result(run(graph, named_values(graph, given, {})))

    def graph(self, shapes: Mapping[str, Any] | None = None, /, **named: Any) -> Graph:
        """The graph of the expression for variables of these shapes.

        Args:
            shapes: by name, for names that are no identifiers.
            named: by name a shape (then of the default dtype), or something of a shape and dtype:
                an `Aval`, a tensor, an array, a number.  What was declared may be left out.

        Raises:
            TypeError: if the shape of a variable is missing, or a name is unknown.
            RuntimeError: if shapes do not fit each other.

        >>> from chainrule import sym
        >>> x = sym.var("x")
        >>> print((x.exp() * 2).graph(x=(3,)))
        graph of exp(x)*2(x):
          x: float32[3]
          v2 = exp(x)
          v3 = v2*2
          return v3
        """
        found = self._variables()
        known = [v.name for v in found if v.shape is not None or v.derived]
        given = merged(shapes, named, [v.name for v in found], known)
        return self._graph_for({k: as_example(k, v) for k, v in given.items()})

    def infer(self, shapes: Mapping[str, Any] | None = None, /, **named: Any) -> Any:
        """Shape and dtype of the result for variables of these shapes; see `graph`.

        >>> from chainrule import sym
        >>> a, b = sym.vars("a b")
        >>> (a @ b).infer(a=(2, 3), b=(3, 4))
        float32[2,4]
        """
        graph = self.graph(shapes, **named)
        return graph.result([Aval(tuple(n.shape or ()), n.dtype) for n in graph.outputs])

    def grad(self, wrt: Any = None) -> Any:
        """The derivative of the expression, an expression of the same variables.

        Args:
            wrt: a variable, its name, or a sequence of those, for a tuple of derivatives; None for
                all variables.

        Raises:
            TypeError: if a variable does not occur in the expression.
            RuntimeError: if the result is not one real number: take `vjp`, or sum it.

        >>> from chainrule import sym
        >>> x = sym.var("x", shape=())
        >>> print(x.sin().grad("x"))
        cos(x)
        >>> x.sin().grad("x").grad("x").bind(x=0.0)
        tensor(-0.)
        """
        return self._derivative("grad", wrt)

    def vjp(self, wrt: Any = None) -> Any:
        """The adjoint of variables, an expression of them and of a cotangent `ct` of the result.

        >>> from chainrule import sym
        >>> x = sym.var("x")
        >>> (x * x).vjp("x").bind(x=[1.0, 2.0], ct=[1.0, 10.0])
        tensor([ 2., 40.], dtype=chainrule.float64)
        """
        return self._derivative("vjp", wrt)

    def jvp(self, wrt: Any = None) -> Any:
        """The tangent of the result, an expression of the variables and their tangents `tan_x`.

        >>> from chainrule import sym
        >>> x = sym.var("x")
        >>> (x * x).jvp("x").bind(x=[1.0, 2.0], tan_x=[1.0, 10.0])
        tensor([ 2., 40.], dtype=chainrule.float64)
        """
        return self._derivative("jvp", wrt)

    def _derivative(self, kind: str, wrt: Any) -> Any:
        names = [v.name for v in self._variables() if not v.derived]
        several = wrt is None or isinstance(wrt, (list, tuple))
        wanted = [names_of(self, w) for w in ((wrt or names) if several else [wrt])]
        found = self._derivatives(kind, wanted)
        return found if several and kind != "jvp" else found[0]

    def __str__(self) -> str:
        from chainrule.sym.text import text_of

        return text_of(self)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise RuntimeError(
            "an expression cannot be pickled, its graph can: c.graph(...), with the shapes of the "
            "variables whose shapes were not declared"
        )

    def backward(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not for expressions, which have no numbers.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(
            "an expression has no numbers that could flow back: c.grad('a') is its derivative; "
            "c.bind(a=t) of a tensor t that requires grad can be differentiated with backward()"
        )


def merged(
    data: Mapping[str, Any] | None, named: Mapping[str, Any], names: Sequence[str],
    known: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """What was given for variables, from a mapping and keywords.

    Raises:
        TypeError: if a name is given twice, or unknown, or one that is not `known` is missing.
    """
    from chainrule.graph.binding import merge, missing

    given = merge(data, named, names, "the expression")
    missing([n for n in names if n not in given and n not in known], names)
    return given


def as_example(name: str, value: Any) -> Any:
    """What `graph` takes for a variable: a shape becomes an abstract array of that shape.

    Raises:
        TypeError: if it is neither a shape nor something that has one.
    """
    from chainrule.core.dtypes import default_dtype

    if isinstance(value, (tuple, list)) and all(type(n) is int and n >= 0 for n in value):
        return Aval(tuple(value), default_dtype())
    if isinstance(value, (tuple, list, str)) or value is None:
        raise TypeError(
            f"the shape of {name!r} is a tuple of integers that are not negative, such as (3,) or "
            f"(), or an array or tensor of the shape, not {value!r:.40}"
        )
    return value


def names_of(expression: Expression, w: Any) -> str:
    """The name of a variable to differentiate with respect to.

    Raises:
        TypeError: if it does not occur in the expression.
    """
    found = expression._variables()
    if isinstance(w, str):
        known = [v.name for v in found]
        if w in known:
            return w
        close = difflib.get_close_matches(w, known, 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise TypeError(
            f"{w!r} is no variable of the expression, which has {', '.join(known) or 'none'}{hint}"
        )
    if isinstance(w, Expression):
        own = w._variables()
        if len(own) == 1 and is_variable(w):
            for v in found:
                if v.source is own[0].source:
                    return v.name
    raise TypeError(
        f"differentiate with respect to a variable of the expression or its name "
        f"({', '.join(v.name for v in found) or 'it has none'}), not {w!r:.60}"
    )


def is_variable(x: Any) -> bool:
    """Whether an expression is nothing but a variable."""
    own = x._variables()
    return len(own) == 1 and own[0].source is x._source


class DeclaredArray(TracedArray):
    """The abstract array of an expression."""

    __slots__ = ()


class Declared(Expression, Traced):
    """An expression of variables of known shapes: a traced tensor."""

    __slots__ = ()

    @property
    def _source(self) -> Any:
        return self.node

    def _variables(self) -> list[Variable]:
        found = self.__dict__.get("_known")
        if found is None or found[0] is not self.node:  # a write in place makes it another value
            extra = self.__dict__.get("_inputs", ())
            nodes = {n for n in reach([self.node]) if n.prim is INPUT}.union(extra)
            found = self.__dict__["_known"] = (self.node, unique(list(map(variable_of, nodes))))
        return list(found[1])

    @property
    def variables(self) -> tuple[Any, ...]:
        return tuple([expression(v.source) for v in self._variables()])

    def _graph_for(self, values: Mapping[str, Any]) -> Graph:
        made: Graph | None = self.__dict__.get("_graph")
        if made is None or made.outputs[0] is not self.node:
            from chainrule.sym.text import title_of

            inputs = [v.source for v in self._variables()]
            made = self.__dict__["_graph"] = Graph(inputs, [self.node], title=title_of(self))
        for name, value in values.items():
            check_shape(name, value, next(n for n in made.inputs if n.params["name"] == name))  # type: ignore[index]
        return made

    def _derivatives(self, kind: str, names: Sequence[str]) -> tuple[Any, ...]:
        graph = self._graph_for({})
        made: Graph = getattr(graph, kind)(list(names))
        outs = made.outputs[1:] if kind == "jvp" else made.outputs
        return tuple([expression(n, made.inputs) for n in outs])

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        from chainrule.sym.text import short

        return short(self)


DeclaredArray.box = Declared


def check_shape(name: str, value: Any, node: Node) -> None:
    """Raise if a declared variable is given another shape (for data, `bind` checks again).

    Raises:
        RuntimeError: naming both shapes.
    """
    shape = getattr(value, "shape", None)
    if shape is not None and tuple(shape) != node.shape:
        raise RuntimeError(
            f"the value of {name!r} has shape {list(shape)}, but the variable was declared with "
            f"{list(node.shape or ())} ({node.where})"
        )


def variable_of(node: Node) -> Variable:
    """The variable that an input node stands for."""
    name: str = node.params["name"]  # type: ignore[index]
    return Variable(node, name, node.shape, node.dtype, node.seq, (node.code, node.lasti))


def expression(node: Node, inputs: Sequence[Node] = ()) -> Any:
    """The expression that a node computes; `inputs` are its variables even where it ignores them,
    as a derivative may.
    """
    made: Any = traced(node, DeclaredArray(tuple(node.shape or ()), node.dtype))
    if inputs:
        made.__dict__["_inputs"] = tuple(inputs)
    return made


__all__ = ["Declared", "Expression", "Variable", "expression", "unique"]
