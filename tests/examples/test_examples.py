"""The examples run, reach what they promise, and fail in words."""

from __future__ import annotations

import gzip
import sys
from importlib import import_module
from math import sqrt
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def _examples_on_the_path(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))


@pytest.fixture
def digits():
    for package in ("sklearn", "matplotlib", "rich"):
        pytest.importorskip(package)
    return import_module("digits")


def test_double_well_ends_in_the_minimum(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    double_well = import_module("double_well")
    path = double_well.descend()
    assert len(path) == 201
    assert path[0] == 3.0
    assert path[-1] == pytest.approx(sqrt(5), abs=1e-12)
    double_well.main(["--out", str(tmp_path)])
    assert (tmp_path / "double_well.png").stat().st_size > 10_000
    assert f"wrote {tmp_path / 'double_well.png'}" in capsys.readouterr().out


def test_pendulum_follows_the_elliptic_functions(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    pytest.importorskip("scipy")
    pendulum = import_module("pendulum")
    y0 = {"angle": np.array(2.5), "speed": np.array(0.0)}
    times, series = pendulum.odeint_taylor(pendulum.pendulum, y0, 12.0, 20, 1e-15)
    ts = np.linspace(0, 12, 50)
    error = np.abs(pendulum.angles(times, series, ts) - pendulum.exact(ts, 2.5))
    assert error.max() < 1e-12
    assert len(times) < 40
    pendulum.main(["--out", str(tmp_path), "--end", "5", "--orders", "10", "20"])
    assert (tmp_path / "pendulum.png").stat().st_size > 10_000
    assert "order 20:" in capsys.readouterr().out


def test_digits_reads_97_percent(digits, tmp_path, capsys):
    assert digits.main(["--out", str(tmp_path)]) >= 0.97
    written = capsys.readouterr().out
    assert "accuracy on held-out images: 9" in written
    for name in ("digits_training.png", "digits_predictions.png"):
        assert (tmp_path / name).stat().st_size > 10_000
        assert f"wrote {tmp_path / name}" in written


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


def bars(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of a bright row (0) or column (1): as easy as digits come."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, n)
    images = rng.integers(0, 60, (n, 28, 28))
    for image, label, at in zip(images, labels, rng.integers(0, 28, n), strict=True):
        image[(at, slice(None)) if label == 0 else (slice(None), at)] = 255
    return images, labels


def test_digits_from_idx_files(digits, tmp_path, capsys):
    images, labels = bars(500)
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", images)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", labels)
    out = tmp_path / "made" / "here"
    accuracy = digits.main(["--idx", str(tmp_path), "--out", str(out), "--epochs", "6"])
    assert accuracy > 0.9
    assert "400 to learn from, 100 held out" in capsys.readouterr().out
    assert (out / "digits_predictions.png").exists()


def test_both_parts_of_mnist_are_used_as_they_are(tmp_path):
    idx = import_module("idx")
    for name, n in (("train", 6), ("t10k", 3)):
        write_idx(tmp_path / f"{name}-images.idx3-ubyte", bars(n)[0])
        write_idx(tmp_path / f"{name}-labels.idx1-ubyte", bars(n)[1])
    assert [len(a) for a in idx.load(tmp_path)] == [6, 6, 3, 3]


def test_ctrl_c_keeps_what_was_reached(digits, tmp_path, capsys, monkeypatch):
    step, calls = digits.cr.optim.Adam.step, []

    def interrupted(self, closure=None):
        calls.append(1)
        if len(calls) > 60:
            raise KeyboardInterrupt
        return step(self, closure)

    monkeypatch.setattr(digits.cr.optim.Adam, "step", interrupted)
    assert digits.main(["--out", str(tmp_path)]) > 0.5
    assert "interrupted after 60 batches" in capsys.readouterr().out
    assert (tmp_path / "digits_training.png").exists()


def message(act) -> str:
    with pytest.raises(SystemExit) as stopped:
        act()
    return str(stopped.value)


@pytest.mark.parametrize("package", ["rich", "matplotlib", "sklearn"])
def test_missing_packages(digits, tmp_path, monkeypatch, package):
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert "pip install 'chainrule[demo]'" in message(lambda: digits.main(["--out", str(tmp_path)]))


def test_folders_that_do_not_serve(digits, tmp_path):
    def run(*arguments):
        return message(lambda: digits.main([*arguments]))

    out = ("--out", str(tmp_path / "out"))
    assert "no folder" in run("--idx", str(tmp_path / "none"), *out)
    assert "found nothing" in run("--idx", str(tmp_path / "out"), *out)
    (tmp_path / "file").write_text("not a folder")
    assert "cannot write to" in run("--out", str(tmp_path / "file"))
    assert "cannot write to" in run("--out", str(tmp_path / "file" / "below"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello, world", "not an IDX file"),
        (gzip.compress(b"\0\0\x08\x03" + bytes(12))[:-9], "damaged gzip file"),
        (b"\0\0\x08\x01\0\0\0\x05ab", "incomplete"),
    ],
)
def test_damaged_files(digits, tmp_path, content, words):
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        (tmp_path / name).write_bytes(content)
    assert words in message(lambda: digits.main(["--idx", str(tmp_path), "--out", str(tmp_path)]))


def test_mismatched_files(tmp_path):
    idx = import_module("idx")
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", bars(4)[0])
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", bars(3)[1])
    with pytest.raises(ValueError, match="expected bytes"):
        idx.load(tmp_path)


def test_zero_epochs_are_refused(digits, capsys):
    assert message(lambda: digits.main(["--epochs", "0"])) == "2"
    assert "--epochs must be at least 1" in capsys.readouterr().err


def test_explain_writes_a_page_and_a_picture(tmp_path, capsys):
    pytest.importorskip("rich")
    pytest.importorskip("igraph")
    import_module("explain").main(["--out", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "v̄₄·v₁ + v̄₅·cos v₂" in printed
    assert "1.716" in (tmp_path / "trace.html").read_text(encoding="utf-8")
    assert (tmp_path / "gradient.svg").read_text(encoding="utf-8").startswith("<svg")
