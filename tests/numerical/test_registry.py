"""Every primitive passes gradcheck and gradgradcheck, in all their modes."""

import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.primitive import REGISTRY
from chainrule.core.tensor import set_requires_grad, wrap
from tests.ops.checks import differentiable_args

LARGE = 150  # entries of all arguments together: the numerical Jacobian would take long


def cases():
    for name, prim in sorted(REGISTRY.items()):
        if prim.differentiable and prim.samples is not None:
            yield pytest.param(prim, id=name)


@pytest.mark.parametrize("prim", list(cases()))
def test_gradcheck(prim):
    for sample in list(prim.samples())[:3]:
        positions = differentiable_args(prim, sample)
        if not positions or sum(np.size(a) for a in sample.args) > LARGE:
            continue
        args = [wrap(a.copy()) if isinstance(a, np.ndarray) else a for a in sample.args]
        for i in positions:
            set_requires_grad(args[i], True)
        f = lambda *xs, params=sample.params: prim(*xs, **params)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.filterwarnings("ignore", message=".*has no batching rule")
            assert cr.autograd.gradcheck(
                f, args, check_forward_ad=True, check_batched_grad=True,
                check_batched_forward_grad=True, check_grad_dtypes=True,
            )  # fmt: skip
            assert cr.autograd.gradgradcheck(
                f, args, check_fwd_over_rev=True, fast_mode=True, atol=1e-4
            )
