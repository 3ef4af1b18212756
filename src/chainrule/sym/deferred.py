"""Expressions of variables whose shapes are not known yet: programs that wait for data.

What is done to such an expression is recorded as a `Call`: an operator, a method, a function.
Operators and elementwise primitives are recorded at once.  Every other public function runs until
it asks for a shape, which raises `ShapeNeeded`; the wrapper around public functions
(`chainrule.ops.explain.postponed`) then records the call of the function itself.  When data is
bound, the calls are made in order on traced tensors of the data's shapes, which gives a graph.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from chainrule.core.abstract import AbstractArray, ShapeNeeded
from chainrule.core.boxes import Box, Tag, box_like
from chainrule.core.node import next_seq
from chainrule.core.primitive import Primitive
from chainrule.core.source import caller, describe
from chainrule.core.tensor import Tensor
from chainrule.graph.ir import Graph
from chainrule.ops.api import FUNCTIONS  # noqa: F401 - methods are attached before they are hidden
from chainrule.ops.results import RETURN_TYPES
from chainrule.sym.expression import Expression, Variable, unique
from chainrule.transforms.tracing import ABOVE_TRACE, Traced, stop


class Call:
    """Something to be done once shapes are known.

    Attributes:
        function: what is called.
        args, kwargs: with what; tensors that wait are among them, also inside containers.
        name: how it is written.
        seq: a number that grows with time: a call stands after those that it needs.
        place: the user's line.
        kind: "variable", "operator", "primitive", "function", "item", "attribute", "derivative".
        graphs: the graphs that were made, by shapes and dtypes of the variables.
    """

    __slots__ = (
        "args", "function", "graphs", "kind", "known", "kwargs", "name", "parents", "place", "seq",
    )  # fmt: skip

    def __init__(
        self, function: Any, args: Sequence[Any], kwargs: Mapping[str, Any], name: str,
        kind: str = "function", place: Any = None,
    ) -> None:  # fmt: skip
        self.function = function
        self.args = tuple(args)
        self.kwargs = dict(kwargs)
        self.name = name
        self.kind = kind
        self.seq = next_seq()
        self.place = place or caller(2)
        self.graphs: dict[Any, Graph] = {}
        self.known: list[Variable] | None = None
        self.parents: list[Any] = []  # the calls and traced tensors that it needs
        for x in (*self.args, *self.kwargs.values()):
            collect(x, self.parents)


def collect(x: Any, found: list[Any]) -> None:
    """Find the calls and traced tensors in an argument, and refuse what no graph can hold.

    Raises:
        RuntimeError: for a tensor that requires grad, and one of a running transform.
    """
    if isinstance(x, Deferred):
        found.append(x.array.call)
    elif isinstance(x, Traced):
        found.append(x)
    elif isinstance(x, Box):
        raise RuntimeError(
            f"an expression whose shape is not known cannot be combined with a tensor of a running "
            f"{x.tag.title}: declare the shape, sym.var('a', shape=(3,)), or bind data first"
        )
    elif isinstance(x, Tensor):
        if x.node is not None:
            raise RuntimeError(
                "an expression cannot hold a tensor that requires grad as a constant: it would "
                "silently drop the gradient. Declare a variable for it, to which it is bound, or "
                "use tensor.detach() to say so"
            )
    elif type(x) in (list, tuple) or hasattr(x, "_fields"):
        for item in x:
            collect(item, found)
    elif type(x) is dict:
        for item in x.values():
            collect(item, found)
    elif type(x) is slice:
        for item in (x.start, x.stop, x.step):
            collect(item, found)


def waits(x: Any) -> bool:
    """Whether there is an expression that waits for data in an argument."""
    found: list[Any] = []
    collect(x, found)
    return any(isinstance(c, Call) for c in found)


class Unknown(AbstractArray):
    """What an expression of unknown shape shows instead of an array."""

    __slots__ = ("call",)

    def __init__(self, call: Call) -> None:
        self.call = call

    def _needed(self) -> NoReturn:
        raise UnboundError(self.call, "shape")

    shape = ndim = dtype = size = itemsize = nbytes = property(_needed)  # type: ignore[assignment]

    def refusal(self) -> Exception:
        return UnboundError(self.call, "value")

    def dynamic_shape(self, what: str, instead: str) -> Exception:
        return UnboundError(self.call, "shape")

    def __repr__(self) -> str:
        return "<unknown>"


class UnboundError(ShapeNeeded):
    """The shape or the value of an expression was asked for before data is bound."""

    __module__ = "chainrule.sym"

    def __init__(self, call: Call, what: str) -> None:
        super().__init__(call, what)
        self.call = call
        self.what = what

    def __str__(self) -> str:
        from chainrule.sym.text import short

        shown = short(deferred(self.call))
        if self.what == "write":
            return (
                f"the expression {shown} cannot be written in place before its shape is known: "
                "make a new one (a = a + b instead of a += b, where(...) instead of a[i] = b), or "
                "declare the shape, sym.var('a', shape=(3,))"
            )
        cure = "declare it, sym.var('a', shape=(3,))"
        if self.what == "value":
            cure = (
                "use where(condition, a, b) instead of a branch, and operations on the expression "
                "instead of its numbers"
            )
        return f"the {self.what} of {shown} is not known before data is bound: {cure}"

    def postponed(self, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        if not waits((args, kwargs)):
            raise self
        return record(function, args, kwargs, function.__name__)


def record(
    function: Any, args: Sequence[Any], kwargs: Mapping[str, Any], name: str, kind: str = "function"
) -> Any:
    """The expression of a call that waits."""
    return deferred(Call(function, args, kwargs, name, kind, caller(1)))


def deferred(call: Call) -> Any:
    """The expression of which a call is the value."""
    return box_like(Deferred, DEFER, None, Unknown(call))


class DeferTag(Tag):
    """The tag of all expressions that wait: only traced tensors are further in."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("sym expression")
        self.level = ABOVE_TRACE

    def process(self, prim: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        return record(Application(prim), args, params, prim.name, "primitive")


DEFER = DeferTag()


class Application:
    """A primitive, applied to tensors."""

    def __init__(self, prim: Primitive) -> None:
        self.prim = prim

    def __call__(self, *args: Any, **params: Any) -> Any:
        return self.prim.apply(args, params)


FIELDS = frozenset(f for t in RETURN_TYPES.values() for f in t._fields)  # type: ignore[attr-defined]


# An array on the left of an operator calls NumPy's function.
UFUNCS: dict[Any, Callable[..., Any]] = {
    np.add: operator.add, np.subtract: operator.sub, np.multiply: operator.mul,
    np.divide: operator.truediv, np.power: operator.pow, np.matmul: operator.matmul,
    np.equal: operator.eq, np.not_equal: operator.ne, np.less: operator.lt,
    np.less_equal: operator.le, np.greater: operator.gt, np.greater_equal: operator.ge,
}  # fmt: skip


class Deferred(Expression, Box):
    """An expression of variables of unknown shapes."""

    __slots__ = ()

    @property
    def _source(self) -> Any:
        return self.array.call

    def _variables(self) -> list[Variable]:
        call = self.array.call
        if call.known is None:
            call.known = unique(variables_in(call))
        return list(call.known)

    @property
    def variables(self) -> tuple[Any, ...]:
        from chainrule.sym.expression import expression

        return tuple(
            [
                deferred(v.source) if isinstance(v.source, Call) else expression(v.source)
                for v in self._variables()
            ]
        )

    def _graph_for(self, values: Mapping[str, Any]) -> Graph:
        from chainrule.sym.data import avals_of
        from chainrule.sym.lower import lowered

        avals = avals_of(self._variables(), values)
        key = tuple([(a.shape, a.dtype) for a in avals.values()])
        call: Call = self.array.call
        if key not in call.graphs:
            call.graphs[key] = lowered(call, avals)
        return call.graphs[key]

    def _derivatives(self, kind: str, names: Sequence[str]) -> tuple[Any, ...]:
        from chainrule.sym.lower import Derivative

        function = Derivative(kind, names, self._variables())
        made = Call(
            function, (self, *map(deferred, function.extra)), {}, kind, "derivative", caller(1)
        )
        whole = deferred(made)
        return tuple(
            [
                deferred(Call(operator.getitem, (whole, i), {}, kind, "item", made.place))
                for i in range(len(function.names) if kind != "jvp" else 1)
            ]
        )

    def parts(self) -> list[Any]:
        return []

    def detach(self) -> Any:
        """The same values, without a derivative."""
        return record(Application(stop.prim), (self,), {"forward": False}, "detach")

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        from chainrule.sym.text import short

        return short(self)

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __getattr__(self, name: str) -> Any:
        if name in FIELDS:
            return record(getattr, (self, name), {}, name, "attribute")
        raise AttributeError(
            f"expressions have no attribute {name!r} before data is bound; if it is one of a "
            "result with several parts, take the part by its number, c[0]"
        )

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "__call__" and ufunc in UFUNCS and not kwargs:
            function = UFUNCS[ufunc]
            return record(function, inputs, {}, function.__name__, "operator")
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        name = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
        if kwargs.get("out") is not None:
            raise UnboundError(self.array.call, "write")
        return record(function, inputs, kwargs, name)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        module = (getattr(function, "__module__", None) or "numpy").replace("numpy", "np", 1)
        return record(function, args, kwargs, f"{module}.{function.__name__}")


def _asks(name: str, what: str) -> None:
    """Let a method of expressions raise: it asks for a shape, for values, or writes."""

    def method(self: Any, *args: Any) -> NoReturn:
        raise UnboundError(self.array.call, what)

    method.__name__ = method.__qualname__ = name
    setattr(Deferred, name, method)


for _name in ("len", "iter", "reversed"):
    _asks(f"__{_name}__", "shape")
for _name in ("bool", "float", "int", "complex", "index", "contains", "array"):
    _asks(f"__{_name}__", "value")
for _name in ("setitem", "iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand",
              "ior", "ixor", "ilshift", "irshift"):  # fmt: skip
    _asks(f"__{_name}__", "write")


def _is_operand(x: Any) -> bool:
    return isinstance(x, (Tensor, np.ndarray, np.generic, bool, int, float, complex))


def _binary(name: str, function: Callable[..., Any], reflected: bool) -> None:
    def method(self: Any, other: Any) -> Any:
        if not _is_operand(other):
            return NotImplemented
        args = (other, self) if reflected else (self, other)
        return record(function, args, {}, function.__name__, "operator")

    method.__name__ = method.__qualname__ = name
    setattr(Deferred, name, method)


def _unary(name: str, function: Callable[..., Any]) -> None:
    setattr(Deferred, name, lambda self: record(function, (self,), {}, name.strip("_"), "operator"))


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_",
              "xor", "lshift", "rshift"):  # fmt: skip
    _function = getattr(operator, _name)
    _binary(f"__{_name.rstrip('_')}__", _function, False)
    _binary(f"__r{_name.rstrip('_')}__", _function, True)
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    _binary(f"__{_name}__", getattr(operator, _name), False)
for _name in ("neg", "pos", "invert"):
    _unary(f"__{_name}__", getattr(operator, _name))
Deferred.__hash__ = object.__hash__  # type: ignore[method-assign,assignment]
Deferred.__getitem__ = lambda self, index: record(  # type: ignore[method-assign]
    operator.getitem, (self, index), {}, "getitem", "item"
)


def _attribute(name: str) -> Any:
    return property(lambda self: record(getattr, (self, name), {}, name, "attribute"))


for _name in ("T", "mT", "H", "mH", "real", "imag"):
    setattr(Deferred, _name, _attribute(_name))


# ---------------------------------------------------------------- variables, and data for them


def deferred_variable(name: str, dtype: Any, place: Any, derived: bool = False) -> Any:
    """A variable of unknown shape."""
    call = Call(None, (), {}, name, "variable", place)
    call.known = [Variable(call, name, None, dtype, call.seq, place, derived)]
    return deferred(call)


def calls_in(call: Call) -> list[Any]:
    """A call and all that it needs, calls in order; traced tensors come first."""
    seen: dict[int, Any] = {}
    stack: list[Any] = [call]
    while stack:
        c = stack.pop()
        if id(c) not in seen:
            seen[id(c)] = c
            if isinstance(c, Call):
                stack += c.parents
    return sorted(seen.values(), key=lambda c: c.seq if isinstance(c, Call) else 0)


def variables_in(call: Call) -> list[Variable]:
    """The variables that a call needs, declared ones among them."""
    found: list[Variable] = []
    for c in calls_in(call):
        if isinstance(c, Traced):
            if not isinstance(c, Expression):
                raise RuntimeError(
                    "an expression whose shape is not known met a tensor that is being traced: "
                    "give the traced function an argument instead, or declare the shape"
                )
            found += c._variables()
        elif c.kind == "variable":
            found += c.known or ()
    return found


def describe_call(call: Call) -> str:
    """Where a call was written."""
    return describe(*call.place)
