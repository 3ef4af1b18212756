"""Datasets, samplers, and the loader that makes batches of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, islice
from math import floor
from typing import Any

import numpy as np

from chainrule.core.tensor import Tensor, wrap
from chainrule.ops.api import FUNCTIONS
from chainrule.utils.samplers import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
    permutation,
)

__all__ = [
    "BatchSampler",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "default_collate",
    "random_split",
]


class Dataset:
    """A collection of samples by number: subclasses define `__getitem__` and usually `__len__`."""

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define __getitem__")

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])

    def __class_getitem__(cls, item: Any) -> Any:
        return cls


class IterableDataset(Dataset):
    """A stream of samples: subclasses define `__iter__`."""

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} does not define __iter__")


class TensorDataset(Dataset):
    """Samples that are rows of several tensors.

    Raises:
        AssertionError: if the tensors have different numbers of rows.

    >>> import chainrule as cr
    >>> from chainrule.utils.data import TensorDataset
    >>> TensorDataset(cr.tensor([1.0, 2.0]), cr.tensor([0, 1]))[1]
    (tensor(2.), tensor(1))
    """

    def __init__(self, *tensors: Any) -> None:
        if any(len(t) != len(tensors[0]) for t in tensors):
            raise AssertionError(
                "Size mismatch between tensors: they have "
                f"{[len(t) for t in tensors]} rows, but need the same number"
            )
        self.tensors = tensors

    def __getitem__(self, index: Any) -> Any:
        return tuple(t[index] for t in self.tensors)

    def __getitems__(self, indices: Sequence[int]) -> _Rows:
        """Several samples at once, still as columns: what a loader turns into a batch directly."""
        rows = np.asarray(indices)
        return _Rows(t[rows] for t in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])


class _Rows(tuple[Any, ...]):
    """A batch that is already collated: one entry for each tensor."""

    __slots__ = ()


class StackDataset(Dataset):
    """Samples put together from several datasets, as a tuple or (with keywords) as a dict."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            raise ValueError("StackDataset takes either positional or keyword datasets, and some")
        self.datasets: Any = kwargs or args
        parts = list(kwargs.values() if kwargs else args)
        self._length = len(parts[0])
        if any(len(part) != self._length for part in parts):
            raise ValueError("Size mismatch between datasets")

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {name: part[index] for name, part in self.datasets.items()}
        return tuple(part[index] for part in self.datasets)

    def __len__(self) -> int:
        return self._length


class ConcatDataset(Dataset):
    """Several datasets one after the other.

    Raises:
        AssertionError: if there are none.
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("datasets should not be an empty iterable")
        self.cumulative_sizes = list(accumulate(len(d) for d in self.datasets))

    def __getitem__(self, index: int) -> Any:
        size = len(self)
        if not -size <= index < size:
            raise IndexError(f"index {index} is out of range for {size} samples")
        index %= size
        which = bisect_right(self.cumulative_sizes, index)
        before = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][index - before]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


class Subset(Dataset):
    """The samples of a dataset at the given numbers."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: Sequence[int]) -> Any:
        """Several samples at once."""
        numbers = [self.indices[i] for i in indices]
        several = getattr(self.dataset, "__getitems__", None)
        return several(numbers) if callable(several) else [self.dataset[i] for i in numbers]

    def __len__(self) -> int:
        return len(self.indices)


def random_split(
    dataset: Any, lengths: Sequence[int | float], generator: Any = None
) -> list[Subset]:
    """Split a dataset at random into parts of the given lengths, or fractions that add up to one.

    Raises:
        ValueError: if the lengths do not add up to the dataset's.

    >>> import chainrule as cr
    >>> from chainrule.utils.data import random_split
    >>> [len(part) for part in random_split(range(10), [0.7, 0.3])]
    [7, 3]
    """
    size = len(dataset)
    if sum(lengths) <= 1 and any(isinstance(x, float) for x in lengths):
        if not abs(sum(lengths) - 1) < 1e-9:
            raise ValueError(f"the fractions add up to {sum(lengths)}, not to 1")
        if any(not 0 <= x <= 1 for x in lengths):
            raise ValueError(f"the fractions must be between 0 and 1, got {list(lengths)}")
        whole = [floor(size * x) for x in lengths]
        for i in range(size - sum(whole)):
            whole[i % len(whole)] += 1
        lengths = whole
    if sum(lengths) != size:
        raise ValueError(
            "Sum of input lengths does not equal the length of the input dataset: "
            f"{sum(lengths)} and {size}"
        )
    order = permutation(size, generator).tolist()
    ends = list(accumulate(int(x) for x in lengths))
    return [
        Subset(dataset, order[end - int(n) : end]) for end, n in zip(ends, lengths, strict=True)
    ]


def default_collate(batch: Any) -> Any:
    """A list of samples as one batch: tensors are stacked, and containers collated by entry.

    Raises:
        RuntimeError: if samples have different lengths.
        TypeError: for entries of an unknown type.

    >>> from chainrule.utils.data import default_collate
    >>> default_collate([(1, 2.0), (3, 4.0)])
    [tensor([1, 3]), tensor([2., 4.], dtype=chainrule.float64)]
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return FUNCTIONS["stack"](list(batch))
    if isinstance(first, (np.ndarray, np.generic)):
        return wrap(np.stack(batch))
    if isinstance(first, float):
        return wrap(np.array(batch, np.float64))
    if isinstance(first, (bool, int)):
        return wrap(np.array(batch))
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return type(first)({key: default_collate([s[key] for s in batch]) for key in first})  # type: ignore[call-arg]
    if isinstance(first, (tuple, list)):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [default_collate(list(column)) for column in zip(*batch, strict=True)]
        return type(first)(*columns) if hasattr(first, "_fields") else columns
    raise TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
        f"found {type(first)}. Pass a collate_fn that makes a batch of them"
    )


class DataLoader:
    """Batches of a dataset.

    Args:
        dataset: anything with `__getitem__` and `__len__`, or an `IterableDataset`.
        batch_size: samples in a batch; None for single samples.
        shuffle: visit the samples in another random order each time.
        sampler, batch_sampler: the order of samples, or of batches, instead of `shuffle`.
        num_workers: 0; batches are made in this process.
        collate_fn: makes a batch of a list of samples (by default `default_collate`).
        drop_last: leave out a last batch that is not full.
        generator: where the random order comes from.

    Raises:
        ValueError: for options that exclude each other, or for worker processes.

    >>> import chainrule as cr
    >>> from chainrule.utils.data import DataLoader, TensorDataset
    >>> for (x,) in DataLoader(TensorDataset(cr.arange(5)), batch_size=2):
    ...     print(x)
    tensor([0, 1])
    tensor([2, 3])
    tensor([4])
    """

    def __init__(
        self, dataset: Any, batch_size: int | None = 1, shuffle: bool | None = None,
        sampler: Any = None, batch_sampler: Any = None, num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None, pin_memory: bool = False,
        drop_last: bool = False, timeout: float = 0, worker_init_fn: Any = None,
        multiprocessing_context: Any = None, generator: Any = None, *,
        prefetch_factor: int | None = None, persistent_workers: bool = False,
        pin_memory_device: str = "",
    ) -> None:  # fmt: skip
        if num_workers != 0:
            raise ValueError(
                f"num_workers={num_workers}: chainrule loads data in the main process; pass "
                "num_workers=0"
            )
        streamed = isinstance(dataset, IterableDataset)
        if streamed and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError(
                "DataLoader with IterableDataset: expected unspecified shuffle, sampler and "
                "batch_sampler options"
            )
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, "
                    "and drop_last"
                )
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError(
                "batch_size=None option disables auto-batching and is mutually exclusive with "
                "drop_last"
            )
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.generator, self.num_workers = generator, num_workers
        if sampler is None and not streamed:
            sampler = (
                RandomSampler(dataset, generator=generator)
                if shuffle
                else SequentialSampler(dataset)
            )
        self.sampler = sampler
        if batch_sampler is None and batch_size is not None:
            order = range(1 << 62) if streamed else sampler
            batch_sampler = BatchSampler(order, batch_size, drop_last)
        self.batch_sampler = batch_sampler
        self.collate_fn = default_collate if collate_fn is None else collate_fn

    def __iter__(self) -> Iterator[Any]:
        if isinstance(self.dataset, IterableDataset):
            yield from self._stream()
        elif self.batch_sampler is None:
            for i in self.sampler:
                yield self.dataset[i]
        else:
            several = getattr(self.dataset, "__getitems__", None)
            for numbers in self.batch_sampler:
                if callable(several):
                    batch = several(numbers)
                else:
                    batch = [self.dataset[i] for i in numbers]
                yield self._collate(batch, numbers)

    def _collate(self, batch: Any, numbers: Sequence[int]) -> Any:
        if not isinstance(batch, _Rows):
            return self.collate_fn(batch)
        if self.collate_fn is default_collate:
            return list(batch)
        return self.collate_fn([self.dataset[i] for i in numbers])

    def _stream(self) -> Iterator[Any]:
        samples = iter(self.dataset)
        if self.batch_size is None:
            yield from samples
            return
        while batch := list(islice(samples, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield self.collate_fn(batch)

    def __len__(self) -> int:
        if isinstance(self.dataset, IterableDataset):
            n = len(self.dataset)  # type: ignore[arg-type]
            if self.batch_size is None:
                return n
            return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)
