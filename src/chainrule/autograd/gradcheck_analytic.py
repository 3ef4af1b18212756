"""The other side of `gradcheck`: derivatives from the library's own modes.

Rows come from ordinary sweeps over one record, prepared once: a vectorised sweep would test other
code than the `backward` that the user is going to call.  That one has a check of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.autograd.gradcheck import GradcheckError
from chainrule.autograd.gradcheck_numeric import Array, Probe, as_tuple
from chainrule.autograd.progress import counted
from chainrule.core import engine
from chainrule.core.boxes import entered
from chainrule.core.dtypes import is_inexact
from chainrule.core.tensor import Tensor, wrap
from chainrule.transforms.forward import ForwardTag, dual


class Pull:
    """vᵀJ for many v, on one record.

    Attributes:
        outs: the outputs.
        variables: the inputs.
        own_code: whether code of the user's (a custom function, a hook) runs inside.
    """

    def __init__(self, outs: Sequence[Tensor], variables: Sequence[Tensor]) -> None:
        self.outs = outs
        self.variables = variables
        self._nodes: list[Any] = [x.node for x in variables]
        self._wanted = set(self._nodes)
        roots: list[Any] = [o.node for o in outs]
        self._order, self._live = engine.between(roots, self._wanted)
        self.own_code = any(n.prim.side_effects or n.extra is not None for n in self._order)

    def __call__(self, vs: Sequence[Array]) -> list[Array | None]:
        """The cotangent of every input, None where nothing depends on it."""
        live = self._live
        seeds: list[Any] = [
            (o.node, v) for o, v in zip(self.outs, vs, strict=True) if o.node in live
        ]
        found, _ = engine.pull(self._order, seeds, live, self._wanted, False)
        return [found.get(n) for n in self._nodes]

    def zeros(self) -> list[Array]:
        """A zero cotangent for every output."""
        return [np.zeros(o.array.shape, o.array.dtype) for o in self.outs]


class Rows:
    """The Jacobian of one output of a pull, by all its inputs.

    Custom functions with several outputs get zeros for the others: whether they can do without is
    another check.
    """

    def __init__(self, pull: Pull, at: int) -> None:
        self.pull = pull
        self.out = pull.outs[at]
        self._at = at
        self.own_code = pull.own_code

    def one(self, v: Array) -> list[Array | None]:
        """vᵀJ for a v of the output's size."""
        vs = self.pull.zeros()
        vs[self._at][...] = v.reshape(self.out.array.shape)
        return self.pull(vs)

    def tables(self, part: complex) -> list[Array]:
        """For each input a table (entries of the input, entries of the output) of derivatives.

        `part` is 1 for the real part of the output and 1j for the imaginary one: the gradient of
        Im(y) = Re(conj(i)·y) is the pull of i.  A complex input has ∂/∂Re + i ∂/∂Im in its table.
        """
        out = self.out
        vs = self.pull.zeros()
        flat = vs[self._at].flat
        tables = [
            np.zeros((out.array.size, x.array.size), x.array.dtype) for x in self.pull.variables
        ]
        for k in counted(out.array.size, "gradcheck: backward"):
            flat[k] = part
            for table, g in zip(tables, self.pull(vs), strict=True):
                if g is not None:
                    table[k] = g.reshape(-1)
            flat[k] = 0
        return [table.T for table in tables]


def push(probe: Probe, position: int, tangent: Any, check_dtypes: bool = False) -> list[Any]:
    """J·t for every recorded output: the function run on duals, one input's tangent being t.

    `tangent` may be a box; then the results are.

    Raises:
        GradcheckError: if a tangent is complex and its output is not, or the other way round.
    """
    tag = ForwardTag("gradcheck")
    inputs = [x.detach() if isinstance(x, Tensor) else x for x in probe.inputs]
    inputs[position] = dual(tag, inputs[position], tangent)
    with entered(tag):
        results = [x for x in as_tuple(probe.func(*inputs)) if isinstance(x, Tensor)]
        found = []
        for out in results:
            if not is_inexact(out.array.dtype):
                continue
            primal, t = tag.split(out)
            if t is None:
                t = wrap(np.zeros(primal.array.shape, primal.array.dtype))
            elif check_dtypes and t.array.dtype.kind != primal.array.dtype.kind:
                raise GradcheckError("Forward AD gradient has dtype mismatch.")
            found.append(t)
    return [found[i] for i, o in enumerate(probe.outputs) if o.node is not None]


def columns(probe: Probe, position: int, unit: complex, check_dtypes: bool) -> list[Array]:
    """For each recorded output a table (entries of the input, entries of the output).

    Each row is a run of the function on duals, with the tangent `unit` at one entry.
    """
    x = probe.inputs[position].array
    tables = [
        np.zeros((x.size, o.array.size), o.array.dtype) for o in probe.outputs if o.node is not None
    ]
    for k in counted(x.size, "gradcheck: forward"):
        tangent = np.zeros(x.shape, x.dtype)
        tangent.flat[k] = unit
        for table, t in zip(
            tables, push(probe, position, wrap(tangent), check_dtypes), strict=True
        ):
            table[k] = t.array.reshape(-1)
    return tables
