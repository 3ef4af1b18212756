"""`autograd.Function`: operations whose derivative the user writes.

Every subclass is a primitive of its own (`function_rules`).  Its node keeps the context; the saved
values are the node's `args`, so that freeing, overwriting checks and saved-tensor hooks treat them
as any other.
A saved output is remembered by its number rather than as a tensor: the tape stays without cycles.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar
from weakref import ReferenceType, ref

import numpy as np

from chainrule.autograd.function_rules import DELAYED, FunctionPrimitive
from chainrule.autograd.grad_mode import no_grad
from chainrule.core import inplace
from chainrule.core.boxes import Box, bottom
from chainrule.core.dtypes import is_inexact
from chainrule.core.engine import check_alive
from chainrule.core.modes import Mode, as_mode, get_mode, is_recording
from chainrule.core.node import Aval, Node
from chainrule.core.primitive import make_node, pick
from chainrule.core.source import caller
from chainrule.core.special_modes import after_record
from chainrule.core.sweep import unpack
from chainrule.core.tensor import Tensor, wrap


class FunctionCtx:
    """What `forward` leaves for `backward`: saved tensors, and any attribute of the user's.

    Attributes:
        needs_input_grad: for each argument of `apply`, whether it is a tensor that requires grad.
    """

    needs_input_grad: tuple[bool, ...] = ()
    _materialize = True
    _node: ReferenceType[Node] | None = None
    _outer: FunctionCtx | None = None  # of the batched form, in whose methods this one is used

    def __init__(self) -> None:
        self._save: tuple[Any, ...] = ()
        self._save_forward: tuple[Any, ...] = ()
        self._dirty: tuple[Tensor, ...] = ()
        self._constant: tuple[Tensor, ...] = ()
        # Where each saved value comes from: an input's or output's number, or its own node.
        self._origins: tuple[tuple[str, Any], ...] = ()
        self._in_jvp = False
        # The numbers of the outputs that were marked as not differentiable.
        self._constant_outputs: tuple[int, ...] = ()

    def _settle(self, outputs: Sequence[Any]) -> None:
        """Check what `forward` said of these outputs, and remember which are constant.

        Raises:
            RuntimeError: if an argument marked dirty is not among them.
        """
        for x in self._dirty:
            if not _among(x, outputs):
                raise RuntimeError(
                    "Some elements marked as dirty during the forward method were not returned as "
                    "output. The inputs that are modified inplace must all be outputs of the "
                    "Function."
                )
        self._constant_outputs = tuple(
            [i for i, o in enumerate(outputs) if _among(o, self._constant)]
        )

    def _parents(self) -> tuple[Node | None, ...]:
        """The nodes of the arguments, as far as they are recorded."""
        ctx = self
        while ctx._outer is not None:
            ctx = ctx._outer
        node = None if ctx._node is None else ctx._node()
        return () if node is None else node.parents

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for `backward`, which finds them in `saved_tensors`."""
        self._save = _checked_saved(tensors, "save_for_backward")

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for `jvp`, which finds them in `saved_tensors`."""
        self._save_forward = _checked_saved(tensors, "save_for_forward")

    def mark_dirty(self, *args: Tensor) -> None:
        """Say which inputs `forward` wrote in place; they must be returned."""
        self._dirty = args

    def mark_non_differentiable(self, *args: Tensor) -> None:
        """Say which outputs have no derivative; `backward` still gets zeros for them."""
        self._constant = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether outputs that got no gradient have zeros (the default) or None in `backward`."""
        self._materialize = bool(value)

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The tensors saved in `forward`.

        Raises:
            RuntimeError: if a backward pass has freed them, or they were overwritten.
        """
        node = None if self._node is None else self._node()
        forward = self._in_jvp and len(self._save_forward) > 0
        if node is None:
            return self._save_forward if forward else self._save
        check_alive([node])
        values = [
            _revived(node, a, o) for a, o in zip(unpack(node.args), self._origins, strict=True)
        ]
        split = len(values) - len(self._save_forward)
        return tuple(values[split:] if forward else values[:split])


def _checked_saved(tensors: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    for i, t in enumerate(tensors):
        if t is not None and not isinstance(t, Tensor):
            raise TypeError(
                f"{what} can only save variables, but argument {i} is of type {type(t).__name__}; "
                "keep other values as attributes of ctx"
            )
    return tensors


def _revived(node: Node, array: Any, origin: tuple[str, Any]) -> Any:
    """A saved value as a tensor at its place on the tape."""
    if array is None:
        return None
    kind, detail = origin
    if kind == "input":
        return wrap(array, node.parents[detail])
    if kind == "output":
        return wrap(array, node) if node.shape is not None else pick(node, detail, array)
    return wrap(array, detail)


class Function:
    """Base class of operations with a derivative of the user's own.

    Subclasses define `forward(ctx, *args)`, or `forward(*args)` and `setup_context(ctx, inputs,
    output)`, and `backward(ctx, *grad_outputs)`, all static, and are called as `Sub.apply(*args)`.

    >>> import chainrule as cr
    >>> class Cube(cr.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x * x
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return g * 3 * x * x
    >>> x = cr.tensor(2.0, requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad
    tensor(12.)
    """

    generate_vmap_rule: ClassVar[bool] = False
    prim: ClassVar[FunctionPrimitive]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.prim = FunctionPrimitive(cls)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use "
            f"new-style autograd function with static forward method: {type(self).__name__}"
            ".apply(...)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the result; the first argument is the context unless there is `setup_context`."""
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Prepare the context after `forward(*inputs)` returned `output`."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """One gradient (or None) per argument of `forward`, from one per output."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom "
            "autograd.Function to use it with backward mode AD."
        )

    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """The tangents of the outputs from those of the arguments."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with "
            "forward mode AD."
        )

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        """The operation on a batch; see `generate_vmap_rule` for having it derived."""
        raise NotImplementedError(
            "To use autograd.Function with vmap, you must either override the vmap static method "
            "or set generate_vmap_rule=True."
        )

    @classmethod
    def _backward_method(cls) -> Callable[..., Any]:
        if cls.backward is Function.backward and cls.vjp is not Function.vjp:
            return cls.vjp
        return cls.backward

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run the operation on the arguments and record it.

        Raises:
            RuntimeError: if an input marked dirty is not returned, or is a leaf that requires grad.
        """
        for x in args:
            if getattr(x, "_box", None) is not None:
                return cls.prim.apply(args, {})
        return cls._run(args)[0]

    @classmethod
    def _run(cls, args: Sequence[Any]) -> tuple[Any, FunctionCtx, Node | None]:
        """Result, context and node of one application to arguments without boxes."""
        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple(isinstance(a, Tensor) and a.node is not None for a in args)
        with no_grad():
            if cls.setup_context is Function.setup_context:
                output = cls.forward(ctx, *args)
            else:
                output = cls.forward(*args)
                cls.setup_context(ctx, tuple(args), output)
        outputs = output if isinstance(output, tuple) else (output,)
        ctx._settle(outputs)
        node = None
        if any(ctx.needs_input_grad) and is_recording():
            node, outputs = _record(cls.prim, ctx, args, outputs, isinstance(output, tuple))
        else:
            outputs = tuple(_alias_input(o, args, ctx) for o in outputs)
        return (outputs if isinstance(output, tuple) else outputs[0]), ctx, node

    @classmethod
    def _context(cls, args: Sequence[Any], output: Any) -> FunctionCtx:
        """The context of an application to boxes, whose values at this level are given.

        Raises:
            RuntimeError: if there is no `setup_context`.
        """
        if not cls._defines("setup_context"):
            raise RuntimeError(
                "In order to use an autograd.Function with function transforms (vmap, grad, jvp, "
                f"jacrev, ...), it must override the setup_context staticmethod: {cls.__name__} "
                "has a forward(ctx, ...) that computes and saves at once, and under nested "
                "transforms every level saves its own values. Split it into forward(...) and "
                "setup_context(ctx, inputs, output)."
            )
        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple(
            isinstance(a, Tensor) and bottom(a).node is not None for a in args
        )
        cls.setup_context(ctx, tuple(args), output)
        ctx._settle(output if isinstance(output, tuple) else (output,))
        return ctx

    @classmethod
    def _value(cls, args: Sequence[Any]) -> tuple[Any, FunctionCtx]:
        """The result, and what a `forward` that saves by itself saved; nothing is recorded."""
        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple(isinstance(a, Tensor) for a in args)
        with no_grad():
            if cls._defines("setup_context"):
                return cls.forward(*args), ctx
            return cls.forward(ctx, *args), ctx

    @classmethod
    def _context_again(
        cls, args: Sequence[Any], output: Any, wanted: tuple[bool, ...]
    ) -> FunctionCtx:
        """The context of an application in a graph, whose derivative is taken now.

        A `forward` that computes and saves at once is run again.
        """
        if not cls._defines("setup_context"):
            output, ctx = cls._value(args)
        else:
            ctx = FunctionCtx()
            ctx.needs_input_grad = wanted
            cls.setup_context(ctx, tuple(args), output)
        ctx._settle(output if isinstance(output, tuple) else (output,))
        return ctx

    @classmethod
    def _defines(cls, name: str) -> bool:
        """Whether a subclass defines the method."""
        return getattr(cls, name) is not getattr(Function, name)


def _among(x: Any, items: Sequence[Any]) -> bool:
    return any(x is item for item in items)


def _alias_input(o: Any, args: Sequence[Any], ctx: FunctionCtx) -> Any:
    """An output that is an input as it is, as a tensor of its own on the same memory."""
    if isinstance(o, Tensor) and _among(o, args) and not _among(o, ctx._dirty):
        return wrap(o.array)
    return o


def _record(
    prim: FunctionPrimitive, ctx: FunctionCtx, args: Sequence[Any], outputs: Any, several: bool
) -> tuple[Node, tuple[Any, ...]]:
    """Write the node and give the outputs their places on it."""
    for x in ctx._dirty:
        inplace.check_writable(x)
    positions = tuple(i for i, a in enumerate(args) if isinstance(a, Tensor))
    tensors = [args[i] for i in positions]
    saved = (*ctx._save, *ctx._save_forward)
    ctx._origins = tuple(_origin(s, tensors, outputs, ctx._dirty) for s in saved)
    node = make_node(
        prim,
        tuple(None if s is None else s.array for s in saved),
        None,
        {"ctx": ctx, "positions": positions, "count": len(args)},
        tuple(t.node for t in tensors),
        caller(4),
    )
    arrays = tuple(o.array if isinstance(o, Tensor) else None for o in outputs)
    inexact = [a.dtype for a in arrays if a is not None and is_inexact(a.dtype)]
    node.dtype = inexact[0] if inexact else np.dtype(np.float32)
    node.shape = arrays[0].shape if not several and arrays[0] is not None else None
    if node.shape is None:
        node.out = tuple(None if a is None else Aval(a.shape, a.dtype) for a in arrays)
    ctx._node = ref(node)
    placed = tuple(_place(node, i, o, tensors, ctx) for i, o in enumerate(outputs))
    ctx._save = ctx._dirty = ctx._constant = ()
    ctx._save_forward = (None,) * len(ctx._save_forward)
    mode = get_mode()
    if isinstance(mode, Mode):
        values = [t.array for t in tensors]
        after_record(node, tuple(a for a in arrays if a is not None), as_mode(mode), values)
    return node, placed


def _origin(saved: Any, inputs: Sequence[Any], outputs: Any, dirty: Any) -> tuple[str, Any]:
    """Where a saved tensor comes from, said without holding an output."""
    if saved is None:
        return ("none", None)
    for i, x in enumerate(inputs):
        if x is saved and not _among(x, dirty):
            return ("input", i)
    for i, x in enumerate(outputs):
        if x is saved:
            return ("output", i)
    return ("other", saved.node)


def _place(node: Node, i: int, o: Any, inputs: Sequence[Tensor], ctx: FunctionCtx) -> Any:
    """Output number `i` as a tensor on the tape."""
    if not isinstance(o, Tensor):
        return o
    is_input = _among(o, inputs)
    own = None
    if not _among(o, ctx._constant) and is_inexact(o.array.dtype):
        own = node if node.shape is not None else pick(node, i, o.array).node
    if _among(o, ctx._dirty):
        inplace.rebind(o, own)
        return o
    if is_input or o._view is not None:
        # Sharing memory with an input, a later write to either could not be differentiated.
        shared = any(np.may_share_memory(o.array, x.array) for x in inputs)
        return wrap(o.array.copy() if shared and own is not None else o.array, own)
    if o.node is not None:
        return wrap(o.array, own)
    o.node = own
    return o


def once_differentiable(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a `backward` that computes outside the tape: a second derivative is an error.

    >>> import chainrule as cr
    >>> class Double(cr.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return 2 * x
    ...     @staticmethod
    ...     @cr.autograd.function.once_differentiable
    ...     def backward(ctx, g):
    ...         return 2 * g
    >>> x = cr.tensor(1.0, requires_grad=True)
    >>> cr.autograd.grad(Double.apply(x), x)
    (tensor(2.),)
    """

    @functools.wraps(fn)
    def wrapper(ctx: Any, *args: Any) -> Any:
        with no_grad():
            outputs = fn(ctx, *args)
        # What was saved goes into the result as well as the cotangents.
        saved = ctx._parents() if isinstance(ctx, FunctionCtx) else ()
        parents = (*saved, *[bottom(a).node for a in args if isinstance(a, Tensor)])
        if not is_recording() or all(p is None for p in parents):
            return outputs

        def delayed(o: Any) -> Any:
            if not isinstance(o, Tensor):
                return o
            if isinstance(o, Box):
                return o.tag.mapped_inner(o, delayed)
            node = make_node(DELAYED, (), None, None, parents, caller(2))
            node.shape, node.dtype = o.array.shape, o.array.dtype
            return wrap(o.array, node)

        return tuple(map(delayed, outputs)) if isinstance(outputs, tuple) else delayed(outputs)

    return wrapper
