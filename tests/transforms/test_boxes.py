"""Boxes as Python objects: what they say of their values, and what they refuse."""

import copy
import pickle

import numpy as np
import pytest

import chainrule as cr
from chainrule import func
from tests.transforms import public_checks as checks

from .places import A, B, M, put

# ---------------------------------------------------------------- boxes as Python objects


def in_jvp(use):
    found = []
    func.jvp(lambda x: (found.append(use(x)), x)[1], (cr.tensor(A),), (cr.tensor(B),))
    return found[0]


def in_vmap(use):
    found = []
    func.vmap(lambda x: (found.append(use(x)), x)[1])(cr.tensor(M))
    return found[0]


def test_values_of_a_dual_are_those_of_its_primal():
    assert in_jvp(lambda x: x[0].item()) == A[0]
    assert in_jvp(lambda x: bool(x[0] > 0)) is True
    assert in_jvp(lambda x: x.tolist()) == A.tolist()
    assert in_jvp(lambda x: f"{x[1]:.1f}") == "-1.2"
    assert in_jvp(lambda x: x[1] in x) is True
    assert in_jvp(lambda x: x.detach().numpy()).tolist() == A.tolist()
    assert in_jvp(lambda x: x.numpy(force=True)).tolist() == A.tolist()


CONVERSIONS = [
    lambda x: x.numpy(), np.asarray, lambda x: float(x[0]), lambda x: int(x[0]),
    lambda x: complex(x[0]),
]  # fmt: skip


@pytest.mark.parametrize("convert", CONVERSIONS)
def test_a_dual_is_not_silently_detached(convert):
    with pytest.raises(RuntimeError, match=r"carries derivatives \(jvp\)"):
        in_jvp(convert)


VALUES = [
    *CONVERSIONS, lambda x: x[0].item(), lambda x: bool(x[0] > 0), lambda x: x.tolist(),
    lambda x: 1 if x[0] else 2, lambda x: x.numpy(force=True), lambda x: range(x[0].long()),
    lambda x: cr.allclose(x, x), lambda x: cr.equal(x, x), lambda x: 1.0 in x,
    lambda x: cr.full((2,), x[0]), lambda x: cr.tensor([x[0], x[1]]), lambda x: f"{x[0]:.1f}",
    lambda x: x.split(x[0].long()), lambda x: x[: x[0].long()], lambda x: cr.arange(x[0]),
    lambda x: x.data_ptr(), lambda x: x.storage(),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*copies the entries")
@pytest.mark.parametrize("look", VALUES)
def test_values_of_a_mapped_tensor_are_not_to_be_had(look):
    with pytest.raises(RuntimeError, match="vmap: this looks at the values"):
        in_vmap(look)


DYNAMIC = [
    lambda x: x[x > 0], lambda x: x.masked_select(x > 0), lambda x: x.nonzero(),
    lambda x: cr.argwhere(x), lambda x: cr.where(x > 0), lambda x: put(x, x > 0, x[:2]),
    lambda x: cr.repeat_interleave(x, x.long(), dim=0),
]  # fmt: skip


@pytest.mark.parametrize("look", DYNAMIC)
def test_shapes_that_depend_on_mapped_values_are_refused(look):
    with pytest.raises(RuntimeError, match=r"dynamic shape.*(use|repeat) "):
        in_vmap(look)


@pytest.mark.parametrize("where", [in_jvp, in_vmap])
def test_boxes_are_tensors(where):
    assert where(lambda x: isinstance(x, cr.Tensor) and cr.is_tensor(x))
    assert where(lambda x: len({x, x, x.clone()})) == 2
    assert where(lambda x: (x.requires_grad, x.is_leaf, x.grad)) == (False, True, None)
    assert where(lambda x: (len(x), x.shape, x.ndim, x.numel(), x.dtype)) == (
        3, (3,), 1, 3, cr.float64,
    )  # fmt: skip
    assert where(lambda x: [row.shape for row in x]) == [()] * 3
    assert where(lambda x: x.stride() == (1,) and x.is_contiguous())


@pytest.mark.parametrize("where", [in_jvp, in_vmap])
def test_boxes_do_not_leave_their_transform(where):
    with pytest.raises(RuntimeError, match=r"deepcopy.*clone\(\)"):
        where(copy.deepcopy)
    with pytest.raises(RuntimeError, match="pickle"):
        where(pickle.dumps)
    with pytest.raises(RuntimeError, match=r"to call Tensor\.requires_grad_\(\)"):
        where(lambda x: x.requires_grad_())
    with pytest.raises(RuntimeError, match="resize"):
        where(lambda x: x.resize_(2))


def test_a_box_over_a_recorded_tensor_requires_grad():
    x = cr.tensor(A)
    seen = []
    func.grad(lambda x: func.vmap(lambda v: (seen.append(v.requires_grad), v)[1])(x).sum())(x)
    assert seen == [True]


def test_detached_boxes():
    assert type(in_jvp(lambda x: x.detach())) is cr.Tensor
    assert in_jvp(lambda x: x.clone().detach_().tolist()) == A.tolist()
    _, t = func.jvp(lambda x: x * x.detach(), (cr.tensor(A),), (cr.tensor(B),))
    checks.close(t, cr.tensor(A * B))
    checks.close(func.vmap(lambda x: x.data * 2)(cr.tensor(M)), cr.tensor(2 * M))
    with pytest.warns(UserWarning, match="copy construct"):
        checks.close(func.vmap(lambda x: cr.tensor(x) * 2)(cr.tensor(M)), cr.tensor(2 * M))


def test_nothing_loses_the_derivative_in_silence():
    with pytest.raises(TypeError, match=r"fill_value.*would be lost"):
        in_jvp(lambda x: cr.full((2,), x[0]))
    with pytest.raises(TypeError, match="has no derivative rule"):
        in_jvp(lambda x: np.spacing(x))
    with pytest.raises(TypeError, match="where its gradient would be lost"):
        in_jvp(lambda x: np.add(x, 1.0, out=np.empty(3)))
    with pytest.raises(RuntimeError, match="reads the bits"):
        in_jvp(lambda x: x.view(cr.int64))
    with pytest.warns(UserWarning, match="loses their gradient"):
        in_jvp(lambda x: cr.tensor([x[0], x[1]]))


def test_parts_of_complex_numbers():
    def f(z):
        w = z.clone()
        w.real = w.real * 2
        w.imag = 0.5
        cr.view_as_real(w)[..., 1].mul_(3)
        return w * z

    checks.check_vmap(f, (A + 1j * B,))
    checks.check_jvp(f, (A + 1j * B,))


def test_boxes_print_what_they_are():
    assert in_jvp(lambda x: repr(x[:1])).startswith("Dual(primal=tensor([0.7000]")
    assert in_vmap(lambda x: repr(x[0])).startswith("Batched(size=2, tensor([0.7000, 0.2000]")
