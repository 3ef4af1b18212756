"""A textbook's example explained: traces in the terminal, the step player and the graph as files.

The function is the one of Baydin, Pearlmutter, Radul and Siskind (2018), Automatic differentiation
in machine learning: a survey.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import chainrule as cr


def f(x1, x2):
    """y = ln x₁ + x₁ x₂ − sin x₂."""
    return cr.log(x1) + x1 * x2 - cr.sin(x2)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the explanation and write the page and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the files")
    out = parser.parse_args(argv).out
    out.mkdir(parents=True, exist_ok=True)
    explanation = cr.explain(f, 2.0, 5.0)
    explanation.show()
    page = explanation.save(out / "trace.html")
    picture = cr.draw(cr.graph.trace(f, 2.0, 5.0).grad(), 2.0, 5.0).save(out / "gradient.svg")
    print(f"wrote {page}, to step through in a browser, and {picture}")


if __name__ == "__main__":
    main()
