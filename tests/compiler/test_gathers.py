"""Index arrays, read and added to: compiled = evaluated, and an index out of bounds raises."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import chainrule as cr
import chainrule.nn.functional as F
from chainrule.compiler.execute import compiled
from tests.compiler.inputs import ordinary
from tests.compiler.programs import both, trace
from tests.compiler.test_moves import check

GATHERS = {
    "rows": lambda x, i: x[i],
    "columns": lambda x, i: x[:, i % x.shape[1]] * 2,
    "entries": lambda x, i: x[i, i % x.shape[1]],
    "apart": lambda x, i: x[None][0 * i, :, i % x.shape[1]],
    "matrix of rows": lambda x, i: x[i.reshape(2, -1)].exp(),
    "of a result": lambda x, i: x.exp()[i] + 1,
    "of a transpose": lambda x, i: x.transpose(0, 1)[:, i],
    "with a slice": lambda x, i: x[i, 1:3],
    "column of rows": lambda x, i: x[i][:, 0] * x[i][:, 1],
    "twice": lambda x, i: x[i[i % len(i)]],
    "take": lambda x, i: cr.take(x, i * 2),
    "gather": lambda x, i: x.gather(1, cr.abs(i)[: len(x), None] % x.shape[1]),
    "take_along_dim": lambda x, i: cr.take_along_dim(x, i[:1, None] % x.shape[1], 1),
    "index_select": lambda x, i: x.index_select(0, i % len(x)),
    "embedding": lambda x, i: F.embedding(i % len(x), x),
    "computed": lambda x, i: x[(i * i) % len(x)] * x[i],
    "summed": lambda x, i: x[i].sum(1) + x[i, 0],
    "row of a sum": lambda x, i: (x - x.mean(0))[i],
    "argmax": lambda x, i: x[x.argmax(0) % len(x)] + x[i[0]],
    "constant": lambda x, i: x[[0, 2, 1]] + x[cr.tensor([1, -1, 0])],
    "range": lambda x, i: x[cr.arange(len(x)), i[:1] % x.shape[1]],
    "mask of constants": lambda x, i: x[np.array([True, False, True] + [False] * (len(x) - 3))],
}


def index_of(shape, seed=0):
    return np.random.default_rng(seed).integers(-shape[0], shape[0], 2 * shape[0])


@pytest.mark.parametrize("shape", [(4, 6), (40, 5), (7, 90)])
@pytest.mark.parametrize("name", GATHERS)
def test_gathers(name, shape):
    x = ordinary(shape, "float64", 0)
    check(GATHERS[name], x, index_of(shape), exact=False)


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint16", "uint32", "int64"])
def test_dtypes_of_indices(dtype):
    x = ordinary((50, 3), "float32", 0)
    i = np.random.default_rng(0).integers(0, 50, 77).astype(dtype)
    check(lambda x, i: x[i] * 2, x, i, grad=False)


@pytest.mark.parametrize("bad", [50, -51, 2**62, -(2**63)])
def test_an_index_out_of_bounds_raises_as_evaluation_does(bad):
    x, i = ordinary((50, 3), "float64", 0), np.arange(40)
    for f in (
        lambda x, i: x[i].sum(),
        lambda x, i: x.exp()[i],
        lambda x, i: cr.zeros(50, 3, dtype=cr.float64).index_add(0, i, x[:40]).sum(),
    ):
        graph = trace(f, x, i)
        program = compiled(graph)
        assert not program.steps.refused
        j = i.copy()
        j[17] = bad
        with pytest.raises(IndexError) as evaluated:
            graph(x, j)
        with pytest.raises(IndexError) as found:
            program.run([x, j])
        assert str(found.value) == str(evaluated.value)
        program.run([x, i])


SCATTERS = {
    "rows": lambda x, i: x.new_zeros(x.shape).index_add(0, i, cr.cat([x, x])),
    "onto": lambda x, i: x.exp().index_add(0, i, cr.cat([x, x]).sin()),
    "segments": lambda x, i: x.new_zeros(len(x)).index_add(0, i, x[i].sum(1)),
    "scatter_add": lambda x, i: x.new_zeros(x.shape).scatter_add(1, x.argsort(1), x),
    "put": lambda x, i: _written(x, cr.arange(0, len(x), 2), 5.0),
    "put computed": lambda x, i: _written(x, i[:1], x[0] * 2),
    "and used": lambda x, i: x.new_zeros(x.shape).index_add(0, i, cr.cat([x, x])) * x + 1,
}


@pytest.mark.parametrize("into", ["index_add", "index_copy"])
@pytest.mark.parametrize("places", [[0, 2, 1], [2, 0], [1, 1, 0]])
def test_constant_places_of_an_input(into, places):
    x, index = ordinary((3,), "float64", 0), np.array(places)
    y = ordinary((len(places),), "float64", 1)
    graph = trace(lambda x, y: getattr(x, into)(0, cr.tensor(index), y), x, y)
    program, found, wanted = both(graph, x, y)
    assert not program.steps.refused
    np.testing.assert_array_equal(found[0], wanted[0])


def _written(x, i, y):
    z = x * 1
    z[i] = y
    return z


@pytest.mark.parametrize("shape", [(4, 6), (40, 5), (7, 90)])
@pytest.mark.parametrize("name", SCATTERS)
def test_scatters(name, shape):
    x = ordinary(shape, "float64", 0)
    f = SCATTERS[name]
    graph = trace(f, x, index_of(shape))
    program, found, wanted = both(graph, x, index_of(shape))
    for reason in program.steps.refused.values():
        assert "argsort" in reason, reason
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
