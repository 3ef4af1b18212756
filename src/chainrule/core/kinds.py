"""The kinds of primitive: what follows from the mathematics is filled in here, once.

`elementwise` states partial derivatives; `linear` states a transpose; `general` states a vjp and a
jvp.  The engine un-broadcasts and casts every cotangent, so rules never do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.core import cuts, fast
from chainrule.core.dtypes import default_dtype, is_inexact, result_dtype
from chainrule.core.modes import get_mode, lifting, lifts
from chainrule.core.namespaces import publish, recorded
from chainrule.core.node import Aval, Node, joint_shape
from chainrule.core.partials import (
    MINUS_ONE,
    NAMED,
    NONE,
    RULE,
    SELECTION,
    case_of,
    contribution,
    selection,
)
from chainrule.core.primitive import Primitive, bind, check_real, record, register, unbox
from chainrule.core.rules import Rule
from chainrule.core.samples import Sample, uniform
from chainrule.core.source import caller
from chainrule.core.tensor import Tensor, wrap

Partial = Callable[..., Any] | selection | int | str | None


_RULES = (RULE, SELECTION)
_GIVING_COMMON = ("same", "float")  # the dtype rules whose results have the arguments' own dtype


class Elementwise(Primitive):
    """out[i] = f(x[i], y[i], ...) with broadcasting, and one partial derivative per argument.

    A partial is a rule, the number 1 or -1, a name ("x", "y", "out") where that value itself is the
    derivative, `selection(rule)`, or None where it is undefined (conditions, integer arguments).
    `result` names the dtype rule: "same" (the promoted dtype), "float" (integers become the default
    dtype), "bool", or "real" (complex becomes real; for a complex argument the partial states the
    gradient ∂/∂Re + i ∂/∂Im).
    """

    kind = "elementwise"
    function: Callable[..., Any]  # applies it to tensors by the fastest way

    def __init__(
        self, name: str, eval: Callable[..., Any], partials: tuple[Partial, ...], *,
        result: str = "same", has_params: bool = False,
        domain: Sequence[tuple[float, float]] | None = None,
        **declared: Any,
    ) -> None:  # fmt: skip
        super().__init__(name, eval, **declared)
        self.partials = tuple(map(case_of, partials))
        self.has_params = has_params
        self.arity = len(partials)
        self.result = result
        self.domain: Sequence[tuple[float, float]] = tuple(domain or [(-2.0, 2.0)] * self.arity)
        self.differentiable = self.pushes = any(d is not None for d in partials)
        self.saves = any(case in (NAMED, RULE, SELECTION) for case, _ in self.partials)
        self.aval = self.aval or self.predict
        self.samples = self.samples or self.default_samples

    def apply(self, args: Sequence[Any], params: dict[str, Any]) -> Any:
        return bind_elementwise(self, args, params)

    def keeps(self, position: int, wanted: Sequence[bool]) -> bool:
        return any(
            w and (d.keeps(position) if case in _RULES else case == NAMED and d == position)
            for w, (case, d) in zip(wanted, self.partials, strict=True)
        )

    def keeps_out(self, wanted: Sequence[bool]) -> bool:
        return any(
            w and (d.keeps_out if case in _RULES else case == NAMED and d == -1)
            for w, (case, d) in zip(wanted, self.partials, strict=True)
        )

    def kept_for_push(self, wanted: tuple[bool, ...]) -> tuple[tuple[bool, ...], bool]:
        return self.kept(wanted)

    def default_samples(self) -> list[Sample]:
        """Inputs inside the domain: same shapes, broadcasting shapes, zero dimensions."""
        shapes: list[list[tuple[int, ...]]] = [[(2, 3)] * self.arity, [()] * self.arity]
        if self.arity > 1:
            shapes.append([(3,), (2, 1), (1, 3), ()][: self.arity])
        return [
            Sample(*[uniform(*s, low=a, high=b, seed=i) for i, (s, (a, b)) in
                     enumerate(zip(case, self.domain, strict=True))])
            for case in shapes
        ]  # fmt: skip

    def common_dtype(self, args: Sequence[Any]) -> np.dtype[Any]:
        """The dtype the arguments are brought to before evaluation."""
        dt = args[0].dtype if hasattr(args[0], "dtype") else None
        for x in args:
            if getattr(x, "dtype", None) is not dt:
                break
        else:
            if dt is not None and dt.kind in "fc":  # nothing to decide
                return dt
        dt = result_dtype(*args)
        return default_dtype() if self.result == "float" and not is_inexact(dt) else dt

    def predict(self, *args: Any, **params: Any) -> Aval:
        """Shape and dtype of the result."""
        shape = joint_shape([getattr(x, "shape", ()) for x in args])
        dt = self.common_dtype(args)
        if self.result == "bool":
            dt = np.dtype(bool)
        elif self.result == "real" and dt.kind == "c":
            dt = np.dtype(f"f{dt.itemsize // 2}")
        return Aval(shape, dt)

    def pull(
        self, node: Node, g: Any, xp: Any, args: Any, out: Any, live: Any, careful: bool
    ) -> Sequence[Any]:
        return [
            None if p is None or (live is not None and p not in live)
            else contribution(case, d, node, g, xp, args, out, careful)
            for p, (case, d) in zip(node.parents, self.partials, strict=True)
        ]  # fmt: skip

    def push(self, node: Node, tangents: Sequence[Any], xp: Any, args: Any, out: Any) -> Any:
        total = None
        for t, (case, d) in zip(tangents, self.partials, strict=True):
            if t is None or case == NONE:
                continue
            if case == SELECTION:
                local = d.call(xp, t, args, out, node.params)
                t = xp.where(local, t * local, 0)
            elif case == RULE:
                local = d.call(xp, t, args, out, node.params)
                if self.result == "real" and getattr(local, "array", local).dtype.kind == "c":
                    t = xp.real(xp.conj(local) * t)
                else:
                    t = t * local
            elif case == NAMED:
                t = t * (args[d] if d >= 0 else out)
            elif case == MINUS_ONE:
                t = -t
            total = t if total is None else total + t
        return total


class General(Primitive):
    """An operation whose rules are stated as they are.

    `vjps` holds one rule per argument (None: no derivative), or `vjp` is a joint rule returning a
    tuple.  `jvps` and `jvp` likewise; a joint jvp gets the tuple of tangents, with None for zero.
    For an operation with several outputs, `g` is the tuple of their cotangents, with None for zero.
    """

    def __init__(
        self, name: str, eval: Callable[..., Any], *,
        vjps: tuple[Callable[..., Any] | None, ...] | None = None,
        vjp: Callable[..., Any] | None = None,
        jvps: tuple[Callable[..., Any] | str | None, ...] | None = None,
        jvp: Callable[..., Any] | None = None,
        **declared: Any,
    ) -> None:  # fmt: skip
        super().__init__(name, eval, **declared)
        self.vjps = None if vjps is None else tuple(None if r is None else Rule(r) for r in vjps)
        self.vjp = None if vjp is None else Rule(vjp)
        self.jvps = None if jvps is None else tuple(Rule(r) if callable(r) else r for r in jvps)
        self.jvp = None if jvp is None else Rule(jvp)
        self.differentiable = self.vjp is not None or bool(self.vjps)
        self.pushes = self.differentiable or self.jvp is not None
        rules = [r for r in (self.vjp, *(self.vjps or ())) if r]
        self.saves = any(r.keeps_from < 1 << 30 or r.keeps_args or r.keeps_out for r in rules)

    def _rules(self, wanted: Sequence[bool]) -> list[Rule]:
        if self.vjp is not None:
            return [self.vjp]
        return [r for r, w in zip(self.vjps or (), wanted, strict=True) if w and r]

    def keeps(self, position: int, wanted: Sequence[bool]) -> bool:
        return any(rule.keeps(position) for rule in self._rules(wanted))

    def keeps_out(self, wanted: Sequence[bool]) -> bool:
        return any(rule.keeps_out for rule in self._rules(wanted))

    def kept_for_push(self, wanted: tuple[bool, ...]) -> tuple[tuple[bool, ...], bool]:
        rules: list[Any] = [(i, r) for i, r in enumerate(self.jvps or ()) if r and wanted[i]]
        if self.jvp is not None:
            rules = [(0, self.jvp)]
        named = [
            any(i != p if r == "linear" else r.keeps(p) for i, r in rules)
            for p in range(len(wanted))
        ]
        args, out = self.kept(wanted)
        out = out or any(r.keeps_out for _, r in rules if r != "linear")
        return tuple(a or n for a, n in zip(args, named, strict=True)), out

    def pull(
        self, node: Node, g: Any, xp: Any, args: Any, out: Any, live: Any, careful: bool
    ) -> Sequence[Any]:
        need = [p is not None and (live is None or p in live) for p in node.parents]
        if self.vjp is not None:
            joint: Sequence[Any] = self.vjp.call(xp, g, args, out, node.params, need)
            return joint
        return [
            rule.call(xp, g, args, out, node.params, need) if n and rule else None
            for n, rule in zip(need, self.vjps or (None,) * len(need), strict=True)
        ]

    def push(self, node: Node, tangents: Sequence[Any], xp: Any, args: Any, out: Any) -> Any:
        if self.jvp is not None:
            return self.jvp.call(xp, tangents, args, out, node.params)
        total = None
        for i, (t, rule) in enumerate(zip(tangents, self.jvps or (), strict=True)):
            if t is None or rule is None:
                continue
            if rule == "linear":
                replaced = (*args[:i], t, *args[i + 1 :])
                t = getattr(xp, self.name)(*replaced, **(node.params or {}))
            else:
                t = rule.call(xp, t, args, out, node.params)  # type: ignore[union-attr]
            total = t if total is None else total + t
        return total


def elementwise(name: str, eval: Callable[..., Any], *partials: Partial, **declared: Any) -> Any:
    """Declare an elementwise operation and return the function that applies it to tensors."""
    prim = Elementwise(name, eval, partials, **declared)
    register(prim)
    function = prim.function = fast.function_of(prim, bind_elementwise)
    publish(name, eval, function)
    return function


def general(name: str, eval: Callable[..., Any], **declared: Any) -> Any:
    """Declare an operation by its vjp and jvp, and return the function that applies it."""
    prim = register(General(name, eval, **declared))

    def apply(*args: Any, **params: Any) -> Any:
        return bind(prim, args, params)

    function: Any = apply
    function.__name__ = function.__qualname__ = name
    function.prim = prim
    publish(name, eval, function)
    return function


def linear(
    name: str, eval: Callable[..., Any], transpose: Callable[..., Any], **declared: Any
) -> Any:
    """Declare a linear operation of one array: its jvp is itself, its vjp the transpose."""
    return general(name, eval, vjps=(transpose,), jvps=("linear",), **declared)


def bilinear(
    name: str, eval: Callable[..., Any], *transposes: Callable[..., Any], **declared: Any
) -> Any:
    """Declare an operation linear in each argument separately."""
    return general(name, eval, vjps=transposes, jvps=("linear",) * len(transposes), **declared)


def bind_elementwise(prim: Elementwise, args: Sequence[Any], params: dict[str, Any] | None) -> Any:
    """Apply an elementwise primitive with PyTorch's type promotion: the path for mixed operands."""
    values = []
    parents = []
    recording = False
    for x in args:
        if getattr(x, "_box", None) is not None:
            return x._box.process(prim, args, params or {})
        value, node = unbox(x)
        values.append(value)
        parents.append(node)
        recording = recording or node is not None
    if lifts:
        lift = lifting()
        if lift is not None:
            taken = lift.operation if recording else lift.computed
            return taken(prim, args, params or {})
    try:
        dt = prim.common_dtype(values)
    except TypeError as error:
        raise TypeError(
            f"{prim.name}() takes tensors, arrays and numbers, got "
            f"({', '.join(type(x).__name__ for x in args)}); wrap sequences in chainrule.tensor() "
            f"({error})"
        ) from None
    if prim.real:
        check_real(prim, values)
    for key, value in (params or {}).items():
        if getattr(value, "node", None) is not None:
            raise TypeError(
                f"{prim.name}(): parameter '{key}' is a constant and gets no gradient, but the "
                "tensor given requires grad; pass a number, for example with .item()"
            )
    values = [cast(v, dt, prim.result != "bool") for v in values]
    try:
        out = prim.eval(*values, **(params or {}))
        if out.dtype is not dt and prim.result in _GIVING_COMMON and out.dtype != dt:
            if dt.kind == "b" and prim.result == "same":
                raise TypeError(f"{prim.name} of booleans gives {out.dtype}")
            out = out.astype(dt)  # a float among the parameters widens integers and bfloat16
    except (ValueError, TypeError) as error:
        raise mismatch(prim, values, error) from (error if type(error) is TypeError else None)
    mode = get_mode() if recording and prim.differentiable else False
    if mode is False or not is_inexact(out.dtype):
        made = wrap(out)
        if recording and (mode is not False or not prim.differentiable):
            cuts.note_operation(prim, parents, made.array)
        return made
    return wrap(out, record(prim, values, params or {}, parents, out, mode, caller(2)))


def promote(*args: Any) -> list[Any]:
    """The arguments brought to their common dtype; the engine casts cotangents back."""
    pairs = [unbox(x) for x in args]
    dt = result_dtype(*[value for value, _ in pairs])
    if any(getattr(x, "_box", None) is not None for x in args):
        return [
            recorded.astype(x, dtype=dt) if isinstance(x, Tensor) and x.array.dtype != dt
            else x if isinstance(x, Tensor) else wrap(cast(x, dt))
            for x in args
        ]  # fmt: skip
    return [
        x if isinstance(x, Tensor) and x.array.dtype == dt else wrap(cast(value, dt), node)
        for x, (value, node) in zip(args, pairs, strict=True)
    ]


def cast(value: Any, dt: np.dtype[Any], wrap_around: bool = True) -> Any:
    """An array in the given dtype, copied only if it has another; a number as a 0-d array.

    A Python integer beyond the dtype's range wraps around, as in PyTorch; comparisons, for which
    that would be a wrong answer, get it as it is.
    """
    if hasattr(value, "dtype"):
        return value if value.dtype is dt or value.dtype == dt else value.astype(dt)
    try:
        return np.asarray(value, dt)
    except OverflowError:
        number = np.asarray(value)
        return number.astype(dt) if wrap_around else number


_NOT_FOR_BOOL = {
    "subtract": "Subtraction, the `-` operator, with two bool tensors is not supported. Use the "
    "`^` or `logical_xor()` operator instead.",
    "negative": "Negation, the `-` operator, on a bool tensor is not supported. If you are trying "
    "to invert a mask, use the `~` or `logical_not()` operator instead.",
}


def mismatch(prim: Primitive, values: Sequence[Any], error: Exception) -> Exception:
    """The error for dtypes or shapes that do not fit the operation, in PyTorch's words."""
    if isinstance(error, TypeError):
        name = values[0].dtype.name
        if name == "bool" and prim.name in _NOT_FOR_BOOL:
            return RuntimeError(_NOT_FOR_BOOL[prim.name])
        return NotImplementedError(
            f'"{prim.name}" not implemented for {name} tensors; convert them first, for example '
            "with x.float()"
        )
    shapes = [tuple(getattr(v, "shape", ())) for v in values]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        if len(shapes) == 2:
            a, b = shapes
            for back in range(1, min(len(a), len(b)) + 1):
                if a[-back] != b[-back] and 1 not in (a[-back], b[-back]):
                    return RuntimeError(
                        f"The size of tensor a ({a[-back]}) must match the size of tensor b "
                        f"({b[-back]}) at non-singleton dimension {max(len(a), len(b)) - back}: "
                        f"{prim.name}() got shapes {list(a)} and {list(b)}, which do not broadcast"
                    )
        return RuntimeError(f"{prim.name}() got shapes {shapes}, which do not broadcast")
    if "broadcast" in str(error):
        return RuntimeError(
            f"{prim.name}() got a parameter that does not fit shapes {shapes}; pass one number"
        )
    return RuntimeError(str(error))


__all__ = ["bilinear", "elementwise", "general", "linear"]
