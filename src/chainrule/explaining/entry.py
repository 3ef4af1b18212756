"""explain: run a computation once, and show every step of it and of its derivatives."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.core.boxes import Box
from chainrule.core.dtypes import is_inexact
from chainrule.core.node import Node
from chainrule.core.tensor import Tensor, set_requires_grad, wrap
from chainrule.explaining.explanation import Explanation
from chainrule.explaining.expressions import Expression, parse
from chainrule.graph.ir import Graph
from chainrule.graph.tape import keep_everything
from chainrule.graph.trace import argument_names
from chainrule.transforms.inputs import as_tensor, number_dtype, outputs


def explain(
    f: Callable[..., Any] | str | Tensor, *inputs: Any, wrt: Any = None, digits: int = 3,
    **named: Any,
) -> Explanation:  # fmt: skip
    """Explain a computation: values, tangents and adjoints, line by line, in symbols and numbers.

    Args:
        f: a function; an expression such as "log(x1) + x1*x2"; or a tensor that was computed.
        inputs: the function's arguments; floats become float64 tensors, and so do integers if there
            is nothing else to differentiate by.
        wrt: names or positions of the inputs to differentiate by; by default all that are not
            integers.  Tangents are shown along each of those given, by default along the first.
        digits: decimals of numbers.
        named: keyword arguments of the function, or values for an expression's variables.

    Returns:
        An `Explanation`: it prints as tables, shows itself in notebooks, and `save("trace.html")`
        writes a page to step through.  For a result that is not a single number, adjoints are
        those of the sum of its entries.

    Raises:
        TypeError, RuntimeError: if the function computes no tensor, or nothing from the inputs.

    The notation is that of Griewank and Walther, Evaluating Derivatives, 2nd ed., chapters 2 and 3.

    >>> import chainrule as cr
    >>> trace = cr.explain("x1*x2", x1=2.0, x2=5.0)
    >>> print(trace.table(trace.reverse).text())
    Reverse: adjoints v̄ᵢ = ∂y/∂vᵢ
         formula   numbers   value
    ──────────────────────────────
    v̄₃                       = 1
    v̄₂   = v̄₃·v₁   = 1·2     = 2
    v̄₁   = v̄₃·v₂   = 1·5     = 5
    """
    if isinstance(f, Tensor):
        return _of_tensor(f, inputs, wrt, digits)
    if isinstance(f, str):
        f = parse(f)
    function: Any = f
    leaves, spec = tree.flatten((tuple(inputs), named))
    names = argument_names(function, inputs, spec)
    kind = number_dtype(leaves)
    if isinstance(f, Expression) or not any(map(_is_inexact, leaves)):
        leaves = [float(x) if type(x) is int else x for x in leaves]
    variables = [_variable(x, kind) for x in leaves]
    args, kwargs = spec.unflatten(variables)
    with keep_everything(), np.errstate(all="ignore"):  # the tables show what is not finite
        result = function(*args, **kwargs)
    outs, _ = outputs(result, "explain")
    title = getattr(f, "__name__", type(f).__name__)
    expression = str(f) if isinstance(f, Expression) else None
    own = {name: x for name, x in zip(names, variables, strict=True) if _is_variable(x)}
    for y in outs:
        _check_result(y, title)
    given = {**_parameters(f), **own}
    graph = Graph.of(*[y for y in outs if y.node is not None], names=given)
    graph.title = title
    used = {n.params["name"]: n for n in graph.inputs}  # type: ignore[index]
    unused = [name for name in own if name not in used]
    chosen = _chosen(wrt, list(own), used)
    return Explanation(
        graph, chosen, expression=expression, unused=unused,
        digits=digits, tangents=_directions(chosen if wrt is not None else chosen[:1], graph),
        seeds=_seeds(graph),
    )  # fmt: skip


def _is_inexact(x: Any) -> bool:
    return isinstance(x, (float, complex)) or (
        hasattr(x, "dtype") and is_inexact(getattr(x, "array", x).dtype)
    )


def _variable(x: Any, kind: np.dtype[Any]) -> Any:
    """An argument as a tensor of its own that requires grad; integers and the like as they are."""
    if isinstance(x, Box):
        raise RuntimeError(
            "explain: an argument belongs to a running transform; explain the whole computation "
            "from outside instead"
        )
    if isinstance(x, (float, complex)) and not isinstance(x, np.generic):
        dt = np.result_type(kind, np.complex64) if isinstance(x, complex) else kind
        x = wrap(np.asarray(x, dt))
    t = as_tensor(x)
    if not isinstance(t, Tensor) or not is_inexact(t.array.dtype):
        return t
    made = wrap(t.array)
    set_requires_grad(made, True)
    return made


def _is_variable(x: Any) -> bool:
    return isinstance(x, Tensor) and x.node is not None


def _check_result(y: Tensor, title: str) -> None:
    if y.node is None:
        raise RuntimeError(
            f"explain: what {title} returned was not computed from its inputs by operations that "
            "are recorded, so there is nothing to trace. chainrule.why(f, ...) says where "
            "the connection was cut"
        )


def _parameters(f: Any) -> dict[str, Any]:
    """The parameters of a module, by name."""
    found = getattr(f, "named_parameters", None)
    return dict(found()) if inspect.ismethod(found) else {}


def _chosen(wrt: Any, own: Sequence[str], used: dict[str, Node]) -> list[Node]:
    """The inputs to differentiate by."""
    if wrt is None:
        return list(used.values())
    found = []
    for w in wrt if isinstance(wrt, (list, tuple)) else [wrt]:
        name = own[w] if type(w) is int and -len(own) <= w < len(own) else w
        if name not in used:
            if name in own:
                raise RuntimeError(f"explain: the result does not depend on {name!r}")
            raise RuntimeError(
                f"explain: {w!r} is no input to differentiate by; there are {', '.join(used)}"
            )
        found.append(used[name])
    return found


def _directions(chosen: Sequence[Node], graph: Graph) -> dict[Node, Any]:
    return {n: np.ones(n.shape or (), n.dtype) for n in chosen}


def _seeds(graph: Graph) -> dict[Node, Any]:
    return {n: np.ones(n.shape or (), n.dtype) for n in graph.outputs}


def _of_tensor(y: Tensor, inputs: Sequence[Any], wrt: Any, digits: int) -> Explanation:
    """Explain what the tape knows of a tensor."""
    if inputs:
        raise TypeError("explain(tensor) takes no inputs: the tape knows them")
    graph = Graph.of(y)
    used = {n.params["name"]: n for n in graph.inputs}  # type: ignore[index]
    chosen = _chosen(wrt, list(used), used)
    return Explanation(
        graph, chosen, digits=digits,
        tangents=_directions(chosen if wrt is not None else chosen[:1], graph), seeds=_seeds(graph),
    )  # fmt: skip
