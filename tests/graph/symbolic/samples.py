"""Graphs of single primitives, from the samples that they declare."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import chainrule.nn.functional
import chainrule.ops.softmax_nll  # noqa: F401
from chainrule.core.boxes import Box
from chainrule.core.primitive import REGISTRY, Primitive
from chainrule.graph import Graph
from chainrule.transforms.tracing import input_node, traced


def primitives() -> list[Primitive]:
    """All primitives with samples, by name."""
    return [p for _, p in sorted(REGISTRY.items()) if p.samples is not None]


def elementwise() -> list[Primitive]:
    """All primitives that act entry by entry on real numbers."""
    return [p for p in primitives() if p.partials is not None and p.name not in _NOT_REAL]


# Of bits, whole or complex numbers: no formulas of real numbers.
_NOT_REAL = frozenset(
    [
        "angle",
        "bitwise_and",
        "bitwise_or",
        "bitwise_xor",
        "bitwise_not",
        "bitwise_left_shift",
        "bitwise_right_shift",
        "gcd",
        "lcm",
        "positions_in_range",
    ]
)


def graphs(prim: Primitive) -> Iterator[tuple[Graph, list[np.ndarray], Any]]:
    """Per sample and output: the graph of its float arguments, their values, the primitive's value.

    Samples whose result has a shape that depends on data have no graph.
    """
    for sample in prim.samples():
        values, inputs, args = [], [], []
        for i, a in enumerate(sample.args):
            a = np.asarray(a) if isinstance(a, float) else a
            if isinstance(a, np.ndarray) and a.dtype.kind == "f":
                inputs.append(input_node(a.shape, a.dtype, f"x{i}"))
                values.append(a)
                args.append(traced(inputs[-1]))
            else:
                args.append(a)
        if not inputs or _has_mask(sample.args):
            continue
        made = prim.apply(args, sample.params)
        expected = prim.eval(*sample.args, **sample.params)
        several = type(made) is tuple
        for out, value in zip(made, expected, strict=True) if several else [(made, expected)]:
            if isinstance(out, Box):
                yield Graph(inputs, [out.node]), values, np.asarray(value)


def _has_mask(args: Any) -> bool:
    return any(isinstance(a, np.ndarray) and a.dtype == bool and a.ndim for a in args[1:])


def numbers(prim: Primitive) -> Iterator[tuple[Graph, list[float]]]:
    """Graphs of single numbers, at the entries of a primitive's samples."""
    for sample in prim.samples():
        args = np.broadcast_arrays(*[np.asarray(a, float) for a in sample.args])
        for entry in zip(*[a.ravel()[:3].tolist() for a in args], strict=True):
            inputs = [input_node((), np.float64, f"x{i}") for i in range(len(entry))]
            out = prim.apply([traced(n) for n in inputs], sample.params)
            yield Graph(inputs, [out.node]), list(entry)
