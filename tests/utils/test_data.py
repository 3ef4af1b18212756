"""Datasets, samplers and loaders."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest

import chainrule as cr
from chainrule.utils import data


def rows(n=10):
    return data.TensorDataset(cr.arange(n), cr.arange(n) * 2.0)


def test_tensor_dataset():
    dataset = rows()
    assert len(dataset) == 10
    assert [t.item() for t in dataset[3]] == [3, 6]
    with pytest.raises(AssertionError, match="Size mismatch"):
        data.TensorDataset(cr.zeros(2), cr.zeros(3))


def test_loader_makes_batches():
    batches = list(data.DataLoader(rows(), batch_size=4))
    assert [x.tolist() for x, _ in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    loader = data.DataLoader(rows(), batch_size=4, drop_last=True)
    assert len(loader) == len(list(loader)) == 2
    single = list(data.DataLoader(rows(3), batch_size=None))
    assert [x.item() for x, _ in single] == [0, 1, 2]


def test_shuffling_is_reproducible_and_complete():
    def orders(seed):
        generator = cr.Generator()
        generator.manual_seed(seed)
        loader = data.DataLoader(rows(50), batch_size=8, shuffle=True, generator=generator)
        return [[i for x, _ in loader for i in x.tolist()] for _ in range(2)]

    first, second = orders(1)
    assert first != second
    assert sorted(first) == sorted(second) == list(range(50))
    assert orders(1) == [first, second]
    assert orders(2) != [first, second]


def test_collation():
    Point = namedtuple("Point", "x y")
    batch = data.default_collate(
        [
            {"a": np.ones(2), "b": (1, 2.0), "c": "p", "d": Point(1, True)},
            {"a": np.zeros(2), "b": (3, 4.0), "c": "q", "d": Point(2, False)},
        ]
    )
    assert batch["a"].tolist() == [[1, 1], [0, 0]]
    assert [t.tolist() for t in batch["b"]] == [[1, 3], [2.0, 4.0]]
    assert batch["b"][1].dtype == cr.float64
    assert batch["c"] == ["p", "q"]
    assert batch["d"].y.tolist() == [True, False]
    with pytest.raises(RuntimeError, match="equal size"):
        data.default_collate([(1, 2), (1,)])
    with pytest.raises(TypeError, match="collate_fn"):
        data.default_collate([object()])


def test_own_collate_function_sees_samples():
    loader = data.DataLoader(rows(4), batch_size=2, collate_fn=lambda samples: len(samples[0]))
    assert list(loader) == [2, 2]


def test_plain_sequences_and_streams():
    loader = data.DataLoader([1.0, 2.0, 3.0], batch_size=2)
    assert [b.tolist() for b in loader] == [[1, 2], [3]]

    class Stream(data.IterableDataset):
        def __iter__(self):
            return iter(range(5))

    assert [b.tolist() for b in data.DataLoader(Stream(), batch_size=2)] == [[0, 1], [2, 3], [4]]
    assert list(data.DataLoader(Stream(), batch_size=None)) == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="IterableDataset"):
        data.DataLoader(Stream(), shuffle=True)


def test_parts_and_sums():
    both = rows(3) + rows(2)
    assert [both[i][0].item() for i in range(5)] == [0, 1, 2, 0, 1]
    assert both[-1][0].item() == 1
    with pytest.raises(IndexError, match="index 5 is out of range"):
        both[5]
    part = data.Subset(rows(), [7, 2])
    assert [x.item() for x, _ in part] == [7, 2]
    assert next(iter(data.DataLoader(part, batch_size=2)))[0].tolist() == [7, 2]
    stacked = data.StackDataset(a=[1, 2], b=[3, 4])
    assert stacked[1] == {"a": 2, "b": 4}


def test_random_split():
    def split(lengths):
        generator = cr.Generator()
        generator.manual_seed(0)
        return data.random_split(range(11), lengths, generator=generator)

    parts = split([4, 7])
    assert [len(p) for p in parts] == [4, 7]
    assert sorted(x for p in parts for x in p) == list(range(11))
    assert [list(p) for p in split([4, 7])] == [list(p) for p in parts]
    assert [len(p) for p in split([0.5, 0.3, 0.2])] == [6, 3, 2]
    with pytest.raises(ValueError, match="Sum of input lengths"):
        split([1, 2])
    with pytest.raises(ValueError, match="add up to"):
        split([0.5, 0.3])


def test_samplers():
    assert list(data.SequentialSampler("abc")) == [0, 1, 2]
    drawn = list(data.RandomSampler(range(4), num_samples=10))
    assert len(drawn) == 10
    assert sorted(drawn[:4]) == [0, 1, 2, 3]
    assert set(data.RandomSampler(range(4), replacement=True, num_samples=50)) <= {0, 1, 2, 3}
    assert sorted(data.SubsetRandomSampler([5, 9])) == [5, 9]
    assert set(data.WeightedRandomSampler([0.0, 1.0, 0.0], 5)) == {1}
    batches = data.BatchSampler(range(7), 3, drop_last=False)
    assert list(batches) == [[0, 1, 2], [3, 4, 5], [6]]
    assert len(batches) == 3
    loader = data.DataLoader(rows(), batch_sampler=[[1, 2], [5]])
    assert [x.tolist() for x, _ in loader] == [[1, 2], [5]]
    loader = data.DataLoader(rows(), sampler=[4, 4], batch_size=2)
    assert [x.tolist() for x, _ in loader] == [[4, 4]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_workers": 2}, "num_workers=0"),
        ({"shuffle": True, "sampler": [0]}, "mutually exclusive"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "mutually exclusive"),
        ({"batch_size": None, "drop_last": True}, "mutually exclusive"),
        ({"batch_size": 0}, "positive integer"),
    ],
)
def test_options_that_exclude_each_other(options, words):
    with pytest.raises(ValueError, match=words):
        data.DataLoader(rows(), **options)
