"""Outputs that are integers or booleans: refused alone, harmless beside others."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.func import (
    divergence,
    grad,
    grad_and_value,
    hessian,
    hessian_diagonal,
    hvp,
    jacfwd,
    jacrev,
    jvp,
    laplacian,
    linearize,
    mixed_derivative,
    nth_derivative,
    ode_series,
    taylor,
    vjp,
    vmap,
)

from .programs import POINT, near
from .test_bad_input import ONE, X, _nothing_is_left_running  # noqa: F401

COUNT = lambda x: (x > 0).sum()  # an integer
MASK = lambda x: x > 0
NO_OUTPUT_HAS_A_DERIVATIVE = {
    "grad": lambda: grad(COUNT)(X),
    "grad_and_value": lambda: grad_and_value(COUNT)(X),
    "grad of bool": lambda: grad(lambda x: (x > 0).any())(X),
    "grad beside aux": lambda: grad(lambda x: (COUNT(x), x), has_aux=True)(X),
    "vjp": lambda: vjp(COUNT, X)[1](ONE),
    "vjp of a mask": lambda: vjp(MASK, X)[1](X),
    "vjp of two": lambda: vjp(lambda x: (x.argmax(), x > 0), X)[1](ONE, X),
    "jacrev": lambda: jacrev(MASK)(X),
    "jacfwd": lambda: jacfwd(MASK)(X),
    "hessian": lambda: hessian(COUNT)(X),
    "hvp": lambda: hvp(COUNT, X, X),
    "laplacian": lambda: laplacian(COUNT)(X),
    "hessian_diagonal": lambda: hessian_diagonal(COUNT)(X),
    "divergence": lambda: divergence(MASK)(X),
    "nth_derivative": lambda: nth_derivative(MASK, 1)(X),
    "mixed_derivative": lambda: mixed_derivative(COUNT, X, [X, X]),
}


@pytest.mark.parametrize("case", NO_OUTPUT_HAS_A_DERIVATIVE)
def test_outputs_without_a_derivative(case):
    """JAX refuses grad and jacrev, PyTorch vjp and jacrev; zeros would hide the mistake."""
    words = rf"{case.split()[0]}.*floating-point.*dtype chainrule.(int64|bool).*smooth"
    with pytest.raises(RuntimeError, match=words):
        NO_OUTPUT_HAS_A_DERIVATIVE[case]()


def test_outputs_without_a_derivative_under_other_transforms():
    with pytest.raises(RuntimeError, match=r"grad\(f\).*dtype chainrule.bool"):
        vmap(grad(MASK))(X)
    with pytest.raises(RuntimeError, match=r"grad\(f\).*dtype chainrule.bool"):
        jvp(lambda x: grad(MASK)(x), (ONE,), (ONE,))
    with pytest.raises(RuntimeError, match=r"grad\(f\).*dtype chainrule.int64"):
        grad(lambda x: grad(COUNT)(x).sum())(X)


def test_outputs_without_a_derivative_beside_others_that_have_one():
    """As JAX: such an output is constant wherever it is smooth, and its tangent is zero."""
    both = lambda x: (x.max(), x.argmax())
    top = np.eye(3)[POINT.argmax()]
    (value, index), pull = vjp(both, X)
    assert (value.item(), index.item()) == (POINT.max(), POINT.argmax())
    near(pull(ONE, cr.tensor(0))[0], top)
    near(jacfwd(both)(X)[0], top)
    assert jacfwd(both)(X)[1].tolist() == [0, 0, 0]
    near(laplacian(lambda x: (cr.sum(x**2), x.argmax()))(X)[0], 6.0)
    assert jvp(both, (X,), (X,))[1][1].item() == 0
    found, aux = grad(both, has_aux=True)(X)
    near(found, top)
    assert aux.item() == POINT.argmax()


def test_outputs_without_a_derivative_have_tangents_that_are_zero():
    """As PyTorch: a program carries tangents along whatever it computes on its way."""
    assert jvp(cr.argmax, (X,), (X,))[1].item() == 0
    assert linearize(cr.argmax, X)[1](X).item() == 0
    assert [c.item() for c in taylor(cr.argmax, X, order=2)[1:]] == [0, 0]
    near(ode_series(lambda y: y > 0, X, 2)[1], (POINT > 0).astype(float))
