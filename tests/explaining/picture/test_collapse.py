"""Large pictures made small: what is shown stays true."""

import time

import pytest

from chainrule.explaining.picture import Picture, PictureEdge, PictureNode, collapse
from tests.explaining.picture.samples import chain, random_picture, textbook

GIVEN = ("input", "constant")


def loop(rounds, tail=True):
    """`for i in range(rounds): x = sin(a * x) + 2.0`, with one group for each round."""
    nodes = [PictureNode("x", "x", kind="input"), PictureNode("a", "a", kind="input")]
    edges, before = [], "x"
    for k in range(rounds):
        steps = [("m", "mul", 7), ("s", "sin", 7), ("p", "add", 8)]
        nodes.append(PictureNode(f"c{k}", "2.0", kind="constant"))
        for name, op, line in steps:
            place = [("line", f"demo.py:{line}"), ("value", str(k))]
            nodes.append(PictureNode(f"{name}{k}", f"{name}{k}", place, op=op))
        edges += [
            PictureEdge(*pair)
            for pair in [
                (before, f"m{k}"),
                ("a", f"m{k}"),
                (f"m{k}", f"s{k}"),
                (f"s{k}", f"p{k}"),
                (f"c{k}", f"p{k}"),
            ]
        ]
        before = f"p{k}"
    if tail:
        nodes.append(PictureNode("y", "y = mean", kind="output"))
        edges.append(PictureEdge(before, "y"))
    return Picture(nodes, edges)


def layers(count):
    nodes, edges, before = [PictureNode("x", "x", kind="input")], [], "x"
    for k in range(count):
        group = ("MLP", f"Linear {k}")
        nodes += [
            PictureNode(f"w{k}", "weight", kind="input", group=group),
            PictureNode(f"m{k}", f"v{k} @ weight", op="mm", group=group),
            PictureNode(f"b{k}", f"v{k} + bias", op="add", saved=True, group=group),
        ]
        edges += [PictureEdge(before, f"m{k}"), PictureEdge(f"w{k}", f"m{k}")]
        edges += [PictureEdge(f"m{k}", f"b{k}")]
        before = f"b{k}"
    return Picture(nodes, edges)


def flat(node):
    return node.members or (node.id,)


def check_true(small, whole):
    """Every node is in exactly one box, and edges are those between members."""
    owner = {i: node.id for node in small.nodes for i in flat(node)}
    assert sorted(owner) == sorted(node.id for node in whole.nodes)
    assert sum(len(flat(node)) for node in small.nodes) == len(whole.nodes)
    expected = {(owner[e.source], owner[e.target], e.kind) for e in whole.edges}
    expected = {(a, b, kind) for a, b, kind in expected if a != b}
    assert {(e.source, e.target, e.kind) for e in small.edges} == expected
    known = {node.id: node for node in whole.nodes}
    for node in small.nodes:
        members = [known[i] for i in flat(node)]
        assert node.saved == any(m.saved for m in members)
        operations = sum(m.kind not in GIVEN for m in members)
        assert node.count == (operations or len(members))


@pytest.mark.parametrize("limit", [300, 40, 25, 12, 5, 2])
@pytest.mark.parametrize("seed", range(10))
def test_any_picture_fits_any_limit(seed, limit):
    whole = random_picture(seed, 60)
    before = repr(whole.nodes)
    small = collapse(whole, limit=limit)
    assert len(small.nodes) <= limit
    assert repr(whole.nodes) == before
    if limit >= 60:
        assert small is whole
    # A constant that one box alone reads may have gone into it; nothing is lost.
    check_true(small, whole)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("options", [{"groups": 0}, {"groups": 1}, {"loops": True}])
def test_what_is_asked_for_is_collapsed_below_the_limit(seed, options):
    whole = random_picture(seed, 60)
    small = collapse(whole, **options)
    check_true(small, whole)
    if "groups" in options:
        with_inputs = {e.target for e in whole.edges}
        for node in small.nodes:
            assert len(node.group) <= options["groups"] or node.id not in with_inputs


def test_a_group_becomes_one_box():
    small = collapse(layers(4), groups=1)
    assert [n.title for n in small.nodes[1:]] == [f"Linear {k}: 2 operations" for k in range(4)]
    assert {n.group for n in small.nodes[1:]} == {("MLP",)}
    assert small.nodes[1].line("inside") == "1 input"
    assert collapse(layers(4), groups=["Linear 2"]).nodes[-4].title == "Linear 2: 2 operations"
    whole = collapse(layers(4), groups=0)
    assert [n.title for n in whole.nodes] == ["x", "MLP: 8 operations"]
    assert whole.nodes[1].saved


def test_a_loop_becomes_one_box():
    small = collapse(loop(11), loops=True)
    assert [n.title for n in small.nodes] == ["x", "a", "repeated ×11: 33 operations", "y = mean"]
    folded = small.nodes[2]
    assert folded.line("line") == "demo.py:7–8"
    assert {(e.source, e.target) for e in small.edges} == {
        ("x", folded.id),
        ("a", folded.id),
        (folded.id, "y"),
    }


def test_alike_layers_are_folded():
    small = collapse(layers(9), loops=True)
    assert [n.title for n in small.nodes] == ["x", "Linear ×9: 18 operations"]


def test_what_differs_is_not_folded():
    whole = loop(5)
    nodes = [
        PictureNode(n.id, n.title, n.lines, n.kind, op="cos" if n.id == "s2" else n.op)
        for n in whole.nodes
    ]
    assert len(collapse(Picture(nodes, whole.edges), loops=True).nodes) == len(nodes)
    # The same operations, but the fourth round reads what the second has made.
    edges = [e for e in whole.edges if (e.source, e.target) != ("p2", "m3")]
    other = Picture(whole.nodes, [*edges, PictureEdge("p1", "m3")])
    assert len(collapse(other, loops=True).nodes) == len(whole.nodes)


def test_two_rounds_are_no_loop():
    assert len(collapse(loop(2), loops=True).nodes) == len(loop(2).nodes)


def test_source_lines_and_chains():
    nodes = [PictureNode("x", "x", kind="input")]
    nodes += [
        PictureNode(f"n{k}", f"{k}", [("line", f"a.py:{k // 3}")], op=str(k)) for k in range(9)
    ]
    edges = [PictureEdge("x" if k == 0 else f"n{k - 1}", f"n{k}") for k in range(9)]
    whole = Picture(nodes, edges)
    lines = collapse(whole, limit=5)
    assert [n.title for n in lines.nodes[1:]] == [f"a.py:{k}: 3 operations" for k in range(3)]
    row = collapse(whole, limit=3)
    assert [n.title for n in row.nodes] == ["x", "9 operations in a row"]
    assert row.nodes[1].line("line") == "a.py:0–2"


def test_many_inputs_of_one_reader_become_one_box():
    nodes = [PictureNode(f"x{k}", f"x{k}", kind="input") for k in range(1000)]
    nodes.append(PictureNode("s", "stack", kind="output"))
    small = collapse(Picture(nodes, [PictureEdge(f"x{k}", "s") for k in range(1000)]))
    assert [n.title for n in small.nodes] == ["1,000 inputs", "stack"]


def test_the_part_nearest_to_the_outputs_is_shown():
    whole = chain(3000)
    small = collapse(whole)
    assert len(small.nodes) == 300
    first, last = small.nodes[0], small.nodes[-1]
    counted = sum(n.count for n in small.nodes[1:])
    assert first.title == f"… and {2999 - counted:,} operations before this"
    assert "n2999" in flat(last)
    assert not any(edge.target == first.id for edge in small.edges)
    check_true(small, whole)


def test_three_thousand_nodes_take_less_than_two_seconds():
    whole = chain(3000)
    start = time.perf_counter()
    collapse(whole)
    assert time.perf_counter() - start < 2


def test_bad_requests():
    with pytest.raises(ValueError, match="limit must be at least 2, not 1"):
        collapse(textbook(), limit=1)
    with pytest.raises(ValueError, match="groups must be 0 or more"):
        collapse(textbook(), groups=-1)
    with pytest.raises(
        ValueError, match="no group is called 'Q'; the groups are: 'Linear 0', 'MLP'"
    ):
        collapse(layers(1), groups=["Q"])


def test_no_limit_leaves_all():
    whole = chain(400)
    assert collapse(whole, limit=None) is whole
