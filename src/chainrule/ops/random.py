"""Random tensors of a given size: uniform, normal, integers, permutations; the default source."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.device import check_device, check_layout
from chainrule.core.dtypes import as_numpy, category
from chainrule.core.generator import Generator, default_generator
from chainrule.core.randomness import Drawing, drawing
from chainrule.core.tensor import Tensor
from chainrule.ops.api import export
from chainrule.ops.create import checked, dtype_or_default, requiring, size_of

# Bits of the numbers that uniform draws of the short floating-point types are made from: as many as
# they represent exactly, because rounding a longer number could give 1.
_SHORT_BITS = {"float16": 11, "bfloat16": 8}


def uniform_array(rng: Any, shape: tuple[int, ...], dt: np.dtype[Any]) -> np.ndarray:
    """Numbers from [0, 1), drawn in the dtype itself.

    Raises:
        NotImplementedError: for integers and booleans.
    """
    if dt.kind == "c":
        part = np.dtype(f"f{dt.itemsize // 2}")
        out = np.empty(shape, dt)
        out.real, out.imag = uniform_array(rng, shape, part), uniform_array(rng, shape, part)
        return out
    if category(dt) != 2:
        raise NotImplementedError(
            f"uniform random numbers are not implemented for {dt.name}; use a floating-point "
            "dtype, or randint() for integers"
        )
    if dt.itemsize < 4:
        bits = _SHORT_BITS[dt.name]
        return (rng.integers(0, 1 << bits, shape) / float(1 << bits)).astype(dt)
    found: np.ndarray = np.asarray(rng.random(shape, dt))
    return found


def normal_array(rng: Any, shape: tuple[int, ...], dt: np.dtype[Any]) -> np.ndarray:
    """Numbers with mean 0 and variance 1; the parts of complex ones have variance 1/2.

    Raises:
        NotImplementedError: for integers and booleans.
    """
    if dt.kind == "c":
        part = np.dtype(f"f{dt.itemsize // 2}")
        out = np.empty(shape, dt)
        out.real, out.imag = normal_array(rng, shape, part), normal_array(rng, shape, part)
        return out * dt.type(0.5**0.5)
    if category(dt) != 2:
        raise NotImplementedError(
            f"normal random numbers are not implemented for {dt.name}; use a floating-point "
            "dtype, or randint() for integers"
        )
    if dt.itemsize < 4:
        return np.asarray(rng.standard_normal(shape, np.float32)).astype(dt)
    found: np.ndarray = np.asarray(rng.standard_normal(shape, dt))
    return found


def _drawn(
    place: Drawing, draw: Any, shape: tuple[int, ...], dt: np.dtype[Any], requires_grad: bool
) -> Tensor:
    return requiring(place.drawn(lambda: draw(place.rng, place.shape(shape), dt)), requires_grad)


def _of_size(name: str, draw: Any, doc: str) -> None:
    """Publish `name(*size)` and `name_like(input)` for one distribution."""

    def of_size(
        *size: Any, generator: Generator | None = None, dtype: Any = None, layout: Any = None,
        device: Any = None, requires_grad: bool = False, pin_memory: bool = False, **named: Any,
    ) -> Tensor:  # fmt: skip
        if named:
            if size or named.keys() != {"size"}:
                unknown = next((k for k in named if k != "size"), "size")
                raise TypeError(f"{name}() got an unexpected keyword argument '{unknown}'")
            size = (tuple(named["size"]),)
        check_device(device)
        check_layout(layout)
        shape = size_of(name, size)
        return _drawn(drawing(name, generator), draw, shape, dtype_or_default(dtype), requires_grad)

    def like(
        input: Any, *, generator: Generator | None = None, dtype: Any = None, layout: Any = None,
        device: Any = None, requires_grad: bool = False, memory_format: Any = None,
    ) -> Tensor:  # fmt: skip
        check_device(device)
        check_layout(layout)
        array = checked(f"{name}_like", input)
        dt = array.dtype if dtype is None else as_numpy(dtype)
        place = drawing(f"{name}_like", generator)
        return _drawn(place, draw, array.shape, dt, requires_grad)

    of_size.__name__, like.__name__ = name, f"{name}_like"
    of_size.__doc__ = f"""A tensor of the given size with {doc}.

    Raises:
        NotImplementedError: for a dtype that is not floating-point or complex.

    >>> import chainrule as cr
    >>> cr.{name}(2, 3).shape
    chainrule.Size([2, 3])
    """
    like.__doc__ = f"""A tensor with {doc}, and the shape and dtype of `input`.

    >>> import chainrule as cr
    >>> cr.{name}_like(cr.zeros(2, 3)).shape
    chainrule.Size([2, 3])
    """
    export(method=False)(of_size)
    export(method=False)(like)


_of_size("rand", uniform_array, "random numbers spread evenly over [0, 1)")
_of_size("randn", normal_array, "random numbers of the standard normal distribution")


def _integers(
    name: str, generator: Any, low: Any, high: Any, shape: tuple[int, ...], dt: np.dtype[Any],
    requires_grad: bool,
) -> Tensor:  # fmt: skip
    if low >= high:
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    place = drawing(name, generator)

    def draw() -> np.ndarray:
        return np.asarray(place.rng.integers(low, high, place.shape(shape))).astype(dt)

    return requiring(place.drawn(draw), requires_grad)


@export(method=False)
def randint(
    low: Any, high: Any = None, size: Any = None, *, generator: Generator | None = None,
    dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Random integers from `low` (0 if left out) up to, not including, `high`.

    Called as `randint(high, size)` or `randint(low, high, size)`.

    Raises:
        RuntimeError: if the range is empty.

    >>> import chainrule as cr
    >>> cr.randint(5, 6, (3,))
    tensor([5, 5, 5])
    """
    check_device(device)
    check_layout(layout)
    if isinstance(high, (tuple, list)):
        high, size = None, high
    if size is None:
        raise TypeError('randint() missing 1 required argument: "size"')
    low, high = (0, low) if high is None else (low, high)
    dt = np.dtype(np.int64) if dtype is None else as_numpy(dtype)
    shape = size_of("randint", (tuple(size),))
    return _integers("randint", generator, low, high, shape, dt, requires_grad)


@export(method=False)
def randint_like(
    input: Any, low: Any, high: Any = None, *, generator: Generator | None = None,
    dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:  # fmt: skip
    """Random integers from `low` (0 if left out) up to `high`, shaped and typed like `input`.

    >>> import chainrule as cr
    >>> cr.randint_like(cr.zeros(2), 1)
    tensor([0., 0.])
    """
    check_device(device)
    check_layout(layout)
    array = checked("randint_like", input)
    low, high = (0, low) if high is None else (low, high)
    dt = array.dtype if dtype is None else as_numpy(dtype)
    return _integers("randint_like", generator, low, high, array.shape, dt, requires_grad)


@export(method=False)
def randperm(
    n: int, *, generator: Generator | None = None, dtype: Any = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """The integers from 0 to n - 1 in random order.

    Raises:
        RuntimeError: if `n` is negative.

    >>> import chainrule as cr
    >>> sorted(cr.randperm(4).tolist())
    [0, 1, 2, 3]
    """
    check_device(device)
    check_layout(layout)
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")
    dt = np.dtype(np.int64) if dtype is None else as_numpy(dtype)
    place = drawing("randperm", generator)

    def draw() -> np.ndarray:
        if place.sizes:  # each example has an order of its own
            orders = np.broadcast_to(np.arange(n), place.shape((n,)))
            return place.rng.permuted(orders, axis=-1).astype(dt, copy=False)
        return place.rng.permutation(n).astype(dt, copy=False)

    return requiring(place.drawn(draw), requires_grad)


@export(method=False)
def manual_seed(seed: int) -> Generator:
    """Start the default generator again from `seed`, and return it.

    Raises:
        RuntimeError: if the seed does not fit in 64 bits.

    >>> import chainrule as cr
    >>> g = cr.manual_seed(1)
    >>> cr.initial_seed()
    1
    """
    return default_generator.manual_seed(seed)


@export(method=False)
def seed() -> int:
    """Start the default generator from a seed that the operating system chooses, and return it.

    >>> import chainrule as cr
    >>> cr.seed() == cr.initial_seed()
    True
    """
    return default_generator.seed()


@export(method=False)
def initial_seed() -> int:
    """The seed from which the default generator last started.

    >>> import chainrule as cr
    >>> g = cr.manual_seed(7)
    >>> cr.initial_seed()
    7
    """
    return default_generator.initial_seed()


@export(method=False)
def get_rng_state() -> Tensor:
    """The state of the default generator, as a tensor of bytes.

    >>> import chainrule as cr
    >>> cr.get_rng_state().dtype
    chainrule.uint8
    """
    return default_generator.get_state()


@export(method=False)
def set_rng_state(new_state: Tensor) -> None:
    """Bring the default generator back to a state that `get_rng_state` returned.

    Raises:
        TypeError, RuntimeError: if it is not such a state.

    >>> import chainrule as cr
    >>> state = cr.get_rng_state()
    >>> a = cr.rand(2)
    >>> cr.set_rng_state(state)
    >>> bool((a == cr.rand(2)).all())
    True
    """
    default_generator.set_state(new_state)
