"""Indices of every kind, mapped in every way: one application to a batch is a loop."""

import numpy as np
import pytest

from chainrule import func
from chainrule.core import inplace
from chainrule.core.tensor import wrap
from chainrule.ops.index import ARRAY, FULL, getitem, index_add, index_put
from tests.transforms import public_checks as checks

SIZE = 3
PART = ("slice", 1, None, None)
SHAPES = [(), (2,), (3, 2), (1, 2)]


def random_index(rng, shape):
    """A description and its arrays: integers, slices, None, `...`, positions and masks."""
    spec, arrays, used = [], [], 0
    while used < len(shape) and rng.random() < 0.9:
        kind = rng.choice(["number", "slice", "none", "ellipsis", "array", "array", "mask"])
        if kind == "number":
            spec.append(int(rng.integers(-2, 2)))
        elif kind == "slice":
            spec.append(FULL if rng.random() < 0.5 else PART)
        elif kind == "none":
            spec.append(None)
        elif kind == "ellipsis" and Ellipsis not in spec:
            spec.append(Ellipsis)
        elif kind == "array":
            spec.append(ARRAY)
            arrays.append(rng.integers(-2, 2, SHAPES[rng.integers(len(SHAPES))]))
        elif kind == "mask" and Ellipsis not in spec:
            covered = int(rng.integers(1, len(shape) - used + 1))
            mask = np.zeros(shape[used : used + covered], bool)
            mask.reshape(-1)[:2] = True
            spec.append(ARRAY)
            arrays.append(mask)
            used += covered - 1
        used += kind not in ("none", "ellipsis")
    return tuple(spec), arrays


def mapped_some(rng, arrays):
    """The arrays, some of them with a mapped axis in front, and which."""
    chosen = [bool(rng.random() < 0.5 and a.dtype != bool) for a in arrays]
    rows = [
        np.stack([rng.permutation(a.ravel()).reshape(a.shape) for _ in range(SIZE)]) if m else a
        for a, m in zip(arrays, chosen, strict=True)
    ]
    return rows, chosen


def check(apply, args, mapped, spec):
    run = func.vmap(lambda *xs: apply(*xs, index=spec), tuple(0 if m else None for m in mapped))
    got = run(*map(wrap, args)).array
    for b in range(SIZE):
        row = [a[b] if m else a for a, m in zip(args, mapped, strict=True)]
        want = apply.prim.eval(*row, index=spec)
        np.testing.assert_array_equal(got[b], want)


@pytest.mark.parametrize("seed", range(8))
def test_random_indices(seed):
    rng = np.random.default_rng(seed)
    checked = 0
    while checked < 60:
        shape = tuple(rng.integers(2, 4, rng.integers(1, 5)))
        spec, plain = random_index(rng, shape)
        x = rng.standard_normal(shape)
        try:
            part = getitem.prim.eval(x, *plain, index=spec)
        except IndexError:
            continue
        arrays, chosen = mapped_some(rng, plain)
        of_x = bool(rng.random() < 0.5) or not any(chosen)
        xs = rng.standard_normal((SIZE, *shape)) if of_x else x
        check(getitem, [xs, *arrays], [of_x, *chosen], spec)

        value = part.shape[rng.integers(part.ndim + 1) :]
        value = tuple(1 if rng.random() < 0.2 else d for d in value)
        of_y = bool(rng.random() < 0.5)
        ys = rng.integers(-5, 5, (SIZE, *value) if of_y else value).astype(float)
        mapped = [of_x, of_y, *chosen]
        check(index_add, [np.round(xs), ys, *arrays], mapped, spec)
        counts = [
            index_add.prim.eval(
                np.zeros(shape), np.ones(()),
                *[a[b] if m else a for a, m in zip(arrays, chosen, strict=True)], index=spec,
            ) for b in range(SIZE)
        ]  # fmt: skip
        if np.max(counts) <= 1:  # where positions repeat, any of the values may be written
            check(index_put, [xs, ys, *arrays], mapped, spec)
        checked += 1


MASK = np.array([[True, False], [False, False], [True, True]])


@pytest.mark.parametrize("apply", [index_put, index_add])
@pytest.mark.parametrize(
    ("shape", "spec", "value"),
    [
        ((3, 2), (ARRAY,), ()), ((3, 2), (ARRAY,), (1,)), ((3, 2, 4), (ARRAY,), (4,)),
        ((3, 2, 4), (ARRAY,), (1, 4)), ((5, 3, 2), (FULL, ARRAY), (5, 1)),
        ((5, 3, 2), (FULL, ARRAY, Ellipsis), (1,)), ((5, 3, 2, 2), (FULL, ARRAY, FULL), (5, 1, 2)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("of_x", [True, False])
@pytest.mark.parametrize("of_y", [True, False])
def test_one_value_under_mapped_masks(apply, shape, spec, value, of_x, of_y):
    rng = np.random.default_rng(0)
    masks = np.stack([MASK, ~MASK, np.zeros_like(MASK)])
    x = rng.standard_normal((SIZE, *shape) if of_x else shape)
    y = rng.standard_normal((SIZE, *value) if of_y else value)
    check(apply, [x, y, masks], [of_x, of_y, True], spec)


VIEWS = [
    ("getitem", {"index": (("slice", 1, None, None), 0)}),
    ("reshape", {"shape": (3, 4)}),
    ("permute_dims", {"axes": (1, 0)}),
    ("expand_dims", {"axis": (0, 2)}),
    ("squeeze", {"axis": ()}),
    ("diagonal", {"offset": 1, "axis1": 0, "axis2": 1}),
    ("unfold", {"axis": 1, "size": 2, "step": 2}),
    ("as_strided", {"size": (2, 2), "stride": (6, 2), "offset": 1}),
    ("broadcast_to", {"shape": (4, 3)}),
]


@pytest.mark.parametrize("of_value", [(), None])
@pytest.mark.parametrize(("name", "params"), VIEWS)
def test_write_view(name, params, of_value):
    base = np.random.default_rng(0).standard_normal((4, 3))
    prim = inplace.REGISTRY[name]
    shape = np.shape(prim.eval(base, **params)) if of_value is None else of_value
    value = np.random.default_rng(1).standard_normal(shape)
    view = (name, tuple(sorted(params.items())))
    checks.check(lambda x, y: inplace.write_view(x, y, view=view), base, value)


@pytest.mark.parametrize("name", ["real", "imag", "view_as_real"])
def test_write_view_of_complex_numbers(name):
    base = np.random.default_rng(0).standard_normal((2, 3)) + 1j
    shape = np.shape(inplace.REGISTRY[name].eval(base))
    value = np.random.default_rng(1).standard_normal(shape)
    checks.check_vmap(lambda x, y: inplace.write_view(x, y, view=(name, ())), (base, value))
    checks.check_jvp(lambda x, y: inplace.write_view(x, y, view=(name, ())), (base, value))


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_overwrite(shape):
    x = np.random.default_rng(0).standard_normal((2, 3))
    y = np.random.default_rng(1).standard_normal(shape)
    checks.check(lambda x, y: inplace.overwrite(x, y, title="Copy"), x, y)
