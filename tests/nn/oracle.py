"""Comparison with PyTorch: values, gradients, dtypes and errors of the same call in both."""

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F

torch = pytest.importorskip("torch")
TF = torch.nn.functional


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def to(library, value, grad=False):
    """An array as a tensor of the library; floating-point ones may require grad."""
    if isinstance(value, (tuple, list)) and any(isinstance(v, np.ndarray) for v in value):
        return [to(library, v) for v in value]
    if not isinstance(value, np.ndarray):
        return value
    t = library.tensor(value)
    return t.requires_grad_() if grad and value.dtype.kind in "fc" else t


def values(result):
    """The tensors of a result, as arrays."""
    parts = result if isinstance(result, (tuple, list)) else (result,)
    return [p.detach().numpy() for p in parts]


def call(library, function, args, kwargs):
    inputs = [to(library, a, grad=True) for a in args]
    result = function(*inputs, **{k: to(library, v) for k, v in kwargs.items()})
    first = result[0] if isinstance(result, (tuple, list)) else result
    return result, first, [x for x in inputs if getattr(x, "requires_grad", False)]


def compare(name, *args, tol=1e-10, **kwargs):
    """The same call in both libraries: equal results and equal gradients of every argument."""
    ours, our_first, our_leaves = call(cr, getattr(F, name), args, kwargs)
    theirs, their_first, their_leaves = call(torch, getattr(TF, name), args, kwargs)
    for a, b in zip(values(ours), values(theirs), strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=tol, atol=tol)
    if not their_first.requires_grad:
        return
    g = normal(*their_first.shape, seed=5).astype(values(theirs)[0].dtype)
    our_grads = cr.autograd.grad(our_first, our_leaves, cr.tensor(g), allow_unused=True)
    their_grads = torch.autograd.grad(their_first, their_leaves, torch.tensor(g), allow_unused=True)
    for a, b in zip(our_grads, their_grads, strict=True):
        if a is None or b is None:  # no gradient at all on one side: at most zeros on the other
            assert all(g is None or not g.numpy().any() for g in (a, b))
            continue
        assert a.numpy().dtype == b.numpy().dtype
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=tol, atol=tol)


def compare_float32(name, *args, **kwargs):
    """As `compare`, in single precision."""
    single = [
        a.astype(np.float32) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a
        for a in args
    ]
    compare(name, *single, tol=3e-5, **kwargs)


def compare_errors(name, *args, start=30, **kwargs):
    """The same mistake in both libraries: the same type of error, beginning with the same words."""
    with pytest.raises(Exception) as theirs:
        call(torch, getattr(TF, name), args, kwargs)
    with pytest.raises(theirs.type) as ours:
        call(cr, getattr(F, name), args, kwargs)
    assert str(ours.value).startswith(str(theirs.value)[:start].rstrip("."))
