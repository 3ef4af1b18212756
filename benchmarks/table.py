"""The tables that the benchmarks print: a ratio to a peer per row, with its goal."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

Row = tuple[str, float, float | None, str]
ROWS: list[Callable[[], Iterator[Row]]] = []


def row(function: Callable[[], Iterator[Row]]) -> Callable[[], Iterator[Row]]:
    """Declare a function that yields rows of the table."""
    ROWS.append(function)
    return function


def ratios(name: str, times: dict[str, float], goals: dict[str, float]) -> Iterator[Row]:
    """One row per peer that ran: our time over the peer's, and the goal for that ratio."""
    for peer, seconds in times.items():
        if peer != "chainrule":
            ours = times["chainrule"]
            yield f"{name} / {peer}", ours / seconds, goals.get(peer), f"{ours * 1e6:.4g} µs"


def main(doc: str | None) -> None:
    """Run the rows, or those that `--only` names, and print the table."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="", help="rows whose function name contains this")
    only = parser.parse_args().only
    print(f"{'':66}{'ratio':>8}{'goal':>8}")
    for function in ROWS:
        if only in function.__name__:
            for name, value, goal, note in function():
                met = "" if goal is None else ("  met" if value <= goal else "  MISSED")
                print(
                    f"{name:66}{value:8.3f}{goal if goal is not None else '':>8}{met}  {note}",
                    flush=True,
                )
