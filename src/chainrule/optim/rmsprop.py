"""RMSprop and Adadelta: the gradient divided by a running root mean square."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.optim.optimizer import Optimizer, blocks, number, with_decay, zeros
from chainrule.optim.sgd import refuse_differentiable


class RMSprop(Optimizer):
    """The gradient divided by the root of its running mean square (Hinton's lecture 6).

    Args:
        params: the tensors, or groups of them, to optimize.
        lr: the learning rate.
        alpha: decay of the running mean square.
        eps: added to the denominator.
        weight_decay: adds this times the parameter to its gradient.
        momentum: how much of the last direction is kept.
        centered: divide by the standard deviation instead.
        maximize: climb instead of descend.

    Raises:
        ValueError: for an option out of range.
    """

    def __init__(
        self, params: Any, lr: Any = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
        weight_decay: float = 0, momentum: float = 0, centered: bool = False,
        capturable: bool = False, foreach: bool | None = None, maximize: bool = False,
        differentiable: bool = False,
    ) -> None:  # fmt: skip
        refuse_differentiable(differentiable)
        options = {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, options)

    def check_options(self, group: dict[str, Any]) -> None:
        super().check_options(group)
        if not group["alpha"] >= 0:
            raise ValueError(f"Invalid alpha value: {group['alpha']}; it must not be negative")

    def update(self, p: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not state:
            state.update(step=0, square_avg=zeros(p))
            if group["momentum"]:
                state["momentum_buffer"] = zeros(p)
            if group["centered"]:
                state["grad_avg"] = zeros(p)
        state["step"] += 1
        rate, alpha = number(group["lr"]), group["alpha"]
        names = [n for n in ("momentum_buffer", "grad_avg") if n in state]
        for p_, g_, v, *more in blocks(p, g, state["square_avg"], *[state[n] for n in names]):
            d = with_decay(self, p_, g_, group)
            s, t = self.scratch(p_), self.scratch(p_, 2)
            v *= alpha
            np.multiply(d, d, out=s)
            s *= 1 - alpha
            v += s
            if group["centered"]:
                mean = more[-1]
                mean *= alpha
                mean += np.multiply(d, 1 - alpha, out=s)
                np.multiply(mean, mean, out=s)
                np.subtract(v, s, out=s)
                np.sqrt(s, out=s)
            else:
                np.sqrt(v, out=s)
            s += group["eps"]
            np.divide(d, s, out=t)
            if group["momentum"]:
                more[0][...] *= group["momentum"]
                more[0][...] += t
                np.multiply(more[0], rate, out=t)
            else:
                t *= rate
            p_ -= t


class Adadelta(Optimizer):
    """Steps scaled by the ratio of past steps and past gradients (Zeiler 2012).

    Args:
        params: the tensors, or groups of them, to optimize.
        lr: scales the step.
        rho: decay of the running means of squares.
        eps: added to both means.
        weight_decay: adds this times the parameter to its gradient.
        maximize: climb instead of descend.

    Raises:
        ValueError: for an option out of range.
    """

    def __init__(
        self, params: Any, lr: Any = 1.0, rho: float = 0.9, eps: float = 1e-6,
        weight_decay: float = 0, foreach: bool | None = None, *, capturable: bool = False,
        maximize: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        refuse_differentiable(differentiable)
        options = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay,
                   "maximize": maximize}  # fmt: skip
        super().__init__(params, options)

    def check_options(self, group: dict[str, Any]) -> None:
        super().check_options(group)
        if not 0 <= group["rho"] <= 1:
            raise ValueError(f"Invalid rho value: {group['rho']}; it must be in [0, 1]")

    def update(self, p: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not state:
            state.update(step=0, square_avg=zeros(p), acc_delta=zeros(p))
        state["step"] += 1
        rate, rho, eps = number(group["lr"]), group["rho"], group["eps"]
        for p_, g_, v, moved in blocks(p, g, state["square_avg"], state["acc_delta"]):
            d = with_decay(self, p_, g_, group)
            s, t = self.scratch(p_), self.scratch(p_, 2)
            np.multiply(d, d, out=s)
            s *= 1 - rho
            v *= rho
            v += s
            np.add(moved, eps, out=s)
            s /= np.add(v, eps, out=t)
            np.sqrt(s, out=s)
            s *= d
            np.multiply(s, s, out=t)
            t *= 1 - rho
            moved *= rho
            moved += t
            s *= rate
            p_ -= s
