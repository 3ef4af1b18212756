"""What is known of one signature: the paths that the function took, and machine code for each."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.core import inplace, modes
from chainrule.core.boxes import Box, bottom, tags_in
from chainrule.core.mutation import owner_of
from chainrule.core.tensor import Tensor, wrap
from chainrule.just_in_time.calls import Compiled
from chainrule.just_in_time.constants import Constant
from chainrule.just_in_time.live import NotRecorded
from chainrule.just_in_time.record import Recording
from chainrule.transforms.batch import BatchTag
from chainrule.transforms.inputs import as_given

MISSED: Any = object()  # a guard did not hold


class Variant:
    """One recording, compiled.

    Attributes:
        recording: what a run of the function was.
        compiled: its graph as a primitive.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.compiled = Compiled(recording.graph.optimize())
        self._avals = [(x.shape, _dtype(x)) for x in recording.captured]
        self._results = sum(type(r) is int for r in recording.results)
        sources = {id(d.source): d.source for d in recording.draws}
        self._sources = list(sources.values()) if recording.guards else []
        # Inputs that are written after the run, whose values a backward pass may need.
        outside = {id(x) for x in recording.written}
        self._written = list(recording.written_arguments)
        start = len(recording.graph.inputs) - len(recording.captured) - len(recording.draws)
        self._written += [start + i for i, x in enumerate(recording.captured) if id(x) in outside]

    @property
    def is_plain(self) -> bool:
        """Whether a call draws nothing, looks at nothing, and does nothing but compute."""
        made = self.recording
        more = [*made.draws, *made.guards, *made.written, *made.written_arguments]
        return not (more or made.recorded_only) and all(type(r) is int for r in made.results)

    def run(self, tensors: Sequence[Any], arrays: bool) -> Any:
        """The result for inputs; `MISSED` if it takes another path for them.

        Raises:
            NotRecorded: if the path is not the same for all examples that are mapped over.
        """
        made = self.recording
        for x, (shape, dtype) in zip(made.captured, self._avals, strict=True):
            if x.shape != shape or _dtype(x) != dtype:
                return MISSED
        boxed = any(x._box is not None for x in tensors)
        if boxed and made.draws and any(isinstance(t, BatchTag) for t in tags_in(tensors)):
            raise NotRecorded("random numbers under vmap are drawn as it says", False)
        if made.recorded_only and not modes.is_recording():
            raise NotRecorded("it asks for the mode (no_grad), and runs without recording", False)
        self._refuse_shared(tensors)
        states = [s.get_state() for s in self._sources]
        drawn = [wrap(np.asarray(d.draw())) for d in made.draws]
        captured = [x if isinstance(x, Tensor) else wrap(x) for x in made.captured]
        outs = self._outputs([*tensors, *captured, *drawn], boxed)
        for guard, found in zip(made.guards, outs[self._results :], strict=False):
            if not guard.holds(_guarded(found)):
                for source, state in zip(self._sources, states, strict=True):
                    source.set_state(state)
                return MISSED
        self._write(tensors, outs)
        return self._result(outs, arrays)

    def _refuse_shared(self, tensors: Sequence[Any]) -> None:
        """Refuse to write to memory that another tensor looks at, which would have to follow.

        Raises:
            NotRecorded: if an argument, or a tensor from outside, does.
        """
        made = self.recording
        written = [*[tensors[i] for i in made.written_arguments], *made.written]
        if not written:
            return
        owners = Counter([id(owner_of(getattr(x, "array", x))) for x in (*tensors, *made.captured)])
        if any(owners[id(owner_of(x.array))] > 1 for x in written):
            raise NotRecorded("a tensor is written in place whose memory another one shares", False)

    def _recorded(self, args: list[Any]) -> Sequence[Any]:
        if self.recording.converted:
            raise NotRecorded("it makes numbers of tensors, where a gradient could be lost", False)
        args = list(args)
        for i in self._written:
            x = args[i]
            if x._box is None:
                args[i] = wrap(x.array.copy(), x.node)
        return self.compiled.call(args)

    def _outputs(self, args: list[Any], boxed: bool) -> Sequence[Any]:
        """Tensors, or arrays where nothing is recorded."""
        if boxed or any(x._box is not None for x in args):
            return self._recorded(args)
        if modes.is_recording():
            for x in args:
                if x.node is not None:
                    return self._recorded(args)
        return self.compiled.program.run([x.array for x in args])

    def _write(self, tensors: Sequence[Any], outs: Sequence[Any]) -> None:
        """Copy into tensors and arrays what the function wrote to them."""
        made = self.recording
        at = self._results + len(made.guards)
        targets = [*[tensors[i] for i in made.written_arguments], *made.written]
        for x, value, quietly in zip(targets, outs[at:], made.unrecorded, strict=True):
            token = modes.enter(modes.changed(grad=modes.is_recording() and not quietly))
            try:
                inplace.check_writable(x)
                inplace.assign(x, value if isinstance(value, Tensor) else wrap(value), "copy_")
            finally:
                modes.leave(token)

    def _result(self, outs: Sequence[Any], arrays: bool) -> Any:
        made = self.recording
        leaves = []
        for r in made.results:
            if type(r) is Constant:
                leaves.append(r.again())
                continue
            y = outs[r]  # type: ignore[index]
            if not isinstance(y, Tensor):
                leaves.append(y if arrays else wrap(y))
            else:
                leaves.append(as_given(y, arrays))
        return made.spec.unflatten(leaves)


def _dtype(x: Any) -> Any:
    return getattr(x, "array", x).dtype


def _guarded(found: Any) -> np.ndarray:
    """The value of a guard.

    Raises:
        NotRecorded: if every example has its own.
    """
    if isinstance(found, Box):
        if any(isinstance(t, BatchTag) for t in tags_in([found])):
            raise NotRecorded("the path depends on what is mapped over", False)
        found = bottom(found)
    return getattr(found, "array", found)


class Signature:
    """All that is known of one signature.

    Attributes:
        variants: one for each path that the function took, the latest used first.
        reason: why calls run eagerly; empty if they do not.
        calls: how many there were.
    """

    def __init__(self, limit: int) -> None:
        self.variants: list[Variant] = []
        self.reason = ""
        self.calls = 0
        self.lock = threading.RLock()
        self._limit = limit

    def run(self, tensors: Sequence[Any], arrays: bool, make: Callable[[], Recording]) -> Any:
        """The result of a call; `make` records a new variant.

        Raises:
            NotRecorded: if the call is to run eagerly.
        """
        self.calls += 1
        found = self._known(tensors, arrays)
        if found is not MISSED:
            return found
        with self.lock:
            found = self._known(tensors, arrays)  # another thread may have been faster
            if found is not MISSED:
                return found
            if len(self.variants) >= self._limit:
                self.reason = (
                    f"its path depends on values, and {self._limit} different paths are known "
                    f"already; the last value looked at was at {self._last_guard()}"
                )
                raise NotRecorded(self.reason)
            variant = Variant(make())
            self.variants = [variant, *self.variants]
            found = variant.run(tensors, arrays)
        if found is MISSED:
            raise NotRecorded("the recording does not repeat: a second run gives other values")
        return found

    def _known(self, tensors: Sequence[Any], arrays: bool) -> Any:
        if self.reason:
            raise NotRecorded(self.reason)
        for i, variant in enumerate(self.variants):
            found = variant.run(tensors, arrays)
            if found is not MISSED:
                if i:
                    self._promote(variant)
                return found
        return MISSED

    def _promote(self, variant: Variant) -> None:
        with self.lock:
            self.variants = [variant, *[v for v in self.variants if v is not variant]]

    def _last_guard(self) -> str:
        return next((g.where for v in self.variants for g in reversed(v.recording.guards)), "")
