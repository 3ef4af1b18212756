"""Pictures of graphs and of live tensors: the numbers, the colours, what is said of the state."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.node import Aval
from chainrule.explaining.picture import draw, picture_of
from chainrule.explaining.picture.from_graph import place_text, pretty
from chainrule.explaining.picture.numbers import completed
from chainrule.graph import Graph, keep_everything, trace

pytest.importorskip("igraph")

# v₁ to v₇ and their adjoints at x₁ = 2, x₂ = 5, as textbooks print them (Baydin et al., 2018,
# "Automatic differentiation in machine learning: a survey", tables 2 and 3).
TITLES = ["x₁", "x₂", "ln x₁", "x₁·x₂", "v₃ + v₄", "sin x₂", "v₅ − v₆"]
VALUES = ["2", "5", "0.693", "10", "10.693", "−0.959", "11.652"]
ADJOINTS = ["5.5", "1.716", "1", "1", "1", "−1", "1"]


def f(x1, x2):
    return cr.log(x1) + x1 * x2 - cr.sin(x2)


def inputs():
    return [cr.tensor(v, requires_grad=True, dtype=cr.float64) for v in (2.0, 5.0)]


def lines(drawing, label):
    return [node.line(label) for node in drawing.picture.nodes]


def test_the_textbook_example_from_a_graph():
    drawing = draw(trace(f, 2.0, 5.0), 2.0, 5.0)
    nodes = drawing.picture.nodes
    assert [n.title.rpartition(" = ")[2] for n in nodes] == TITLES
    assert lines(drawing, "value") == VALUES
    assert lines(drawing, "gradient") == ADJOINTS
    assert [n.kind for n in nodes] == ["input"] * 2 + ["op"] * 4 + ["output"]
    assert [n.saved for n in nodes] == [True, True] + [False] * 5
    assert all(n.line("line").startswith("test_draw.py:") for n in nodes[2:])


def test_the_textbook_example_from_the_tape_before_and_after_backward():
    x1, x2 = inputs()
    y = f(x1, x2)
    before = draw(y)
    assert lines(before, "value") == VALUES
    assert lines(before, "gradient")[:2] == ["not computed yet"] * 2
    assert before.picture.note == "Gradients: backward has not run."
    y.backward()
    after = draw(y)
    assert lines(after, "gradient")[:2] == ADJOINTS[:2]
    assert after.picture.note == ""
    assert lines(after, "value")[:2] == VALUES[:2]
    assert after.picture.nodes[-1].line("value") == VALUES[-1]


def test_retained_gradients_are_shown():
    x1, x2 = inputs()
    product = x1 * x2
    product.retain_grad()
    y = cr.sin(product)
    y.backward()
    shown = draw(y).picture.nodes
    assert shown[2].line("gradient") == f"{np.cos(10.0):.3f}".replace("-", "−")


def test_an_input_that_was_changed_after_the_run_is_no_source_of_numbers():
    x1, x2 = inputs()
    y = f(x1, x2)
    with cr.no_grad():
        x2.copy_(cr.tensor(7.0))
    drawing = draw(y)
    assert "An input was changed after the run" in drawing.picture.note
    shown = lines(drawing, "value")
    assert shown[1] == "7"
    assert shown[3:6] == [None, None, None]
    assert shown[6] == VALUES[6]


def test_a_tape_without_gradients_says_why():
    x1, x2 = inputs()
    y = f(x1, x2)
    cr.autograd.grad(y, [x1, x2])
    assert draw(y).picture.note == "Gradients: backward has run, and left none here."


@pytest.mark.parametrize(
    "program",
    [
        lambda x, w: cr.relu(x @ w).sum(),
        lambda x, w: cr.softmax(x @ w, dim=-1).log().mean(),
        lambda x, w: (x.exp() / (1 + x.exp()) + cr.tanh(w)).sum(),
        lambda x, w: cr.linalg.solve(x @ x.mT + 3 * cr.eye(3), w).pow(2).sum(),
        lambda x, w: cr.maximum(x, w).prod(),
        lambda x, w: cr.where(x > 0, x * w, x - w).amax(),
    ],
)
def test_what_is_marked_as_kept_is_what_the_tape_holds(program):
    rng = np.random.default_rng(0)
    x, w = (cr.tensor(rng.normal(size=(3, 3)), requires_grad=True) for _ in range(2))
    y = program(x, w)
    shown = {n.id: n.saved for n in picture_of(Graph.of(y)).nodes}
    graph = Graph.of(y)
    held = set()
    waiting, seen = [y.node], set()
    position = {}
    # The tape and its graph have the same operations in the same order.
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        waiting += [p for p in node.parents if p is not None]
    tape = sorted(seen, key=lambda n: n.seq)
    leaves = [n for n in tape if not n.parents]
    rest = [n for n in tape if n.parents]
    names = [n.prim.name for n in graph.nodes[len(leaves) :]]
    assert names == [n.prim.name for n in rest]
    # Inputs stand in the order in which they are met.
    by_array = {id(v): n for n, v in graph.values.items() if not n.parents}
    for leaf in leaves:
        position[leaf] = graph.position[by_array[id(leaf.tensor().array)]]
    position |= {n: i + len(leaves) for i, n in enumerate(rest)}
    for node in tape:
        for a, p in zip(node.args or (), node.parents, strict=False):
            if p is not None and a is not None and not isinstance(a, Aval):
                held.add(f"n{position[p]}")
        outs = node.out if isinstance(node.out, tuple) else (node.out,)
        if any(o is not None and not isinstance(o, Aval) for o in outs):
            held.add(f"n{position[node]}")
    assert {i for i, saved in shown.items() if saved} == held


def test_extended_graphs_show_adjoints_and_what_they_read():
    picture = picture_of(trace(f, 2.0, 5.0).grad())
    kinds = {n.title: n.kind for n in picture.nodes}
    assert kinds["v̄₇ = 1"] == "adjoint"
    assert kinds["x₁"] == "input"
    assert sum(kind == "adjoint" for kind in kinds.values()) == len(kinds) - 2
    known = {n.id: n for n in picture.nodes}
    for edge in picture.edges:
        source, target = known[edge.source].kind, known[edge.target].kind
        assert edge.kind == ("adjoint" if source == target else "saved")
    assert [n.saved for n in picture.nodes[:2]] == [True, True]


def test_pushforwards_show_tangents():
    picture = picture_of(trace(f, 2.0, 5.0).jvp())
    kinds = {n.title.partition(" = ")[0]: n.kind for n in picture.nodes}
    assert kinds["ẋ₁"] == kinds["v̇₇"] == "tangent"
    assert kinds["x₁"] == "input"
    assert kinds["v₇"] == "output"


def test_gradients_agree_with_the_engine():
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(2, 3)), rng.normal(size=(3, 2))

    def g(x, w):
        q, r = cr.linalg.qr(x @ w)
        return (q * r).sum() + cr.tanh(x).mean()

    shown = draw(trace(g, x, w), x, w).picture.nodes
    leaf = cr.tensor(x, requires_grad=True), cr.tensor(w, requires_grad=True)
    g(*leaf).backward()
    from chainrule.graph.numerals import numeral

    assert [n.line("gradient") for n in shown[:2]] == [numeral(t.grad.array) for t in leaf]


def test_several_outputs():
    a = cr.tensor(np.diag([3.0, 2.0]), requires_grad=True)
    u, s, vh = cr.linalg.svd(a)
    drawing = draw([s, u.sum() + vh.sum()])
    assert sum(n.kind == "output" for n in drawing.picture.nodes) == 2
    (u.sum() + vh.sum() + s.sum()).backward()
    freed = draw([s, u.sum()])
    assert len(freed.picture.nodes) >= 4


def test_functions_are_groups_and_parameters_stand_in_theirs():
    cr.manual_seed(0)
    net = cr.nn.Sequential(cr.nn.Linear(3, 4), cr.nn.Tanh(), cr.nn.Linear(4, 2))

    def forward(x):
        return net(x)

    x = cr.randn(5, 3)
    y = forward(x).pow(2).mean()
    picture = draw(y).picture
    inner = [n for n in picture.nodes if n.kind == "op" and n.group]
    assert inner
    assert {n.group for n in inner} == {("forward",)}
    parameters = [n for n in picture.nodes if n.kind == "input"]
    assert len(parameters) == 4
    assert {n.group for n in parameters} == {("forward",)}
    assert {n.title for n in parameters} == {
        f"net.{k}.{p}" for k in (0, 2) for p in ("weight", "bias")
    }
    assert len(draw(y, groups=0).picture.nodes) < len(picture.nodes)


def test_loops_fold():
    def program(x, a):
        for _ in range(11):
            x = cr.sin(a * x) + 2.0
        return x

    picture = draw(trace(program, 1.0, 2.0), loops=True).picture
    assert [n.title for n in picture.nodes][:3] == ["x", "a", "repeated ×11: 33 operations"]


def test_a_tape_of_many_operations_is_drawn_small():
    x = cr.tensor(0.5, requires_grad=True)
    y = x
    for _ in range(3000):
        y = cr.sin(y) * 0.99
    assert len(draw(y).picture.nodes) <= 300


def test_a_constant_that_is_not_known_is_spoken_of():
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    picture = draw((x + cr.tensor([3.0, 4.0])).sum()).picture
    assert picture.nodes[1].title == "v₂ = x + ?"
    assert "“?” is a constant that the tape has not kept." in picture.note
    assert "“?”" not in draw((x * 2).sum()).picture.note


def test_values_that_were_kept_are_used_where_constants_were_not():
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    shift = cr.tensor([10.0, 20.0])
    graph = Graph.of((x + shift).sum())
    values, changed = completed(graph)
    assert not changed
    assert len(values) == 2  # what the sum was taken of is not known
    with keep_everything():
        graph = Graph.of((x + shift).sum())
    assert len(completed(graph)[0]) == 3


def test_inputs_that_are_none_of_those():
    with pytest.raises(TypeError, match="draw takes a Graph, a tensor or a list of tensors, not f"):
        draw(f)
    with pytest.raises(TypeError, match="with a Graph only"):
        draw(f(*inputs()), 1.0)
    with pytest.raises(RuntimeError, match="does not require grad"):
        draw(cr.tensor(1.0))
    with pytest.raises(TypeError):
        draw(trace(f, 2.0, 5.0), 1.0)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("v12", "v₁₂"),
        ("x", "x"),
        ("adj_v3", "v̄₃"),
        ("tan_x", "ẋ"),
        ("adj_adj_x1", "x̄̄₁"),
        ("adj_weight", "adj weight"),
        ("params['w']", "params['w']"),
    ],
)
def test_names(name, shown):
    import unicodedata

    assert unicodedata.normalize("NFC", pretty(name)) == unicodedata.normalize("NFC", shown)


def test_places():
    assert place_text("/home/me/demo.py", 3) == "demo.py:3"
    assert place_text("/tmp/ipykernel_12/345.py", 3) == "cell:3"
