"""Printing tensors as PyTorch prints them: `tensor([ 0.,  4.,  8., 12.])`.

All entries of a tensor share one format, chosen from the entries that will be shown: integers
stored as floats print as `1.`, others with `precision` digits, and in scientific notation when
their sizes differ too much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule.core.dtypes import default_dtype
from chainrule.core.node import Leaf, Node
from chainrule.core.primitive import PICK
from chainrule.core.tensor import Parameter, Tensor


@dataclass(frozen=True, slots=True)
class Options:
    """How tensors are printed."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


class _Current:
    options = Options()


_PROFILES = {
    "default": Options(),
    "short": Options(precision=2, edgeitems=2),
    "full": Options(threshold=math.inf),
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors are printed; what is left out stays as it is, except `sci_mode`.

    Args:
        precision: digits after the point.
        threshold: number of entries beyond which only the edges are shown.
        edgeitems: entries shown at each end of a dimension that is abbreviated.
        linewidth: characters per line.
        profile: "default", "short" or "full": a set of values to start from.
        sci_mode: scientific notation always (True), never (False), or when it helps (None).

    Raises:
        ValueError: for an unknown profile.

    >>> import chainrule as cr
    >>> cr.set_printoptions(precision=2)
    >>> cr.tensor([1.12345])
    tensor([1.12])
    >>> cr.set_printoptions(profile="default")
    """
    options = _Current.options
    if profile is not None:
        if profile not in _PROFILES:
            raise ValueError(f"unknown profile {profile!r}; there are {', '.join(_PROFILES)}")
        options = _PROFILES[profile]
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems,
             "linewidth": linewidth}  # fmt: skip
    changes: dict[str, Any] = {name: v for name, v in given.items() if v is not None}
    _Current.options = replace(options, sci_mode=sci_mode, **changes)


def tensor_text(x: Tensor) -> str:
    """The text of a tensor, as `repr` and `print` show it."""
    if isinstance(x, Parameter):
        return "Parameter containing:\n" + _text(x)
    return _text(x)


def _text(x: Tensor) -> str:
    array = np.asarray(x.array)
    options = _Current.options
    prefix = "tensor("
    suffixes = []
    known = (np.dtype(np.int64), np.dtype(np.bool_), default_dtype(),
             np.result_type(default_dtype(), np.complex64))  # fmt: skip
    if array.size == 0:
        if array.ndim != 1:
            suffixes.append(f"size={tuple(array.shape)}")
        if array.dtype != default_dtype():
            suffixes.append(f"dtype={x.dtype}")
        body = "[]"
    else:
        if array.dtype not in known:
            suffixes.append(f"dtype={x.dtype}")
        body = entries_text(array, len(prefix), options)
    note = grad_note(x.node)
    if note:
        suffixes.append(note)
    return _with_suffixes(prefix + body, suffixes, len(prefix), options.linewidth)


def grad_note(node: Node | None) -> str:
    """What the text says of the tape: `requires_grad=True`, `grad_fn=<AddBackward0>` or nothing."""
    if node is None:
        return ""
    if type(node) is Leaf:
        return "requires_grad=True"
    return f"grad_fn=<{grad_fn_name(node)}>"


def grad_fn_name(node: Node) -> str:
    """The name of a node as PyTorch would call it."""
    if node.prim is PICK:
        parent = node.parents[0]
        assert parent is not None
        node = parent
    return node.prim.grad_fn_name(node)


def _with_suffixes(text: str, suffixes: list[str], indent: int, width: int) -> str:
    """The text with `, name=value` parts appended, each on a new line where it does not fit."""
    parts = [text]
    last = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if last + len(suffix) + 2 > width:
            parts.append(",\n" + " " * indent + suffix)
            last = indent + len(suffix)
        else:
            parts.append(", " + suffix)
            last += len(suffix) + 2
    return "".join(parts) + ")"


def entries_text(array: np.ndarray, indent: int, options: Options) -> str:
    """The entries in nested brackets."""
    short = array.size > options.threshold
    if array.dtype.kind == "V":
        array = array.astype(np.float32)
    shown = _edges(array, options.edgeitems) if short else array
    if array.dtype.kind == "c":
        re, im = _Format(shown.real, options), _Format(shown.imag, options)

        def text(value: Any) -> str:
            imaginary = im(value.imag).lstrip()
            sign = "" if imaginary[0] in "+-" else "+"
            return f"{re(value.real)}{sign}{imaginary}j"

        width = re.width + im.width + 1
    else:
        text = _Format(shown, options)
        width = text.width
    return _nested(array, indent, short, text, width, options)


def _edges(array: np.ndarray, edge: int) -> np.ndarray:
    """The entries of an abbreviated array that are shown."""
    for axis, length in enumerate(array.shape):
        if length > 2 * edge:
            kept = np.r_[0:edge, length - edge : length]
            array = array.take(kept, axis)
    return array


class _Format:
    """The one format of all entries of a tensor."""

    def __init__(self, shown: np.ndarray, options: Options) -> None:
        self.precision = options.precision
        self.integral, self.scientific = True, False
        self.floating = shown.dtype.kind == "f"
        flat = shown.reshape(-1)
        if not self.floating:
            self.width = max((len(str(v)) for v in flat.tolist()), default=1)
            return
        flat = flat.astype(np.float64)
        finite = flat[np.isfinite(flat) & (flat != 0)]
        self.width = 1
        if not finite.size:
            return
        size = np.abs(finite)
        low, high = float(size.min()), float(size.max())
        self.integral = bool((finite == np.ceil(finite)).all())
        ratio = high / low > 1000.0
        self.scientific = ratio or high > 1e8 or (not self.integral and low < 1e-4)
        if options.sci_mode is not None:
            self.scientific = options.sci_mode
        self.width = max(len(self.bare(v)) for v in finite.tolist())

    def bare(self, value: Any) -> str:
        """The text of one entry, not padded."""
        if not self.floating:
            return str(value)
        if self.scientific:
            return f"{value:.{self.precision}e}"
        if self.integral:
            return f"{value:.0f}" + ("." if math.isfinite(value) else "")
        return f"{value:.{self.precision}f}"

    def __call__(self, value: Any) -> str:
        return self.bare(value).rjust(self.width)


def _nested(
    array: np.ndarray, indent: int, short: bool, text: Any, width: int, options: Options
) -> str:
    """Nested brackets: rows wrapped to the line width, blank lines between blocks."""
    if array.ndim == 0:
        return str(text(array.item()))
    edge = options.edgeitems
    cut = short and len(array) > 2 * edge
    if array.ndim == 1:
        per_line = max(1, (options.linewidth - indent) // (width + 2))
        if cut:
            cells = [*map(text, array[:edge].tolist()), " ...", *map(text, array[-edge:].tolist())]
        else:
            cells = [text(v) for v in array.tolist()]
        lines = [cells[i : i + per_line] for i in range(0, len(cells), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(", ".join(line) for line in lines) + "]"
    rows = [*array[:edge], None, *array[-edge:]] if cut else list(array)
    blocks = [
        "..." if row is None else _nested(row, indent + 1, short, text, width, options)
        for row in rows
    ]
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(blocks) + "]"
