"""Rules on arrays that know the Array API standard and nothing else.

A rule that needs only functions of the standard runs on `array_api_strict`, which refuses all that
the standard does not define.  One that needs more (erf, the digamma function) runs on mapped
values, which have a shape and a dtype and refuse to show their values.
"""

from __future__ import annotations

from collections import Counter

import array_api_strict
import numpy as np

from chainrule.core.boxes import entered
from chainrule.core.namespaces import raw, recorded
from chainrule.core.partials import RULE, SELECTION
from chainrule.core.tensor import Tensor, wrap
from chainrule.transforms.batch import BatchTag, batched

ran = Counter()  # how many rules ran on which kind of values


class OutsideError(Exception):
    """A function that the standard does not have."""


class Strict:
    """The standard's functions, under our names."""

    def __getattr__(self, name: str):
        found = getattr(array_api_strict, name, None)
        if found is None:
            raise OutsideError(name)
        return found


def as_strict(a):
    return array_api_strict.asarray(a) if isinstance(a, (np.ndarray, np.generic)) else a


def on_strict_arrays(rule, g, args, out, params):
    """The partial derivative by a rule on strict arrays."""
    found = rule.call(Strict(), as_strict(g), [as_strict(a) for a in args], as_strict(out), params)
    assert not isinstance(found, (np.ndarray, np.generic)), "the rule calls a function of NumPy's"
    return np.asarray(found)


def on_mapped_values(rule, g, args, out, params):
    """The partial derivative by a rule on values that it cannot see."""
    with entered(BatchTag("vmap", 2)) as tag:
        hide = lambda a: batched(tag, wrap(np.stack([a, a]))) if isinstance(a, np.ndarray) else a
        found = rule.call(recorded, hide(g), [hide(a) for a in args], hide(out), params)
        if not isinstance(found, Tensor):
            return np.asarray(found)
        array = tag.inner(found).array
    np.testing.assert_array_equal(array[0], array[1])
    return array[0]


def check_strict(prim, sample, rng):
    """Partial derivatives come out the same on values that are not NumPy's."""
    dt = prim.common_dtype(sample.args)
    args = [np.asarray(a, dt) for a in sample.args]
    out = np.asarray(prim.eval(*args, **sample.params))
    g = np.ones(out.shape, out.dtype)
    for case, rule in prim.partials:
        if case not in (RULE, SELECTION):
            continue
        given = (rule, g, args, out, sample.params)
        try:
            expected = rule.call(raw, *given[1:])
        except NotImplementedError:  # no derivative by this argument
            continue
        try:
            found = on_strict_arrays(*given)
            ran["strict arrays"] += 1
        except OutsideError:
            found = on_mapped_values(*given)
            ran["mapped values"] += 1
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-300)
