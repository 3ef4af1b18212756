"""Tensors from data, from a shape, like another tensor, and as ranges; compared with PyTorch."""

import decimal

import numpy as np
import pytest

import chainrule as cr


def same(ours, theirs):
    assert str(ours.dtype).split(".")[-1] == str(theirs.dtype).split(".")[-1]
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert ours.requires_grad == theirs.requires_grad
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-5, atol=1e-7)


DATA = [
    1,
    1.5,
    True,
    1j,
    -3,
    [],
    [[]],
    [[], []],
    [1, 2],
    [1, 2.5],
    [True, 2],
    [True, 2.5, 1j],
    [[1, 2], [3, 4]],
    ((1, 2), [3, 4]),
    range(4),
    [range(2), range(2)],
    [[[1.0]]],
    [1.0, float("nan")],
    np.float64(1),
    np.float32(1),
    np.int8(3),
    np.bool_(True),
    np.complex128(1j),
    np.float16(2),
    [np.float64(1)],
    [np.float32(1)],
    [np.int32(1), 2.5],
    [np.int32(1), 3],
    [np.float32(1), 2.5],
    [np.bool_(True)],
    np.arange(3),
    np.ones((2, 2)),
    np.array(3.0),
    np.zeros((0, 3)),
    np.uint8([1, 255]),
    np.ones((2, 3)).T,
    np.ones(4)[::2],
    2**62,
    [-(2**63)],
]


@pytest.mark.parametrize("data", DATA, ids=repr)
def test_tensor_of_data(data):
    torch = pytest.importorskip("torch")
    same(cr.tensor(data), torch.tensor(data))
    same(cr.as_tensor(data), torch.as_tensor(data))
    same(cr.asarray(data), torch.asarray(data))


@pytest.mark.parametrize("data", [1.5, [1, 2], [1.7, -1.7], [True, False], np.arange(3), [255]])
@pytest.mark.parametrize(
    "dt", ["float32", "float64", "float16", "int64", "int32", "uint8", "bool", "complex64"]
)
def test_tensor_with_dtype(data, dt):
    torch = pytest.importorskip("torch")
    if dt == "uint8" and isinstance(data, list) and data[-1] == -1.7:
        return  # undefined in C
    same(cr.tensor(data, dtype=getattr(cr, dt)), torch.tensor(data, dtype=getattr(torch, dt)))


def test_tensor_of_tensors():
    found = cr.tensor([cr.tensor(1.0), cr.tensor(2)])
    assert found.dtype is cr.float32
    assert found.tolist() == [1.0, 2.0]
    rows = cr.tensor([cr.tensor([1, 2]), cr.tensor([3, 4])])
    assert rows.tolist() == [[1, 2], [3, 4]]
    assert cr.tensor([[cr.tensor(1.0, dtype=cr.float64), 2]]).dtype is cr.float64


def test_lost_gradients_are_announced():
    x = cr.tensor(1.0, requires_grad=True)
    with pytest.warns(UserWarning, match=r"chainrule\.stack"):
        assert not cr.tensor([x, x]).requires_grad
    with pytest.warns(UserWarning, match=r"sourceTensor\.detach\(\)\.clone"):
        assert not cr.tensor(x).requires_grad
    assert cr.as_tensor(x) is x
    assert cr.as_tensor(x, dtype=cr.float64).grad_fn is not None
    assert not cr.asarray(x).requires_grad


def test_copies_and_shared_memory():
    a = np.zeros(2)
    for make, shares in (
        (cr.tensor, False), (cr.as_tensor, True), (cr.from_numpy, True), (cr.asarray, True),
        (lambda v: cr.asarray(v, copy=True), False), (cr.from_dlpack, True),
        (lambda v: cr.as_tensor(v, dtype=cr.float32), False),
    ):  # fmt: skip
        assert np.shares_memory(make(a).array, a) is shares
    with pytest.raises(ValueError, match="copy=False"):
        cr.asarray([1.0], copy=False)
    assert cr.tensor(np.ones((2, 3)).T).is_contiguous()


def test_foreign_byte_order():
    swapped = np.arange(3, dtype=">f8")
    assert cr.tensor(swapped).tolist() == [0, 1, 2]
    assert cr.tensor(swapped).dtype is cr.float64
    with pytest.raises(ValueError, match="byte order"):
        cr.from_numpy(swapped)


def test_default_dtype_decides():
    cr.set_default_dtype(cr.float64)
    try:
        for x in (cr.tensor(1.0), cr.zeros(1), cr.arange(1.0), cr.full((1,), 1.0), cr.eye(1),
                  cr.linspace(0, 1, 2), cr.rand(1), cr.tensor([1, 2]) / 2):  # fmt: skip
            assert x.dtype is cr.float64
        assert cr.tensor(1j).dtype is cr.complex128
    finally:
        cr.set_default_dtype(cr.float32)
    with pytest.raises(TypeError, match="only floating-point types"):
        cr.set_default_dtype(cr.int32)


class ArrayLike:
    def __array__(self, dtype=None, copy=None):
        return np.array([1, 2], np.int32)


def test_other_arrays():
    assert cr.tensor(ArrayLike()).dtype is cr.int32
    assert cr.tensor([ArrayLike(), ArrayLike()]).shape == (2, 2)


CREATED = {
    "zeros": lambda lib: lib.zeros(2, 3),
    "zeros_tuple": lambda lib: lib.zeros((2, 3)),
    "zeros_list": lambda lib: lib.zeros([2]),
    "zeros_scalar": lambda lib: lib.zeros(()),
    "zeros_size": lambda lib: lib.zeros(size=(2, 3)),
    "zeros_empty": lambda lib: lib.zeros(0, 3),
    "zeros_of_shape": lambda lib: lib.zeros(lib.ones(2, 3).shape),
    "zeros_numpy_int": lambda lib: lib.zeros(np.int64(2), np.int32(3)),
    "ones": lambda lib: lib.ones(2, dtype=lib.int32),
    "ones_grad": lambda lib: lib.ones(2, requires_grad=True),
    "ones_python_dtype": lambda lib: lib.ones(2, dtype=float),
    "ones_python_int": lambda lib: lib.ones(2, dtype=int),
    "ones_python_bool": lambda lib: lib.ones(2, dtype=bool),
    "ones_python_complex": lambda lib: lib.ones(2, dtype=complex),
    "ones_device": lambda lib: lib.ones(2, device="cpu"),
    "ones_device_object": lambda lib: lib.ones(2, device=lib.device("cpu")),
    "ones_layout": lambda lib: lib.ones(2, layout=lib.strided),
    "full": lambda lib: lib.full((2,), 3),
    "full_float": lambda lib: lib.full((2,), 3.5),
    "full_bool": lambda lib: lib.full((2,), True),
    "full_complex": lambda lib: lib.full((2,), 1j),
    "full_dtype": lambda lib: lib.full((2,), 3, dtype=lib.float64),
    "full_tensor": lambda lib: lib.full((2,), lib.tensor(3.0)),
    "zeros_like": lambda lib: lib.zeros_like(lib.tensor([[1, 2]])),
    "ones_like": lambda lib: lib.ones_like(lib.tensor([1.0]), dtype=lib.int64),
    "full_like": lambda lib: lib.full_like(lib.tensor([1, 2]), 7),
    "like_preserve": lambda lib: lib.zeros_like(lib.ones(2), memory_format=lib.preserve_format),
    "arange": lambda lib: lib.arange(5),
    "arange_float": lambda lib: lib.arange(5.0),
    "arange_empty": lambda lib: lib.arange(0),
    "arange_half": lambda lib: lib.arange(2.5),
    "arange_start": lambda lib: lib.arange(1, 4),
    "arange_step": lambda lib: lib.arange(1, 10, 3),
    "arange_down": lambda lib: lib.arange(5, 0, -2),
    "arange_tenth": lambda lib: lib.arange(0, 1, 0.1),
    "arange_dtype": lambda lib: lib.arange(5, dtype=lib.float32),
    "arange_tensor": lambda lib: lib.arange(lib.tensor(3)),
    "arange_keywords": lambda lib: lib.arange(start=1, end=3, step=1),
    "arange_grad": lambda lib: lib.arange(4.0, requires_grad=True),
    "arange_int_dtype": lambda lib: lib.arange(0.5, 4, dtype=lib.int64),
    "arange_numpy": lambda lib: lib.arange(np.int64(3)),
    "linspace": lambda lib: lib.linspace(-10, 10, 6),
    "linspace_one": lambda lib: lib.linspace(2, 5, 1),
    "linspace_none": lambda lib: lib.linspace(2, 5, 0),
    "linspace_int": lambda lib: lib.linspace(0, 10, 5, dtype=lib.int64),
    "linspace_double": lambda lib: lib.linspace(0, 1, 11, dtype=lib.float64),
    "linspace_steps": lambda lib: lib.linspace(0, 1, steps=3),
    "linspace_tensor": lambda lib: lib.linspace(lib.tensor(0.0), lib.tensor(1.0), 3),
    "logspace": lambda lib: lib.logspace(-2, 2, 5),
    "logspace_base": lambda lib: lib.logspace(0, 4, 5, 2),
    "eye": lambda lib: lib.eye(3),
    "eye_wide": lambda lib: lib.eye(2, 3, dtype=lib.int64),
    "scalar_tensor": lambda lib: lib.scalar_tensor(3),
    "new_tensor": lambda lib: lib.zeros(2, dtype=lib.float64).new_tensor([1, 2]),
    "new_zeros": lambda lib: lib.zeros(2, dtype=lib.int32).new_zeros(2, 3),
    "new_ones": lambda lib: lib.zeros(2).new_ones((2, 3), dtype=lib.int64),
    "new_full": lambda lib: lib.zeros(2).new_full((2,), 3),
    "hann": lambda lib: lib.hann_window(7),
    "hann_symmetric": lambda lib: lib.hann_window(7, periodic=False),
    "hann_double": lambda lib: lib.hann_window(6, dtype=lib.float64),
    "hann_one": lambda lib: lib.hann_window(1),
    "hann_none": lambda lib: lib.hann_window(0),
    "bartlett": lambda lib: lib.bartlett_window(7),
    "bartlett_symmetric": lambda lib: lib.bartlett_window(6, False),
    "blackman": lambda lib: lib.blackman_window(7),
    "hamming": lambda lib: lib.hamming_window(7),
    "hamming_other": lambda lib: lib.hamming_window(6, False, 0.6, 0.4),
    "kaiser": lambda lib: lib.kaiser_window(7),
    "kaiser_other": lambda lib: lib.kaiser_window(6, False, 5.0),
    "frombuffer": lambda lib: lib.frombuffer(bytearray(range(8)), dtype=lib.int16, offset=2),
    "legacy": lambda lib: lib.Tensor([1, 2]),
    "legacy_empty": lambda lib: lib.Tensor(),
    "legacy_tensor": lambda lib: lib.Tensor(lib.tensor([1.0])),
}


@pytest.mark.parametrize("case", CREATED)
def test_created_as_torch_does(case):
    torch = pytest.importorskip("torch")
    same(CREATED[case](cr), CREATED[case](torch))


def test_empty_has_the_shape():
    assert cr.empty(2, 3).shape == cr.empty_like(cr.zeros(2, 3)).shape == (2, 3)
    assert cr.Tensor(2, 3).shape == cr.zeros(1).new_empty(2, 3).shape == (2, 3)


def test_out():
    out = cr.empty(3)
    assert cr.zeros(3, out=out) is out
    assert cr.arange(3.0, out=out) is out
    assert out.tolist() == [0, 1, 2]


loop: list = []
loop.append(loop)
ERRORS = {
    "ragged": lambda lib: lib.tensor([[1, 2], [3]]),
    "not_a_sequence": lambda lib: lib.tensor([[1, 2], 3]),
    "too_deep": lambda lib: lib.tensor([1, [2]]),
    "too_deep_inside": lambda lib: lib.tensor([[1, 2], [3, [4]]]),
    "none": lambda lib: lib.tensor(None),
    "none_inside": lambda lib: lib.tensor([None]),
    "text": lambda lib: lib.tensor("a"),
    "text_inside": lambda lib: lib.tensor(["a"]),
    "dict": lambda lib: lib.tensor({1: 2}),
    "set": lambda lib: lib.tensor({1, 2}),
    "generator": lambda lib: lib.tensor(x for x in [1]),
    "decimal": lambda lib: lib.tensor(decimal.Decimal(1)),
    "large": lambda lib: lib.tensor(10**30),
    "large_inside": lambda lib: lib.tensor([10**30]),
    "too_large": lambda lib: lib.tensor(2**63),
    "byte": lambda lib: lib.tensor(300, dtype=lib.uint8),
    "complex_to_real": lambda lib: lib.tensor(1 + 2j, dtype=lib.float32),
    "complex_to_int": lambda lib: lib.tensor([1j], dtype=lib.int64),
    "int_grad": lambda lib: lib.tensor([1, 2], requires_grad=True),
    "object_array": lambda lib: lib.tensor(np.array([None])),
    "text_array": lambda lib: lib.tensor(np.array(["a"])),
    "datetime": lambda lib: lib.tensor(np.array(["2020-01-01"], "M8[D]")),
    "positional_dtype": lambda lib: lib.tensor([1.0], lib.float32),
    "from_list": lambda lib: lib.from_numpy([1]),
    "from_objects": lambda lib: lib.from_numpy(np.array([None])),
    "zeros_negative": lambda lib: lib.zeros(-1),
    "zeros_float": lambda lib: lib.zeros(2.5),
    "zeros_float_inside": lambda lib: lib.zeros((2, 2.5)),
    "zeros_text": lambda lib: lib.zeros("a"),
    "zeros_nothing": lambda lib: lib.zeros(),
    "zeros_keyword": lambda lib: lib.zeros(2, dtyp=lib.int64),
    "zeros_like_list": lambda lib: lib.zeros_like([1]),
    "full_int": lambda lib: lib.full(2, 1),
    "full_text": lambda lib: lib.full((2,), "a"),
    "arange_zero": lambda lib: lib.arange(0, 10, 0),
    "arange_sign": lambda lib: lib.arange(0, 10, -1),
    "arange_nan": lambda lib: lib.arange(float("nan")),
    "arange_text": lambda lib: lib.arange("a"),
    "linspace": lambda lib: lib.linspace(0, 1, -1),
    "eye": lambda lib: lib.eye(-1),
    "unknown_device": lambda lib: lib.zeros(2, device="foo"),
    "device_number": lambda lib: lib.zeros(2, device="cpu:x"),
    "device_index": lambda lib: lib.device("cpu:0", 1),
    "nan_to_int": lambda lib: lib.tensor([float("nan")], dtype=lib.int64),
    "float_to_int": lambda lib: lib.tensor(1e30, dtype=lib.int64),
    "full_overflow": lambda lib: lib.full((2,), 1e40),
    "full_byte": lambda lib: lib.full((2,), 300, dtype=lib.uint8),
    "full_nan": lambda lib: lib.full((2,), float("nan"), dtype=lib.int64),
    "full_complex_to_real": lambda lib: lib.full((2,), 1j, dtype=lib.float32),
    "full_like_overflow": lambda lib: lib.full_like(lib.ones(2, dtype=lib.int8), 1000),
    "window_negative": lambda lib: lib.hann_window(-1),
    "window_int": lambda lib: lib.hann_window(3, dtype=lib.int64),
    "frombuffer_small": lambda lib: lib.frombuffer(bytearray(3), dtype=lib.int64),
    "full_of_many": lambda lib: lib.full((2,), lib.ones(3)),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_have_torchs_type(case):
    torch = pytest.importorskip("torch")
    with pytest.raises(Exception) as theirs:
        ERRORS[case](torch)
    with pytest.raises(Exception) as ours:
        ERRORS[case](cr)
    assert type(ours.value) is type(theirs.value), (ours.value, theirs.value)


def test_error_wording():
    with pytest.raises(ValueError, match=r"expected sequence of length 2 at dim 1 \(got 1\)"):
        cr.tensor([[1, 2], [3]])
    with pytest.raises(ValueError, match=r"expected sequence of length 1 at dim 2 \(got 2\)"):
        cr.tensor([[[1], [2, 3]]])
    with pytest.raises(ValueError, match="contains itself"):
        cr.tensor(loop)
    with pytest.raises(RuntimeError, match="computes on the CPU with NumPy"):
        cr.zeros(2, device="cuda")
    with pytest.raises(RuntimeError, match="computes on the CPU with NumPy"):
        cr.tensor([1.0], device="meta")
    with pytest.raises(TypeError, match="is not a dtype"):
        cr.zeros(2, dtype="float99")


def test_deep_nesting_is_an_error_and_not_a_crash():
    data = 1.0
    for _ in range(5000):
        data = [data]
    with pytest.raises(ValueError, match="too many dimensions"):
        cr.tensor(data)


def test_warnings_point_at_the_caller():
    x = cr.ones(1, requires_grad=True)
    for lossy in (lambda: cr.tensor(x), lambda: cr.tensor([[x]])):
        with pytest.warns(UserWarning, match="detach") as caught:
            lossy()
        assert caught[0].filename == __file__
