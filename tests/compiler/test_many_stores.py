"""Kernels with very many stores: when each is made, and that results stay the same."""

import numpy as np
import pytest

import chainrule as cr

pytest.importorskip("llvmlite")

from chainrule.compiler.execute import compiled
from chainrule.compiler.fuse import KernelStep
from chainrule.compiler.kernel import STORES, store_places
from chainrule.graph.run import evaluate, plan_of


def entries(x):
    """Many single entries, each needed for the next one, put together at the end."""
    made = [x[0]]
    for i in range(200):
        made.append(cr.sin(made[-1]) * 0.5 + x[i % len(x)])
    return cr.stack(made), cr.stack(made[::-1])


def written_over(x):
    """Entries that are read after others have been written."""
    y = x * 2
    for i in range(100):
        y[i] = y[99 - i] + y[(7 * i) % 100] * 0.1
    return y


@pytest.mark.parametrize("f", [entries, written_over])
def test_compiled_is_evaluated(f):
    x = np.linspace(0, 1, 100)
    graph = cr.graph.trace(f, x).optimize()
    program = compiled(graph)
    assert not program.report().calls
    for a, b in zip(program.run([x]), evaluate(plan_of(graph), [x]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_stores_are_made_early_and_in_order():
    graph = cr.graph.trace(entries, np.ones(100)).optimize()
    nests = [n for s in compiled(graph).steps.steps if isinstance(s, KernelStep)
             for n in s.kernel.nests if len(n.stores) > STORES]  # fmt: skip
    assert nests
    for nest in nests:
        places = store_places(nest)
        assert len(places) > STORES
        made = [store for place in sorted(places) for store in places[place]]
        assert sorted(map(id, made)) == sorted(map(id, nest.stores))
        for buffer in {store.access.buffer for store in nest.stores}:
            wanted = [s for s in nest.stores if s.access.buffer == buffer]
            assert [s for s in made if s.access.buffer == buffer] == wanted
        for place, stores in places.items():
            for store in stores:
                assert place >= max(store.value, *store.args, 0)
                later = nest.code[place + 1 :]
                assert all(
                    c.access is None or c.access.buffer != store.access.buffer for c in later
                )
