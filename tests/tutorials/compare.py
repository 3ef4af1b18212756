"""Run one program with chainrule and, where it is installed, with PyTorch; compare the numbers."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import chainrule as cr

RNG_SEED = 7


class Course:
    """What a tutorial program needs: the library under the name `torch`, and the same data."""

    def __init__(self, torch: Any) -> None:
        self.torch = torch
        self.nn = importlib.import_module(f"{torch.__name__}.nn")
        self.F = importlib.import_module(f"{torch.__name__}.nn.functional")
        self.optim = importlib.import_module(f"{torch.__name__}.optim")
        self.data = importlib.import_module(f"{torch.__name__}.utils.data")
        self.rng = np.random.default_rng(RNG_SEED)

    def normal(self, *shape: int, scale: float = 1.0, dtype: Any = np.float32) -> Any:
        """The same normal numbers in both libraries."""
        return self.torch.tensor((scale * self.rng.normal(size=shape)).astype(dtype))

    def uniform(self, *shape: int) -> Any:
        """The same uniform numbers in both libraries."""
        return self.torch.tensor(self.rng.uniform(size=shape).astype(np.float32))

    def initialise(self, model: Any, scale: float = 0.3) -> Any:
        """Give the parameters of a model the same values in both libraries."""
        with self.torch.no_grad():
            for p in model.parameters():
                p.copy_(self.normal(*p.shape, scale=scale))
        return model


def flat(value: Any) -> list[float]:
    """All numbers of a nested result, in order."""
    if hasattr(value, "detach"):
        value = value.detach().numpy()
    if isinstance(value, np.ndarray):
        return [float(v) for v in value.ravel()]
    if isinstance(value, (int, float)):
        return [float(value)]
    assert isinstance(value, Iterable)
    return [number for v in value for number in flat(v)]


def agree(program: Callable[[Course], Any], rtol: float = 1e-5, atol: float = 1e-6) -> list[float]:
    """The numbers that a program gives; they are those of PyTorch."""
    ours = flat(program(Course(cr)))
    assert np.isfinite(ours).all()
    try:
        import torch
    except ImportError:
        return ours
    theirs = flat(program(Course(torch)))
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)
    return ours
