"""The primitive behind `custom_rule`: a function on tensors with a jvp rule, a vjp rule, or both.

The rules are called at every level of boxes with the values of that level, so what they compute is
itself differentiated.  What is missing is derived:

    vjp from jvp     The tangent rule t ↦ J t is linear; a record of it is transposed.
    jvp from vjp     So is the cotangent rule g ↦ Jᵀg, and its transpose is J.
    vmap             The function and its rules are mapped; the result is another such function.
    Taylor           y' = J(x) x', with the rule run on series.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chainrule import tree
from chainrule.autograd.function import Function
from chainrule.autograd.function_rules import FunctionPrimitive, values_in_graph
from chainrule.autograd.function_vmap import reduced
from chainrule.core import modes
from chainrule.core.batching import aligned
from chainrule.core.boxes import any_box, entered, newest
from chainrule.core.calls import Call
from chainrule.core.dtypes import is_inexact
from chainrule.core.hooks import as_tensor
from chainrule.core.namespaces import recorded
from chainrule.core.tensor import Tensor, wrap
from chainrule.transforms.batch import BatchTag, batched
from chainrule.transforms.scope import zeros_of
from chainrule.transforms.taylor import TaylorTag
from chainrule.transforms.transposition import transposed

Leaves = Sequence[Any]


@dataclass
class Rules:
    """A function of tensors, flattened: what it computes and how it is differentiated.

    Attributes:
        name: what the user called the function.
        value: tensors to the list of output tensors.
        jvp: (tensors, tangents) to (outputs, tangents of the outputs); None in a list stands for
            zero.
        fwd: tensors to (outputs, residuals), residuals being any tree.
        bwd: (residuals, cotangents) to one gradient per tensor; None stands for zero.
        vmap: how `value` runs on a batch: "derived", "leading" or "loop".
        recording: whether the function was called where operations are recorded.
    """

    name: str
    value: Callable[[Leaves], list[Any]]
    jvp: Callable[[Leaves, Leaves], tuple[list[Any], list[Any]]] | None
    fwd: Callable[[Leaves], tuple[list[Any], Any]] | None
    bwd: Callable[[Any, Leaves], list[Any]] | None
    vmap: str = "derived"
    recording: bool = True
    owner: Any = None  # what knows the structure of the outputs
    key: Callable[[], Any] = lambda: None  # what they depend on besides tensors, if it has a hash
    parent: Rules | None = None  # those of one example, of which these are the batched form
    twin: Rules | None = None  # those of an equal call, which were used instead

    def push(self, xs: Leaves, tangents: Leaves) -> tuple[list[Any], list[Any]]:
        """Outputs, and their tangents; None stands for zero."""
        ts = [zeros_of(x) if t is None else t for x, t in zip(xs, tangents, strict=True)]
        if self.jvp is not None:
            return self.jvp(xs, ts)
        assert self.fwd is not None
        outs, residuals = self.fwd(xs)
        return outs, self._push_by_vjp(outs, residuals, ts)

    def _push_by_vjp(self, outs: Leaves, residuals: Any, tangents: Leaves) -> list[Any]:
        assert self.bwd is not None
        bwd = self.bwd
        places = [i for i, y in enumerate(outs) if is_inexact(y.array.dtype)]

        def linear(gs: Leaves) -> list[Any]:
            filled: list[Any] = [None] * len(outs)
            for i, g in zip(places, gs, strict=True):
                filled[i] = g
            return bwd(residuals, [zeros_of(y) if g is None else g
                                   for y, g in zip(outs, filled, strict=True)])  # fmt: skip

        like = [outs[i] for i in places]
        used = tree.leaves(residuals)
        found = transposed(linear, like, tangents, used, f"the vjp rule of {self.name}")
        ts: list[Any] = [None] * len(outs)
        for i, t in zip(places, found, strict=True):
            ts[i] = t
        return ts

    def pull(self, xs: Leaves, residuals: Any, gs: Leaves) -> list[Any]:
        """Gradients of the inputs; `residuals` are those of `fwd`, if there is a vjp rule."""
        if self.bwd is not None:
            return self.bwd(residuals, gs)
        assert self.jvp is not None
        jvp = self.jvp
        places = [i for i, x in enumerate(xs) if is_inexact(x.array.dtype)]

        def linear(ts: Leaves) -> list[Any]:
            filled = [zeros_of(x) for x in xs]
            for i, t in zip(places, ts, strict=True):
                filled[i] = t
            return jvp(xs, filled)[1]

        like = [xs[i] for i in places]
        found = transposed(linear, like, gs, xs, f"the jvp rule of {self.name}")
        grads: list[Any] = [None] * len(xs)
        for i, g in zip(places, found, strict=True):
            grads[i] = g
        return grads

    def mapped(self, vmap: BatchTag, flags: Sequence[bool]) -> Rules:
        """The function of a batch, for tensors that have the mapped axis in front, or not."""
        batch = Batch(self, vmap, flags)
        return Rules(
            self.name,
            batch.value,
            None if self.jvp is None else batch.jvp,
            None if self.fwd is None else batch.fwd,
            None if self.bwd is None else batch.bwd,
            self.vmap,
            key=batch.key,
            parent=self,
        )


class Batch:
    """The functions of the batched form of rules, which run those of one example on boxes."""

    def __init__(self, rules: Rules, vmap: BatchTag, flags: Sequence[bool]) -> None:
        self.rules: Any = rules
        self.vmap = vmap
        self.size = vmap.size
        self.flags = flags

    def key(self) -> Any:
        """What equal calls have in common, as in `Rules`."""
        inner = self.rules.key()
        return (
            None if inner is None else (inner, self.size, self.vmap.randomness, tuple(self.flags))
        )

    def _entered(self) -> Any:
        return entered(self.vmap.again())

    def _boxes(self, tag: BatchTag, xs: Leaves) -> list[Any]:
        return [batched(tag, x) if m else x for x, m in zip(xs, self.flags, strict=True)]

    def _inside(self, tag: BatchTag, ys: Leaves) -> list[Any]:
        return [tag.inner(y) if isinstance(y, Tensor) else y for y in ys]

    def value(self, xs: Leaves) -> list[Any]:
        """The function."""
        rules, flags = self.rules, self.flags
        if rules.vmap == "leading":
            made: list[Any] = rules.value(aligned(xs, flags))
            return made
        if rules.vmap == "loop":
            rows = [
                rules.value([x[i] if m else x for x, m in zip(xs, flags, strict=True)])
                for i in range(self.size)
            ]
            return [recorded.stack(*ys, axis=0) for ys in zip(*rows, strict=True)]
        with self._entered() as tag:
            return self._inside(tag, rules.value(self._boxes(tag, xs)))

    def jvp(self, xs: Leaves, ts: Leaves) -> tuple[list[Any], list[Any]]:
        """The jvp rule."""
        with self._entered() as tag:
            outs, tangents = self.rules.jvp(self._boxes(tag, xs), self._boxes(tag, ts))
            return self._inside(tag, outs), self._inside(tag, tangents)

    def fwd(self, xs: Leaves) -> tuple[list[Any], Any]:
        """The first half of the vjp rule; the residuals are those of an example and its shapes."""
        with self._entered() as tag:
            boxes = self._boxes(tag, xs)
            outs, residuals = self.rules.fwd(boxes)
            leaves, spec = tree.flatten(residuals)
            shapes = [tuple(x.array.shape) for x in boxes]
            return self._inside(tag, outs), (shapes, spec.unflatten(self._inside(tag, leaves)))

    def bwd(self, residuals: Any, gs: Leaves) -> list[Any]:
        """The second half of the vjp rule."""
        shapes, kept = residuals
        with self._entered() as tag:
            kept = tree.map(lambda r: batched(tag, r) if isinstance(r, Tensor) else r, kept)
            grads = self.rules.bwd(kept, [batched(tag, g) for g in gs])
            return [
                reduced(tag, g, shape, m)
                for g, shape, m in zip(grads, shapes, self.flags, strict=True)
            ]


class CustomPrimitive(FunctionPrimitive):
    """The primitive of one function with custom rules.  Its first argument is the `Rules`."""

    def run(self, args: Sequence[Any]) -> Any:
        args[0].recording = modes.is_recording()
        return super().run(args)

    def run_forward(
        self, primals: Sequence[Any], tangents: Sequence[Any]
    ) -> tuple[Any, Sequence[Any]]:
        rules, *xs = primals
        outs, ts = rules.push(xs, tangents[1:])
        check_closed(outs, xs, self.name)
        check_closed([t for t in ts if t is not None], [*xs, *tangents], self.name)
        return tuple(outs), ts

    def run_mapped(
        self, tag: BatchTag, args: Sequence[Any], mapped: Sequence[bool]
    ) -> tuple[Any, Sequence[bool]]:
        rules, *xs = args
        out = self.cls.apply(rules.mapped(tag, mapped[1:]), *xs)
        return out, [True] * len(out)

    def apply(self, args: Sequence[Any], params: dict[str, Any]) -> Any:
        tag = newest(args)
        if isinstance(tag, TaylorTag) and tag.alive:
            args = self._shared(tag, args)
            if args[0].jvp is None:
                return self._series_by_vjp(tag, args)
        return super().apply(args, params)

    def value(self, args: Sequence[Any]) -> Any:
        rules, *xs = args
        return tuple(rules.value(xs))

    def pull(
        self, node: Any, g: Any, xp: Any, args: Any, out: Any, live: Any, careful: bool
    ) -> Sequence[Any]:
        if node.params:
            return super().pull(node, g, xp, args, out, live, careful)
        (rules, *xs), outs = values_in_graph(node, args, out)
        residuals = () if rules.fwd is None else rules.fwd(xs)[1]
        gs = [zeros_of(o) if x is None else as_tensor(x) for x, o in zip(g, outs, strict=True)]
        found = [None, *rules.pull(xs, residuals, gs)]
        return found if xp is recorded else [None if x is None else x.array for x in found]

    def push(self, node: Any, tangents: Sequence[Any], xp: Any, args: Any, out: Any) -> Any:
        if not (args and isinstance(args[0], Rules)):
            return super().push(node, tangents, xp, args, out)
        if isinstance(node, Call):  # in Taylor mode
            return tuple(self.run_forward(args, tangents)[1])
        xs, _ = values_in_graph(node, args, out)
        found = self.run_forward(xs, [None if t is None else as_tensor(t) for t in tangents])[1]
        return tuple([t if xp is recorded or t is None else t.array for t in found])

    def _shared(self, tag: TaylorTag, args: Sequence[Any]) -> Sequence[Any]:
        """The arguments with the rules of an equal call, so that a rule's call finds its series."""
        rules: Rules | None = args[0]
        key = args[0].key()
        if key is None:
            return args
        known = tag.made.setdefault(("rules", self, key), (args, rules))[1]
        twin: Rules | None = known
        while rules is not None and twin is not None and rules is not twin:
            rules.twin = twin
            rules, twin = rules.parent, twin.parent
        return (known, *args[1:])

    def _series_by_vjp(self, tag: TaylorTag, args: Sequence[Any]) -> Any:
        """Series of the outputs by y' = J(x) x', where J is found by transposing."""
        if not tag.lazy:
            return tuple([tag.joined(c) for c in self._coefficients(tag, args, tag.order)])

        def finder(i: int) -> Callable[[int], Any]:
            return lambda k: self._coefficients(tag, args, k)[i][k]

        firsts = self.apply([tag.first(x) for x in args], {})
        return tuple([tag.jet(y, finder(i)) for i, y in enumerate(firsts)])

    def _coefficients(self, tag: TaylorTag, args: Sequence[Any], order: int) -> list[list[Any]]:
        """For each output its coefficients up to an order.

        A sweep wants all coefficients at once, so they are computed by series of one order less.
        """
        firsts = [tag.first(x) for x in args]
        if order == 0:
            return [[y] for y in self.apply(firsts, {})]
        with entered(TaylorTag(tag.title, order - 1)) as lower:
            xs: list[Any] = []
            slopes: list[Any] = []
            for x, first in zip(args, firsts, strict=True):
                if not tag.holds(x):
                    xs.append(x)
                    slopes.append(None)
                    continue
                rest = [x.inner[k] for k in range(1, order + 1)]
                xs.append(lower.joined([first, *rest[:-1]]))
                steps = [None if c is None else c * k for k, c in enumerate(rest, 1)]
                steps[0] = zeros_of(first) if steps[0] is None else steps[0]
                slopes.append(lower.joined(steps))
            outs, ts = self.run_forward(xs, slopes)
            found = []
            for y, t in zip(outs, ts, strict=True):
                rates = [None] * order if t is None else lower.components(t)
                rest = [None if c is None else c * (1 / k) for k, c in enumerate(rates, 1)]
                found.append([lower.first(y), *rest])
        return found


class Custom(Function):
    """The `Function` that records one function with custom rules; subclassed for each."""

    @staticmethod
    def forward(ctx: Any, rules: Rules, *xs: Any) -> Any:
        plain = [wrap(x.array) for x in xs]
        residuals: Any = ()
        token = modes.enter(modes.changed(grad=rules.recording))
        try:
            if rules.fwd is not None and any(ctx.needs_input_grad):
                outs, residuals = rules.fwd(plain)
            else:
                outs = rules.value(plain)
        finally:
            modes.leave(token)
        check_closed(outs, plain, rules.name)
        kept, ctx.spec = tree.flatten(residuals)
        ctx.rules = rules
        ctx.count = len(xs)
        ctx.others = [None if isinstance(r, Tensor) else r for r in kept]
        ctx.save_for_backward(*xs, *[r if isinstance(r, Tensor) else None for r in kept])
        return tuple([next((x for x, p in zip(xs, plain, strict=True) if p is y), y) for y in outs])

    @staticmethod
    def backward(ctx: Any, *gs: Any) -> Any:
        xs, residuals = _revived(ctx)
        return (None, *ctx.rules.pull(xs, residuals, gs))

    @staticmethod
    def jvp(ctx: Any, _: Any, *ts: Any) -> Any:
        xs, _residuals = _revived(ctx)
        return tuple(ctx.rules.push(xs, ts)[1])


def _revived(ctx: Any) -> tuple[list[Any], Any]:
    """Inputs and residuals of a recorded call, on the tape if the derivative is to be recorded.

    The residuals are then computed anew from the inputs, so that they have their derivatives.
    """
    saved = ctx.saved_tensors
    xs = list(saved[: ctx.count])
    if not modes.is_recording():
        kept = saved[ctx.count :]
        values = [o if r is None else wrap(r.array) for r, o in zip(kept, ctx.others, strict=True)]
        return [wrap(x.array) for x in xs], ctx.spec.unflatten(values)
    if ctx.spec.num_leaves == 0:
        return xs, ctx.spec.unflatten([])
    return xs, ctx.rules.fwd(xs)[1]


def check_closed(outs: Leaves, given: Leaves, name: str) -> None:
    """Raise if a result depends on a tensor that is differentiated or mapped and was not given.

    Raises:
        RuntimeError: saying to pass it as an argument.
    """
    tag = newest(outs)
    known = newest(given)
    boxed = tag is not None and (known is None or tag.level > known.level)
    recorded = not any_box([*outs, *given]) and (
        any(y.node is not None for y in outs) and all(_plain(x) for x in given)
    )
    if boxed or recorded:
        raise RuntimeError(
            f"{name}: the result depends on a tensor that is being differentiated or mapped over "
            "and is not an argument: the function or its rule uses it from outside, where custom "
            "rules cannot see it. Pass it as an argument, or detach() it if it is a constant."
        )


def _plain(x: Any) -> bool:
    return not isinstance(x, Tensor) or x.node is None


def custom_function(name: str) -> type[Custom]:
    """A `Function` of this name for a function with custom rules."""
    made: Any = type(name, (Custom,), {})
    made.prim = CustomPrimitive(made)
    return made


__all__ = ["Custom", "Rules", "custom_function"]
