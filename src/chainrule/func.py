"""Function transforms, with the names of `torch.func`: see `docs/transforms.md`."""

from __future__ import annotations

from chainrule.custom import custom_jvp, custom_rule, custom_vjp
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
    "hessian_diagonal",
    "hvp",
    "laplacian",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "mixed_derivative",
    "nth_derivative",
    "ode_series",
    "taylor",
    "vjp",
    "vmap",
]
