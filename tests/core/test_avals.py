"""Shape rules: the makers, and what the registry's samples do not reach."""

import itertools

import numpy as np
import pytest

import chainrule
from chainrule.core import avals
from chainrule.core.node import Aval
from chainrule.core.primitive import REGISTRY


def aval(*shape, dtype=np.float32):
    return Aval(shape, np.dtype(dtype))


def seen(made):
    return made.shape, made.dtype


F32, F64 = np.dtype(np.float32), np.dtype(np.float64)


def test_makers():
    x = aval(2, 3, 4)
    assert seen(avals.same(x, aval(5), anything=1)) == ((2, 3, 4), F32)
    assert seen(avals.broadcast(aval(3, 1), aval(4, dtype=np.float64), 2.5)) == ((3, 4), F64)
    assert seen(avals.broadcast(aval(3), 2.5)) == ((3,), F32)
    assert seen(avals.reduced(x, axis=(0, -1))) == ((3,), F32)
    assert seen(avals.reduced(x, axis=1, keepdims=True)) == ((2, 1, 4), F32)
    assert seen(avals.reduced(x, axis=None)) == ((), F32)
    assert seen(avals.reduced(aval(), axis=0)) == ((), F32)
    assert seen(avals.permuted(x, axes=(2, 0, 1))) == ((4, 2, 3), F32)
    assert seen(avals.shaped_by("shape")(x, shape=[24])) == ((24,), F32)
    assert seen(avals.joined(x, aval(2, 5, 4), axis=1)) == ((2, 8, 4), F32)
    assert seen(avals.stacked(x, x, axis=3)) == ((2, 3, 4, 2), F32)
    assert seen(avals.typed(avals.same, np.int64)(x)) == ((2, 3, 4), np.dtype(np.int64))
    assert seen(avals.typed(avals.same, avals.complex_dtype)(x)) == (
        (2, 3, 4),
        np.dtype(np.complex64),
    )
    assert seen(avals.last_replaced(2, lambda m, n: (n, m, 7))(x)) == ((2, 4, 3, 7), F32)
    both = avals.several(avals.same, avals.typed(avals.same, bool))(x)
    assert [seen(a) for a in both] == [((2, 3, 4), F32), ((2, 3, 4), np.dtype(bool))]


FULL = ("slice", None, None, None)
ITEMS = [0, None, ("slice", 1, None, 2), FULL, Ellipsis, "vector", "column", "number"]
ARRAYS = {
    "vector": np.array([0, 1, 1]), "column": np.array([[1], [0]]), "number": np.array(1),
}  # fmt: skip


def test_every_short_index():
    """All indices of up to four items, on four dimensions, against NumPy."""
    prim = REGISTRY["getitem"]
    x = np.zeros((2, 3, 4, 5), np.float32)
    checked = 0
    for length in range(5):
        for items in itertools.product(ITEMS, repeat=length):
            if items.count(Ellipsis) > 1:
                continue
            arrays = [ARRAYS[i] for i in items if isinstance(i, str)]
            index = tuple("array" if isinstance(i, str) else i for i in items)
            expected = np.shape(prim.eval(x, *arrays, index=index))
            found = prim.aval(
                aval(*x.shape), *[Aval(a.shape, a.dtype) for a in arrays], index=index
            )
            assert seen(found) == (expected, F32), index
            checked += 1
    assert checked > 3000


@pytest.mark.parametrize("shape", [(4,), (4, 3), ()])
def test_mask_has_no_shape(shape):
    mask = aval(*shape, dtype=bool)
    with pytest.raises(RuntimeError, match="depends on the values of the mask"):
        REGISTRY["getitem"].aval(aval(4, 3), mask, index=("array",))
    for name in ("index_put", "index_add"):
        found = REGISTRY[name].aval(aval(4, 3), aval(), mask, index=("array",))
        assert seen(found) == ((4, 3), F32)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int32, np.float16, np.complex64])
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("sum", {"axis": (0,), "keepdims": False}), ("prod", {"axis": (1,), "keepdims": True}),
        ("any", {"axis": (), "keepdims": False}), ("all", {"axis": (0, 1), "keepdims": False}),
        ("nansum", {"axis": (1,), "keepdims": False}), ("count_nonzero", {"axis": (0,)}),
        ("cumsum", {"axis": 1, "reverse": False}), ("cumprod", {"axis": 0, "reverse": True}),
        ("argmax", {"axis": None, "keepdims": True}), ("amax", {"axis": (0,), "keepdims": True}),
        ("topk_index", {"axis": 0, "k": 1, "largest": True}),
        ("argsort", {"axis": 1, "descending": True}), ("astype", {"dtype": np.dtype(np.int16)}),
        ("tile", {"reps": (2, 1, 3)}), ("pad", {"pad_width": ((1, 0), (2, 2)), "mode": "constant",
                                                "value": 0}),
    ],
)  # fmt: skip
def test_dtypes(name, params, dtype):
    prim = REGISTRY[name]
    x = np.ones((2, 3), dtype)
    out = prim.eval(x, **params)
    assert seen(prim.aval(Aval(x.shape, x.dtype), **params)) == (out.shape, out.dtype)


@pytest.mark.parametrize("offset", range(-4, 5))
def test_diagonal(offset):
    prim = REGISTRY["diagonal"]
    for shape, axis1, axis2 in [((2, 3), 0, 1), ((3, 2), 1, 0), ((2, 0), 0, 1), ((4, 1, 3), 0, 2)]:
        params = {"offset": offset, "axis1": axis1, "axis2": axis2}
        out = prim.eval(np.zeros(shape), **params)
        assert prim.aval(aval(*shape), **params).shape == out.shape


def test_writes_in_place():
    view = ("getitem", (("index", (0,)),))
    assert seen(REGISTRY["write_view"].aval(aval(2, 3), aval(3), view=view)) == ((2, 3), F32)
    found = REGISTRY["overwrite"].aval(aval(2, 3), aval(dtype=np.float64), title="CopyBackward0")
    assert seen(found) == ((2, 3), F32)


def test_products():
    x, y = aval(2, 1, 3, 4), aval(5, 4, 6, dtype=np.float64)
    assert seen(avals.matrix_product(x, y)) == ((2, 5, 3, 6), F64)
    assert seen(avals.dotted(aval(3), aval(3))) == ((), F32)
    assert seen(avals.dotted(aval(2, 3), aval(3))) == ((2,), F32)
    assert seen(avals.dotted(aval(2, 3), aval(3, 4))) == ((2, 4), F32)
    made = avals.contracted(aval(7, 2, 3), aval(3, 7), equation="bij,jb->ib")
    assert seen(made) == ((2, 7), F32)
    for bias in (None, aval(4), aval(2, 4)):
        assert seen(REGISTRY["linear"].aval(aval(2, 3), aval(4, 3), bias)) == ((2, 4), F32)


@pytest.mark.parametrize("mode", ["reduced", "complete"])
@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (4, 3, 2), (0, 3), (3, 0), (0, 2, 2)])
@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_factors(mode, shape, dtype):
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    for name, params in [
        ("qr", {"mode": mode}),
        ("svd", {"full_matrices": mode == "complete"}),
        ("lu", {"pivot": True}),
        ("svdvals", {}),
        ("pinv", {"rtol": None, "atol": None}),
    ]:
        prim = REGISTRY[name]
        rest = (None,) if name == "pinv" else ()  # no limit
        made = prim.eval(x, *rest, **params)
        predicted = prim.aval(Aval(shape, x.dtype), *rest, **params)
        if not isinstance(made, tuple):
            made, predicted = (made,), (predicted,)
        assert [seen(p) for p in predicted] == [(m.shape, m.dtype) for m in made]


def test_convolution_of_half_precision_with_strides_and_groups():
    params = {"stride": (2,), "padding": ((1, 2),), "dilation": (2,), "groups": 2}
    x, w = aval(3, 4, 9, dtype=np.float16), aval(6, 2, 3, dtype=np.float16)
    made = REGISTRY["convolution"].aval(x, w, None, **params)
    assert seen(made) == ((3, 6, 4), np.dtype(np.float16))
    back = REGISTRY["conv_transpose"].aval(made, w, size=(9,), **params)
    assert seen(back) == seen(x)
    assert seen(REGISTRY["conv_weight"].aval(x, made, kernel=(3,), **params)) == seen(w)


def test_places_in_large_windows_are_wider():
    params = {"stride": (1,), "padding": ((0, 0),), "dilation": (1,), "count": (4,)}
    for kernel, dtype in [((256,), np.uint8), ((257,), np.int32)]:
        best, place = REGISTRY["max_pool"].aval(aval(2, 260), kernel=kernel, **params)
        assert seen(best) == ((2, 4), F32)
        assert seen(place) == ((2, 4), np.dtype(dtype))


def test_the_results_of_user_code_are_known_by_running_it():
    class Double(chainrule.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

    assert seen(Double.prim.aval(aval(2))) == ((2,), F32)


def test_a_dtype_of_any_kind_becomes_that_of_numpy():
    for dtype in (chainrule.float64, np.dtype(np.float64), np.float64):
        assert type(REGISTRY["astype"].aval(aval(2), dtype=dtype).dtype) is type(F64)
