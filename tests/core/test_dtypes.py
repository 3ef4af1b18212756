"""Dtypes, devices, promotion and their limits, compared with PyTorch."""

import copy
import itertools
import pickle

import numpy as np
import pytest

import chainrule as cr

NAMES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64",
         "bfloat16", "complex64", "complex128"]  # fmt: skip


def name_of(dt):
    return str(dt).split(".")[-1]


@pytest.fixture(autouse=True)
def _extension():
    pytest.importorskip("ml_dtypes")


@pytest.mark.parametrize("pair", list(itertools.product(NAMES, NAMES)), ids="-".join)
def test_promotion(pair):
    torch = pytest.importorskip("torch")
    ours, theirs = ([getattr(lib, n) for n in pair] for lib in (cr, torch))
    assert name_of(cr.promote_types(*ours)) == name_of(torch.promote_types(*theirs))
    assert cr.can_cast(*ours) == torch.can_cast(*theirs)


OPERANDS = {
    "vector_number": lambda lib: (lib.tensor([1, 2]), 1.5),
    "vector_scalar": lambda lib: (lib.tensor([1, 2]), lib.tensor(1.5)),
    "float_double_scalar": lambda lib: (lib.ones(2), lib.tensor(1.0, dtype=lib.float64)),
    "scalars": lambda lib: (lib.tensor(1), lib.tensor(1.0, dtype=lib.float64)),
    "complex_number": lambda lib: (lib.ones(2, dtype=lib.float64), 1j),
    "bool_int": lambda lib: (lib.tensor([True]), 1),
    "byte_int": lambda lib: (lib.ones(2, dtype=lib.uint8), -1),
    "half_number": lambda lib: (lib.ones(2, dtype=lib.float16), 1.5),
    "half_float": lambda lib: (lib.ones(2, dtype=lib.float16), lib.ones(2)),
    "numbers": lambda lib: (1, 2.0),
}


@pytest.mark.parametrize("case", OPERANDS)
def test_result_type(case):
    torch = pytest.importorskip("torch")
    ours, theirs = (OPERANDS[case](lib) for lib in (cr, torch))
    assert name_of(cr.result_type(*ours)) == name_of(torch.result_type(*theirs))
    if case != "numbers":
        assert name_of((ours[0] + ours[1]).dtype) == name_of((theirs[0] + theirs[1]).dtype)


def test_uint64_and_signed_integers_do_not_meet():
    with pytest.raises(RuntimeError, match="not supported"):
        cr.promote_types(cr.uint64, cr.int64)
    assert cr.promote_types(cr.uint64, cr.uint8) is cr.uint64


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64", "complex64"])
def test_finfo(name):
    torch = pytest.importorskip("torch")
    ours, theirs = cr.finfo(getattr(cr, name)), torch.finfo(getattr(torch, name))
    for field in ("bits", "eps", "max", "min", "tiny", "smallest_normal", "dtype"):
        assert getattr(ours, field) == getattr(theirs, field), field
    assert cr.finfo().dtype == "float32"
    with pytest.raises(TypeError, match="iinfo"):
        cr.finfo(cr.int8)


@pytest.mark.parametrize("name", ["uint8", "int8", "int16", "int32", "int64"])
def test_iinfo(name):
    torch = pytest.importorskip("torch")
    ours, theirs = cr.iinfo(getattr(cr, name)), torch.iinfo(getattr(torch, name))
    assert (ours.bits, ours.min, ours.max) == (theirs.bits, theirs.min, theirs.max)
    assert repr(ours) == repr(theirs)
    with pytest.raises(TypeError, match="finfo"):
        cr.iinfo(cr.float32)


@pytest.mark.parametrize("name", NAMES)
def test_dtype_objects(name):
    torch = pytest.importorskip("torch")
    ours, theirs = getattr(cr, name), getattr(torch, name)
    for field in ("is_floating_point", "is_complex", "is_signed", "itemsize"):
        assert getattr(ours, field) == getattr(theirs, field)
    for method in ("to_real", "to_complex"):
        if name not in ("bfloat16",) and ours.is_floating_point + ours.is_complex:
            if name == "float16" and method == "to_complex":
                continue  # there is no complex32 in NumPy
            assert name_of(getattr(ours, method)()) == name_of(getattr(theirs, method)())
    assert repr(ours) == f"chainrule.{name}"
    assert pickle.loads(pickle.dumps(ours)) is ours
    assert copy.deepcopy(ours) is ours
    assert hash(ours) == hash(ours.dtype)


def test_aliases_and_equality():
    assert cr.float is cr.float32
    assert cr.double is cr.float64
    assert cr.half is cr.float16
    assert cr.long is cr.int64
    assert cr.int is cr.int32
    assert cr.short is cr.int16
    assert cr.cfloat is cr.complex64
    assert cr.cdouble is cr.complex128
    assert cr.float32 == np.float32
    assert cr.float32 == np.dtype("f4")
    assert cr.float32 != np.float64
    assert cr.float32 != "nonsense"
    assert cr.float32 != cr.float64
    assert cr.bool == np.bool_


def test_bfloat16_computes():
    x = cr.ones(3, dtype=cr.bfloat16, requires_grad=True)
    (x * 3).sum().backward()
    assert x.grad.dtype is cr.bfloat16
    assert x.grad.tolist() == [3, 3, 3]
    assert x.float().dtype is cr.float32
    assert cr.tensor(1.5, dtype=cr.bfloat16).item() == 1.5


def test_numbers_only():
    for bad in (np.dtype("O"), "U3", np.dtype("M8[s]"), np.dtype([("a", "f4")]), None, "float99"):
        with pytest.raises(TypeError):
            cr.zeros(2).to(dtype=bad) if bad is not None else cr.promote_types(None, cr.float32)


def test_devices():
    torch = pytest.importorskip("torch")
    for args in (("cpu",), ("cpu", 0), ("cpu:0",), ("cuda:1",), ("cuda",), ("meta",)):
        ours, theirs = cr.device(*args), torch.device(*args)
        assert repr(ours) == repr(theirs)
        assert str(ours) == str(theirs)
        assert (ours.type, ours.index) == (theirs.type, theirs.index)
        assert pickle.loads(pickle.dumps(ours)) == ours
    assert cr.device("cpu") == cr.device("cpu")
    assert cr.device("cpu") != cr.device("cpu:0")
    assert len({cr.device("cpu"), cr.device("cpu")}) == 1
    assert cr.device(cr.device("cpu:0")).index == 0
    assert cr.get_default_device() == cr.zeros(1).device == cr.device("cpu")
    with pytest.raises(AttributeError, match="read-only"):
        cr.device("cpu").type = "cuda"
    with pytest.raises(TypeError):
        cr.device(1.5)
    with pytest.raises(RuntimeError, match="computes on the CPU"):
        cr.set_default_device("cuda")
    with pytest.raises(RuntimeError, match="computes on the CPU"):
        cr.zeros(1).cuda()
    with pytest.raises(RuntimeError, match="CPU device index"):
        cr.zeros(1, device="cpu:1")
    with cr.device("cpu"):
        assert not cr.zeros(1).is_cuda
    assert not cr.cuda.is_available()


def test_layout_and_memory_format():
    assert repr(cr.strided) == "chainrule.strided"
    assert cr.zeros(2).layout is cr.strided
    assert pickle.loads(pickle.dumps(cr.channels_last)) is cr.channels_last
    assert cr.zeros_like(cr.ones(2), memory_format=cr.contiguous_format).tolist() == [0, 0]
    with pytest.raises(RuntimeError, match="strided only"):
        cr.zeros(2, layout="sparse_coo")
