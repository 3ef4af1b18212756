"""A compiled graph as a primitive: how every transform sees a call of machine code.

Without derivatives a call runs a program on arrays.  On the tape it is one node, whose pull is a
program too.  Forward mode and vmap get the programs of the graph's tangents and of the graph mapped
over examples; Taylor mode, and graphs being traced, get the graph's equations one by one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.compiler.execute import Program, compiled
from chainrule.core.boxes import newest
from chainrule.core.dtypes import is_inexact
from chainrule.core.modes import get_mode, is_recording
from chainrule.core.mutation import check_array
from chainrule.core.namespaces import raw
from chainrule.core.node import Aval, Node
from chainrule.core.primitive import Primitive, pick, record
from chainrule.core.source import caller
from chainrule.core.tensor import Tensor, wrap
from chainrule.graph import trace
from chainrule.graph.extend import jvp
from chainrule.graph.ir import Graph
from chainrule.graph.run import run
from chainrule.graph.walk import between
from chainrule.just_in_time.residuals import halves, pullback
from chainrule.transforms.batch import BatchTag
from chainrule.transforms.forward import ForwardTag
from chainrule.transforms.mapping import vmap
from chainrule.transforms.user_rules import UserPrimitive


class Lazy:
    """Something that is made once, on first use, by whichever thread comes first."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._made: dict[Any, Any] = {}

    def get(self, key: Any, make: Callable[[], Any]) -> Any:
        """What is known under a key; `make()` on first use."""
        found = self._made.get(key)
        if found is None:
            with self._lock:
                found = self._made.get(key)
                if found is None:
                    found = self._made[key] = make()
        return found

    def all(self) -> list[Any]:
        """What has been made."""
        return list(self._made.values())

    def renew(self) -> list[Any]:
        """Forget who held the lock, after a fork; what has been made."""
        self._lock = threading.RLock()
        return self.all()


class Compiled(UserPrimitive):
    """A graph with machine code for it, and for its derivatives, each made when it is needed.

    Attributes:
        graph: a flat list of inputs and outputs, optimised.
    """

    side_effects = False

    def __init__(self, graph: Graph) -> None:
        super().__init__(f"jit {graph.title}", self.evaluate, grad_name="Jit")
        self.graph = graph
        self.made = Lazy()

    def renew_locks(self) -> None:
        """Forget who held the locks, after a fork."""
        for x in self.made.renew():
            if isinstance(x, Recorded):
                x.forward.renew_locks()
                x.backward.renew_locks()
            elif isinstance(x, Compiled):
                x.renew_locks()

    def programs(self) -> list[Program]:
        """All machine code that has been made, that of derivatives included."""
        found = []
        for x in self.made.all():
            if isinstance(x, Recorded):
                found += [*x.forward.programs(), *x.backward.programs()]
            elif isinstance(x, Compiled):
                found += x.programs()
            else:
                found.append(x)
        return found

    @property
    def program(self) -> Program:
        """The machine code of the graph itself."""
        found: Program = self.made.get("program", lambda: compiled(self.graph))
        return found

    def evaluate(self, *arrays: Any) -> tuple[np.ndarray, ...]:
        """The outputs for arrays."""
        return tuple(self.program.run(arrays))

    def predict(self, *args: Any, **params: Any) -> Any:
        return tuple([Aval(n.shape or (), n.dtype) for n in self.graph.outputs])

    def call(self, args: Sequence[Any]) -> tuple[Any, ...]:
        """The outputs, tensors, for tensors of any kind."""
        found: tuple[Any, ...] = self.apply(args, {})
        return found

    def apply(self, args: Sequence[Any], params: dict[str, Any]) -> Any:
        tag = newest(args)
        if tag is None:
            return self.run(args)
        if isinstance(tag, (ForwardTag, BatchTag)):
            return super().apply(args, params)
        return tuple(run(self.graph, [x if isinstance(x, Tensor) else wrap(x) for x in args]))

    def run(self, args: Sequence[Any]) -> Any:
        arrays = [getattr(x, "array", x) for x in args]
        nodes = [getattr(x, "node", None) for x in args]
        if any(nodes) and is_recording():
            return self.recorded(nodes).run(arrays, nodes)
        return tuple([wrap(y) for y in self.program.run(arrays)])

    def recorded(self, nodes: Sequence[Any]) -> Recorded:
        """What stands on the tape, for inputs with these nodes."""
        wanted = tuple([i for i, n in enumerate(nodes) if n is not None])
        found: Recorded = self.made.get(("pull", wanted), lambda: Recorded(self, wanted))
        return found

    def run_forward(
        self, primals: Sequence[Any], tangents: Sequence[Any]
    ) -> tuple[Any, Sequence[Any]]:
        moving = tuple([i for i, t in enumerate(tangents) if t is not None])
        push = self.made.get(("push", moving), lambda: self._pushforward(moving))
        found = push.call([*primals, *[tangents[i] for i in moving]])
        n = len(self.graph.outputs)
        _, live = between(self.graph, [self.graph.inputs[i] for i in moving], forward=True)
        return found[:n], [
            t if out in live else None for t, out in zip(found[n:], self.graph.outputs, strict=True)
        ]

    def _pushforward(self, moving: Sequence[int]) -> Compiled:
        graph = jvp(self.graph, [self.graph.inputs[i] for i in moving])
        return Compiled(graph.optimize())

    def run_mapped(
        self, tag: BatchTag, args: Sequence[Any], mapped: Sequence[bool]
    ) -> tuple[Any, Sequence[bool]]:
        key = ("map", tag.size, tuple(mapped))
        many = self.made.get(key, lambda: self._mapped(tag.size, mapped))
        return many.call(args), [True] * len(self.graph.outputs)

    def _mapped(self, size: int, mapped: Sequence[bool]) -> Compiled:
        def one(*xs: Any) -> tuple[Any, ...]:
            return tuple(run(self.graph, xs))

        avals = [
            Aval((size, *(n.shape or ())) if m else n.shape or (), n.dtype)
            for n, m in zip(self.graph.inputs, mapped, strict=True)
        ]
        many = vmap(one, in_dims=tuple([0 if m else None for m in mapped]))
        graph = trace(many, *avals)
        return Compiled(
            Graph(graph.inputs, graph.outputs, title=f"vmap of {self.graph.title}").optimize()
        )


class Recorded(Primitive):
    """A compiled graph on the tape: a forward half, and a pull that runs a backward half.

    Derivatives of the pull itself go through the graph of the pullback, which computes everything
    anew from the inputs.
    """

    kind = "function"

    def __init__(self, whole: Compiled, wanted: tuple[int, ...]) -> None:
        super().__init__(whole.name, whole.evaluate, aval=whole.predict, grad_name="Jit")
        self.whole = whole
        _, live = between(whole.graph, [whole.graph.inputs[i] for i in wanted])
        self.live = [n in live for n in whole.graph.outputs]
        cut = halves(whole.graph, wanted)
        self.needed, self.extra, self.wanted = cut.needed, cut.kept, cut.wanted
        self.forward = Compiled(cut.forward)
        self.backward = Compiled(cut.backward)

    def keeps(self, position: int, wanted: Sequence[bool]) -> bool:
        return position in self.needed

    def keeps_out(self, wanted: Sequence[bool]) -> bool:
        return True

    def run(self, arrays: Sequence[Any], parents: Sequence[Node | None]) -> tuple[Any, ...]:
        """The outputs on the tape."""
        outs = tuple(self.forward.program.run(arrays))
        params = {"inputs": tuple(arrays)}
        node = record(self, arrays, params, parents, outs, get_mode(), caller(2))
        if node is not None:
            # What the backward half does not take may be written in place.
            node.out = tuple(
                [y if i in self.extra else Aval(y.shape, y.dtype) for i, y in enumerate(outs)]
            )
        return tuple([pick(node if live else None, i, outs[i]) for i, live in enumerate(self.live)])

    def pull(
        self, node: Node, g: Any, xp: Any, args: Any, out: Any, live: Any, careful: bool
    ) -> Sequence[Any]:
        if not self.wanted:  # no derivative comes from any input
            return [None] * len(node.parents)
        cotangents = [
            np.zeros(n.shape or (), n.dtype) if ct is None else ct
            for n, ct in zip(self.whole.graph.outputs, g, strict=False)
            if is_inexact(n.dtype)
        ]
        if xp is raw:
            given = [*[args[i] for i in self.needed], *[out[i] for i in self.extra], *cotangents]
            found = self.backward.program.run(given)
        else:
            again = self.whole.made.get(
                ("pullback", self.wanted), lambda: Compiled(pullback(self.whole.graph, self.wanted))
            )
            given = [*self._inputs(node, args), *cotangents]
            found = again.call([x if isinstance(x, Tensor) else wrap(x) for x in given])
        pulled: list[Any] = [None] * len(node.parents)
        for i, ct in zip(self.wanted, found, strict=True):
            pulled[i] = ct
        return pulled

    def _inputs(self, node: Node, args: Any) -> list[Any]:
        """All inputs as tensors, also those that the backward half does not take.

        Raises:
            RuntimeError: if one was overwritten since.
        """
        found = []
        for i, (x, parent) in enumerate(zip(args, node.parents, strict=True)):
            if i not in self.needed:
                array = node.params["inputs"][i]  # type: ignore[index]
                check_array(node, array)
                x = wrap(array, parent)
            found.append(x)
        return found
