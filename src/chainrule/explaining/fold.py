"""Folding: the lines of a loop's later rounds are left out, with a word on how many there were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

MOST = 64  # lines in one round of a loop that is recognised
ROUNDS = 4  # fewer rounds are written out


class Repeat(NamedTuple):
    """A run of equal blocks: `rounds` of them, of `length` lines, from line `start`."""

    start: int
    length: int
    rounds: int


def repeats(keys: Sequence[Any], least: int = ROUNDS) -> list[Repeat]:
    """Where a sequence repeats itself at least `least` times in a row, shortest rounds first."""
    found = []
    i = 0
    while i < len(keys):
        best = _longest(keys, i, least)
        if best is None:
            i += 1
        else:
            found.append(best)
            i += best.length * best.rounds
    return found


def _longest(keys: Sequence[Any], i: int, least: int) -> Repeat | None:
    for length in range(1, min(MOST, (len(keys) - i) // least) + 1):
        if keys[i] != keys[i + length]:
            continue
        end = i + length
        while end < len(keys) and keys[end] == keys[end - length]:
            end += 1
        rounds = (end - i) // length
        if rounds >= least:
            return Repeat(i, length, rounds)
    return None


def folded(keys: Sequence[Any], least: int = ROUNDS) -> list[int | Repeat]:
    """The lines to show: positions, and a `Repeat` for rounds between the first and the last."""
    shown: list[int | Repeat] = []
    i = 0
    for r in repeats(keys, least):
        shown += range(i, r.start + r.length)
        shown.append(Repeat(r.start + r.length, r.length, r.rounds - 2))
        i = r.start + r.length * (r.rounds - 1)
    return [*shown, *range(i, len(keys))]
