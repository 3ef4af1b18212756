"""Python programs: every elementwise primitive as source has the value of the primitive."""

from __future__ import annotations

import pytest

import chainrule as cr

from . import samples

# Compositions that are no one function of the module.
ABSENT = {
    "numpy": frozenset({
        "binary_cross_entropy", "binary_cross_entropy_with_logits", "elu", "gelu_tanh", "hardswish",
        "huber", "mish", "nan_to_num", "real_angle", "softplus",
    }),
    "chainrule": frozenset({
        "binary_cross_entropy", "binary_cross_entropy_with_logits", "cbrt", "elu", "gamma", "huber",
        "nan_to_num", "real_angle",
    }),
}  # fmt: skip


@pytest.mark.parametrize("module", ["numpy", "chainrule"])
@pytest.mark.parametrize("prim", samples.elementwise(), ids=lambda p: p.name)
def test_a_primitive_as_source(prim, module):
    pytest.importorskip("scipy")
    for graph, values in samples.numbers(prim):
        if prim.name in ABSENT[module]:
            with pytest.raises(NotImplementedError, match=rf"{prim.name} \(.*no function of"):
                graph.source(module=module)
            return
        space = {}
        exec(graph.source("value", module), space)
        given = values if module == "numpy" else [cr.tensor(v, dtype=cr.float64) for v in values]
        expected = graph(*values).item()
        assert float(space["value"](*given)) == pytest.approx(float(expected), rel=1e-13)


def test_constants_are_exact():
    graph = cr.graph.trace(lambda x: x * 0.1 + cr.inf - x / 3 + cr.nan + 1e300, 1.0)
    text = graph.source()
    assert "import math" in text
    for piece in ("0.1*x", "math.inf", "x/3", "math.nan", "1e+300"):
        assert piece in text


def test_operators_group_as_in_the_graph():
    graph = cr.graph.trace(
        lambda x, y: (x - (y - x)) / (x / (y / x)) * (x * (y + x)) ** (x**y) - (-x) ** 2, 1.0, 1.0
    )
    space = {}
    exec(graph.source(), space)
    for point in [(0.3, 0.7), (1.1, 2.3), (0.9, 0.2)]:
        assert space["f"](*point) == pytest.approx(graph(*point).item(), rel=1e-15)
