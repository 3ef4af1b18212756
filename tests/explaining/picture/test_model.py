"""What a picture may consist of."""

import pytest

from chainrule.explaining.picture import Picture, PictureEdge, PictureNode


def test_nodes_are_put_in_order():
    nodes = [PictureNode(i, i) for i in "cba"]
    picture = Picture(nodes, [PictureEdge("a", "b"), PictureEdge("b", "c")])
    assert [node.id for node in picture.nodes] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("nodes", "edges", "message"),
    [
        ("aa", [], "two nodes of the picture have the id 'a'"),
        ("ab", [("a", "z")], "refers to 'z', which is not a node"),
        ("abc", [("a", "b"), ("b", "a")], "cycle among or before the nodes a, b"),
        ("a", [("a", "a")], "cycle"),
    ],
)
def test_what_is_no_graph_is_refused(nodes, edges, message):
    with pytest.raises(ValueError, match=message):
        Picture([PictureNode(i, i) for i in nodes], [PictureEdge(a, b) for a, b in edges])


def test_kinds_are_checked():
    with pytest.raises(ValueError, match="a kind is one of input, constant"):
        PictureNode("a", "x", kind="leaf")
