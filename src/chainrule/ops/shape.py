"""Shape: the same entries, arranged otherwise.  Most results are views that share memory."""

from __future__ import annotations

import numpy as np

from chainrule.core.kinds import linear
from chainrule.core.samples import Sample, uniform


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argsort(axes))


reshape_prim = linear(
    "reshape", lambda x, shape: x.reshape(shape),
    lambda xp, g, x_aval: xp.reshape(g, shape=x_aval.shape), view=True, grad_name="View",
    samples=lambda: [Sample(uniform(2, 6), shape=(3, 4)), Sample(uniform(1), shape=())],
)  # fmt: skip
broadcast_to = linear(
    "broadcast_to", lambda x, shape: np.broadcast_to(x, shape), lambda g: g, view=True,
    grad_name="Expand", samples=lambda: [Sample(uniform(3, 1), shape=(2, 3, 4))],
)  # fmt: skip
permute_dims = linear(
    "permute_dims", lambda x, axes: x.transpose(axes),
    lambda xp, g, axes: xp.permute_dims(g, axes=_inverse(axes)), view=True, grad_name="Permute",
    samples=lambda: [Sample(uniform(2, 3, 4), axes=(2, 0, 1))],
)  # fmt: skip
