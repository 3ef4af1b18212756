"""The registry table: `python -m tests.ops.table`.

One row per property; how many primitives it concerns, how many were tested and passed, and which
are not covered.
"""

from __future__ import annotations

import warnings

from .properties import PROPERTIES, Property, primitives


def holes(row: Property) -> list[str]:
    """The primitives that the property concerns and that have no case."""
    return [p.name for p in primitives() if row.concerns(p) and not any(row.cases_of(p))]


def failures(row: Property) -> list[str]:
    """The primitives with a case that fails."""
    failed = []
    for prim in primitives():
        if not row.concerns(prim):
            continue
        for name, case in row.cases_of(prim):
            try:
                row.run(prim, name, case)
            except Exception as error:
                failed.append(f"{prim.name}-{name} ({type(error).__name__})")
                break
    return failed


def main() -> None:
    from . import strict

    warnings.simplefilter("error")
    width = max(len(row.title) for row in PROPERTIES)
    print(f"{'property':{width}}  primitives  passed  failed  holes")
    for row in PROPERTIES:
        concerned = [p for p in primitives() if row.concerns(p)]
        missing, failed = holes(row), failures(row)
        tested = len(concerned) - len(missing)
        shown = f"{len(missing)}: {', '.join(missing)}" if missing else "0"
        print(
            f"{row.title:{width}}  {tested:10}  {tested - len(failed):6}  {len(failed):6}  {shown}"
        )
        for name in failed:
            print(f"{'':{width}}  failed: {name}")
    print("\nHoles are excused in tests/ops/properties.py. Rules that need functions outside the")
    print(f"Array API standard ran on values they cannot see: {dict(strict.ran)}")


if __name__ == "__main__":
    main()
