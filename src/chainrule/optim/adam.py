"""Adam and its relatives: gradients scaled by a running estimate of their second moment."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from chainrule.optim.optimizer import Optimizer, blocks, number, with_decay, zeros
from chainrule.optim.sgd import refuse_differentiable


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015): momentum, divided by the root of the mean squared gradient.

    Args:
        params: the tensors, or groups of them, to optimize.
        lr: the learning rate.
        betas: decay of the running means of the gradient and of its square.
        eps: added to the denominator.
        weight_decay: adds this times the parameter to its gradient.
        amsgrad: divide by the largest second moment so far (Reddi et al. 2018).
        maximize: climb instead of descend.
        decoupled_weight_decay: shrink the parameter itself instead, as AdamW does.

    Raises:
        ValueError: for an option out of range.

    >>> import chainrule as cr
    >>> x = cr.tensor([1.0], requires_grad=True)
    >>> optimizer = cr.optim.Adam([x], lr=0.1)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x
    tensor([0.9000], requires_grad=True)
    """

    def __init__(
        self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0, amsgrad: bool = False, *,
        foreach: bool | None = None, maximize: bool = False, capturable: bool = False,
        differentiable: bool = False, fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:  # fmt: skip
        refuse_differentiable(differentiable)
        options = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "amsgrad": amsgrad, "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }  # fmt: skip
        super().__init__(params, options)

    def update(self, p: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not state:
            state.update(step=0, exp_avg=zeros(p), exp_avg_sq=zeros(p))
            if group["amsgrad"]:
                state["max_exp_avg_sq"] = zeros(p)
        state["step"] += 1
        step, rate = state["step"], number(group["lr"])
        beta1, beta2 = map(number, group["betas"])
        shrink = 1.0
        if group["decoupled_weight_decay"]:
            shrink = 1 - rate * group["weight_decay"]
            group = {**group, "weight_decay": 0}
        # m/(1-b1^t) / (sqrt(v/(1-b2^t)) + eps) = m/(sqrt(v) + eps·root) · root/(1-b1^t)
        root = sqrt(1 - beta2**step)
        eps, rate = group["eps"] * root, rate * root / (1 - beta1**step)
        for p_, g_, m, v, *top in blocks(p, g, *_moments(state)):
            d = with_decay(self, p_, g_, group)
            s = self.scratch(p_)
            m *= beta1
            m += np.multiply(d, 1 - beta1, s)
            np.multiply(d, d, s)
            s *= 1 - beta2
            v *= beta2
            v += s
            if top:
                v = np.maximum(top[0], v, out=top[0])
            np.sqrt(v, s)
            s += eps
            np.divide(m, s, s)
            s *= rate
            if shrink != 1.0:
                p_ *= shrink
            p_ -= s


def _moments(state: dict[str, Any]) -> list[Any]:
    return [v for k, v in state.items() if k != "step"]


class AdamW(Adam):
    """Adam with weight decay applied to the parameter itself (Loshchilov and Hutter 2019).

    The arguments are those of `Adam`; `weight_decay` is 0.01 by default.

    >>> import chainrule as cr
    >>> cr.optim.AdamW([cr.zeros(2, requires_grad=True)]).defaults["weight_decay"]
    0.01
    """

    def __init__(
        self, params: Any, lr: Any = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 1e-2, amsgrad: bool = False, *,
        maximize: bool = False, foreach: bool | None = None, capturable: bool = False,
        differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize,
            differentiable=differentiable, decoupled_weight_decay=True,
        )  # fmt: skip


class Adamax(Optimizer):
    """Adam with the largest recent gradient in place of the root mean square.

    Args:
        params: the tensors, or groups of them, to optimize.
        lr: the learning rate.
        betas: decay of the running mean and of the running maximum.
        eps: added to the gradient's magnitude.
        weight_decay: adds this times the parameter to its gradient.
        maximize: climb instead of descend.
    """

    def __init__(
        self, params: Any, lr: Any = 2e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0, foreach: bool | None = None, *,
        maximize: bool = False, differentiable: bool = False, capturable: bool = False,
    ) -> None:  # fmt: skip
        refuse_differentiable(differentiable)
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
                   "maximize": maximize}  # fmt: skip
        super().__init__(params, options)

    def update(self, p: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not state:
            state.update(step=0, exp_avg=zeros(p), exp_inf=zeros(p))
        state["step"] += 1
        beta1, beta2 = group["betas"]
        rate = number(group["lr"]) / (1 - beta1 ** state["step"])
        for p_, g_, m, u in blocks(p, g, state["exp_avg"], state["exp_inf"]):
            d = with_decay(self, p_, g_, group)
            s = self.scratch(p_)
            m *= beta1
            m += np.multiply(d, 1 - beta1, out=s)
            u *= beta2
            np.abs(d, out=s)
            s += group["eps"]
            np.maximum(u, s, out=u)
            np.divide(m, u, out=s)
            s *= rate
            p_ -= s


class NAdam(Optimizer):
    """Adam with Nesterov momentum (Dozat 2016).

    Args:
        params: the tensors, or groups of them, to optimize.
        lr: the learning rate.
        betas: decay of the running means of the gradient and of its square.
        eps: added to the denominator.
        weight_decay: adds this times the parameter to its gradient.
        momentum_decay: how fast the momentum approaches its final value.
        decoupled_weight_decay: shrink the parameter itself instead, as AdamW does.
        maximize: climb instead of descend.
    """

    def __init__(
        self, params: Any, lr: Any = 2e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0, momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False, *, foreach: bool | None = None,
        maximize: bool = False, capturable: bool = False, differentiable: bool = False,
    ) -> None:  # fmt: skip
        refuse_differentiable(differentiable)
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
                   "momentum_decay": momentum_decay, "maximize": maximize,
                   "decoupled_weight_decay": decoupled_weight_decay}  # fmt: skip
        super().__init__(params, options)

    def update(self, p: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not state:
            state.update(step=0, mu_product=1.0, exp_avg=zeros(p), exp_avg_sq=zeros(p))
        state["step"] += 1
        step, rate = state["step"], number(group["lr"])
        beta1, beta2 = group["betas"]
        shrink = 1.0
        if group["decoupled_weight_decay"]:
            shrink = 1 - rate * group["weight_decay"]
            group = {**group, "weight_decay": 0}
        mu = beta1 * (1 - 0.5 * 0.96 ** (step * group["momentum_decay"]))
        mu_next = beta1 * (1 - 0.5 * 0.96 ** ((step + 1) * group["momentum_decay"]))
        state["mu_product"] *= mu
        of_gradient = rate * (1 - mu) / (1 - state["mu_product"])
        of_moment = rate * mu_next / (1 - state["mu_product"] * mu_next)
        for p_, g_, m, v in blocks(p, g, state["exp_avg"], state["exp_avg_sq"]):
            if shrink != 1.0:
                p_ *= shrink
            d = with_decay(self, p_, g_, group)
            s, t = self.scratch(p_), self.scratch(p_, 2)
            m *= beta1
            m += np.multiply(d, 1 - beta1, out=s)
            np.multiply(d, d, out=s)
            s *= 1 - beta2
            v *= beta2
            v += s
            np.divide(v, 1 - beta2**step, out=s)
            np.sqrt(s, out=s)
            s += group["eps"]
            np.multiply(d, of_gradient, out=t)
            t /= s
            p_ -= t
            np.multiply(m, of_moment, out=t)
            t /= s
            p_ -= t
