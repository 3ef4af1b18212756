"""The primitive: one declaration of an operation, and `bind`, the general way to apply one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

import numpy as np

from chainrule.core import cuts
from chainrule.core.dtypes import is_inexact
from chainrule.core.modes import Mode, get_mode, lifting, lifts
from chainrule.core.mutation import shares_owner
from chainrule.core.node import Aval, Leaf, Node, next_seq
from chainrule.core.source import caller
from chainrule.core.special_modes import after_record
from chainrule.core.tensor import Parameter, Tensor, as_array, ndarray, new, note_view, wrap

REGISTRY: dict[str, Primitive] = {}


class Primitive:
    """An operation and everything known about it.

    `eval` computes on raw arrays.  `pull` turns a cotangent of the output into cotangents of the
    arguments, `push` tangents of the arguments into one of the output; both come from the declared
    rules (see `chainrule.core.kinds`).  `aval` predicts shape and dtype (see
    `chainrule.core.avals`), `samples` yields inputs for the tests, `symbol` is the operation's
    written form.  `batch` applies the operation to arguments with a mapped axis in front (see
    `chainrule.core.batching`).  With `real`, complex tensors are refused: the operation orders
    numbers, or its rules hold for real ones only.
    """

    kind = "general"
    differentiable = True
    pushes = True  # whether forward mode has a rule; operations without any may have that one
    saves = True  # whether any rule names a value, so that a backward pass has something to free
    partials: Any = None  # elementwise operations: one (case, detail) per argument
    namer: Callable[[Any], str] | None = (
        None  # the name in `grad_fn` by the parameters, if it varies
    )
    reuses = False  # whether the rule takes an `Owned` cotangent and may write to it
    overloads = False  # whether a result with dimensions has the number 1 in `grad_fn`
    side_effects = False  # user code runs inside `pull`: it must run once per sweep

    def __init__(
        self,
        name: str,
        eval: Callable[..., Any],
        *,
        aval: Callable[..., Any] | None = None,
        samples: Callable[[], Any] | None = None,
        symbol: str | None = None,
        view: bool = False,
        grad_name: str | None = None,
        doc: str | None = None,
        real: bool = False,
        batch: Callable[..., Any] | None = None,
    ) -> None:
        self.name = name
        self.eval = eval
        self.aval = aval
        self.samples = samples
        self.symbol = symbol
        self.view = view
        self.grad_name = grad_name or "".join(part.capitalize() for part in name.split("_"))
        self.doc = doc
        self.real = real
        self.batch = batch
        self._kept: dict[Any, tuple[tuple[bool, ...], bool]] = {}
        self._titled: dict[str, Primitive] = {}

    def grad_fn_name(self, node: Node) -> str:
        """What `grad_fn` calls a node of this primitive: `MulBackward0`."""
        if self.namer is not None:
            return self.namer(node.params)
        overload = 1 if self.overloads and node.shape else 0
        return self.grad_name if self.side_effects else f"{self.grad_name}Backward{overload}"

    def titled(self, title: str) -> Primitive:
        """This primitive under another name in `grad_fn`."""
        found = self._titled.get(title)
        if found is None:
            found = self._titled[title] = copy(self)
            found.namer = lambda params: title
        return found

    def keeps(self, position: int, wanted: Sequence[bool]) -> bool:
        """Whether the tape keeps the argument at `position` when `wanted` arguments need grad."""
        raise NotImplementedError

    def keeps_out(self, wanted: Sequence[bool]) -> bool:
        """Whether the tape keeps the output."""
        raise NotImplementedError

    def pull(
        self, node: Node, g: Any, xp: Any, args: Any, out: Any, live: Any, careful: bool
    ) -> Sequence[Any]:
        """Cotangents of the arguments, aligned with `node.parents`; None where not wanted.

        `args` and `out` are the kept values, raw or as tensors to suit the namespace `xp`; `live`
        is the set of nodes that want a cotangent (None: all); `careful` asks that a zero cotangent
        win over an infinite or nan derivative.
        """
        raise NotImplementedError

    def push(self, node: Node, tangents: Sequence[Any], xp: Any, args: Any, out: Any) -> Any:
        """Tangent of the output from tangents of the arguments, None standing for zero."""
        raise NotImplementedError

    def kept(self, wanted: tuple[bool, ...]) -> tuple[tuple[bool, ...], bool]:
        """Per argument whether the tape keeps it, and whether it keeps the output."""
        known = self._kept.get(wanted)
        if known is None:
            args = tuple(self.keeps(i, wanted) for i in range(len(wanted)))
            known = self._kept[wanted] = (args, self.keeps_out(wanted))
        return known

    def kept_for_push(self, wanted: tuple[bool, ...]) -> tuple[tuple[bool, ...], bool]:
        """As `kept`, when a forward walk over the record is to come as well: here, everything."""
        return (True,) * len(wanted), True

    def apply(self, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Apply to tensors, boxes, arrays and numbers, recording where needed."""
        return bind(self, args, params)

    def __call__(self, *args: Any, **params: Any) -> Any:
        return self.apply(args, params)

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"


class _Marker(Primitive):
    """A primitive that no rule belongs to: leaves, and picks of one output among several."""

    kind = "marker"

    def keeps(self, position: int, wanted: Sequence[bool]) -> bool:
        return False

    def keeps_out(self, wanted: Sequence[bool]) -> bool:
        return False


LEAF = _Marker("leaf", lambda x: x, grad_name="Accumulate")
Leaf.prim = LEAF  # type: ignore[misc] # shadows the slot: every leaf has the same primitive
PICK = _Marker("pick", lambda xs, index: xs[index])


def register(prim: Primitive) -> Primitive:
    """Enter a primitive in the registry from which the generic tests and pages are made."""
    if prim.name in REGISTRY:
        raise ValueError(f"a primitive named {prim.name!r} is already declared")
    REGISTRY[prim.name] = prim
    return prim


def unbox(x: Any) -> tuple[Any, Node | None]:
    """The raw value and the node of an argument; arrays are constants, lists are refused."""
    if isinstance(x, Tensor):
        return x.array, x.node
    if isinstance(x, np.generic):
        return (x.item(), None) if isinstance(x, (float, complex)) else (np.asarray(x), None)
    return x, None


def bind(prim: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
    """Apply a primitive to any mix of tensors, arrays and numbers, recording it where needed."""
    values = []
    parents = []
    recording = False
    for x in args:
        if type(x) is Tensor or type(x) is Parameter:
            values.append(x.array)
            node = x.node
            parents.append(node)
            if node is not None:
                recording = True
        elif getattr(x, "_box", None) is not None:
            return x._box.process(prim, args, params)
        else:
            value, node = unbox(x)
            values.append(value)
            parents.append(node)
            recording = recording or node is not None
    if lifts:
        lift = lifting()
        if lift is not None:
            taken = lift.operation if recording else lift.computed
            return taken(prim, args, params)
    if prim.real:
        check_real(prim, values)
    out = prim.eval(*values, **params)
    node = None
    if recording and prim.differentiable:
        mode = get_mode()
        if mode is not False:
            node = record(prim, values, params, parents, out, mode, caller(2))
    if type(out) is tuple:
        return tuple([pick(node, i, o) for i, o in enumerate(out)])
    result = new(Tensor)
    result.array = out if type(out) is ndarray else as_array(out)
    result.node = None if node is None or not is_inexact(node.dtype) else node
    if recording and result.node is None and (node is not None or not prim.differentiable):
        cuts.note_operation(prim, parents, result.array)
    if prim.view and isinstance(args[0], Tensor) and shares_owner(result.array, values[0]):
        note_view(result, args[0], prim, params)
    return result


def check_real(prim: Primitive, values: Sequence[Any]) -> None:
    """Raise if a value is complex.

    Raises:
        NotImplementedError: in PyTorch's words.
    """
    for v in values:
        if getattr(v, "dtype", None) in _COMPLEX or type(v) is complex:
            raise NotImplementedError(
                f'"{prim.name}" not implemented for complex tensors; apply it to their .real, '
                ".imag or .abs()"
            )


_COMPLEX = frozenset(map(np.dtype, (np.complex64, np.complex128)))


def pick(node: Node | None, index: int, out: Any) -> Tensor:
    """The output at `index` of an operation with several."""
    if node is None or out is None or not is_inexact(out.dtype):
        return wrap(out)
    picked = make_node(PICK, (None,), None, {"index": index}, (node,), (node.code, node.lasti))
    picked.shape, picked.dtype = out.shape, out.dtype
    return wrap(out, picked)


def make_node(prim: Primitive, args: Any, out: Any, params: Any, parents: Any, place: Any) -> Node:
    """A node without shape and dtype, which the caller fills in."""
    n = Node()
    n.prim = prim
    n.args = args
    n.out = out
    n.params = params
    n.parents = parents
    n.seq = next_seq()
    n.code, n.lasti = place
    n.extra = None
    return n


def record(
    prim: Primitive,
    values: Sequence[Any],
    params: dict[str, Any],
    parents: Sequence[Node | None],
    out: Any,
    mode: bool | Mode,
    place: Any,
) -> Node | None:
    """The node of an operation, keeping what its rules name; None if the mode says not to."""
    wanted = tuple([p is not None for p in parents])
    keeps = prim._kept.get(wanted) or prim.kept(wanted)
    if mode is not True:
        assert isinstance(mode, Mode)
        if not mode.grad or mode.inference:
            if mode.everything:
                cuts.note_operation(
                    prim, parents, out, "inference_mode" if mode.inference else "no_grad"
                )
            return None
        if mode.everything:
            keeps = (True,) * len(wanted), True
            values = list(map(snapshot, values))
            out = snapshot(out)
        elif mode.forward:  # the walk comes later, and must not see what is written until then
            keeps = prim.kept_for_push(wanted)
            values = [snapshot(v) if keep else v for v, keep in zip(values, keeps[0], strict=True)]
            out = snapshot(out) if keeps[1] else out
    keep_args, keep_out = keeps
    args = []
    for v, keep, parent in zip(values, keep_args, parents):  # noqa: B905 - hot
        if not keep and hasattr(v, "dtype"):
            if parent is None and v.shape == ():
                v = v.copy()  # a number: the equation can be shown, and run again
            else:
                aval = new(Aval)
                aval.shape = v.shape
                aval.dtype = v.dtype
                v = aval
        args.append(v)
    kept_out = out if keep_out else None
    n = make_node(prim, tuple(args), kept_out, params, tuple(parents), place)
    if type(out) is tuple:
        n.shape, n.dtype = None, out[0].dtype
        if n.out is None:
            n.out = tuple(Aval(o.shape, o.dtype) for o in out)
    else:
        if type(out) is not ndarray:
            out = as_array(out)
        n.shape = out.shape
        n.dtype = out.dtype
    if mode is not True:
        after_record(n, out, mode, values)
    return n


def snapshot(value: Any) -> Any:
    """A copy of an array, or of each in a tuple: what no later write in place can change."""
    if type(value) is tuple:
        return tuple([snapshot(v) for v in value])
    return value.copy() if type(value) is ndarray else value


def titled(made: Any, title: str) -> Any:
    """A tensor that was just computed, its node called `title` in `grad_fn`.

    For operations that are composed here and one node in PyTorch, whose users know its name.
    """
    node = made.node
    if node is not None and node.prim is PICK:
        node = node.parents[0]
    if node is not None and type(node) is Node:
        node.prim = node.prim.titled(title)
    return made
