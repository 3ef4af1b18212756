"""Many programs: independent random ones, totals, and a minimal program for what fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.database import InMemoryExampleDatabase

from tests.fuzz.checks import compare
from tests.fuzz.generate import programs
from tests.fuzz.program import Program

ENTROPY = 8000  # bytes that one program is drawn from


class Campaign:
    """A number of programs from a seed.

    Program `i` of a seed depends on nothing else but the version of Hypothesis.  Its bytes are our
    own, because Hypothesis derives most of its examples from earlier ones; what fails is
    shrunk by Hypothesis.  JAX is slow at programs that run once, so it judges every `oracle`-th;
    compiling takes its time too, so every `compiled`-th becomes machine code, in one of four ways.

    Attributes:
        totals: how many programs ran, with which features, and how many comparisons were made.
    """

    def __init__(self, seed: int, oracle: int = 10, compiled: int = 20) -> None:
        self.seed = seed
        self.compiled = compiled if find_spec("llvmlite") else 0  # 0: none
        self.oracle = oracle if find_spec("jax") else 0  # 0: JAX judges none
        self.totals: Counter[str] = Counter()
        self.index = 0
        self.test = self._shrinkable()

    def _shrinkable(self) -> Callable[[], None]:
        """The comparison as a Hypothesis test, which remembers what failed in order to shrink."""

        @settings(
            database=InMemoryExampleDatabase(),
            deadline=None,
            phases=[Phase.reuse, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(programs())
        def every_mode_agrees(program: Program) -> None:
            oracle = bool(self.oracle) and self.index % self.oracle == 0
            compare(program, oracle, self.totals, self.groups())

        return every_mode_agrees

    def groups(self) -> tuple[int, ...]:
        """Which checks of the compiler this program gets: all, or one group after the other."""
        if not self.compiled or self.index % self.compiled:
            return ()
        return (0, 1, 2, 3) if self.compiled == 1 else ((self.index // self.compiled) % 4,)

    def run(self, count: int) -> None:
        """Compare the next `count` programs.

        Raises:
            Exception: what the first program that fails raised, for a minimal program, with a note
                that says how to see it again.
        """
        first = self.index
        for self.index in range(first, first + count):
            try:
                self.one()
            except Exception:
                self.shrink()
                raise
        self.index = first + count

    def one(self) -> None:
        """Compare program number `index`."""
        data = _bytes(self.seed, self.index)
        if self.test.hypothesis.fuzz_one_input(data) is None:  # type: ignore[attr-defined]
            self.totals["without verdict"] += 1

    def shrink(self) -> None:
        """Make what just failed minimal, and raise for that."""
        kept, self.totals = self.totals, Counter()
        try:
            self.test()
        except Exception as error:
            again = f"python -m tests.fuzz 1 --seed {self.seed} --first {self.index}"
            error.add_note(f"Found by the fuzzer. Again, before shrinking: {again}")
            raise
        finally:
            self.totals = kept

    def summary(self) -> str:
        """What was done, in three lines."""
        t = self.totals
        features = {k.removeprefix("with "): n for k, n in t.items() if k.startswith("with ")}
        checks = {k.removeprefix("by "): n for k, n in t.items() if k.startswith("by ")}
        return "\n".join(
            [
                f"fuzz: seed {self.seed}, {t['programs']} programs compared, "
                f"{t['without verdict']} without verdict (enormous values), "
                f"{sum(checks.values())} comparisons; "
                f"{t['paths that depend on data']} with paths that depend on data, so not traced",
                "  comparisons by " + _listed(checks),
                "  programs with " + _listed(features),
            ]
        )


def drawn(seed: int, index: int) -> Program | None:
    """Program number `index` of a seed, None if its bytes make none."""
    found: list[Program] = []

    @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(programs())
    def keep(program: Program) -> None:
        found.append(program)

    keep.hypothesis.fuzz_one_input(_bytes(seed, index))  # type: ignore[attr-defined]
    return found[0] if found else None


def _bytes(seed: int, index: int) -> bytes:
    return np.random.default_rng([seed, index]).bytes(ENTROPY)


def _listed(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {n}" for name, n in ordered)
