"""Every primitive, every sample, every property that must hold."""

import zlib

import numpy as np
import pytest

import chainrule  # noqa: F401 - declares the primitives
from chainrule.core.primitive import REGISTRY

from . import checks

CASES = [
    pytest.param(prim, sample, id=f"{name}-{i}")
    for name, prim in sorted(REGISTRY.items())
    for i, sample in enumerate(prim.samples() if prim.samples else ())
]
DIFFERENTIABLE = [c for c in CASES if c.values[0].differentiable]
COVERED_ELSEWHERE = {
    "write_view", "overwrite",  # tests/core/test_inplace.py
    "scaled_gradient",  # tests/transforms/test_module_uses.py: its vjp is no transpose of its jvp
}  # fmt: skip


@pytest.fixture
def rng(request):
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


def test_every_primitive_has_samples():
    missing = {name for name, p in REGISTRY.items() if p.samples is None} - COVERED_ELSEWHERE
    assert not missing


@pytest.mark.parametrize(("prim", "sample"), DIFFERENTIABLE)
def test_vjp_against_differences(prim, sample, rng):
    checks.check_vjp(prim, sample, rng)


@pytest.mark.parametrize(("prim", "sample"), DIFFERENTIABLE)
def test_jvp_against_differences(prim, sample, rng):
    checks.check_jvp(prim, sample, rng)


@pytest.mark.parametrize(("prim", "sample"), DIFFERENTIABLE)
def test_second_order(prim, sample, rng):
    checks.check_second_order(prim, sample, rng)


@pytest.mark.parametrize(("prim", "sample"), DIFFERENTIABLE)
def test_float32_stays_float32(prim, sample, rng):
    checks.check_float32(prim, sample, rng)


@pytest.mark.parametrize(("prim", "sample"), CASES)
def test_aval_predicts_evaluation(prim, sample):
    checks.check_aval(prim, sample)


@pytest.mark.parametrize(("prim", "sample"), CASES)
def test_memory_layout_is_irrelevant(prim, sample):
    checks.check_non_contiguous(prim, sample)


def batch_cases():
    """Each array argument mapped by itself, and all of them together."""
    for case in CASES:
        prim, sample = case.values
        arrays = [
            i for i, a in enumerate(sample.args)
            # x[mask] with a mask for each example has no shape; tests/transforms/test_indexing.py
            if isinstance(a, np.ndarray) and not (prim.name == "getitem" and a.dtype == bool)
        ]  # fmt: skip
        choices = [(i,) for i in arrays] + ([tuple(arrays)] if len(arrays) > 1 else [])
        for chosen in choices:
            name = "".join(map(str, chosen))
            yield pytest.param(prim, sample, chosen, id=f"{case.id}-{name}")


@pytest.mark.parametrize(("prim", "sample", "mapped"), list(batch_cases()))
def test_batch_is_a_loop(prim, sample, mapped):
    checks.check_batch(prim, sample, mapped)


@pytest.mark.parametrize(("prim", "sample"), DIFFERENTIABLE)
def test_jacrev_is_jacfwd(prim, sample):
    checks.check_jacobians(prim, sample)


@pytest.mark.parametrize(("prim", "sample"), DIFFERENTIABLE)
def test_taylor_is_nested_forward_mode(prim, sample, rng):
    checks.check_taylor(prim, sample, rng)
