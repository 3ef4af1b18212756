"""Where boxes stand and edges run."""

import itertools
import sys
import time

import numpy as np
import pytest

from chainrule.explaining.picture import Picture, PictureEdge, PictureNode, layout
from chainrule.explaining.picture.coordinates import isotonic
from chainrule.explaining.picture.measure import box_of, text_width
from tests.explaining.picture.samples import chain, random_picture, textbook

pytest.importorskip("igraph")

SEEDS = range(12)
WAYS = ("down", "right")


def rectangle(placed):
    return placed.x, placed.y, placed.x + placed.box.width, placed.y + placed.box.height


def points(segment, count=25):
    """Points of a cubic Bézier curve, by its definition."""
    t = np.linspace(0, 1, count)[:, None]
    p, q, r, s = (np.array(point) for point in segment)
    return (1 - t) ** 3 * p + 3 * (1 - t) ** 2 * t * q + 3 * (1 - t) * t**2 * r + t**3 * s


def overlap(a, b, slack=0.0):
    return min(a[2], b[2]) - max(a[0], b[0]) > slack and min(a[3], b[3]) - max(a[1], b[1]) > slack


def inside(outer, inner):
    return (
        outer[0] <= inner[0]
        and outer[1] <= inner[1]
        and outer[2] >= inner[2]
        and outer[3] >= inner[3]
    )


@pytest.mark.parametrize("direction", WAYS)
@pytest.mark.parametrize("seed", SEEDS)
def test_boxes_are_apart_and_within_the_picture(seed, direction):
    placed = layout(random_picture(seed), direction=direction)
    boxes = [rectangle(b) for b in placed.boxes.values()]
    for a, b in itertools.combinations(boxes, 2):
        assert not overlap(a, b)
    for box in boxes:
        assert inside((-0.1, -0.1, placed.width + 0.1, placed.height + 0.1), box)


@pytest.mark.parametrize("direction", WAYS)
@pytest.mark.parametrize("seed", SEEDS)
def test_edges_run_through_no_box(seed, direction):
    picture = random_picture(seed)
    placed = layout(picture, direction=direction)
    for edge, route in zip(picture.edges, placed.routes, strict=True):
        way = np.concatenate([points(s) for s in route.segments])
        for name, box in placed.boxes.items():
            x0, y0, x1, y1 = rectangle(box)
            within = (way[:, 0] > x0 + 0.5) & (way[:, 0] < x1 - 0.5)
            within &= (way[:, 1] > y0 + 0.5) & (way[:, 1] < y1 - 0.5)
            assert not within.any(), (edge, name)


@pytest.mark.parametrize("direction", WAYS)
@pytest.mark.parametrize("seed", SEEDS)
def test_edges_join_the_borders_of_their_boxes(seed, direction):
    picture = random_picture(seed)
    placed = layout(picture, direction=direction)
    cross, main = (0, 1) if direction == "down" else (1, 0)
    for edge, route in zip(picture.edges, placed.routes, strict=True):
        a, b = (rectangle(placed.boxes[i]) for i in (edge.source, edge.target))
        start, end = route.segments[0][0], route.segments[-1][3]
        assert start[main] == pytest.approx(a[main + 2], abs=0.02)
        assert end[main] == pytest.approx(b[main], abs=0.02)
        assert a[cross] <= start[cross] <= a[cross + 2]
        assert b[cross] <= end[cross] <= b[cross + 2]
        for s, t in itertools.pairwise(route.segments):  # no gap, no kink
            assert s[3] == t[0]
            assert s[2][cross] == pytest.approx(s[3][cross], abs=0.02)
            assert t[1][cross] == pytest.approx(s[3][cross], abs=0.02)
            assert s[3][main] >= s[0][main]


@pytest.mark.parametrize("direction", WAYS)
@pytest.mark.parametrize("seed", SEEDS)
def test_frames_hold_their_group_and_nothing_else(seed, direction):
    picture = random_picture(seed)
    placed = layout(picture, direction=direction)
    frames = [(f.label, (f.x, f.y, f.x + f.width, f.y + f.height)) for f in placed.frames]
    for node in picture.nodes:
        box = rectangle(placed.boxes[node.id])
        around = [label for label, frame in frames if inside(frame, box)]
        assert tuple(around) == node.group[: len(around)]
        if any(edge.target == node.id for edge in picture.edges):
            assert tuple(around) == node.group
        for label, frame in frames:
            assert inside(frame, box) or not overlap(frame, box), (label, node.id)
    for (_, a), (_, b) in itertools.combinations(frames, 2):
        assert inside(a, b) or not overlap(a, b, 0.01)


def test_the_same_picture_gives_the_same_layout():
    assert layout(random_picture(3)) == layout(random_picture(3))


def test_the_textbook_figure():
    placed = layout(textbook())
    spot = {i: (b.x + b.box.width / 2, b.y) for i, b in placed.boxes.items()}
    ranks = [["v1", "v2"], ["v3", "v4", "v5"], ["v6"], ["v7"]]
    for rank in ranks:
        assert len({spot[i][1] for i in rank}) == 1
        assert [spot[i][0] for i in rank] == sorted(spot[i][0] for i in rank)
    assert [spot[r[0]][1] for r in ranks] == sorted(spot[r[0]][1] for r in ranks)
    curves = [np.concatenate([points(s) for s in r.segments]) for r in placed.routes]
    # No two edges cross: those that share no end keep apart.
    for (e, a), (f, b) in itertools.combinations(zip(placed.picture.edges, curves, strict=True), 2):
        if not {e.source, e.target} & {f.source, f.target}:
            assert np.hypot(*(a[:, None] - b[None]).transpose(2, 0, 1)).min() > 5


def test_labels_stand_on_their_edges_and_in_no_box():
    picture = random_picture(5)
    placed = layout(picture)
    labelled = [
        (edge, route)
        for edge, route in zip(picture.edges, placed.routes, strict=True)
        if edge.label
    ]
    assert labelled
    for edge, route in labelled:
        x, y = route.label
        half = text_width(edge.label, 11.5, mono=True) / 2
        way = np.concatenate([points(s, 200) for s in route.segments])
        assert np.abs(way - (x, y)).sum(1).min() < 4
        for box in placed.boxes.values():
            assert not overlap(rectangle(box), (x - half, y - 7, x + half, y + 7))


@pytest.mark.parametrize("size", [1, 2, 7])
def test_lone_boxes(size):
    placed = layout(Picture([PictureNode(str(i), "x") for i in range(size)], []))
    assert len(placed.boxes) == size


def test_an_empty_picture():
    placed = layout(Picture([], []))
    assert (placed.boxes, placed.width, placed.height) == ({}, 0, 0)


def test_deep_groups_need_no_recursion():
    group = tuple(f"g{i}" for i in range(60))
    nodes = [PictureNode("a", "x", group=group), PictureNode("b", "y", group=group)]
    assert len(layout(Picture(nodes, [PictureEdge("a", "b")])).frames) == 60


def test_a_chain_is_a_straight_line():
    placed = layout(chain(30, skips=False))
    middles = {round(b.x + b.box.width / 2, 3) for b in placed.boxes.values()}
    assert len(middles) == 1


def test_three_hundred_nodes_take_less_than_two_seconds():
    picture = chain(300)
    start = time.perf_counter()
    layout(picture)
    assert time.perf_counter() - start < 2


def test_other_directions_are_refused():
    with pytest.raises(ValueError, match="not 'up'"):
        layout(textbook(), direction="up")


def test_without_igraph_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "igraph", None)
    with pytest.raises(ImportError, match=r'pip install "chainrule\[explain\]"'):
        layout(textbook())


def test_isotonic_regression_against_a_general_solver():
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=8), rng.uniform(0.5, 3, 8)
    ours = isotonic(values.tolist(), weights.tolist())
    found = optimize.minimize(
        lambda x: (weights * (x - values) ** 2).sum(),
        np.sort(values),
        jac=lambda x: 2 * weights * (x - values),
        constraints=[{"type": "ineq", "fun": np.diff}],
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    np.testing.assert_allclose(ours, found.x, atol=1e-5)


@pytest.mark.parametrize("bold", [False, True])
def test_texts_fit_where_the_widest_font_is_used(bold):
    pytest.importorskip("matplotlib")
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal", size=14)
    texts = [node.title for node in textbook().nodes] + ["relu(x @ W.T + b)", "v̄₂ = v̄₄·v₁", "∂f/∂x"]
    for text in texts:
        true = TextToPath().get_text_width_height_descent(text, font, False)[0]
        assert true <= text_width(text, 14, bold=bold) + 3
        assert text_width(text, 14, bold=bold) < 1.35 * true + 6


def test_wide_characters_take_two_cells():
    assert text_width("梯度", 10, mono=True) == text_width("abcd", 10, mono=True)
    assert text_width("v̄", 10) == text_width("v", 10)


def test_long_texts_are_cut_and_rows_counted():
    node = PictureNode("a", "x" * 400, [("value", "[" + "1, " * 400 + "]"), ("m", "1\n" * 40)])
    box = box_of(node)
    assert box.title.endswith("…")
    assert len(box.title) < 60
    assert len(box.rows) <= 8
    assert box.width < 500
