"""What random functions do while vmaps run: refuse, draw once for all examples, or for each.

A random function asks `drawing` for the place of its draw.  Every running vmap that wants
"different" draws adds an axis in front, the oldest first, which is how boxes nest; under "same" the
draw has no such axis, so it is a tensor that is not mapped.  Parameters of the distribution are
looked at with the same axes in front, so that a draw is ordinary array code on whole batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.core.boxes import escaped, is_box, opened, running
from chainrule.core.generator import Generator, default_generator, source_of
from chainrule.core.modes import lifting
from chainrule.core.tensor import Tensor, wrap


class Drawing:
    """One call of a random function.

    Attributes:
        source: the generator to draw from.
        tags: the vmaps that get a draw for each example, oldest first.
        sizes: their numbers of examples.
    """

    __slots__ = ("lift", "sizes", "source", "tags")

    def __init__(self, source: Generator, tags: Sequence[Any] = (), lift: Any = None) -> None:
        self.source = source
        self.lift = lift
        self.tags = tags
        self.sizes = tuple([t.size for t in tags]) if tags else ()

    @property
    def rng(self) -> np.random.Generator:
        """NumPy's generator to draw from."""
        return self.source.rng

    def shape(self, shape: Any) -> tuple[int, ...]:
        """The shape to draw, for results that one example sees as having `shape`."""
        return (*self.sizes, *shape)

    def values(self, x: Any, ndim: int = 0) -> Any:
        """The values of a parameter, as they broadcast against draws with `ndim` own dimensions."""
        if not isinstance(x, Tensor):
            return x
        if not is_box(x):
            return x.array
        own = x.array.ndim
        x, mapping = opened(x)
        array = x.array
        if not mapping:
            return array
        sizes = [t.size if t in mapping else 1 for t in self.tags]
        return array.reshape(*sizes, *(1,) * (ndim - own), *array.shape[len(mapping) :])

    def spread(self, x: Any, shape: Any) -> Any:
        """The values of a parameter with all axes of the draw, without copying."""
        return np.broadcast_to(self.values(x, len(shape)), self.shape(shape))

    def drawn(self, draw: Callable[[], np.ndarray]) -> Tensor:
        """What a function draws: an array of shape `self.shape(...)`, as the caller sees it.

        In a recording of a function that will run again, it draws anew in every run.
        """
        if self.lift is None:
            return self.tensor(draw())
        return self._seen(self.lift.draw(draw, self.source))

    def tensor(self, made: Any) -> Tensor:
        """A draw, an array or tensor of shape `self.shape(...)`, as the caller sees it.

        Raises:
            RuntimeError: in a recording of a function that will run again, which cannot repeat it.
        """
        if self.lift is not None:
            raise self.lift.refusal("this random function")
        return self._seen(made if isinstance(made, Tensor) else wrap(made))

    def _seen(self, t: Tensor) -> Tensor:
        for tag in self.tags:
            t = tag.boxed(t)
        return t


def drawing(
    name: str, generator: Generator | None = None, parameters: Sequence[Any] = (),
    target: Tensor | None = None,
) -> Drawing:  # fmt: skip
    """Where a random function called now draws, and for which examples.

    Args:
        name: what the user called.
        generator: the one given; None for the default one.
        parameters: tensors that the distribution depends on.
        target: the tensor to be filled in place.

    Raises:
        RuntimeError: if a running vmap forbids randomness; wants the same draw for all examples,
            whose parameters differ; or wants different ones in a tensor that they share.
    """
    tags = running.get()
    if not tags:
        if parameters:
            _check_parameters(name, parameters)
        return Drawing(default_generator if generator is None else source_of(generator))
    mapping = [t for t in tags if t.randomness is not None]
    for tag in mapping:
        if tag.randomness == "error":
            raise tag.random_error(name)
    _check_parameters(name, parameters)
    source = source_of(generator)
    for tag in mapping:
        if tag.randomness == "same" and tag.replayed is not None and source not in tag.replayed:
            tag.replayed[source] = source.get_state()
    different = [t for t in mapping if t.randomness == "different"]
    if target is not None:
        _check_target(name, target, different)
    return Drawing(source, different, lifting())


def _check_parameters(name: str, parameters: Sequence[Any]) -> None:
    for x in parameters:
        if not is_box(x):
            continue
        for tag in opened(x)[1]:
            if not tag.alive:
                raise escaped(tag, f"{name}()")
            if tag.randomness == "same":
                raise RuntimeError(
                    "Vmap does not currently support same randomness with a batched tensor input: "
                    f"every example has its own parameters in {name}(). Use "
                    "randomness='different', or draw numbers without parameters (rand, randn) and "
                    "transform them"
                )


def _check_target(name: str, target: Tensor, different: Sequence[Any]) -> None:
    mapping = opened(target)[1] if is_box(target) else []
    for tag in different:
        if tag not in mapping:
            raise RuntimeError(
                f"{tag.title}: Cannot ask for different inplace randomness on an unbatched tensor. "
                f"This will appear like same randomness: {name}() fills a tensor that all examples "
                "share. Fill a tensor made from a mapped one (zeros_like(x)), or draw a new tensor "
                "(rand, randn, ...)"
            )


__all__ = ["Drawing", "drawing"]
