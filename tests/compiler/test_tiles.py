"""Matrix products in tiles: every size and layout against more digits, and special numbers."""

from __future__ import annotations

import ctypes
import itertools
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import chainrule as cr
from chainrule.compiler import blocking, cache, fuse, library, llvm, threads, tiles
from chainrule.compiler.blocking import Part, blocking_of
from chainrule.compiler.execute import compiled
from chainrule.compiler.fuse import CallStep, LibraryStep, TileStep
from chainrule.compiler.gemm import Gemm
from chainrule.compiler.products import write_part
from tests.compiler.inputs import ordinary
from tests.compiler.programs import both, trace

TYPES = [np.dtype("float32"), np.dtype("float64")]
LAYOUTS = [
    "".join(x) for x in itertools.product("rc", repeat=3)
]  # of A, B and C: by rows, or by columns


@pytest.fixture
def tiled(monkeypatch):
    """All products are in tiles, though BLAS may be faster."""
    monkeypatch.setattr(fuse, "chosen", blocking_of)


def strides(rows, columns, layout):
    return (columns, 1) if layout == "r" else (1, rows)


def made(plans, dtype):
    """Products as functions of A, B, C, and in how many parts: all in one module."""
    module = llvm.llvm_ir().Module("products")
    names = []
    for plan in plans:
        found = [write_part(module, Part(plan, copies), dtype) for copies in (True, False)]
        for function in found:
            function.linkage = "external"
        names.append([function.name for function in found])
    code = llvm.compile_module(module)
    return [_runner(code, plan, pair, dtype) for plan, pair in zip(plans, names, strict=True)]


def _runner(code, plan, names, dtype):
    pointer, size = ctypes.c_void_p, ctypes.c_int64
    copy, multiply = (
        ctypes.CFUNCTYPE(None, *[pointer] * count, *[size] * 2)(code.address(name))
        for count, name in zip((2, 3), names, strict=True)
    )

    def run(a, b, c, parts=1):
        if plan.swapped:
            a, b = b, a
        copied = np.full(plan.copied, np.nan, dtype)
        given = [x.ctypes.data for x in (a, copied, b, c)]
        for f, copies, places in ((copy, True, given[:2]), (multiply, False, given[1:])):
            trip = Part(plan, copies).trip
            ends = [trip * k // parts for k in range(parts + 1)]
            for begin, end in reversed(list(itertools.pairwise(ends))):
                f(*places, begin, end)

    run.code = code  # which lives as long
    return run


def random(shape, dtype, seed):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def assert_product(found, a, b):
    """Within k·u·Σ|a||b| of the exact product; float64 in some of the rows, which takes long."""
    wide, rows = np.float64, np.arange(len(a))
    if found.dtype == np.float64:
        wide, rows = np.longdouble, rows[:: -(-len(a) // 9)]
        np.testing.assert_allclose(found, a @ b, rtol=0, atol=1e-14 * (np.abs(a) @ np.abs(b)).max())
    a, b = a[rows].astype(wide), b.astype(wide)
    bound = a.shape[1] * np.finfo(found.dtype).eps / 2 * (np.abs(a) @ np.abs(b))
    assert (np.abs(found[rows] - a @ b) <= bound * (1 + 1e-6)).all()


def gemm_of(m, n, k, layouts):
    left, right, out = layouts
    return Gemm(
        (), (m, n, k), (0, 0), strides(m, k, left), strides(k, n, right), strides(m, n, out)
    )


def check(cases, dtype, plan_of=blocking_of):
    """Products (m, n, k, layouts) of random numbers; nothing is written beside the result."""
    runs = made([plan_of(gemm_of(*case), dtype) for case in cases], dtype)
    for (m, n, k, (left, right, out)), run in zip(cases, runs, strict=True):
        a, b = random((m, k), dtype, m), random((k, n), dtype, n)
        given = [np.asfortranarray(x) if how == "c" else x for x, how in ((a, left), (b, right))]
        whole = np.full(m * n + 64, 7, dtype)
        run(*given, whole[32:])
        assert (whole[:32] == 7).all()
        assert (whole[32 + m * n :] == 7).all()
        found = whole[32 : 32 + m * n].reshape((m, n) if out == "r" else (n, m))
        assert_product(found if out == "r" else found.T, a, b)


SIZES = [1, 2, 3, 5, 7, 8, 9, 13, 15, 16, 17, 23, 24, 25, 31, 32, 33, 40]


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_small_sizes(dtype):
    rng = np.random.default_rng(0)
    sizes = rng.choice(SIZES, (24, 3)).tolist()
    check([(*size, LAYOUTS[i % 8]) for i, size in enumerate(sizes)], dtype)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("m", range(1, 41))
def test_all_small_sizes(m, dtype):
    """All pairs of rows and columns up to 40, by turns in all layouts and with all terms."""
    for first in range(1, 41, 8):
        columns = range(first, first + 8)
        cases = [(m, n, (7 * m + 3 * n + 10 * t) % 40 + 1, t) for n in columns for t in range(4)]
        check([(m, n, k, LAYOUTS[(n + k + 2 * t) % 8]) for m, n, k, t in cases], dtype)


BOUNDARIES = [
    (8, 48, 256), (9, 49, 257), (16, 96, 512), (17, 97, 513), (130, 47, 255), (64, 200, 577),
    (700, 50, 200), (33, 500, 30),
]  # fmt: skip


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_sizes_around_blocks(dtype):
    cases = [(*b, LAYOUTS[i]) for i, b in enumerate(BOUNDARIES)]
    check(cases + [(33, 101, 513, layouts) for layouts in LAYOUTS], dtype)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_sizes_around_blocks_of_this_processor(dtype, monkeypatch):
    """Short stretches, and few rows near at a time: many tasks, whatever the processor."""
    monkeypatch.setattr(blocking, "TERMS", 12)
    monkeypatch.setattr(blocking, "NEAR", 1000)
    tile = blocking.tile_for(dtype)
    cases = []
    for i, (dm, dn, dk) in enumerate(itertools.product((-1, 0, 1), repeat=3)):
        columns = (3 * tile.columns, tile.lanes)[i % 2]
        cases.append((3 * tile.rows + dm, columns + dn, 24 + dk, LAYOUTS[i % 8]))
    assert blocking_of(gemm_of(*cases[0]), dtype).tasks > 1
    check(cases, dtype)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("rows", [6, 14])
def test_tiles_of_other_processors(rows, dtype, monkeypatch):
    """Vectors of other lengths, which LLVM makes of the registers that there are."""
    for lanes in (2, 4):
        tile = tiles.Tile(rows, 2, lanes)
        for module in (blocking, tiles):
            monkeypatch.setattr(module, "tile_for", lambda _, tile=tile: tile)
        check([(29, 19, 37, layouts) for layouts in LAYOUTS], dtype)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_parts_in_any_order_give_the_same_bits(dtype):
    plan = blocking_of(gemm_of(300, 250, 410, "rrr"), dtype)
    assert plan.tasks > 1
    (run,) = made([plan], dtype)
    a, b = random((300, 410), dtype, 0), random((410, 250), dtype, 1)
    one, other = (np.empty((300, 250), dtype) for _ in range(2))
    run(a, b, one)
    run(a, b, other, parts=plan.tasks)
    np.testing.assert_array_equal(one, other)


def multiply(x, y):
    return x @ y


PROGRAMS = {
    "matrices": (multiply, (150, 130), (130, 170)),
    "batches": (multiply, (3, 45, 130), (3, 130, 60)),
    "turned": (lambda x, y: x.T @ y.T, (130, 150), (170, 130)),
    "a layer": (lambda x, y: cr.nn.functional.linear(x, y), (150, 130), (170, 130)),
    "slices": (lambda x, y: x[3:, 1:-1] @ y[2:, 5:], (150, 132), (132, 170)),
    "steps": (lambda x, y: x[::2, ::3] @ y[::-1], (150, 390), (130, 170)),
    "itself": (lambda x, y: x @ x.T + y, (150, 130), (150, 150)),
    "heads": (
        lambda x, y: cr.einsum("bthd,bshd->bhts", x, y), (2, 40, 3, 50), (2, 70, 3, 50)
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name, dtype, tiled):
    f, left, right = PROGRAMS[name]
    x, y = random(left, dtype, 0), random(right, dtype, 1)
    program, (found,), (wanted,) = both(trace(f, x, y), x, y)
    kinds = {type(step) for step in program.steps.steps}
    assert TileStep in kinds
    assert not kinds & {LibraryStep, CallStep}
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(found, wanted, rtol=200 * eps, atol=200 * eps)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_a_gradient(dtype, tiled):
    def f(x, w, b, v):
        return (cr.tanh(x @ w + b) @ v).square().mean()

    arrays = [random(s, dtype, i) / 4 for i, s in enumerate([(70, 90), (90, 60), (60,), (60, 20)])]
    program, found, wanted = both(trace(f, *arrays).value_and_grad().optimize(), *arrays)
    assert len(program.report().products) == 6
    assert not program.report().library
    assert not program.steps.refused
    for a, b in zip(found, wanted, strict=True):
        scale = 200 * np.finfo(dtype).eps * max(1, np.abs(b).max())
        np.testing.assert_allclose(a, b, rtol=0, atol=scale)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_special_numbers_propagate(dtype, tiled):
    x, y = random((40, 300), dtype, 0), random((300, 60), dtype, 1)
    x[1] = 0
    x[3, 250], x[5, 7], x[9, 0] = np.inf, np.nan, -np.inf
    y[7, 3], y[299] = np.nan, np.inf
    _, (found,), (wanted,) = both(trace(multiply, x, y), x, y)
    for what in (np.isnan, np.isposinf, np.isneginf):
        np.testing.assert_array_equal(what(found), what(wanted))
    assert np.isnan(found[1]).all()


def test_the_columns_beside_a_panel_stay_out(tiled):
    """What a panel has beyond the last column is computed too, and seen nowhere."""
    x, y = np.full((5, 40), np.inf, np.float32), random((40, 17), np.float32, 0)
    _, (found,), (wanted,) = both(trace(multiply, x, y), x, y)
    np.testing.assert_array_equal(found, wanted)


def test_denormal_numbers(tiled):
    """float32 keeps them; float64 takes them as 0, as BLAS does."""
    x, y = np.full((20, 30), 1e-40, np.float32), np.ones((30, 40), np.float32)
    _, (found,), _ = both(trace(multiply, x, y), x, y)
    np.testing.assert_allclose(found, 30 * np.float64(x[0, 0]), rtol=1e-4)
    x = random((20, 30), np.float64, 0)
    x[0] = 5e-310
    y = np.ones((30, 40))
    _, (found, twice), _ = both(trace(lambda x, y: (x @ y, x * 2), x, y), x, y)
    assert (found[0] < 1e-300).all()
    np.testing.assert_allclose(found[1:], (x @ y)[1:], rtol=1e-12, atol=1e-13)
    assert twice[0, 0] == 2 * 5e-310 > 0


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_threads_share_large_products(dtype, tiled):
    x, y = random((500, 600), dtype, 0), random((600, 700), dtype, 1)
    program = compiled(trace(multiply, x, y))
    (part,) = [s.part for s in program.steps.steps if not s.part.copies]
    assert part.is_large
    before = threads.get_num_threads()
    results = []
    try:
        for count in (1, 2, 5):
            threads.set_num_threads(count)
            results.append(program.run([x, y])[0])
    finally:
        threads.set_num_threads(before)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)
    assert_product(results[0], x, y)


def test_equal_products_have_one_function(tiled):
    arrays = [random((60, 60), np.float32, i) for i in range(3)]
    program = compiled(trace(lambda x, y, z: (x @ y) @ z, *arrays))
    assert len(program.report().products) == 2
    lines = [line for line in program.report().ir.splitlines() if line.startswith("define")]
    assert sum(".tiles." in line for line in lines) == 1


def test_the_code_is_kept_on_disk(folder, tiled):
    x, y = random((50, 60), np.float32, 0), random((60, 70), np.float32, 1)
    first, again = (compiled(trace(multiply, x, y)) for _ in range(2))
    assert (cache.info().stored, cache.info().found) == (1, 1)
    np.testing.assert_array_equal(first.run([x, y])[0], again.run([x, y])[0])


def test_the_choice(monkeypatch):
    """BLAS computes what it computes faster; without it, everything is in tiles."""

    def names(m, n, k):
        x, y = random((m, k), np.float32, 0), random((k, n), np.float32, 1)
        report = compiled(trace(multiply, x, y)).report()
        return report.products, report.library

    small, large = "gemm 20x40x30, float32", "gemm 200x300x400, float32"
    if library.missing() is None:
        assert names(20, 40, 30) == ([small], [small])
        wide = llvm.host().vector_bits == 512
        assert names(200, 300, 400) == ([large], [] if wide else [large])
    monkeypatch.setattr(library, "missing", lambda: library.MISSING)
    assert names(20, 40, 30) == ([small], [])
    assert names(200, 300, 400) == ([large], [])


def test_the_report_names_tiles(tiled):
    x, w = ordinary((20, 30), "float32", 0), ordinary((30, 40), "float32", 1)
    text = str(compiled(trace(lambda x, w: cr.relu(x @ w), x, w)).report())
    assert "tiles: gemm 20x40x30, float32: mm at" in text
    assert "1 product in tiles, 0 calls of BLAS, 0 calls of NumPy" in text


GUARDED = """
import sys
import numpy as np
import chainrule as cr
from chainrule.compiler import blocking, fuse
from tests.compiler.guarded import Guard

fuse.chosen = blocking.blocking_of
guard = Guard(at_end=sys.argv[1] == "end")
count = 0
for dtype in ("float32", "float64"):
    for m, n, k in [(3, 5, 17), (8, 48, 256), (13, 50, 300), (130, 16, 33), (20, 129, 600)]:
        x = np.random.default_rng(0).normal(size=(m, k)).astype(dtype)
        y = np.random.default_rng(1).normal(size=(k, n)).astype(dtype)
        xt, yt = np.ascontiguousarray(x.T), np.ascontiguousarray(y.T)
        for f, given in (
            (lambda x, y: x @ y, (x, y)),
            (lambda x, y: x.T @ y.T, (xt, yt)),
            (lambda x, y: (y.T @ x.T).T * 1.0, (x, y)),
        ):
            guard.run(f"{m} {n} {k}", cr.graph.trace(f, *given), list(given))
            count += 1
print(count)
"""


@pytest.mark.parametrize("where", ["end", "begin"])
def test_nothing_is_touched_outside_buffers(where):
    done = subprocess.run(
        [sys.executable, "-c", GUARDED, where], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) == 30
