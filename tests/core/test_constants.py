"""Numbers that no rule names stay on the tape, so that its equations can be shown and run again.

They change nothing else: what a backward pass checks, frees and gives is as without them.
"""

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.node import Aval, Freed
from chainrule.core.primitive import REGISTRY


def leaf(*values):
    return cr.tensor(values, dtype=cr.float64, requires_grad=True)


X = leaf(1.5, 2.5)
TWO = cr.tensor(2.0, dtype=cr.float64)
NUMBERS = {  # the operation, and its operands: None for the recorded one
    "x + 2.0": (lambda x: x + 2.0, "add", (None, 2.0)),
    "x + 2": (lambda x: x + 2, "add", (None, 2.0)),
    "2 + x": (lambda x: 2 + x, "add", (None, 2.0)),
    "x - 2": (lambda x: x - 2, "subtract", (None, 2.0)),
    "2 - x": (lambda x: 2 - x, "subtract", (2.0, None)),
    "x + NumPy's": (lambda x: x + np.float64(2), "add", (None, 2.0)),
    "x + float32": (lambda x: x + np.float32(2), "add", (None, 2.0)),
    "x + bool": (lambda x: x + True, "add", (None, 1.0)),
    "2 / x": (lambda x: 2 / x, "divide", (2.0, None)),
    "x % 2": (lambda x: x % 2, "remainder", (None, 2.0)),
    "fmod": (lambda x: cr.fmod(x, 2.0), "fmod", (None, 2.0)),
    "other dtype": (lambda x: x + TWO.float(), "add", (None, 2.0)),
    "x += 2": (lambda x: (x * 1).add_(2), "add", (None, 2.0)),
    "where": (lambda x: cr.where(x > 2, x, 2.0), "where", (None, None, 2.0)),
    "stack": (lambda x: cr.stack([x[0], TWO]), "stack", (None, 2.0)),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_kept_and_run_again(name):
    f, prim, operands = NUMBERS[name]
    out = f(X)
    node = out.node
    assert node.prim.name == prim
    again = []
    for kept, parent, number in zip(node.args, node.parents, operands, strict=True):
        if number is not None:
            assert parent is None
            assert (type(kept), kept.shape, float(kept)) == (np.ndarray, (), number)
            again.append(kept)
        elif parent is None:  # the condition of `where`
            again.append(kept)
        else:
            again.append(X.array[0] if parent.shape == () else X.array)
    params = node.params or {}
    np.testing.assert_array_equal(REGISTRY[prim].eval(*again, **params), out.detach().numpy())


def test_arrays_that_no_rule_names_are_dropped():
    b = cr.ones(2, dtype=cr.float64)
    for out in (
        X + b,
        b + cr.nn.Parameter(b),
        b - X,
        X + np.ones(2),
        X + b.float(),
        cr.cat([X, b]),
        cr.fmod(X, b),
    ):
        assert all(a is None or isinstance(a, Aval) for a in out.node.args)
    assert (X + X).node.args == (None, None)
    assert (X[0] + TWO).node.args == (None, None)  # to tell costs more than it is worth


def test_writing_to_a_number_that_no_rule_names_is_nobodys_concern():
    for f in (
        lambda x, c: x + c.float(),
        lambda x, c: c.float() - x,
        lambda x, c: cr.stack([x[0], c]),
        lambda x, c: cr.where(x > 2, x, c),
    ):
        x, c = leaf(1.5, 2.5), cr.tensor(2.0, dtype=cr.float64)
        y = f(x, c)
        c.add_(5)
        pairs = zip(y.node.args, y.node.parents, strict=True)
        numbers = [a for a, p in pairs if p is None and a.shape == ()]
        assert numbers == [2.0]  # the value of that time
        y.sum().backward()
        assert set(x.grad.abs().tolist()) <= {0.0, 1.0}
    x, c = leaf(1.5, 2.5), cr.tensor(2.0, dtype=cr.float64)
    y = x * c
    c.add_(5)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_what_is_freed_is_as_in_torch():
    torch = pytest.importorskip("torch")
    cases = {
        "add": lambda lib, x: x + 2,
        "remainder": lambda lib, x: lib.remainder(x, 2.0),
        "remainder by row": lambda lib, x: lib.remainder(x, lib.tensor([2.0, 3.0])),
        "fmod": lambda lib, x: lib.fmod(x, 2.0),
        "divide": lambda lib, x: 2 / x,
        "maximum": lambda lib, x: lib.maximum(x, lib.tensor(2.0)),
    }
    for name, f in cases.items():
        found = []
        for lib in (cr, torch):
            x = lib.tensor([1.5, 2.5], requires_grad=True)
            y = f(lib, x)
            y.sum().backward()
            try:
                y.sum().backward()
            except RuntimeError:
                found.append("freed")
            else:
                found.append(x.grad.tolist())
        assert found[0] == found[1], name
    y = 2 / X
    y.sum().backward()
    assert type(y.node.args) is Freed


def test_numbers_are_not_saved_tensors():
    for y in (X + 2, X % 2, X - TWO):
        assert not hasattr(y.grad_fn, "_saved_other")
        assert y.grad_fn.saved_tensors == ()
    packed = []
    with cr.autograd.graph.saved_tensors_hooks(lambda t: packed.append(t) or t, lambda t: t):
        y = X + 2 - TWO
    assert packed == []
    assert y.node.args[1] == 2.0


def test_derivatives_are_as_without_the_numbers():
    x = leaf(0.3, -1.2)
    f = lambda x: 2 / (x + 3) - (1 - x) % 2 + cr.where(x > 0, x * x, 5.0)
    assert cr.autograd.gradcheck(f, (x,), check_forward_ad=True)
    assert cr.autograd.gradgradcheck(f, (x,))
    _, push = cr.func.linearize(f, x.detach())
    want = cr.func.jvp(f, (x.detach(),), (cr.ones(2, dtype=cr.float64),))[1]
    np.testing.assert_allclose(push(cr.ones(2, dtype=cr.float64)).numpy(), want.numpy())
