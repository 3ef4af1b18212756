"""Pictures to test with."""

import random

from chainrule.explaining.picture import Picture, PictureEdge, PictureNode


def textbook():
    """ln x₁ + x₁·x₂ − sin x₂."""
    titles = {
        "v1": "v₁ = x₁",
        "v2": "v₂ = x₂",
        "v3": "v₃ = ln v₁",
        "v4": "v₄ = v₁·v₂",
        "v5": "v₅ = sin v₂",
        "v6": "v₆ = v₃ + v₄",
        "v7": "v₇ = v₆ − v₅",
    }
    kinds = {"v1": "input", "v2": "input", "v7": "output"}
    pairs = ["13", "14", "24", "25", "36", "46", "67", "57"]
    return Picture(
        [
            PictureNode(i, title, (("value", "0.693"),), kinds.get(i, "op"), i in ("v1", "v2"))
            for i, title in titles.items()
        ],
        [PictureEdge(f"v{a}", f"v{b}") for a, b in pairs],
        "f",
    )


def random_picture(seed, size=40, labels=True):
    """A random acyclic picture with groups, sizes, kinds, long and parallel edges, labels."""
    r = random.Random(seed)
    nodes, edges = [], []
    group = ()
    for i in range(size):
        if r.random() < 0.25:
            group = tuple(r.choice("ABC") for _ in range(r.randrange(4)))
        kind = "input" if i < 3 else r.choice(["op", "op", "op", "adjoint", "constant"])
        lines = [("value", "x" * r.randrange(1, 20)) for _ in range(r.randrange(4))]
        lines.append(("line", f"demo.py:{i // 5}"))
        nodes.append(PictureNode(f"n{i}", f"v{i}" * r.randrange(1, 4), lines, kind, group=group))
        for _ in range(0 if i < 3 else r.randrange(4)):
            label = "∂ = 0.5" if labels and r.random() < 0.1 else ""
            source = r.choice([r.randrange(i), max(0, i - 1), max(0, i - 2)])
            edges.append(PictureEdge(f"n{source}", f"n{i}", label, r.choice(["", "saved"])))
    return Picture(nodes, edges, f"random {seed}")


def chain(size, skips=True):
    """A long chain with skips."""
    r = random.Random(0)
    nodes = [PictureNode("n0", "x", kind="input")]
    edges = []
    for i in range(1, size):
        lines = [("value", f"{r.random():.4f}"), ("line", f"demo.py:{r.randrange(9)}")]
        kind = "output" if i == size - 1 else "op"
        nodes.append(PictureNode(f"n{i}", f"v{i} = {r.choice('fgh')}(v{i - 1})", lines, kind))
        edges.append(PictureEdge(f"n{i - 1}", f"n{i}"))
        if skips and r.random() < 0.25:
            edges.append(PictureEdge(f"n{max(0, i - r.randint(2, 12))}", f"n{i}"))
    return Picture(nodes, edges, "a chain")
