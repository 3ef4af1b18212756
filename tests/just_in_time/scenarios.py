"""The same steps with a function and with `jit` of it: results, dtypes and types have to agree."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import tree
from chainrule.just_in_time import jit
from chainrule.transforms.inputs import all_given, as_tensor, gives_arrays

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
Scenario = Callable[[Decorator], Any]

X = np.linspace(0.1, 1, 5)


def tensor(**options: Any) -> Any:
    """A fresh tensor of five numbers."""
    return cr.tensor(X.copy(), **options)


def batch(seed: int = 0, width: int = 3) -> Any:
    """Eight rows of float32 numbers."""
    rows = np.random.default_rng(seed).normal(size=(8, width))
    return cr.tensor(rows.astype(np.float32))


def eagerly(f: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which sees tensors where arrays are given, as every transform has it."""

    @functools.wraps(f)
    def run(*args: Any, **kwargs: Any) -> Any:
        leaves, spec = tree.flatten((args, kwargs))
        args, kwargs = spec.unflatten([as_tensor(x) for x in leaves])
        return all_given(f(*args, **kwargs), gives_arrays(leaves))

    return run


def check(scenario: Scenario) -> None:
    """Run the steps both ways.

    Raises:
        AssertionError: where a result differs.
    """
    expected, spec = tree.flatten(scenario(eagerly))
    found, found_spec = tree.flatten(scenario(jit))
    assert found_spec == spec
    for a, b in zip(found, expected, strict=True):
        assert type(a) is type(b)
        if isinstance(b, cr.Tensor):
            assert (a.dtype, a.requires_grad) == (b.dtype, b.requires_grad)
            a, b = a.detach().numpy(), b.detach().numpy()
        if isinstance(b, (np.ndarray, np.generic)):
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=2e-5 if a.dtype == np.float32 else 1e-12)
        else:
            assert a == b
