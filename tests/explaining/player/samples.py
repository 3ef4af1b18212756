"""Models beside the textbook's: long, folded, with arrays, and with an extended picture."""

from tests.explaining.player import textbook

MATRIX = "[[ 0.12, −1.50,  2.00],\n [ 3.25,  0.00, −0.75]]"


def long(count=300, fold=True):
    """A chain of `count` operations with a fold in its middle and an array at its end."""
    nodes = [(f"n{i}", f"v{i}", "sin", f"sin v{i - 1}", (120, 60 * i)) for i in range(count)]
    edges = [(f"n{i}", f"n{i + 1}") for i in range(count - 1)]
    steps = [
        textbook.step(
            f"n{i}", f"v{i}", f"sin v{i - 1}", f"sin {i}", f"{i}.5", [f"n{i - 1}"] if i else []
        )
        for i in range(count)
    ]
    steps[-1] = {**steps[-1], "value": MATRIX}
    rows = [*steps]
    if fold:
        rows.insert(count // 2, {"fold": True, "text": "v0 … v9 once more ×11 (loop at demo.py:7)"})
    return {
        "title": "a chain",
        "pictures": {"forward": textbook.picture(nodes, edges)},
        "nodes": [
            {"id": id_, "name": name, "shape": "(2, 3)" if i == count - 1 else ""}
            for i, (id_, name, *_) in enumerate(nodes)
        ],
        "phases": [
            {"key": "forward", "title": "Forward", "columns": textbook.COLUMNS, "steps": rows}
        ],
    }


def wide():
    """Text without a place to break, everywhere."""
    word = "w" * 400
    step = textbook.step("n1", "v₁", word, word, f"{word}\n{word}", says=word)
    step |= {
        "sends": [{"to": "n1", "text": word, "value": word}],
        "node_to_grad": [{"node": "n1", "name": "v₁", "parts": [word, word], "sum": word}],
    }
    phase = {
        "key": "reverse",
        "title": word,
        "about": word,
        "columns": textbook.COLUMNS,
        "steps": [step],
    }
    return {
        "title": word,
        "subtitle": word,
        "nodes": [{"id": "n1", "name": "v₁", "line": f"{word}.py:3", "shape": word}],
        "phases": [phase],
        "result": [{"name": word, "value": word}],
    }


def extended():
    """The textbook's example with a second picture that holds the adjoints as nodes."""
    model = textbook.model()
    adjoints = [
        (f"a{i}", f"v̄{i}", "adjoint", "…", (900 - x, 60 + y))
        for i, (_, _, _, _, (x, y)) in enumerate(textbook.NODES, 1)
    ]
    both = [*textbook.NODES, *adjoints]
    edges = [
        *textbook.EDGES,
        *((b.replace("n", "a"), a.replace("n", "a")) for a, b in textbook.EDGES),
    ]
    model["pictures"]["reverse"] = textbook.picture(both, edges)
    for step in model["phases"][-1]["steps"]:
        step["extended"] = step["node"].replace("n", "a")
    return model


def folded(covers=True):
    """The textbook's example with the forward steps 3 to 5 and the reverse steps 2 to 6 folded."""
    model = textbook.model()
    for phase, start, stop in ((model["phases"][0], 2, 5), (model["phases"][-1], 1, 6)):
        rows = phase["steps"]
        fold = {"fold": True, "text": "folded"}
        if covers:
            fold["covers"] = [
                {key: step[key] for key in ("node", "name", "value")} for step in rows[start:stop]
            ]
        phase["steps"] = [*rows[:start], fold, *rows[stop:]]
    return model
