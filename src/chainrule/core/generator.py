"""Sources of random numbers: NumPy's PCG64 behind PyTorch's `Generator`.

NumPy's generators take a lock around every draw, so one of them may be shared between threads.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np

from chainrule.core.device import CPU, check_device, device
from chainrule.core.modes import refuse_lifted
from chainrule.core.tensor import Tensor, wrap

DEFAULT_SEED = 67280421310721  # what PyTorch's generators start with
_STATE_BYTES = 8 + 16 + 16 + 1 + 4
_U64 = 1 << 64


class Generator:
    """A source of random numbers with its own state.

    Two generators with the same seed yield the same numbers.  They are not PyTorch's numbers.

    Raises:
        RuntimeError: for another device than the CPU.

    >>> import chainrule as cr
    >>> g = cr.Generator().manual_seed(0)
    >>> a = cr.rand(3, generator=g)
    >>> bool((a == cr.rand(3, generator=g.manual_seed(0))).all())
    True
    """

    __slots__ = ("_lock", "_rng", "_seed")

    _rng: np.random.Generator | None

    def __init__(self, device: Any = None) -> None:
        check_device(device)
        self._lock = threading.Lock()
        self.manual_seed(DEFAULT_SEED)

    @property
    def rng(self) -> np.random.Generator:
        """NumPy's generator, made on first use because `numpy.random` takes long to import."""
        found = self._rng
        if found is None:
            with self._lock:
                if self._rng is None:
                    self._rng = np.random.Generator(np.random.PCG64(self._seed))
                found = self._rng
        return found

    @property
    def device(self) -> device:
        """The device of the generator: the CPU."""
        return CPU

    def manual_seed(self, seed: int) -> Generator:
        """Start again from `seed` and return the generator.

        Raises:
            RuntimeError: if the seed does not fit in 64 bits.
        """
        refuse_lifted("seeding a generator")
        seed = int(seed)
        if not -(_U64 >> 1) <= seed < _U64:
            raise RuntimeError(
                f"Overflow when unpacking long long: the seed must fit in 64 bits, got {seed}"
            )
        self._seed = seed % (_U64 - 1) if seed < 0 else seed
        self._rng = None
        return self

    def seed(self) -> int:
        """Start again from a seed taken from the operating system, and return it."""
        seed = int.from_bytes(os.urandom(8), "little")
        self.manual_seed(seed)
        return seed

    def initial_seed(self) -> int:
        """The seed from which the generator last started."""
        return self._seed

    def get_state(self) -> Tensor:
        """The state as a tensor of bytes, for `set_state`."""
        state: Any = self.rng.bit_generator.state
        packed = (
            self._seed.to_bytes(8, "little")
            + state["state"]["state"].to_bytes(16, "little")
            + state["state"]["inc"].to_bytes(16, "little")
            + state["has_uint32"].to_bytes(1, "little")
            + state["uinteger"].to_bytes(4, "little")
        )
        t: Tensor = wrap(np.frombuffer(packed, np.uint8).copy())
        return t

    def set_state(self, new_state: Tensor) -> Generator:
        """Go back to a state that `get_state` returned.

        Raises:
            TypeError: if it is not a tensor of bytes.
            RuntimeError: if it has the wrong size.
        """
        array = getattr(new_state, "array", None)
        if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
            raise TypeError(
                "expected a torch.ByteTensor, as get_state() returns, but got "
                f"{type(new_state).__name__ if array is None else array.dtype}"
            )
        if array.shape != (_STATE_BYTES,):
            raise RuntimeError(
                f"RNG state is wrong size: expected {_STATE_BYTES} bytes, got {list(array.shape)}"
            )
        refuse_lifted("setting the state of a generator")
        self.go_back(array.tobytes())
        return self

    def go_back(self, packed: bytes) -> None:
        """Take a state, as bytes."""

        def number(start: int, stop: int) -> int:
            return int.from_bytes(packed[start:stop], "little")

        bits = np.random.PCG64(0)
        bits.state = {
            "bit_generator": "PCG64",
            "state": {"state": number(8, 24), "inc": number(24, 40)},
            "has_uint32": number(40, 41),
            "uinteger": number(41, 45),
        }
        self._seed = number(0, 8)
        self._rng = np.random.Generator(bits)

    def clone_state(self) -> Generator:
        """Another generator in the same state."""
        return Generator().set_state(self.get_state())

    def __repr__(self) -> str:
        return f"<chainrule.Generator seed={self._seed}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.get_state().array,)


def _restored(state: np.ndarray) -> Generator:
    return Generator().set_state(wrap(state))


default_generator = Generator()
default_generator.seed()


def source_of(generator: Generator | None) -> Generator:
    """The generator given, or the default one.

    Raises:
        TypeError: if it is not a `Generator`.
    """
    if generator is None:
        return default_generator
    if not isinstance(generator, Generator):
        raise TypeError(f"generator must be a Generator, not {type(generator).__name__}")
    return generator
