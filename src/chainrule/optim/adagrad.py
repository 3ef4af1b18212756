"""Adagrad: the gradient divided by the root of the sum of its squares."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.tensor import wrap
from chainrule.optim.optimizer import Optimizer, blocks, number, with_decay
from chainrule.optim.sgd import refuse_differentiable


class Adagrad(Optimizer):
    """The gradient divided by the root of the sum of all its squares (Duchi et al. 2011).

    Args:
        params: the tensors, or groups of them, to optimize.
        lr: the learning rate.
        lr_decay: how fast the learning rate falls with the number of steps.
        weight_decay: adds this times the parameter to its gradient.
        initial_accumulator_value: where the sum of squares starts.
        eps: added to the denominator.
        maximize: climb instead of descend.

    Raises:
        ValueError: for an option out of range.
    """

    def __init__(
        self, params: Any, lr: Any = 1e-2, lr_decay: float = 0, weight_decay: float = 0,
        initial_accumulator_value: float = 0, eps: float = 1e-10, foreach: bool | None = None, *,
        maximize: bool = False, differentiable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        refuse_differentiable(differentiable)
        options = {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, options)

    def check_options(self, group: dict[str, Any]) -> None:
        super().check_options(group)
        for key in ("lr_decay", "initial_accumulator_value"):
            if not group[key] >= 0:
                raise ValueError(f"Invalid {key} value: {group[key]}; it must not be negative")

    def update(self, p: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        if not state:
            start = group["initial_accumulator_value"]
            start = complex(start, start) if p.dtype.kind == "c" else start
            state.update(step=0, sum=wrap(np.full_like(p, start)))
        state["step"] += 1
        rate = number(group["lr"]) / (1 + (state["step"] - 1) * group["lr_decay"])
        for p_, g_, total in blocks(p, g, state["sum"]):
            d = with_decay(self, p_, g_, group)
            s = self.scratch(p_)
            total += np.multiply(d, d, out=s)
            np.sqrt(total, out=s)
            s += group["eps"]
            np.divide(d, s, out=s)
            s *= rate
            p_ -= s
