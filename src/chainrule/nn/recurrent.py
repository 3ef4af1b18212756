"""Recurrent layers and cells: RNN, LSTM, GRU."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.core.tensor import Tensor, wrap
from chainrule.nn import functional as F
from chainrule.nn import init
from chainrule.nn.linear import empty_parameter
from chainrule.nn.module import Module
from chainrule.nn.recurrent_steps import lstm_step
from chainrule.ops.api import FUNCTIONS

# A step takes the input's part of the gates, the state and the weights, and returns the new state:
# a tuple whose first entry is the output.
State = tuple[Any, ...]


def _simple_step(activation: str) -> Callable[..., State]:
    def step(gates: Any, state: State, w_hh: Any, b_hh: Any, w_hr: Any) -> State:
        return (FUNCTIONS[activation](gates + F.linear(state[0], w_hh, b_hh)),)

    return step


def _lstm_step(gates: Any, state: State, w_hh: Any, b_hh: Any, w_hr: Any) -> State:
    h, c = lstm_step(gates + F.linear(state[0], w_hh, b_hh), state[1])
    return (h if w_hr is None else F.linear(h, w_hr), c)


def _gru_step(gates: Any, state: State, w_hh: Any, b_hh: Any, w_hr: Any) -> State:
    (h,) = state
    r, z, n = FUNCTIONS["chunk"](gates, 3, -1)
    hr, hz, hn = FUNCTIONS["chunk"](F.linear(h, w_hh, b_hh), 3, -1)
    z = (z + hz).sigmoid()
    n = (n + (r + hr).sigmoid() * hn).tanh()
    return (n + z * (h - n),)


_STEPS: dict[str, Callable[..., State]] = {
    "RNN_TANH": _simple_step("tanh"),
    "RNN_RELU": _simple_step("relu"),
    "LSTM": _lstm_step,
    "GRU": _gru_step,
}
_GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}


def _mode(nonlinearity: str) -> str:
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
    return f"RNN_{nonlinearity.upper()}"


class _Recurrent(Module):
    """Layers of one recurrence over time, forwards or both ways."""

    def _build(
        self, mode: str, input_size: int, hidden_size: int, num_layers: int, bias: bool,
        batch_first: bool, dropout: float, bidirectional: bool, proj_size: int, dtype: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        if not 0 <= dropout <= 1 or isinstance(dropout, bool):
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an "
                "element being zeroed"
            )
        if hidden_size <= 0 or num_layers <= 0:
            raise ValueError("hidden_size and num_layers must be greater than zero")
        if not 0 <= proj_size < hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size, and not negative")
        self.mode, self.input_size, self.hidden_size = mode, input_size, hidden_size
        self.num_layers, self.batch_first, self.dropout = num_layers, batch_first, dropout
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self.__dict__["bias"] = bias
        gates, out = _GATES[mode] * hidden_size, proj_size or hidden_size
        directions = 2 if bidirectional else 1
        for layer in range(num_layers):
            inner = input_size if layer == 0 else out * directions
            for suffix in self._suffixes(layer):
                self._add(f"weight_ih_{suffix}", (gates, inner), True, dtype)
                self._add(f"weight_hh_{suffix}", (gates, out), True, dtype)
                self._add(f"bias_ih_{suffix}", (gates,), bias, dtype)
                self._add(f"bias_hh_{suffix}", (gates,), bias, dtype)
                self._add(f"weight_hr_{suffix}", (out, hidden_size), proj_size > 0, dtype)
        self.reset_parameters()

    def _add(self, name: str, shape: Any, wanted: bool, dtype: Any) -> None:
        if wanted:
            setattr(self, name, empty_parameter(shape, dtype))

    def _suffixes(self, layer: int) -> list[str]:
        return [f"l{layer}", f"l{layer}_reverse"] if self.bidirectional else [f"l{layer}"]

    def reset_parameters(self) -> None:
        """Draw new values."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """The output of every step, and the last state of every layer and direction.

        `input` is (time, batch, input_size), (batch, time, input_size) with `batch_first`, or
        (time, input_size); the state starts at zero unless given.
        """
        if input.ndim not in (2, 3):
            raise ValueError(
                f"{type(self).__name__}: Expected input to be 2D or 3D, got {input.ndim}D instead"
            )
        if input.shape[-1] != self.input_size:
            raise RuntimeError(
                "input.size(-1) must be equal to input_size. Expected "
                f"{self.input_size}, got {input.shape[-1]}"
            )
        batched = input.ndim == 3
        x = input if batched else input.unsqueeze(1)
        x = x.transpose(0, 1) if batched and self.batch_first else x
        states = self._start(x, hx, batched)
        out, last = self._run(x, states)
        if not batched:
            out, last = out.squeeze(1), tuple(s.squeeze(1) for s in last)
        elif self.batch_first:
            out = out.transpose(0, 1)
        return out, (last if self.mode == "LSTM" else last[0])

    def _start(self, x: Any, hx: Any, batched: bool) -> State:
        """The first states of all layers and directions, stacked: (count, batch, size) each."""
        count = self.num_layers * (2 if self.bidirectional else 1)
        sizes = [self.proj_size or self.hidden_size]
        if self.mode == "LSTM":
            sizes.append(self.hidden_size)
        if hx is None:
            dt = self.weight_ih_l0.array.dtype
            return tuple(wrap(np.zeros((count, x.shape[1], n), dt)) for n in sizes)
        given = tuple(hx) if isinstance(hx, (tuple, list)) else (hx,)
        if len(given) != len(sizes):
            raise RuntimeError(
                f"{type(self).__name__} expects {len(sizes)} initial states, got {len(given)}"
            )
        given = given if batched else tuple(h.unsqueeze(1) for h in given)
        for h, n in zip(given, sizes, strict=True):
            expected = (count, x.shape[1], n)
            if tuple(h.shape) != expected:
                raise RuntimeError(f"Expected hidden size {expected}, got {list(h.shape)}")
        return given

    def _run(self, x: Any, states: State) -> tuple[Any, State]:
        """All layers over all times; returns outputs (time, batch, size) and the last states."""
        last: list[State] = []
        for layer in range(self.num_layers):
            outs = []
            for suffix in self._suffixes(layer):
                first = tuple(s[len(last)] for s in states)
                out, final = self._scan(x, first, suffix)
                outs.append(out)
                last.append(final)
            x = outs[0] if len(outs) == 1 else FUNCTIONS["cat"](outs, -1)
            if self.dropout and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        return x, tuple(FUNCTIONS["stack"](list(s)) for s in zip(*last, strict=True))

    def _scan(self, x: Any, state: State, suffix: str) -> tuple[Any, State]:
        """One layer in one direction."""
        names = ("weight_hh", "bias_hh", "weight_hr")
        weights = [getattr(self, f"{name}_{suffix}", None) for name in names]
        # The input's part of the gates, for all times at once.
        bias = getattr(self, f"bias_ih_{suffix}", None)
        gates = F.linear(x, getattr(self, f"weight_ih_{suffix}"), bias).unbind(0)
        step = _STEPS[self.mode]
        backwards = suffix.endswith("_reverse")
        outs = []
        for g in reversed(gates) if backwards else gates:
            state = step(g, state, *weights)
            outs.append(state[0])
        if backwards:
            outs.reverse()
        return FUNCTIONS["stack"](outs), state

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        defaults = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False,
                    "dropout": 0, "bidirectional": False}  # fmt: skip
        for name, default in defaults.items():
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text


class RNN(_Recurrent):
    """h ← tanh(W x + b + W' h + b'), or relu instead of tanh.

    Args:
        input_size, hidden_size: sizes of the input and of the state.
        num_layers: how many, each fed by the outputs of the one before.
        nonlinearity: "tanh" or "relu".
        bias: whether to add b and b'.
        batch_first: whether the batch comes before time.
        dropout: probability of zeroing outputs between layers.
        bidirectional: run through time in both directions.

    >>> import chainrule as cr
    >>> out, h = cr.nn.RNN(3, 4)(cr.ones(5, 2, 3))
    >>> out.shape, h.shape
    (chainrule.Size([5, 2, 4]), chainrule.Size([1, 2, 4]))
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh",
        bias: bool = True, batch_first: bool = False, dropout: float = 0.0,
        bidirectional: bool = False, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        self._build(_mode(nonlinearity), input_size, hidden_size, num_layers, bias, batch_first,
                    dropout, bidirectional, 0, dtype)  # fmt: skip
        self.nonlinearity = nonlinearity


class LSTM(_Recurrent):
    """Long short-term memory; arguments as `RNN`, and `proj_size` to project the output.

    >>> import chainrule as cr
    >>> out, (h, c) = cr.nn.LSTM(3, 4)(cr.ones(5, 2, 3))
    >>> out.shape, c.shape
    (chainrule.Size([5, 2, 4]), chainrule.Size([1, 2, 4]))
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
        proj_size: int = 0, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        self._build("LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout,
                    bidirectional, proj_size, dtype)  # fmt: skip


class GRU(_Recurrent):
    """Gated recurrent unit; arguments as `RNN`.

    >>> import chainrule as cr
    >>> out, h = cr.nn.GRU(3, 4, bidirectional=True)(cr.ones(5, 2, 3))
    >>> out.shape, h.shape
    (chainrule.Size([5, 2, 8]), chainrule.Size([2, 2, 4]))
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        self._build("GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout,
                    bidirectional, 0, dtype)  # fmt: skip


class _Cell(Module):
    """One step of a recurrence."""

    mode = ""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.__dict__["bias"] = bias
        gates = _GATES[self.mode] * hidden_size
        self.weight_ih = empty_parameter((gates, input_size), dtype)
        self.weight_hh = empty_parameter((gates, hidden_size), dtype)
        self.register_parameter("bias_ih", empty_parameter(gates, dtype) if bias else None)
        self.register_parameter("bias_hh", empty_parameter(gates, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new values."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def _step(self, input: Any, hx: Any) -> State:
        if input.ndim not in (1, 2):
            raise ValueError(
                f"{type(self).__name__}: Expected input to be 1D or 2D, got {input.ndim}D instead"
            )
        if hx is None:
            zero = wrap(np.zeros((*input.shape[:-1], self.hidden_size), input.array.dtype))
            hx = (zero, zero) if self.mode == "LSTM" else (zero,)
        elif isinstance(hx, Tensor):
            hx = (hx,)
        gates = F.linear(input, self.weight_ih, self.bias_ih)
        return _STEPS[self.mode](gates, tuple(hx), self.weight_hh, self.bias_hh, None)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """The next state, from the input and the state (zero unless given)."""
        return self._step(input, hx)[0]

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")
        nonlinearity = getattr(self, "nonlinearity", "tanh")
        return text + ("" if nonlinearity == "tanh" else f", nonlinearity={nonlinearity}")


class RNNCell(_Cell):
    """One step of an `RNN`."""

    mode = "RNN_TANH"

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh",
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.mode, self.nonlinearity = _mode(nonlinearity), nonlinearity


class LSTMCell(_Cell):
    """One step of an `LSTM`; the state is the pair (h, c)."""

    mode = "LSTM"

    def forward(self, input: Any, hx: Any = None) -> Any:
        """The next pair (h, c)."""
        return self._step(input, hx)


class GRUCell(_Cell):
    """One step of a `GRU`."""

    mode = "GRU"
