"""Tensors print as PyTorch prints them."""

import numpy as np
import pytest

import chainrule as cr

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _default_options():
    yield
    cr.set_printoptions(profile="default")


def arrays():
    nan, inf = np.nan, np.inf
    yield from (np.array(v) for v in (0.0, 1.0, -2.5, 1e10, 1e-7, nan, inf, -inf, 123456.789))
    yield from (np.array(v) for v in (3, -3, True, False, 1 + 2j, -0.5j, 1e10 + 1e-3j))
    for row in (
        [0.0, 4.0, 8.0, 12.0], [0.5, -1.0], [1e-5, 1.0], [1e5, 1.0], [1e9, 1.0], [1.0, nan],
        [nan, inf], [1.5, inf, -inf], [1e8, 2.0], [1.1e8, 2.0], [0.0001, 0.0002], [0.00001, 0.1],
        [1000.0, 1.0], [1001.0, 1.0], [0.0, -0.0], [-0.0, 1.5], [1e-40, 1.0], [3e38, 1.0],
        [99999.5, 100.25], [0.99999, 1.0], [1e20], [1e-20], [123456789.0], [12345678.0],
        [0.1, 100.05],
    ):  # fmt: skip
        yield np.array(row)
        yield np.array([row, row])
    for shape in (
        (0,),
        (2, 0),
        (0, 3),
        (1,),
        (1, 1),
        (2, 3),
        (2, 3, 4),
        (2, 1, 2, 2),
        (30,),
        (3, 40),
    ):
        yield RNG.standard_normal(shape)
        yield RNG.integers(-100, 100, shape)
        yield RNG.random(shape) > 0.5
        yield RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)
        yield np.round(RNG.standard_normal(shape) * 10)
    for shape in ((1001,), (40, 40), (1200, 2), (2, 1200), (11, 10, 10), (7, 7, 7, 7)):
        yield RNG.standard_normal(shape)
        yield RNG.integers(-1000, 1000, shape)
        yield RNG.random(shape) > 0.5
        yield RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)
    yield np.array([1 + 1e-6j, 1e6 + 2j])
    yield np.array([complex(nan, 1), complex(inf, -inf), complex(-1.5, nan)])
    yield np.array([1 + 2j, 3 - 4j])


TYPES = [np.float32, np.float64, np.float16, np.int64, np.int32, np.uint8, np.complex64]


def cases():
    for a in arrays():
        yield a
        with np.errstate(all="ignore"):
            yield from (a.astype(t) for t in TYPES if np.dtype(t).kind == a.dtype.kind)


CASES = list(cases())


def text_of(x):
    """The text, with the shorter name of PyTorch's module, which decides where lines break."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cr.dtype, "__repr__", lambda self: f"torch.{self.name}")
        return repr(x).replace("chainrule.", "torch.")


def test_as_torch_prints():
    torch = pytest.importorskip("torch")
    for a in CASES:
        assert text_of(cr.tensor(a)) == repr(torch.tensor(a)), (a.dtype, a.shape)


OPTIONS = [
    {"precision": 2}, {"precision": 7}, {"threshold": 5}, {"threshold": 5, "edgeitems": 1},
    {"linewidth": 30}, {"linewidth": 200}, {"profile": "short"}, {"profile": "full"},
    {"sci_mode": True}, {"sci_mode": False}, {"precision": 10, "linewidth": 40, "threshold": 10},
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options(options):
    torch = pytest.importorskip("torch")
    try:
        torch.set_printoptions(**options)
        cr.set_printoptions(**options)
        for a in CASES[::3]:
            if a.size < 500:
                assert text_of(cr.tensor(a)) == repr(torch.tensor(a)), (a.dtype, a.shape)
    finally:
        torch.set_printoptions(profile="default")


PROGRAMS = {
    "leaf": lambda lib: lib.tensor([1.0, 2.0], requires_grad=True),
    "scalar_leaf": lambda lib: lib.tensor(0.8392, requires_grad=True),
    "mul": lambda lib: lib.tensor(28.0, requires_grad=True) * 1,
    "div": lambda lib: lib.tensor([[1.0], [2.0]], requires_grad=True) / 3,
    "neg": lambda lib: -lib.tensor(1.0, requires_grad=True),
    "sub": lambda lib: lib.ones(3, requires_grad=True) - 1,
    "index": lambda lib: lib.ones(3, requires_grad=True)[lib.tensor([0, 1])],
    "exp": lambda lib: lib.zeros(3, requires_grad=True).exp(),
    "long_note": lambda lib: lib.ones(9, requires_grad=True) * 1.00001,
    "double": lambda lib: lib.ones(3, requires_grad=True).double(),
    "double_leaf": lambda lib: lib.ones(8, 8, dtype=lib.float64, requires_grad=True),
    "clone": lambda lib: lib.ones(3, requires_grad=True).clone(),
    "detached": lambda lib: lib.ones(3, requires_grad=True).clone().detach(),
    "parameter": lambda lib: lib.nn.Parameter(lib.zeros(2)),
    "frozen_parameter": lambda lib: lib.nn.Parameter(lib.zeros(2), requires_grad=False),
    "size": lambda lib: lib.zeros(2, 3).shape,
    "in_a_list": lambda lib: [lib.tensor(1), lib.tensor([2.5])],
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_is_said_of_the_tape(program):
    torch = pytest.importorskip("torch")
    assert text_of(PROGRAMS[program](cr)) == repr(PROGRAMS[program](torch))


def test_dtype_is_named_by_its_own_module():
    assert repr(cr.zeros(1, dtype=cr.float64)) == "tensor([0.], dtype=chainrule.float64)"
    assert repr(cr.zeros(0, dtype=cr.int32)) == "tensor([], dtype=chainrule.int32)"
    assert str(cr.zeros(2, 0)) == "tensor([], size=(2, 0))"


def test_dtype_suffix_follows_the_default():
    cr.set_default_dtype(cr.float64)
    try:
        assert repr(cr.zeros(1)) == "tensor([0.])"
        assert repr(cr.zeros(1, dtype=cr.float32)) == "tensor([0.], dtype=chainrule.float32)"
        assert repr(cr.tensor(1j)) == "tensor(0.+1.j)"
    finally:
        cr.set_default_dtype(cr.float32)


def test_unknown_profile():
    with pytest.raises(ValueError, match="profile"):
        cr.set_printoptions(profile="wide")


def test_repr_of_a_subclass_attribute_free_tensor_is_cheap():
    big = cr.zeros(2000, 2000)
    assert repr(big).count("\n") == 6
