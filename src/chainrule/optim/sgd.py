"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.optim.optimizer import Optimizer, blocks, number, with_decay, zeros


class SGD(Optimizer):
    """Gradient descent with optional momentum (Sutskever et al. 2013), Nesterov's or plain.

    Args:
        params: the tensors, or groups of them, to optimize.
        lr: the learning rate.
        momentum: how much of the last direction is kept.
        dampening: how much of the gradient is left out of the direction.
        weight_decay: adds this times the parameter to its gradient.
        nesterov: look ahead along the direction.
        maximize: climb instead of descend.

    Raises:
        ValueError: for an option out of range.

    >>> import chainrule as cr
    >>> x = cr.tensor([1.0], requires_grad=True)
    >>> optimizer = cr.optim.SGD([x], lr=0.1)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x
    tensor([0.8000], requires_grad=True)
    """

    def __init__(
        self, params: Any, lr: Any = 1e-3, momentum: float = 0, dampening: float = 0,
        weight_decay: float = 0, nesterov: bool = False, *, maximize: bool = False,
        foreach: bool | None = None, differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        refuse_differentiable(differentiable)
        options = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, options)

    def check_options(self, group: dict[str, Any]) -> None:
        super().check_options(group)
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")

    def update(self, p: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        rate, momentum = number(group["lr"]), group["momentum"]
        if not momentum:
            for p_, g_ in blocks(p, g):
                d = with_decay(self, p_, g_, group)
                p_ -= np.multiply(d, rate, out=self.scratch(p_))
            return
        buffer = state.get("momentum_buffer")
        first = buffer is None
        if buffer is None:
            buffer = state["momentum_buffer"] = zeros(p)
        keep = 1 - group["dampening"]
        for p_, g_, b in blocks(p, g, buffer):
            d = with_decay(self, p_, g_, group)
            s = self.scratch(p_)
            if first:
                b[...] = d
            else:
                b *= momentum
                b += d if keep == 1 else np.multiply(d, keep, out=s)
            if group["nesterov"]:
                np.multiply(b, momentum, out=s)
                s += d
                s *= rate
            else:
                np.multiply(b, rate, out=s)
            p_ -= s


def refuse_differentiable(differentiable: bool) -> None:
    """Raise NotImplementedError: steps write in place and are not recorded."""
    if differentiable:
        raise NotImplementedError(
            "optimizers write in place and cannot be differentiated through; compute the update "
            "p - lr*g with chainrule.autograd.grad(..., create_graph=True) instead"
        )
