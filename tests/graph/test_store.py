"""Graphs in files: every primitive's round trip, every kind of parameter, every broken file."""

import contextlib
import copy
import json
import os
import pickle
import subprocess
import sys
from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.primitive import REGISTRY
from chainrule.graph import Graph, GraphError, trace
from chainrule.graph.codec import MalformedError, UnstorableError, decode, encode
from chainrule.graph.store import from_json, to_json
from chainrule.transforms.tracing import input_node

SAMPLED = [p for n, p in sorted(REGISTRY.items()) if p.samples is not None and n != "alias"]


def bits(result):
    """The bytes of results, with dtypes and shapes: equal if they are the same exactly."""
    leaves = cr.tree.leaves(result)
    arrays = [np.asarray(x.detach() if isinstance(x, cr.Tensor) else x) for x in leaves]
    return [(a.dtype, a.shape, a.tobytes()) for a in arrays]


def graph_of_sample(prim, sample):
    """The graph of one call; arrays of numbers are its inputs, masks beside them constants."""
    arrays = [i for i, a in enumerate(sample.args) if isinstance(a, np.ndarray)]
    at = [i for i in arrays if sample.args[i].dtype.kind != "b"] or arrays

    def f(*xs):
        args = list(sample.args)
        for i, x in zip(at, xs, strict=True):
            args[i] = x
        return prim.apply(args, sample.params)

    given = [sample.args[i] for i in at]
    return trace(f, *given), given


@pytest.mark.parametrize("prim", SAMPLED, ids=lambda p: p.name)
def test_every_primitive(prim):
    for sample in prim.samples():
        graph, given = graph_of_sample(prim, sample)
        graph.verify()
        assert prim.name in {n.prim.name for n in graph}
        want = bits(graph(*given))
        assert want == bits([x for x in _results(prim, sample) if x is not None])
        for other in (from_json(to_json(graph)), pickle.loads(pickle.dumps(graph))):
            assert str(other) == str(graph)
            assert to_json(other) == to_json(graph)
            assert bits(other(*given)) == want
        _check_derivative(prim, graph, given)


def _results(prim, sample):
    found = prim.eval(*sample.args, **sample.params)
    return found if isinstance(found, tuple) else (found,)


def _check_derivative(prim, graph, given):
    real = [g for g in given if g.dtype.kind in "fc"]
    if not prim.differentiable or not real:
        return
    outs = [np.asarray(y) for y in cr.tree.leaves(graph(*given))]
    rng = np.random.default_rng(1)
    cts = [rng.normal(size=y.shape).astype(y.dtype) for y in outs if y.dtype.kind in "fc"]
    pullback = graph.vjp()
    found = cr.tree.leaves(pullback(*given, *cts))
    again = from_json(to_json(pullback))
    assert bits(again(*given, *cts)) == bits(found)
    assert all(np.isfinite(np.asarray(x)).all() for x in found)


@pytest.mark.parametrize(
    "value",
    [
        None, True, 3, -(2**70), 0.1, -0.0, 1e-310, "text", (1, (2.5, None), ("slice", 1, None, 2)),
        [1, 2], {"a": 1, 3: (4,)}, slice(1, None, 2), Ellipsis, np.dtype("float32"), cr.int64,
        IndexError, float("inf"), complex(0.5, -np.inf), np.float32(0.1), np.int8(-3),
    ],
    ids=repr,
)  # fmt: skip
def test_values(value):
    found = decode(json.loads(json.dumps(encode(value), allow_nan=False)))
    assert found == value
    assert type(found) is type(value)
    assert repr(found) == repr(value)


def test_a_nan_is_stored():
    assert np.isnan(decode(json.loads(json.dumps(encode(float("nan"))))))


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int64", "float16", "float32", "float64", "complex64", "complex128"]
)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3), (5, 7)])
def test_arrays(dtype, shape):
    rng = np.random.default_rng(0)
    array = np.asarray(rng.normal(size=shape) * 3).astype(dtype)
    if array.size > 1 and array.dtype.kind in "fc":
        array.flat[0], array.flat[1] = np.nan, -np.inf
    found = decode(json.loads(json.dumps(encode(array), allow_nan=False)))
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert found.tobytes() == array.tobytes()
    assert found.flags.writeable


def test_arrays_of_bfloat16():
    pytest.importorskip("ml_dtypes")
    for n in (3, 40):
        array = np.linspace(-1, 1, n).astype(cr.bfloat16.dtype)
        found = decode(json.loads(json.dumps(encode(array))))
        assert found.dtype == array.dtype
        assert found.tobytes() == array.tobytes()


def test_the_payload_of_a_nan_and_the_layout_are_kept():
    odd = np.array([0x7FF8DEADBEEF0001, 0], np.uint64).view(np.float64)
    assert decode(encode(odd)).tobytes() == odd.tobytes()
    fortran = np.asfortranarray(np.arange(35.0).reshape(5, 7))
    assert decode(encode(fortran)).flags.f_contiguous
    assert np.array_equal(decode(encode(fortran)), fortran)
    small = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    assert decode(encode(small)).flags.f_contiguous
    assert np.array_equal(decode(encode(small)), small)


def test_small_arrays_can_be_read_by_people():
    assert encode(np.array([1.5, np.inf]))["array"]["values"] == [1.5, "inf"]


@pytest.mark.parametrize(
    "form",
    [
        {"complex": 3}, {"nothing": 1}, {"dtype": "object"}, {"dtype": 3}, {"exception": "eval"},
        {"array": {"dtype": "float64", "shape": [2], "values": [1.0]}},
        {"array": {"dtype": "float64", "shape": [2], "values": [1.0, "x"]}},
        {"array": {"dtype": "float64", "shape": [-2], "values": []}},
        {"array": {"dtype": "float64", "shape": [2], "base64": "AAAA"}},
        {"array": {"dtype": "float64", "shape": [2], "base64": "%"}},
        {"array": {"dtype": "float64", "shape": [2], "order": "X", "values": [1, 2]}},
        {"array": {"dtype": "int8", "shape": [1], "values": [1000]}},
        {"array": {"dtype": "object", "shape": [1], "values": [1]}},
        {"array": [1]}, {"a": 1, "b": 2}, {"slice": [1, 2, 3, 4]}, {"float": "x"},
    ],
    ids=str,
)  # fmt: skip
def test_malformed_values(form):
    with pytest.raises(MalformedError):
        decode(form)


@pytest.mark.parametrize("value", [lambda: 1, np.array([None]), object, {1, 2}])
def test_unstorable_values(value):
    with pytest.raises(UnstorableError):
        encode(value)


def test_structures_roles_and_names_come_back():
    def f(p, *, scale):
        return OrderedDict(a=p["w"] * scale, b=[p["v"][0].max(dim=0)])

    args = {"w": np.ones(3), "v": (np.arange(6.0).reshape(2, 3),)}
    graph = trace(f, args, scale=2.0)
    for other in (from_json(to_json(graph)), copy.deepcopy(graph)):
        assert other.in_spec == graph.in_spec
        assert other.out_spec == graph.out_spec
        result = other(args, scale=3.0)
        assert type(result) is OrderedDict
        assert type(result["b"][0]).__name__ == "max"
        assert np.array_equal(result["a"], 3 * np.ones(3))
    square = trace(lambda x: (x * x).sum(), np.ones(2)).grad("x")
    again = from_json(to_json(square))
    assert str(again) == str(square)
    assert "adj_" in str(again)
    kinds, want = (
        {g.names[n]: (r.kind, g.names.get(r.of)) for n, r in g.roles.items()}
        for g in (again, square)
    )
    assert kinds == want
    assert str(again.vjp()) == str(square.vjp())


def test_places_come_back():
    graph = trace(lambda x: x.exp(), 1.0)
    again = from_json(to_json(graph))
    assert [n.where for n in again] == [n.where for n in graph]
    assert "x.exp()" in again.nodes[-1].where


def test_values_of_a_run_come_back():
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    graph = Graph.of((x * x).sum())
    again = from_json(to_json(graph))
    assert {again.names[n] for n in again.values} == {graph.names[n] for n in graph.values}
    assert np.array_equal(again.values[again.inputs[0]], [1.0, 2.0])


def test_captured_tensors_come_back():
    layer = cr.nn.Linear(3, 2)
    x = cr.ones(4, 3)
    graph = trace(lambda x: layer(x).sum(), x)
    for again in (pickle.loads(pickle.dumps(graph)), from_json(to_json(graph))):
        tensors = list(again.captured.values())
        assert [type(t) for t in tensors] == [cr.nn.Parameter] * 2
        again(x).backward()
        graph(x).backward()
        assert np.array_equal(tensors[0].grad, layer.weight.grad)
        layer.zero_grad()


def test_what_the_tape_did_not_keep_stays_unknown():
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    graph = Graph.of(x + cr.tensor([3.0, 4.0]))
    for again in (from_json(to_json(graph)), pickle.loads(pickle.dumps(graph))):
        with pytest.raises(RuntimeError, match="did not keep a constant"):
            again(cr.ones(2))


def test_long_chains_need_no_recursion():
    def f(x):
        for _ in range(100_000):
            x = x + 1.0
        return x

    graph = trace(f, 0.0)
    for again in (
        copy.deepcopy(graph), pickle.loads(pickle.dumps(graph)), from_json(to_json(graph)),
    ):  # fmt: skip
        assert len(again) == len(graph)
        assert float(again(1.0)) == 100_001.0


def test_a_pickled_graph_loads_in_a_fresh_process(tmp_path):
    def f(x, t):
        loss = cr.nn.functional.binary_cross_entropy(x.sigmoid(), t)
        return loss + cr.fft.rfft(x).abs().sum() + cr.linalg.inv(cr.eye(2) * x[0]).sum()

    x, t = np.array([0.3, -0.2, 0.5]), np.array([1.0, 0.0, 1.0])
    graph = trace(f, x, t).value_and_grad("x")
    (tmp_path / "g.pkl").write_bytes(pickle.dumps(graph))
    graph.save(tmp_path / "g.json")
    code = (
        "import pickle, numpy as np, sys\n"
        "with open(sys.argv[1] + '/g.pkl', 'rb') as f: graph = pickle.load(f)\n"
        "import chainrule as cr\n"
        "args = np.array([0.3, -0.2, 0.5]), np.array([1.0, 0.0, 1.0])\n"
        "for g in (graph, cr.graph.load(sys.argv[1] + '/g.json')):\n"
        "    print([x.tobytes().hex() for x in g(*args)])\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    want = str([np.asarray(y).tobytes().hex() for y in graph(x, t)])
    assert out.stdout.split("\n")[:2] == [want, want]


# ---------------------------------------------------------------- what cannot be stored


def test_functions_of_the_user_are_refused():
    class Twice(cr.autograd.Function):
        @staticmethod
        def forward(x):
            return 2 * x

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, g):
            return 2 * g

    x = cr.tensor(1.0, requires_grad=True)
    graph = Graph.of(Twice.apply(x))  # the line that is named
    with pytest.raises(GraphError, match=r"(?s)Twice.*the line that is named.*function of yours"):
        to_json(graph)
    with pytest.raises(GraphError, match="function of yours"):
        pickle.dumps(graph)


Point = namedtuple("Point", "x y")


def test_containers_of_the_user_are_refused():
    graph = trace(lambda p: p.x * p.y, Point(1.0, 2.0))
    with pytest.raises(GraphError, match="the type Point"):
        to_json(graph)


# ---------------------------------------------------------------- files


def stored(f=None, *args):
    return json.loads(
        to_json(trace(f or (lambda x, y: x * y), *(args or (np.ones(3), np.ones(3)))))
    )


def refused(data, match):
    with pytest.raises(GraphError, match=match):
        from_json(json.dumps(data))


def test_a_file_from_the_future():
    refused(stored() | {"version": 2}, "newer chainrule .*upgrade")


@pytest.mark.parametrize("version", [None, 0, "1", 1.5])
def test_no_version(version):
    refused(stored() | {"version": version}, "no valid version")


def test_other_json():
    refused([1, 2], "not a stored graph")
    refused({"a": 1}, "not a stored graph")


def test_an_unknown_operation():
    data = stored()
    data["nodes"][2]["op"] = "multipy"
    refused(data, "'multipy', which this chainrule does not have .did you mean 'multiply'")


def test_wrong_shapes_inside():
    data = stored()
    data["nodes"][2]["out"] = ["float64", [2]]
    refused(data, r"says that its result is float64\[2\], but it is float64\[3\]")
    data = stored()
    data["nodes"][1]["out"] = ["float64", [4]]
    refused(data, "multiply .*does not fit its arguments")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda d: d["nodes"][2].update(args=[0, 7]), "refers to node 7"),
        (lambda d: d["nodes"][2].update(args=[0, 2]), "refers to node 2"),
        (lambda d: d["nodes"][2].update(args=[0]), "has 1 arguments, but takes 2"),
        (lambda d: d["nodes"][2].update(args=[0, {}]), "damaged at node 2"),
        (lambda d: d["nodes"][2].update(args=5), "damaged at node 2"),
        (lambda d: d["nodes"][2].update(params=[["dim", 3]]), "takes no parameters"),
        (lambda d: d["nodes"][2].update(out=None), "damaged at node 2"),
        (lambda d: d["nodes"][2].update(out=["float64", [-1]]), "no shape"),
        (lambda d: d["nodes"][2].update(where=[1]), "damaged at node 2"),
        (lambda d: d["nodes"][2].update(role=["friend", 0]), "unknown role"),
        (lambda d: d["nodes"][0].update(params=[]), "damaged at node 0"),
        (lambda d: d["nodes"][0].update(op=["input"]), "damaged at node 0"),
        (lambda d: d.pop("nodes"), "damaged"),
        (lambda d: d.update(nodes=3), "damaged"),
        (lambda d: d.update(inputs=1), "inputs are not its first nodes"),
        (lambda d: d.update(inputs=3), "inputs are not its first nodes"),
        (lambda d: d.update(outputs=[9]), "refers to node 9"),
        (lambda d: d.update(outputs=[2, -1]), "refers to node -1"),
        (lambda d: d["in"].pop(), "damaged"),
        (lambda d: d.update({"in": [["set", None, 0]]}), "unknown container"),
        (lambda d: d.update({"in": [["dict", ["a"], 2], None, None]}), "with 1 keys"),
        (lambda d: d.update(captured=[[0, {}]]), "damaged"),
    ],
)
def test_damaged_files(change, match):
    data = stored()
    change(data)
    refused(data, match)


def test_the_same_name_twice():
    data = stored()
    data["nodes"][1]["params"] = [["name", "x"]]
    refused(data, "two variables .* 'x'")


def test_any_cut_and_any_changed_character_is_an_error_or_the_same_graph(tmp_path):
    text = to_json(trace(lambda x: (x * 2.0).sum(), np.ones(2)))
    rng = np.random.default_rng(0)
    for _ in range(400):
        i = int(rng.integers(len(text)))
        broken = text[:i] + chr(int(rng.integers(32, 127))) * int(rng.integers(2)) + text[i + 1 :]
        with contextlib.suppress(GraphError):
            from_json(broken).verify()
    for i in range(0, len(text) - 2, 7):
        with pytest.raises(GraphError):
            from_json(text[:i])


def test_save_and_load(tmp_path):
    graph = trace(lambda x: x.sin(), 1.0)
    path = tmp_path / "graph.json"
    graph.save(path)
    assert float(Graph.load(path)(2.0)) == np.sin(2.0)
    assert float(cr.graph.load(str(path))(2.0)) == np.sin(2.0)
    assert os.listdir(tmp_path) == ["graph.json"]
    (tmp_path / "half.json").write_text(path.read_text()[:200])
    with pytest.raises(GraphError, match=r"half\.json: this is not a stored graph: it is not JSON"):
        cr.graph.load(tmp_path / "half.json")
    (tmp_path / "other").write_bytes(b"\x80\x04\xff")
    with pytest.raises(GraphError, match="it is no text"):
        cr.graph.load(tmp_path / "other")
    with pytest.raises(FileNotFoundError):
        cr.graph.load(tmp_path / "none.json")


def test_a_path_that_cannot_be_written(tmp_path):
    graph = trace(lambda x: x.sin(), 1.0)
    missing = r"could not save: there is no folder .*Create it first.*no/graph\.json"
    with pytest.raises(OSError, match=missing):
        graph.save(tmp_path / "no" / "graph.json")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="could not save"):
        graph.save(tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "graph.json"
    trace(lambda x: x.sin(), 1.0).save(path)
    before = path.read_text()
    node = input_node((), np.dtype(float), "x")
    with pytest.raises(GraphError):
        Graph([node], [cr.graph.trace(_custom, 1.0).outputs[0]]).save(path)
    assert path.read_text() == before


@cr.custom_rule
def _custom(x):
    return x * 2


@_custom.defjvp
def _(primals, tangents):
    return 2 * primals[0], 2 * tangents[0]
