"""Programs that run with chainrule and, where it is installed, PyTorch, and print the same."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr


def libraries() -> list[Any]:
    found = [cr]
    with contextlib.suppress(ImportError):
        found.append(importlib.import_module("torch"))
    return found


def said(program: Callable[[Any], Any]) -> str:
    """What a program prints, after checking that PyTorch prints the same."""
    texts = [str(program(lib)).replace("torch.", "chainrule.") for lib in libraries()]
    assert len(set(texts)) == 1, texts
    return texts[0]


def near(program: Callable[[Any], Any], *expected: Any, rtol: float = 1e-6) -> None:
    """The numbers of a program are the expected ones, in both libraries."""
    for lib in libraries():
        found = program(lib)
        found = found if isinstance(found, (tuple, list)) else (found,)
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            a = a.detach().numpy() if hasattr(a, "detach") else a
            np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-7)
