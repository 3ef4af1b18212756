"""compare_modes: one derivative by every mode, with its error, work, time and memory."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import func, numerical
from chainrule.autograd.progress import counted
from chainrule.core.boxes import Box
from chainrule.core.dtypes import is_inexact
from chainrule.core.tensor import Tensor, wrap
from chainrule.explaining.compare_work import (
    NAMES,
    TooMuch,
    Work,
    measured_memory,
    measured_time,
    shortened,
    symbolic_mode,
    work_of,
)
from chainrule.graph.numerals import numeral
from chainrule.graph.tables import Shown, Table, amount, grouped, seconds
from chainrule.transforms.inputs import as_tensor

PRECISE = ("complex", "richardson", "central")  # for want of one, the next
PATIENCE = 3.0  # seconds that one mode may take for one size


@dataclass
class Row:
    """What one mode costs and gives.

    Attributes:
        mode: "forward", "batched", "reverse", "difference", "central", "richardson", "complex",
            "shared" or "unshared".
        n: the number of entries of x.
        result: the derivative; None if the mode does not work here.
        error: the largest error of an entry, relative to the largest entry of the reference.
        evaluations: how often the function is called.
        operations: arithmetic operations; None where they are not known.
        time: seconds, the median of several runs.
        ratio: the time in evaluations of the function.
        memory: bytes allocated at the peak.
        reason: why the mode does not work here, or was not run.
    """

    mode: str
    n: int
    result: Any = None
    error: float | None = None
    evaluations: int | None = None
    operations: int | None = None
    time: float | None = None
    ratio: float | None = None
    memory: int | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        """The mode in words."""
        return NAMES[self.mode]


@dataclass
class Comparison(Shown):
    """Modes side by side; made by `compare_modes`.

    Attributes:
        title: the function.
        rows: one for each mode, at the (last) x.
        reference: which mode the errors are measured against; empty if no difference is finite.
        value_operations, value_time: of one evaluation of the function.
        growth: rows for every size, in the order of the sizes; empty without sizes.
        note: why operations are not known, if they are not.
    """

    title: str
    rows: list[Row]
    reference: str
    value_operations: int | None
    value_time: float
    growth: list[Row] = field(default_factory=list)
    note: str = ""

    def table(self) -> Table:
        header = ["", "result", "error", "calls of f", "operations", "time", "× f", "memory"]
        body: list[list[str] | None] = [
            ["f itself", "", "", "1", _count(self.value_operations), seconds(self.value_time), "1",
             ""],
            None,
        ]  # fmt: skip
        for row in self.rows:
            body.append(_cells(row, self.reference))
        notes = []
        if self.reference:
            how = f"{NAMES[self.reference]} in double precision"
            notes.append(f"errors are relative to the largest entry, against the {how}")
        if any(r.mode in ("shared", "unshared") and r.time is not None for r in self.rows):
            notes.append("symbolic: formulas are derived beforehand; time is that of their values")
        reasons: dict[str, list[str]] = {}
        for row in self.rows:
            if row.reason:
                reasons.setdefault(row.reason, []).append(row.name)
        notes += [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]
        notes += [self.note] if self.note else []
        n = self.rows[0].n
        entries = "1 entry" if n == 1 else f"{n} entries"
        title = f"The derivative of {self.title} by every mode; x has {entries}"
        return Table(title, header, body, notes, left=(0, 1))

    def growth_table(self, what: str = "operations") -> Table:
        """How operations (or "time") grow with n, by mode, with the power of n that fits.

        Raises:
            ValueError: if there are no sizes, or `what` is neither.
        """
        if not self.growth:
            raise ValueError("there is nothing to show the growth of: compare_modes(..., sizes=[])")
        if what not in ("operations", "time"):
            raise ValueError(f'growth is that of "operations" or "time", not {what!r}')
        sizes = list(dict.fromkeys(r.n for r in self.growth))
        shown = seconds if what == "time" else grouped
        body: list[list[str] | None] = []
        for mode in dict.fromkeys(r.mode for r in self.growth):
            known = {r.n: getattr(r, what) for r in self.growth if r.mode == mode}
            if all(v is None for v in known.values()):
                continue
            cells = ["–" if known[n] is None else shown(known[n]) for n in sizes]
            power = self.power(mode, what)
            fit = "" if power is None else f"n^{power:.1f}"
            body.append([NAMES[mode], *cells, fit])
        header = ["", *(f"n = {n}" for n in sizes), "grows as"]
        return Table(f"{what} of the derivative of {self.title}", header, body)

    def power(self, mode: str, what: str = "operations") -> float | None:
        """The power of n that operations or time grow with, between the two largest sizes."""
        known = [(r.n, getattr(r, what)) for r in self.growth
                 if r.mode == mode and getattr(r, what)]  # fmt: skip
        if len(known) < 2:
            return None
        (n, a), (m, b) = known[-2:]
        return float(np.log(b / a) / np.log(m / n))

    def markdown(self) -> str:
        return "\n\n".join(t.markdown() for t in self._tables())

    def _tables(self) -> list[Table]:
        found = [self.table()]
        if self.growth:
            found.append(self.growth_table())
            found.append(self.growth_table("time"))
        return [t for t in found if t.rows]

    def __repr__(self) -> str:
        return "\n\n".join(t.text() for t in self._tables())

    def _repr_html_(self) -> str:
        return "<br>".join(t.html() for t in self._tables())

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def __rich__(self) -> Any:
        from rich.console import Group

        return Group(*[t.rich() for t in self._tables()])

    def plot(self, path: Any = None) -> Any:
        """The comparison as a Matplotlib figure, written to `path` if one is given.

        With sizes: operations and time against n.  Without: error and time of each mode.

        Raises:
            ImportError: if Matplotlib is not installed.
        """
        from chainrule.explaining.compare_plot import figure

        return figure(self, path)


def _count(n: int | None) -> str:
    return "–" if n is None else grouped(n)


def _cells(row: Row, reference: str) -> list[str]:
    error = "reference" if row.error is None and row.mode == reference else ""
    if row.result is None and row.operations is None:
        return [row.name, "–", "", "", "", "", "", ""]
    return [
        row.name,
        "–" if row.result is None else numeral(row.result),
        error if row.error is None else "exact" if not row.error else f"{row.error:.1e}",
        "" if row.evaluations is None else str(row.evaluations),
        _count(row.operations),
        "" if row.time is None else seconds(row.time),
        "" if row.ratio is None else f"{row.ratio:.3g}",
        "" if row.memory is None else amount(row.memory),
    ]


def compare_modes(
    f: Callable[[Any], Any], x: Any, *, sizes: Sequence[int] | None = None, quiet: bool = False
) -> Comparison:
    """Differentiate a function by every mode, and print results, errors, work, time and memory.

    Forward mode (one input at a time, and in one batch), reverse mode, differences (forward,
    central, Richardson, complex step) and symbolic differentiation (with and without shared
    subexpressions), side by side.  A mode that does not apply is listed with the reason.

    Args:
        f: a function of one tensor that returns a tensor; of several entries, the Jacobian is
            compared.
        x: a tensor, an array or a number; with `sizes`, a function of n that gives one.
        sizes: values of n, ascending, to show how operations and time grow.
        quiet: return the comparison without printing it.  At a prompt and in a notebook, where
            what is returned shows itself, nothing is printed either.

    Raises:
        TypeError: if `f` or `x` are something else, or the result is no tensor.
        ValueError: if a size is not positive.

    >>> import chainrule as cr
    >>> found = cr.compare_modes(lambda x: cr.prod(x), cr.tensor([2.0, 3.0]), quiet=True)
    >>> [(row.mode, row.evaluations) for row in found.rows if row.mode in ("forward", "reverse")]
    [('forward', 2), ('reverse', 1)]
    """
    if not callable(f):
        raise TypeError(f"compare_modes: f is a {type(f).__name__}, not a function of one tensor")
    points = _points(x, sizes)
    title = getattr(f, "__name__", type(f).__name__)
    title = title if title.isidentifier() else "f"
    growth: list[Row] = []
    busy: set[str] = set()  # modes that have become too slow
    found = None
    total = range(len(points)) if quiet else counted(len(points), "compare_modes: sizes")
    for i in total:
        found = _at(f, points[i], title, busy, quiet)
        growth += found.rows
    assert found is not None
    if sizes is not None:
        found.growth = growth
    interactive = hasattr(sys, "ps1") or hasattr(builtins, "__IPYTHON__")
    if not quiet and not interactive:
        print(found)
    return found


def _points(x: Any, sizes: Sequence[int] | None) -> list[Tensor]:
    """The points at which to compare, one for each size."""
    if sizes is None:
        return [_point(x, "x")]
    if not callable(x):
        raise TypeError(
            "compare_modes: with sizes, x is a function of n that gives the point, for example "
            f"lambda n: np.linspace(0.5, 1.5, n); got {type(x).__name__}"
        )
    if len(sizes) == 0 or any(not isinstance(n, int) or n < 1 for n in sizes):
        raise ValueError(f"compare_modes: sizes are positive integers, got {list(sizes)}")
    return [_point(x(n), f"x({n})") for n in sizes]


def _point(x: Any, name: str) -> Tensor:
    if isinstance(x, Box):
        raise RuntimeError(
            f"compare_modes: {name} belongs to a running {x.tag.title}; compare outside of it"
        )
    t = wrap(np.asarray(x)) if isinstance(x, float) else as_tensor(x)
    if not isinstance(t, Tensor) or not is_inexact(t.array.dtype) or t.array.dtype.kind == "c":
        kind = t.dtype if isinstance(t, Tensor) else type(x).__name__
        raise TypeError(f"compare_modes: {name} must be a tensor of real numbers, got {kind}")
    if not t.array.size:
        raise ValueError(f"compare_modes: {name} has no entries")
    return wrap(t.array)


def _at(f: Any, x: Tensor, title: str, busy: set[str], quiet: bool) -> Comparison:
    """All modes at one point."""
    y = f(x)
    if not isinstance(y, Tensor):
        raise TypeError(
            f"compare_modes: {title} returned {type(y).__name__}; it must return a tensor"
        )
    work = work_of(f, x)
    value_time = measured_time(lambda: f(x))
    modes = _modes(f, x, y)
    rows = []
    names = list(modes)
    for i in range(len(names)) if quiet else counted(len(names), "compare_modes"):
        rows.append(_row(names[i], modes[names[i]], x, y, work, value_time, busy))
    best, exact = _reference(f, x, rows)
    if exact is not None:
        scale = float(np.max(np.abs(exact), initial=0.0)) or 1.0
        for row in rows:
            if row.result is not None and row.result is not exact:
                wrong = np.abs(np.asarray(row.result, np.float64) - exact)
                row.error = float(np.max(wrong, initial=0.0)) / scale
    return Comparison(title, rows, best, work.value, value_time, note=work.note)


def _reference(f: Any, x: Tensor, rows: Sequence[Row]) -> tuple[str, Any]:
    """The mode whose result is the most precise, in double precision, and that result."""
    if x.array.dtype == np.float64:
        known = {r.mode: r.result for r in rows if r.result is not None}
    else:
        wide = wrap(x.array.astype(np.float64))
        modes = _modes(f, wide, f(wide))
        known = {}
        for mode in PRECISE:
            found = _row(mode, modes[mode], wide, wide, Work(None, None, None), 1.0, set())
            if found.result is not None:
                known[mode] = found.result
                break
    for mode in PRECISE:
        if mode in known and np.isfinite(known[mode]).all():
            return mode, known[mode]
    return "", None


Mode = Callable[[], tuple[Any, int | None]]


def _modes(f: Any, x: Tensor, y: Tensor) -> dict[str, Mode]:
    """What each mode does: gives the derivative and how often f was called."""
    shape = (*y.array.shape, *x.array.shape)

    def forward() -> tuple[Any, int]:
        units = np.eye(x.array.size, dtype=x.array.dtype)
        columns = [
            func.jvp(f, (x,), (wrap(u.reshape(x.array.shape)),))[1].array.ravel() for u in units
        ]
        return np.stack(columns, -1).reshape(shape), len(units)

    def batched() -> tuple[Any, int]:
        return func.jacfwd(f)(x).array, 1

    def reverse() -> tuple[Any, int]:
        out, pullback = func.vjp(f, x)
        units = np.eye(out.array.size, dtype=out.array.dtype)
        rows = [pullback(wrap(u.reshape(out.array.shape)))[0].array.ravel() for u in units]
        return np.stack(rows).reshape(shape), 1

    def difference(method: str) -> Mode:
        def differences() -> tuple[Any, int]:
            found = numerical.jacobian(f, x, method)
            return found.value.array, found.evaluations

        return differences

    return {
        "forward": forward, "batched": batched, "reverse": reverse,
        "difference": difference("forward"), "central": difference("central"),
        "richardson": difference("richardson"), "complex": difference("complex"),
        "shared": symbolic_mode(f, x, y, sharing=True),
        "unshared": symbolic_mode(f, x, y, sharing=False),
    }  # fmt: skip


def _row(
    mode: str, run: Mode, x: Tensor, y: Tensor, work: Work, value_time: float, busy: set[str]
) -> Row:
    """One mode, run and measured; what keeps it from running is its reason."""
    row = Row(mode, int(x.array.size))
    if mode in busy:
        row.reason = f"not run: a smaller size took more than {PATIENCE:g} seconds"
        row.operations = work.operations(mode, x.array.size, y.array.size, None)
        return row
    try:
        row.result, row.evaluations = run()
    except TooMuch as error:
        row.reason, row.operations = str(error), error.operations
        return row
    except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        row.reason = shortened(error)
        return row
    row.operations = getattr(run, "operations", None) or work.operations(
        mode, x.array.size, y.array.size, row.evaluations
    )
    row.time = measured_time(lambda: run())
    row.ratio = row.time / value_time
    row.memory = measured_memory(lambda: run())
    if row.time > PATIENCE:
        busy.add(mode)
    return row
