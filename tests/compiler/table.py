"""`python -m tests.compiler.table`: which primitives become machine code, which do not, and why."""

from __future__ import annotations

from tests.compiler.registry import primitives, status


def main() -> None:
    width = max(len(p.name) for p in primitives())
    rows = [(p.name, status(p)) for p in primitives()]
    print(f"{'primitive':{width}}  kernel  why not, and calls in its first sample's derivative")
    for name, s in rows:
        shown = "yes" if not s.reasons else "partly" if s.compiled else "no"
        notes = "; ".join(s.reasons)
        if s.pulled:
            notes += ("; " if notes else "") + f"pulled back: {', '.join(s.pulled)}"
        print(f"{name:{width}}  {shown:6}  {notes}".rstrip())
    whole = sum(not s.reasons for _, s in rows)
    part = sum(s.compiled and bool(s.reasons) for _, s in rows)
    print(
        f"\n{len(rows)} primitives: {whole} compiled, {part} partly, {len(rows) - whole - part} not"
    )


if __name__ == "__main__":
    main()
