"""Function transforms, with the names of `torch.func`: see `docs/transforms.md`."""

from __future__ import annotations

from chainrule.custom import custom_jvp, custom_rule, custom_vjp
from chainrule.func_modules import (
    functional_call,
    replace_all_batch_norm_modules_,
    stack_module_state,
)
from chainrule.transforms.gradient import grad, grad_and_value, vjp
from chainrule.transforms.jacobian import hessian, jacfwd, jacrev
from chainrule.transforms.mapping import vmap
from chainrule.transforms.second_order import divergence, hessian_diagonal, hvp, laplacian
from chainrule.transforms.series import mixed_derivative, nth_derivative, ode_series, taylor
from chainrule.transforms.tangents import jvp, linearize

__all__ = [
    "custom_jvp",
    "custom_rule",
    "custom_vjp",
    "divergence",
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "hessian_diagonal",
    "hvp",
    "jacfwd",
    "jacrev",
    "jvp",
    "laplacian",
    "linearize",
    "mixed_derivative",
    "nth_derivative",
    "ode_series",
    "replace_all_batch_norm_modules_",
    "stack_module_state",
    "taylor",
    "vjp",
    "vmap",
]
