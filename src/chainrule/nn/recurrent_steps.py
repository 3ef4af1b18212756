"""The step of an LSTM as one operation: its dozen small products and sums are one node each way."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.avals import broadcast
from chainrule.core.batching import leading_all
from chainrule.core.kinds import general
from chainrule.core.namespaces import raw
from chainrule.core.node import Aval
from chainrule.core.samples import Sample, uniform


def _quarter(xp: Any, x: Any, k: int, size: int) -> Any:
    """The k-th quarter of the last dimension."""
    before = (("slice", None, None, None),) * (len(x.shape) - 1)
    return xp.getitem(x, index=(*before, ("slice", k * size, (k + 1) * size, None)))


def _gates(xp: Any, x: Any, size: int) -> tuple[Any, Any, Any, Any]:
    """The four gates (input, forget, cell, output), after their nonlinearities."""
    squashed = xp.sigmoid(x)  # of all four at once, which costs less than of three in turn
    i, f, o = (_quarter(xp, squashed, k, size) for k in (0, 1, 3))
    return i, f, xp.tanh(_quarter(xp, x, 2, size)), o


def _eval(x: Any, y: Any) -> tuple[Any, Any]:
    i, f, g, o = _gates(raw, x, y.shape[-1])
    c = f * y + i * g
    return o * np.tanh(c), c


# With c' = f·c + i·g and h = o·tanh(c'), where i, f, o are sigmoids and g a tanh of their quarter
# of x: dc' = (given) + dh·o·(1 - tanh²c'), and the rest follows from the product rule.
def _vjp(xp: Any, g: Any, x: Any, y: Any, out: Any) -> tuple[Any, Any]:
    of_h, of_c = g
    i, f, cell, o = _gates(xp, x, y.shape[-1])
    if of_h is None:
        of_o = 0 * o
    else:
        t = xp.tanh(out[1])
        of_o = of_h * t * o * (1 - o)
        through = of_h * o * (1 - t * t)
        of_c = through if of_c is None else of_c + through
    of_x = xp.concat(
        of_c * cell * i * (1 - i), of_c * y * f * (1 - f), of_c * i * (1 - cell * cell), of_o,
        axis=len(x.shape) - 1,
    )  # fmt: skip
    return of_x, of_c * f


def _jvp(xp: Any, t: Any, x: Any, y: Any, out: Any) -> tuple[Any, Any]:
    tx, ty = t
    size = y.shape[-1]
    i, f, cell, o = _gates(xp, x, size)
    squashed = xp.tanh(out[1])
    of_c = 0 * f if ty is None else ty * f
    of_h = 0 * o
    if tx is not None:
        ti, tf, tg, to = (_quarter(xp, tx, k, size) for k in range(4))
        of_c = of_c + tf * y * f * (1 - f) + ti * cell * i * (1 - i) + tg * i * (1 - cell * cell)
        of_h = to * squashed * o * (1 - o)
    return of_h + of_c * o * (1 - squashed * squashed), of_c


def _aval(x: Any, y: Any) -> tuple[Aval, Aval]:
    made = broadcast(Aval((*x.shape[:-1], x.shape[-1] // 4), x.dtype), y)
    return made, made


lstm_step = general(
    "lstm_step", _eval, vjp=_vjp, jvp=_jvp, batch=leading_all, real=True,
    aval=_aval,
    samples=lambda: [Sample(uniform(2, 12), uniform(2, 3, seed=1)),
                     Sample(uniform(4), uniform(1, seed=1))],
    symbol="lstm_step({}, {})",
    doc="The next output and cell state of an LSTM from its gates' inputs and the cell state.",
)  # fmt: skip
