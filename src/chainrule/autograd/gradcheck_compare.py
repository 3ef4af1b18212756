"""The comparison in `gradcheck`: numerical against reverse and forward mode, slow and fast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.autograd.gradcheck import GradcheckError
from chainrule.autograd.gradcheck_analytic import Pull, Rows, columns, push
from chainrule.autograd.gradcheck_numeric import Array, Probe, unit_vector
from chainrule.autograd.gradcheck_report import Mismatch
from chainrule.core.tensor import Tensor, wrap

_NOT_REENTRANT = (
    "Backward is not reentrant, i.e., running backward with same input and grad_output multiple "
    "times gives different values, although analytical gradient matches numerical gradient. The "
    "tolerance for nondeterminism was {}. Look for random numbers or changing state in a backward "
    "of your own; pass nondet_tol if that is intended."
)
_FAST_ONLY = (
    "\nFast gradcheck failed but element-wise differences are small. This means that the test "
    "might've passed in slow_mode! Call it with fast_mode=False."
)


def _agree(got: Any, expected: Any, rtol: float, atol: float) -> bool:
    """`torch.allclose`, without the checks: differences within atol + rtol·|expected|."""
    gap = np.abs(got - expected)
    allowed = np.abs(expected)
    allowed *= rtol
    allowed += atol
    return bool((gap <= allowed).all())


class Check:
    """One call of `gradcheck`: the function, the tolerances, and the steps of the check."""

    def __init__(
        self, probe: Probe, atol: float, rtol: float, nondet_tol: float, fast: bool
    ) -> None:
        self.probe = probe
        self.atol, self.rtol, self.nondet_tol, self.fast = atol, rtol, nondet_tol, fast
        # The outputs to check, by their number among the results.
        self.outs = [(i, o) for i, o in enumerate(probe.outputs) if o.node is not None]
        self.variables: list[Tensor] = [probe.inputs[p] for p in probe.variables]
        # One prepared pull from all recorded outputs together, and one from each.
        self.joint = Pull([o for _, o in self.outs], self.variables)
        self._jacobians: dict[tuple[int, complex], list[Array]] = {}

    def run(self, reverse: bool, forward: bool, check_dtypes: bool) -> None:
        """Compare the modes asked for with differences.

        Differences are first taken without recording.  A function that differentiates inside, or
        asks whether it is being recorded, does otherwise then; so what goes wrong is tried again
        with recording, and fails again if it has any other reason.

        Raises:
            GradcheckError: if they disagree.
        """
        for quiet in (True, False):
            self.probe.quiet = quiet
            self._jacobians.clear()
            try:
                self._run(reverse, forward, check_dtypes)
                return
            except Exception:
                if not quiet:
                    raise

    def _run(self, reverse: bool, forward: bool, check_dtypes: bool) -> None:
        if not self.outs:
            self.check_zero()
            return
        if reverse:
            self.reverse()
        if forward:
            self.forward(check_dtypes)

    # ---- numerical

    def jacobian(self, position: int, unit: complex) -> list[Array]:
        """The numerical Jacobians by one input, of all outputs; computed once."""
        key = position, unit
        if key not in self._jacobians:
            self._jacobians[key] = self.probe.jacobian(position, unit)
        return self._jacobians[key]

    def table(self, position: int, output: int, part: Callable[[Any], Any]) -> Array:
        """What reverse mode should give: ∂/∂Re, for a complex input plus i ∂/∂Im."""
        real = part(self.jacobian(position, 1.0)[output])
        if self.probe.inputs[position].array.dtype.kind != "c":
            return np.asarray(real)
        return np.asarray(real + 1j * part(self.jacobian(position, 1j)[output]))

    def check_zero(self) -> None:
        """Nothing requires grad among the outputs: then nothing may depend on the inputs.

        Raises:
            GradcheckError: if it does.
        """
        for position in self.probe.variables:
            for unit in self._units(position):
                for j, table in enumerate(self.jacobian(position, unit)):
                    if np.any(table):
                        worst = np.unravel_index(int(np.abs(table).argmax()), table.shape)
                        raise GradcheckError(
                            "Numerical gradient for function expected to be zero, because no output"
                            f" requires grad, but output {j} depends on input {position}: the "
                            f"largest derivative is {table[worst]:.9g}. Likely cause: the gradient "
                            "is cut. Look for detach(), no_grad(), .data, .item() or numpy()."
                        )

    def _units(self, position: int) -> tuple[complex, ...]:
        return (1.0, 1j) if self.probe.inputs[position].array.dtype.kind == "c" else (1.0,)

    def _mismatch(
        self, got: Array, expected: Array, position: int, j: int, **details: Any
    ) -> Mismatch:
        return Mismatch(
            got, expected, self.atol, self.rtol, j, position,
            tuple(self.probe.outputs[j].array.shape),
            tuple(self.probe.inputs[position].array.shape), self.probe, **details,
        )  # fmt: skip

    # ---- reverse mode

    def reverse(self) -> None:
        """Compare with rows of the Jacobian by reverse mode, part by part of complex outputs.

        Raises:
            GradcheckError: if they disagree, or two backward passes do.
        """
        joint = self.joint
        for at, (j, out) in enumerate(self.outs):
            if len(self.outs) == 1 or joint.own_code:
                pull = Rows(joint, at)
            else:
                pull = Rows(Pull([out], self.variables), 0)
            parts: list[tuple[Callable[[Any], Any], complex]] = [(np.real, 1.0)]
            if out.array.dtype.kind == "c":
                parts.insert(0, (np.imag, 1j))
            for part, seed in parts:
                (self._reverse_fast if self.fast else self._reverse_slow)(pull, j, part, seed)

    def _reverse_slow(self, pull: Rows, j: int, part: Any, seed: complex) -> None:
        tables = pull.tables(seed)
        self._check_repeats(pull, tables, seed)
        for position, got in zip(self.probe.variables, tables, strict=True):
            expected = self.table(position, j, part)
            if not _agree(got, expected, self.rtol, self.atol):
                m = self._mismatch(got, expected, position, j, part=part)
                raise m.error(self._header(j, position, part))

    def _check_repeats(self, pull: Rows, tables: list[Array], seed: complex) -> None:
        """A second backward gives the same."""
        # The library's own rules are functions of what they are given: only user code may vary.
        if pull.own_code and not _same_all(tables, pull.tables(seed), self.nondet_tol):
            raise GradcheckError(_NOT_REENTRANT.format(self.nondet_tol))

    def _header(self, j: int, position: int, part: Any) -> str:
        complex_out = self.probe.outputs[j].array.dtype.kind == "c"
        name = "imaginary" if part is np.imag else "real"
        prefix = (
            f"While considering the {name} part of complex outputs only, " if complex_out else ""
        )
        return f"{prefix}Jacobian mismatch for output {j} with respect to input {position},\n"

    def _reverse_fast(self, pull: Rows, j: int, part: Any, seed: complex) -> None:
        """vᵀJu for one v and, for each input, one u."""
        v = unit_vector(pull.out.array.size, 1)
        weight = (v * seed).astype(pull.out.array.dtype)
        found = pull.one(weight)
        # The library's own rules are functions of what they are given: only user code may vary.
        if pull.own_code and not _same_all(found, pull.one(weight), self.nondet_tol):
            raise GradcheckError(_NOT_REENTRANT.format(self.nondet_tol))
        for position, g in zip(self.probe.variables, found, strict=True):
            x = self.probe.inputs[position]
            got: complex = 0.0
            expected: complex = 0.0
            weights = 0.0
            for unit in self._units(position):
                u = unit_vector(x.array.size, 2 if unit == 1.0 else 4)
                flat = 0.0 if g is None else g.reshape(-1)
                got += unit * np.dot(np.real(flat) if unit == 1.0 else np.imag(flat), u).sum()
                expected += unit * np.dot(part(self.along(position, unit)[j]), v)
                weights += float(u.sum())
            atol = self.atol * weights * float(v.sum())
            if not abs(got - expected) <= atol + self.rtol * abs(expected):
                raise self._fast_failed(pull, position, j, part, seed, got, expected)

    def along(self, position: int, unit: complex) -> list[Array]:
        """The numerical derivatives along the random direction of an input; computed once."""
        key = position, 2 * unit
        if key not in self._jacobians:
            u = unit_vector(self.probe.inputs[position].array.size, 2 if unit == 1.0 else 4)
            self._jacobians[key] = self.probe.along(position, u, unit)
        return self._jacobians[key]

    def _fast_failed(
        self, pull: Rows, position: int, j: int, part: Any, seed: complex, got: complex,
        expected: Any,
    ) -> GradcheckError:  # fmt: skip
        """The error of fast mode, with the entries that slow mode finds."""
        table = pull.tables(seed)[self.probe.variables.index(position)]
        wanted = self.table(position, j, part)
        return self._explained(
            self._header(j, position, part), got, expected,
            self._mismatch(table, wanted, position, j, part=part),
        )  # fmt: skip

    def _explained(self, header: str, got: Any, expected: Any, m: Mismatch) -> GradcheckError:
        """The quantities of fast mode, then the tables that slow mode compares."""
        header = (
            f"{header}numerical:{expected:.9g}\nanalytical:{got:.9g}\n\nThe above quantities "
            "relating the numerical and analytical jacobians are computed in fast mode. Below, we "
            "recompute numerical and analytical jacobians in slow mode:\n\n"
        )
        if m.bad.any():
            return m.error(header)
        return GradcheckError(f"{header}{_FAST_ONLY}")

    # ---- forward mode

    def forward(self, check_dtypes: bool) -> None:
        """Compare with columns of the Jacobian by forward mode, part by part of complex inputs.

        Raises:
            GradcheckError: if they disagree.
        """
        for position in self.probe.variables:
            for unit in reversed(self._units(position)):
                if self.fast:
                    self._forward_fast(position, unit, check_dtypes)
                else:
                    self._forward_slow(position, unit, check_dtypes)

    def _forward_slow(self, position: int, unit: complex, check_dtypes: bool) -> None:
        expected = self.jacobian(position, unit)
        for (j, _), got in zip(
            self.outs, columns(self.probe, position, unit, check_dtypes), strict=True
        ):
            if not _agree(got, expected[j], self.rtol, self.atol):
                m = self._mismatch(got, expected[j], position, j, unit=unit, forward=True)
                raise m.error(self._forward_header(j, position, unit))

    def _forward_fast(self, position: int, unit: complex, check_dtypes: bool) -> None:
        x = self.probe.inputs[position].array
        u = unit_vector(x.size, 2 if unit == 1.0 else 4)
        tangent = (u * unit).astype(x.dtype).reshape(x.shape)
        expected = self.along(position, unit)
        atol = self.atol * float(u.sum())
        for (j, _), got in zip(
            self.outs, push(self.probe, position, wrap(tangent), check_dtypes), strict=True
        ):
            if not _agree(got.array.reshape(-1), expected[j], self.rtol, atol):
                worst = int(np.abs(got.array.reshape(-1) - expected[j]).argmax())
                at = [self.outs[k][0] for k in range(len(self.outs))].index(j)
                table = columns(self.probe, position, unit, False)[at]
                m = self._mismatch(
                    table, self.jacobian(position, unit)[j], position, j, unit=unit, forward=True
                )
                header = self._forward_header(j, position, unit)
                raise self._explained(header, got.array.reshape(-1)[worst], expected[j][worst], m)

    def _forward_header(self, j: int, position: int, unit: complex) -> str:
        complex_in = self.probe.inputs[position].array.dtype.kind == "c"
        name = "imaginary" if unit == 1j else "real"
        prefix = f"While considering the {name} part of complex inputs only, " if complex_in else ""
        return (
            f"{prefix}Jacobian computed with forward mode mismatch for output {j} with respect to "
            f"input {position},\n"
        )


def _same(a: Array | None, b: Array | None, tolerance: float) -> bool:
    if a is None or b is None:
        return a is b
    return bool((a == b).all() or (np.abs(a - b) <= tolerance).all() or _same_nans(a, b, tolerance))


def _same_nans(a: Array, b: Array, tolerance: float) -> bool:
    return np.allclose(a, b, 0.0, tolerance, equal_nan=True)


def _same_all(found: Sequence[Any], again: Sequence[Any], tolerance: float) -> bool:
    return all(_same(a, b, tolerance) for a, b in zip(found, again, strict=True))
