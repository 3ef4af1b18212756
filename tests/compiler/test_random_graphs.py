"""Random graphs of many shapes and dtypes: compiled = evaluated, to the last bit."""

import secrets

import pytest

pytest.importorskip("llvmlite")

from tests.compiler import random_graphs


@pytest.mark.parametrize("seed", range(25))
def test_compiled_is_evaluated(seed):
    random_graphs.check(seed)


@pytest.mark.slow
def test_compiled_is_evaluated_in_many_graphs():
    first = secrets.randbelow(10**6)
    for seed in range(first, first + 500):
        random_graphs.check(seed)


def test_a_wrong_entry_is_found_and_the_graph_made_small(monkeypatch):
    """A slice that begins one entry too late: the message shows a graph of few operations."""
    from chainrule.compiler import expand

    real = expand.EXPANSIONS["flip"]

    def wrong(node, args, params):
        found = real(node, args, params)
        rows = tuple((o - 1, s) if s and s[0][1] == -1 else (o, s) for o, s in found.detail)
        return type(found)(
            found.kind, found.op, found.args, found.shape, found.dtype, rows, found.node
        )

    monkeypatch.setitem(expand.EXPANSIONS, "flip", wrong)
    with pytest.raises(AssertionError, match="flip") as caught:
        [random_graphs.check(seed) for seed in range(40)]
    assert str(caught.value).count("\n  v") < 8
