"""The trees that fuzzed programs pass, return and read: dicts, lists, tuples, dataclasses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Packing:
    """How several values travel as one argument or result: how to make it and to take it apart."""

    make: str
    take: tuple[str, ...]

    def pack(self, names: list[str]) -> str:
        return self.make.format(*names)


ONE = Packing("{0}", ("",))
CONTAINERS = {
    1: [
        Packing('{{"p": {0}}}', ('["p"]',)),
        Packing("[{0}]", ("[0]",)),
    ],
    2: [
        Packing('{{"p": {0}, "q": {1}}}', ('["p"]', '["q"]')),
        Packing("({0}, [{1}])", ("[0]", "[1][0]")),
        Packing('{{"m": {{"w": {0}}}, "b": ({1},)}}', ('["m"]["w"]', '["b"][0]')),
        Packing("Pair({0}, {1})", (".left", ".right")),
    ],
}
