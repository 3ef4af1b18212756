"""Operations whose rules hold for real numbers only refuse complex ones; the others are right."""

import numpy as np
import pytest

import chainrule as cr
import chainrule.nn.functional as F
from chainrule.core.kinds import Elementwise, bind_elementwise
from chainrule.core.primitive import REGISTRY
from chainrule.core.samples import Sample
from tests.ops import checks


def complexified(sample, rng):
    return Sample(
        *[
            np.asarray(a + 0.3j * rng.uniform(0.5, 1, a.shape)) if checks.is_variable(a) else a
            for a in sample.args
        ],
        **sample.params,
    )


ELEMENTWISE = [p for _, p in sorted(REGISTRY.items()) if isinstance(p, Elementwise)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("prim", ELEMENTWISE, ids=lambda p: p.name)
def test_complex_numbers_are_differentiated_rightly_or_refused(prim):
    rng = np.random.default_rng(0)
    for sample in prim.samples():
        given = complexified(sample, rng)
        try:
            bind_elementwise(prim, [cr.tensor(a) for a in given.args], given.params)
        except NotImplementedError as error:
            assert "complex" in str(error)  # noqa: PT017
            continue
        if prim.differentiable:
            checks.check_vjp(prim, given, rng)


Z = cr.tensor([[1 + 2j, 3j], [0.5, -1j]])


@pytest.mark.parametrize("f", [
    F.relu, F.elu, F.gelu, F.mish, F.softplus, F.logsigmoid, F.hardtanh, F.leaky_relu, F.softshrink,
    cr.sign, cr.erf, cr.digamma, lambda z: cr.softmax(z, 0), lambda z: F.log_softmax(z, 0),
    lambda z: F.layer_norm(z, (2,)), lambda z: F.huber_loss(z, z),
])  # fmt: skip
def test_refused(f):
    with pytest.raises(NotImplementedError, match="not implemented for complex"):
        f(Z)
