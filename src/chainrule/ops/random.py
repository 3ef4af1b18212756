"""Random tensors: uniform, normal, integers, permutations, and draws from other distributions."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.core.device import check_device, check_layout
from chainrule.core.dtypes import as_numpy, category
from chainrule.core.generator import Generator, default_generator, rng_of
from chainrule.core.kinds import general
from chainrule.core.samples import Sample, uniform
from chainrule.core.tensor import Tensor
from chainrule.ops.api import FUNCTIONS, export
from chainrule.ops.create import checked, dtype_or_default, made, size_of

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
        return made(draw(rng_of(generator), shape, dtype_or_default(dtype)), requires_grad)

    def like(
        input: Any, *, generator: Generator | None = None, dtype: Any = None, layout: Any = None,
        device: Any = None, requires_grad: bool = False, memory_format: Any = None,
    ) -> Tensor:  # fmt: skip
        check_device(device)
        check_layout(layout)
        array = checked(f"{name}_like", input)
        dt = array.dtype if dtype is None else as_numpy(dtype)
        return made(draw(rng_of(generator), array.shape, dt), requires_grad)

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


def _integers(rng: Any, low: Any, high: Any, shape: tuple[int, ...], dt: np.dtype[Any]) -> Any:
    if low >= high:
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    return np.asarray(rng.integers(low, high, shape)).astype(dt)


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
    return made(_integers(rng_of(generator), low, high, shape, dt), requires_grad)


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
    array = checked("randint_like", input)
    return FUNCTIONS["randint"](
        *((low,) if high is None else (low, high)), array.shape, generator=generator,
        dtype=array.dtype if dtype is None else dtype, layout=layout, device=device,
        requires_grad=requires_grad,
    )  # fmt: skip


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
    return made(rng_of(generator).permutation(n).astype(dt, copy=False), requires_grad)


def _drawn(name: str, grad_name: str) -> Any:
    """The operation that puts a draw on the tape: its value, given, does not vary with `params`.

    So the derivative with respect to the parameters of the distribution is zero, as in PyTorch;
    draws with a derivative are written mean + std * randn(...).
    """
    return general(
        name, lambda value, *params: value,
        vjp=lambda xp, g, need: (
            g if need[0] else None, *[xp.zeros_like(g) if n else None for n in need[1:]]
        ),
        jvp=lambda t: t[0],
        grad_name=grad_name,
        samples=lambda: [Sample(uniform(3, seed=2), uniform(3), uniform(3, seed=1))],
    )  # fmt: skip


_normal_draw = _drawn("normal_draw", "Normal")
_bernoulli_draw = _drawn("bernoulli_draw", "Bernoulli")
_poisson_draw = _drawn("poisson_draw", "Poisson")


def _check_std(std: Any) -> None:
    if np.any(np.less(std, 0)):
        raise RuntimeError(f"normal expects std >= 0.0, but found std {np.min(std):g}")


@export(method=False)
def normal(
    mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None,
    dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Normally distributed numbers; `mean` and `std` are tensors, or numbers and a `size`.

    Gradients with respect to `mean` and `std` are zero: write mean + std * randn(...) to
    differentiate through the draw.

    Raises:
        RuntimeError: if `std` is negative.
        TypeError: if both are numbers and there is no size.

    >>> import chainrule as cr
    >>> cr.normal(cr.tensor([1.0, 100.0]), 0.0)
    tensor([  1., 100.])
    """
    check_device(device)
    check_layout(layout)
    given = [x for x in (mean, std) if isinstance(x, Tensor)]
    arrays = [x.array if isinstance(x, Tensor) else x for x in (mean, std)]
    _check_std(arrays[1])
    rng = rng_of(generator)
    if size is not None:
        if given:
            raise TypeError("normal(): size is for a mean and std that are numbers")
        shape = size_of("normal", (tuple(size),))
        noise = normal_array(rng, shape, dtype_or_default(dtype))
        return made(noise * std + mean, requires_grad)
    if not given:
        raise TypeError('normal() missing 1 required argument: "size"')
    shape = np.broadcast_shapes(*[np.shape(a) for a in arrays])
    noise = normal_array(rng, shape, given[0].array.dtype)
    drawn: Tensor = _normal_draw(noise * arrays[1] + arrays[0], *given)
    return drawn


@export()
def bernoulli(input: Any, p: Any = None, *, generator: Generator | None = None) -> Tensor:
    """Ones and zeros: 1 with the probability that the entry of `input` (or `p`) says.

    Raises:
        RuntimeError: if a probability is outside [0, 1].
        NotImplementedError: if `input` is not floating-point.

    >>> import chainrule as cr
    >>> cr.bernoulli(cr.tensor([0.0, 1.0]))
    tensor([0., 1.])
    """
    array = checked("bernoulli", input)
    if p is not None:
        return made(_ones(rng_of(generator), p, array.shape).astype(array.dtype))
    if category(array.dtype) != 2:
        raise NotImplementedError(
            f"bernoulli is not implemented for {array.dtype.name}; pass probabilities as floats"
        )
    drawn: Tensor = _bernoulli_draw(
        _ones(rng_of(generator), array, array.shape).astype(array.dtype), input
    )
    return drawn


def _ones(rng: Any, p: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Whether each entry of a uniform draw is below the probability `p`."""
    if not np.all((np.asarray(p) >= 0) & (np.asarray(p) <= 1)):
        raise RuntimeError(f"bernoulli expects p to be in [0, 1], but got p={np.asarray(p)}")
    return np.asarray(rng.random(shape) < p)


@export()
def poisson(input: Any, generator: Generator | None = None) -> Tensor:
    """Draws from Poisson distributions with the entries of `input` as rates.

    Raises:
        RuntimeError: if a rate is negative.

    >>> import chainrule as cr
    >>> cr.poisson(cr.zeros(2))
    tensor([0., 0.])
    """
    array = checked("poisson", input)
    if not (array >= 0).all():
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    drawn: Tensor = _poisson_draw(
        np.asarray(rng_of(generator).poisson(array)).astype(array.dtype), input
    )
    return drawn


@export()
def multinomial(
    input: Any, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Indices drawn with probabilities proportional to `input`: of each row, if it is a matrix.

    Raises:
        RuntimeError: if a weight is negative or not finite, all are zero, or more draws than
            categories are asked for without replacement.

    >>> import chainrule as cr
    >>> cr.multinomial(cr.tensor([0.0, 1.0]), 3, replacement=True)
    tensor([1, 1, 1])
    """
    weights = checked("multinomial", input).astype(np.float64)
    if weights.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > weights.shape[-1]:
        raise RuntimeError(
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
        )
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    totals = weights.sum(-1, keepdims=True)
    if not totals.all():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    rng = rng_of(generator)
    if not replacement:
        # The first of independent exponential clocks to ring has rate/total probability, and so on.
        with np.errstate(divide="ignore"):
            rings = rng.standard_exponential(weights.shape) / weights
        return made(np.argsort(rings, axis=-1)[..., :num_samples])
    steps = np.cumsum(weights / totals, axis=-1)
    steps /= steps[..., -1:]  # exactly 1 at the end, so that no draw lies beyond
    draws = rng.random((*weights.shape[:-1], num_samples))
    if weights.ndim == 1:
        return made(np.searchsorted(steps, draws, "right"))
    return made(
        np.stack([np.searchsorted(s, d, "right") for s, d in zip(steps, draws, strict=True)])
    )


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
