"""Every primitive, every sample, every property that must hold: `properties.py` lists them."""

import pytest

from chainrule.core.primitive import REGISTRY

from .properties import COVERED_ELSEWHERE, HOLES, PROPERTIES, primitives
from .table import holes

CASES = [
    pytest.param(row, prim, name, case, id=f"{row.title}-{prim.name}-{name}")
    for row in PROPERTIES
    for prim in primitives()
    if row.concerns(prim)
    for name, case in row.cases_of(prim)
]


def test_every_primitive_has_samples():
    missing = {name for name, p in REGISTRY.items() if p.samples is None} - COVERED_ELSEWHERE
    assert not missing


@pytest.mark.parametrize(("row", "prim", "name", "case"), CASES)
def test_property(row, prim, name, case):
    if "array_api_strict" in row.title:
        pytest.importorskip("array_api_strict", reason="the standard's strict arrays are not here")
    row.run(prim, name, case)


@pytest.mark.parametrize("row", PROPERTIES, ids=lambda row: row.title)
def test_nothing_is_left_out_without_a_reason(row):
    assert set(holes(row)) == set(HOLES.get(row.title, {}))
