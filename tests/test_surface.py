"""What a user touches first: values out of tensors, gradients, copies, conversions, exports."""

import copy
import math
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest

import chainrule as cr


def x_of(lib, **kwargs):
    return lib.tensor([[1.0, 2.0], [3.0, 4.0]], **kwargs)


def leaf(lib):
    return x_of(lib, requires_grad=True)


def shown(value):
    return repr(value).replace("torch.", "chainrule.")


VALUES = {
    "item": lambda lib: lib.tensor([[2.5]]).item(),
    "item_int": lambda lib: lib.tensor(3).item(),
    "item_bool": lambda lib: lib.tensor([True]).item(),
    "item_complex": lambda lib: lib.tensor(1j).item(),
    "item_of_leaf": lambda lib: lib.tensor(1.5, requires_grad=True).item(),
    "tolist": lambda lib: x_of(lib).tolist(),
    "tolist_scalar": lambda lib: lib.tensor(2).tolist(),
    "tolist_of_leaf": lambda lib: leaf(lib).tolist(),
    "numpy": lambda lib: x_of(lib).numpy().tolist(),
    "numpy_force": lambda lib: leaf(lib).numpy(force=True).tolist(),
    "asarray": lambda lib: np.asarray(x_of(lib)).dtype,
    "asarray_dtype": lambda lib: np.asarray(x_of(lib), np.float64).dtype,
    "float": lambda lib: float(lib.tensor([1.5])),
    "int": lambda lib: int(lib.tensor(2.7)),
    "int_exact": lambda lib: int(lib.tensor(2**62 + 1)),
    "complex": lambda lib: complex(lib.tensor(1.5)),
    "float_of_real_complex": lambda lib: float(lib.tensor(1.5 + 0j)),
    "bool": lambda lib: (bool(lib.tensor([0.0])), bool(lib.tensor(2))),
    "bool_of_leaf": lambda lib: bool(lib.tensor(1.0, requires_grad=True)),
    "if": lambda lib: "yes" if leaf(lib).sum() > 3 else "no",
    "index": lambda lib: [10, 20, 30][lib.tensor(1)],
    "index_bool": lambda lib: [10, 20][lib.tensor(True)],
    "range": lambda lib: list(range(lib.tensor([3]))),
    "math": lambda lib: math.sin(lib.tensor(1.0)),
    "len": lambda lib: len(x_of(lib)),
    "iterate": lambda lib: [row.tolist() for row in x_of(lib)],
    "unpack": lambda lib: [v.item() for row in x_of(lib) for v in row],
    "in": lambda lib: (2.0 in x_of(lib), 5 in x_of(lib), lib.tensor(3.0) in x_of(lib)),
    "reversed": lambda lib: reversed(lib.tensor([1, 2, 3])).tolist(),
    "format": lambda lib: f"{lib.tensor(1.23456):.2f} {lib.tensor(3)} {lib.tensor([1])}",
    "format_of_leaf": lambda lib: f"{lib.tensor(1.23456, requires_grad=True):8.3f}",
    "size": lambda lib: (x_of(lib).size(), x_of(lib).size(0), x_of(lib).size(-1)),
    "size_of_size": lambda lib: x_of(lib).shape.numel(),
    "size_slice": lambda lib: x_of(lib).shape[:1],
    "shape_is_a_tuple": lambda lib: x_of(lib).shape == (2, 2),
    "size_sums": lambda lib: (lib.Size([1]) + (2,), (0,) + lib.Size([1]), lib.Size([1, 2]) * 2),  # noqa: RUF005
    "size_of_tensors": lambda lib: lib.Size((1, lib.tensor(2))),
    "dims": lambda lib: (x_of(lib).dim(), x_of(lib).ndim, x_of(lib).ndimension()),
    "counts": lambda lib: (x_of(lib).numel(), x_of(lib).nelement(), lib.numel(x_of(lib))),
    "bytes": lambda lib: (x_of(lib).element_size(), x_of(lib).nbytes, x_of(lib).itemsize),
    "kind": lambda lib: (
        x_of(lib).is_floating_point(),
        x_of(lib).is_complex(),
        x_of(lib).is_signed(),
    ),
    "kind_function": lambda lib: (lib.is_floating_point(x_of(lib)), lib.is_complex(lib.tensor(1j))),
    "is_tensor": lambda lib: (lib.is_tensor(x_of(lib)), lib.is_tensor(np.ones(1))),
    "is_nonzero": lambda lib: (lib.is_nonzero(lib.tensor([2])), lib.is_nonzero(lib.tensor(0.0))),
    "stride": lambda lib: (x_of(lib).stride(), x_of(lib).T.stride(), x_of(lib).stride(0)),
    "offset": lambda lib: (x_of(lib)[1, 1:].storage_offset(), x_of(lib).storage_offset()),
    "contiguous": lambda lib: (
        x_of(lib).T.is_contiguous(),
        x_of(lib).T.contiguous().is_contiguous(),
    ),
    "device": lambda lib: (x_of(lib).device, x_of(lib).get_device(), x_of(lib).is_cuda),
    "type": lambda lib: (x_of(lib).type(), lib.tensor(1).type(), lib.tensor(True).type()),
    "typename": lambda lib: (lib.typename(x_of(lib)), lib.typename(3), lib.typename(3.5)),
    "to_dtype": lambda lib: x_of(lib).to(lib.float64),
    "to_device": lambda lib: x_of(lib).to("cpu"),
    "to_both": lambda lib: x_of(lib).to("cpu", lib.int64),
    "to_keywords": lambda lib: x_of(lib).to(device="cpu", dtype=lib.float16),
    "to_other": lambda lib: x_of(lib).to(lib.tensor(1)),
    "to_nothing": lambda lib: x_of(lib).to(),
    "to_recorded": lambda lib: leaf(lib).to(lib.float64),
    "double": lambda lib: leaf(lib).double(),
    "half": lambda lib: x_of(lib).half(),
    "long": lambda lib: x_of(lib).long(),
    "int_": lambda lib: x_of(lib).int(),
    "bool_": lambda lib: x_of(lib).bool(),
    "float_": lambda lib: lib.tensor([1, 2]).float(),
    "short": lambda lib: x_of(lib).short(),
    "byte": lambda lib: x_of(lib).byte(),
    "char": lambda lib: x_of(lib).char(),
    "bfloat16": lambda lib: x_of(lib).bfloat16().dtype,
    "cfloat": lambda lib: x_of(lib).cfloat(),
    "type_as": lambda lib: x_of(lib).type_as(lib.tensor(1)),
    "type_of_name": lambda lib: x_of(lib).type("torch.DoubleTensor"),
    "type_of_dtype": lambda lib: x_of(lib).type(lib.int32),
    "detach": lambda lib: leaf(lib).detach(),
    "data": lambda lib: leaf(lib).data,
    "grad": lambda lib: leaf(lib).grad,
    "requires_grad_": lambda lib: x_of(lib).requires_grad_(),
    "requires_grad_off": lambda lib: leaf(lib).requires_grad_(False),
    "detach_": lambda lib: (leaf(lib) * 2).detach_(),
    "deepcopy": lambda lib: copy.deepcopy(leaf(lib)),
    "deepcopy_parameter": lambda lib: copy.deepcopy(lib.nn.Parameter(lib.ones(2))),
    "copy": lambda lib: copy.copy(leaf(lib)),
    "pickle": lambda lib: pickle.loads(pickle.dumps(leaf(lib))),
    "pickle_parameter": lambda lib: pickle.loads(pickle.dumps(lib.nn.Parameter(lib.ones(2)))),
    "pickle_size": lambda lib: pickle.loads(pickle.dumps(x_of(lib).shape)),
    "dlpack": lambda lib: np.from_dlpack(x_of(lib)).tolist(),
    "constants": lambda lib: (lib.pi, lib.e, lib.inf, lib.newaxis),
}


@pytest.mark.parametrize("case", VALUES)
def test_as_torch_does(case):
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns of numpy.asarray and copy keywords
        theirs = shown(VALUES[case](torch))
    assert shown(VALUES[case](cr)) == theirs


def assign_grad(x, value):
    x.grad = value


def assign_data(x, value):
    x.data = value


ERRORS = {
    "size_floats": lambda lib: lib.Size([1.5]),
    "size_plus_list": lambda lib: lib.Size([1]) + [2],  # noqa: RUF005
    "item": lambda lib: x_of(lib).item(),
    "item_empty": lambda lib: lib.zeros(0).item(),
    "float_many": lambda lib: float(x_of(lib)),
    "int_many": lambda lib: int(x_of(lib)),
    "int_complex": lambda lib: int(lib.tensor(1j)),
    "bool_many": lambda lib: bool(x_of(lib)),
    "bool_empty": lambda lib: bool(lib.zeros(0)),
    "if_many": lambda lib: 1 if x_of(lib) > 0 else 0,
    "index_float": lambda lib: range(lib.tensor(2.0)),
    "index_many": lambda lib: range(lib.tensor([1, 2])),
    "len": lambda lib: len(lib.tensor(1.0)),
    "iterate": lambda lib: list(lib.tensor(1.0)),
    "in": lambda lib: "a" in lib.tensor([1]),
    "format": lambda lib: f"{x_of(lib):.2f}",
    "numpy": lambda lib: leaf(lib).numpy(),
    "asarray": lambda lib: np.asarray(leaf(lib)),
    "asarray_computed": lambda lib: np.asarray(leaf(lib) * 2),
    "size": lambda lib: x_of(lib).size(2),
    "size_scalar": lambda lib: lib.tensor(1).size(0),
    "deepcopy": lambda lib: copy.deepcopy(leaf(lib) * 2),
    "grad_number": lambda lib: assign_grad(leaf(lib), 3),
    "grad_shape": lambda lib: assign_grad(leaf(lib), lib.zeros(3)),
    "grad_dtype": lambda lib: assign_grad(leaf(lib), x_of(lib).double()),
    "data_number": lambda lib: assign_data(leaf(lib), 3),
    "data_int": lambda lib: assign_data(leaf(lib), lib.tensor([1])),
    "int_grad": lambda lib: lib.tensor([1]).requires_grad_(),
    "stop_computed": lambda lib: (leaf(lib) * 2).requires_grad_(False),
    "detach_view": lambda lib: (leaf(lib) * 2)[0].detach_(),
    "to_device": lambda lib: x_of(lib).to("foo"),
    "dlpack": lambda lib: np.from_dlpack(leaf(lib)),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_have_torchs_type(case):
    torch = pytest.importorskip("torch")
    with pytest.raises(Exception) as theirs:
        ERRORS[case](torch)
    with pytest.raises(Exception) as ours:
        ERRORS[case](cr)
    assert type(ours.value) is type(theirs.value), (ours.value, theirs.value)


@pytest.mark.parametrize(
    "use", [float, int, complex, math.sin, math.exp, np.asarray, np.array, lambda x: x.numpy()]
)
@pytest.mark.parametrize("make", [lambda x: x, lambda x: x * 2], ids=["leaf", "computed"])
def test_gradients_are_never_lost_silently(use, make):
    x = make(cr.tensor(1.5, requires_grad=True))
    with pytest.raises(RuntimeError, match="detach"):
        use(x)
    use(x.detach())
    assert x.item() in (1.5, 3.0)


def test_reading_under_no_grad():
    x = cr.tensor(1.5, requires_grad=True)
    with cr.no_grad():
        assert float(x) == 1.5
        assert int(x) == 1


def test_array_protocol():
    x = x_of(cr)
    assert np.shares_memory(np.asarray(x), x.array)
    assert not np.shares_memory(np.array(x), x.array)
    assert np.asarray(x, copy=False).dtype == np.float32
    with pytest.raises(ValueError, match="copy=False"):
        np.asarray(x, np.float64, copy=False)


def test_own_grad_is_refused():
    x = leaf(cr)
    with pytest.raises(RuntimeError, match="as its own grad"):
        x.grad = x
    x.grad = cr.ones(2, 2)
    (x * 2).sum().backward()
    assert x.grad.tolist() == [[3, 3], [3, 3]]
    x.grad = None
    assert x.grad is None
    x.grad = cr.ones(2, 2)
    del x.grad
    assert x.grad is None


def test_grad_of_what_is_not_a_leaf_warns():
    y = leaf(cr) * 2
    with pytest.warns(UserWarning, match="not a leaf Tensor"):
        assert y.grad is None
    y.retain_grad()
    assert y.grad is None
    y.sum().backward()
    assert y.grad.tolist() == [[1, 1], [1, 1]]


def test_detach_and_data_share_memory():
    x = leaf(cr)
    for alias in (x.detach(), x.data):
        assert not alias.requires_grad
        assert alias.is_leaf
        alias[0, 0] += 1.0
    assert x.tolist() == [[3, 2], [3, 4]]
    y = x.clone()
    y.numpy(force=True)[0, 0] = 7
    assert y[0, 0].item() == 7


def test_assigning_data():
    x = leaf(cr)
    x.data = cr.ones(3, dtype=cr.float64)
    (x * 2).sum().backward()
    assert x.grad.dtype is cr.float64
    assert x.grad.tolist() == [2, 2, 2]
    x.data -= 0.5 * x.grad
    assert x.tolist() == [0, 0, 0]
    assert x.requires_grad
    y = x * 2
    with pytest.raises(RuntimeError, match="computed can only be replaced"):
        y.data = cr.ones(4)
    y.data = cr.ones(3, dtype=cr.float64)
    assert y.tolist() == [1, 1, 1]


def test_overwriting_detached_memory_is_noticed():
    x = leaf(cr)
    y = (x * x).sum()
    x.detach().zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_conversions_return_the_tensor_itself_if_nothing_changes():
    x = leaf(cr)
    assert x.to(cr.float32) is x
    assert x.float() is x
    assert x.cpu() is x
    assert x.to("cpu", copy=True) is not x
    assert x.contiguous() is x
    assert x.to(cr.float64, non_blocking=True).dtype is cr.float64


def test_gradients_pass_through_conversions():
    x = leaf(cr)
    (x.double() * 2).to(cr.float16).float().sum().backward()
    assert x.grad.dtype is cr.float32
    assert x.grad.tolist() == [[2, 2], [2, 2]]


def test_deepcopy_keeps_identity_gradient_and_attributes():
    x = leaf(cr)
    x.grad = cr.ones(2, 2)
    x.note = ["mine"]
    found = copy.deepcopy([x, x])
    assert found[0] is found[1]
    assert found[0] is not x
    assert found[0].grad.tolist() == [[1, 1], [1, 1]]
    assert found[0].note == ["mine"]
    assert found[0].note is not x.note
    found[0].detach()[0] = 0.0
    assert x.tolist() == [[1, 2], [3, 4]]


def test_old_constructor():
    assert cr.Tensor([1, 2]).dtype is cr.float32
    with pytest.raises(TypeError, match=r"use chainrule\.tensor"):
        cr.Tensor([1.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="negative"):
        cr.Tensor(-1)


def test_every_exported_name_exists():
    for name in cr.__all__:
        assert hasattr(cr, name), name
    assert len(cr.__all__) == len(set(cr.__all__))
    scope: dict = {}
    exec("from chainrule import *", scope)
    assert scope["tensor"] is cr.tensor
    assert cr.relu_ is cr.relu_
    assert cr.exp_(cr.zeros(1)).tolist() == [1]
    assert cr.conv2d is cr.nn.functional.conv2d or callable(cr.conv2d)


def test_portable_programs_find_the_cpu():
    assert not cr.cuda.is_available()
    assert cr.cuda.device_count() == cr.accelerator.device_count() == 0
    assert not cr.accelerator.is_available()
    assert cr.accelerator.current_accelerator() is None
    assert not cr.backends.mps.is_available()
    cr.backends.cudnn.deterministic = True
    cr.cuda.manual_seed_all(0)


def test_unknown_names():
    with pytest.raises(AttributeError, match="module 'chainrule' has no attribute 'tenser'"):
        cr.tenser
    assert not hasattr(cr, "_private")


def test_submodules_are_imported_on_first_use():
    code = (
        "import sys, chainrule as cr; before = set(sys.modules); "
        "lazy = [m for m in ('chainrule.nn', 'chainrule.optim', 'chainrule.serialization', "
        "'numpy.random') if m in before]; cr.optim, cr.nn.Linear, cr.linalg, cr.save; print(lazy)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_methods_of_networks_work_before_their_module_is_imported():
    code = "import chainrule as cr; print(cr.tensor([0.1, 2.0]).hardshrink().tolist(), cr.conv2d)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.startswith("[0.0, 2.0] <function conv2d")


def test_programs_written_for_pytorch_run():
    """The value table of the basic tutorials."""
    torch = cr
    x = torch.arange(4.0, requires_grad=True)
    y = 2 * torch.dot(x, x)
    assert repr(y) == "tensor(28., grad_fn=<MulBackward0>)"
    y.backward()
    assert repr(x.grad) == "tensor([ 0.,  4.,  8., 12.])"
    assert (x.grad == 4 * x).tolist() == [True] * 4
    x.grad.zero_()
    x.sum().backward()
    assert x.grad.tolist() == [1] * 4
    x.grad.zero_()
    y = x * x
    y.backward(gradient=torch.ones(len(y)))
    u = y.detach()
    x.grad.zero_()
    (u * x).sum().backward()
    assert (x.grad == u).all()

    def f(a):
        b = a * 2
        while b.norm() < 1000:
            b = b * 2
        return b if b.sum() > 0 else 100 * b

    for value in (0.8392, -1.7):
        a = torch.tensor(value, requires_grad=True)
        d = f(a)
        d.backward()
        assert a.grad == d / a
