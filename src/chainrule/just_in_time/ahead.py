"""Compiling ahead of time: `f.lower(*args).compile()`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chainrule.graph.ir import Graph
from chainrule.just_in_time.record import Recording
from chainrule.just_in_time.signature import Call
from chainrule.just_in_time.variants import MISSED, Variant

Read = Callable[[Any, dict[str, Any]], Call]


class Lowered:
    """A function recorded for one signature, not yet compiled.

    Attributes:
        graph: what was recorded.

    >>> import chainrule as cr
    >>> lowered = cr.jit(lambda x: x * x + 0).lower(cr.ones(3))
    >>> print(lowered.graph)
    graph of <lambda>(x):
      x: float32[3]
      v2 = x*x
      v3 = v2 + 0
      return v3
    >>> lowered.compile()(cr.ones(3))
    tensor([1., 1., 1.])
    """

    def __init__(self, title: str, call: Call, recording: Recording, read: Read) -> None:
        self._title = title
        self._call = call
        self._recording = recording
        self._read = read

    @property
    def graph(self) -> Graph:
        return self._recording.graph

    def compile(self) -> Executable:
        """Machine code for this signature, ready before the first call."""
        variant = Variant(self._recording)
        _ = variant.compiled.program
        return Executable(self._title, self._call, variant, self._read)

    def __repr__(self) -> str:
        return f"<{self._title} lowered: {self.graph.operations} operations>"


class Executable:
    """Machine code of a function for one signature: it never compiles anything again."""

    def __init__(self, title: str, call: Call, variant: Variant, read: Read) -> None:
        self._title = title
        self._key = call.key
        self._variant = variant
        self._read = read

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the machine code.

        Raises:
            TypeError: if the arguments have another signature.
            RuntimeError: if the function would take another path for their values.
        """
        call = self._read(args, kwargs)
        if call.key != self._key:
            raise TypeError(
                f"{self._title} was compiled for other arguments: shapes, dtypes and the values of "
                "what is not a tensor must be those given to lower(). Call the function that jit "
                "returned instead, which compiles for every signature"
            )
        found = self._variant.run(call.tensors, call.arrays)
        if found is MISSED:
            raise RuntimeError(
                f"{self._title} was compiled for another path: a value that it looks at "
                f"({self._variant.recording.guards[0].where}) is different. Call the function that "
                "jit returned instead, which compiles every path"
            )
        return found

    def report(self) -> Any:
        """What was compiled, how, and what was not and why."""
        return self._variant.compiled.program.report()

    def __repr__(self) -> str:
        return f"<{self._title} compiled>"
