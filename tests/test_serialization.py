"""Saving and loading: sharing, safety, damage, and files that stay whole."""

import collections
import errno
import io
import os
import pickle

import numpy as np
import pytest

import chainrule as cr
from chainrule import serialization


def round_trip(obj, **kwargs):
    file = io.BytesIO()
    cr.save(obj, file)
    file.seek(0)
    return cr.load(file, **kwargs)


@pytest.mark.parametrize(
    "name", ["bool", "uint8", "int64", "float16", "float32", "float64", "complex128"]
)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 3)])
def test_tensors(name, shape):
    x = cr.full(shape, 1, dtype=getattr(cr, name))
    y = round_trip(x)
    assert y.dtype is x.dtype
    assert y.shape == x.shape
    assert (y == x).all()
    assert y.array.flags.writeable


def test_containers_and_metadata():
    pytest.importorskip("ml_dtypes")
    state = collections.OrderedDict(w=cr.nn.Parameter(cr.ones(2)), b=cr.zeros(2, dtype=cr.bfloat16))
    state._metadata = {"version": 1}
    obj = {
        "state": state, "list": [1, 2.5, None, "text", b"bytes", True, 1j, {1, 2}, (3, 4)],
        "size": cr.zeros(2, 3).shape, "dtype": cr.float32, "device": cr.device("cpu"),
        "array": np.arange(3), "scalar": np.float32(2.5), "generator": cr.Generator(),
        "default": collections.defaultdict(list, a=[1]), "grad": cr.ones(2, requires_grad=True),
    }  # fmt: skip
    found = round_trip(obj)
    assert type(found["state"]["w"]) is cr.nn.Parameter
    assert found["state"]["w"].requires_grad
    assert found["state"]._metadata == {"version": 1}
    assert found["state"]["b"].dtype is cr.bfloat16
    assert found["list"] == obj["list"]
    assert found["size"] == obj["size"]
    assert type(found["size"]) is cr.Size
    assert found["dtype"] is cr.float32
    assert found["device"] == cr.device("cpu")
    assert found["array"].tolist() == [0, 1, 2]
    assert found["scalar"] == 2.5
    assert found["scalar"].dtype == np.float32
    assert found["default"] == {"a": [1]}
    assert found["grad"].requires_grad
    assert found["grad"].is_leaf


def test_shared_memory_is_shared_again():
    x = cr.arange(6.0).reshape(2, 3)
    found = round_trip({"x": x, "row": x[1], "turned": x.t(), "back": cr.from_numpy(x.array[::-1])})
    found["x"][1, 0] = 100.0
    assert found["row"].tolist() == [100, 4, 5]
    assert found["turned"].tolist() == [[0, 100], [1, 4], [2, 5]]
    assert found["back"].tolist() == [[100, 4, 5], [0, 1, 2]]


def test_files(tmp_path):
    path = tmp_path / "model.pt"
    cr.save(cr.ones(2), path)
    cr.save(cr.zeros(2), str(path))
    assert cr.load(path).tolist() == [0, 0]
    assert cr.load(path, map_location="cpu").tolist() == [0, 0]
    with open(path, "rb") as file:
        assert cr.load(file).tolist() == [0, 0]
    assert os.listdir(tmp_path) == ["model.pt"]
    with pytest.raises(FileNotFoundError):
        cr.load(tmp_path / "other.pt")
    with pytest.raises(FileNotFoundError, match="could not save"):
        cr.save(cr.ones(2), tmp_path / "no" / "model.pt")


def test_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.pt"
    cr.save(cr.ones(2), path)

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(serialization.os, "fsync", full)
    full = r"could not save: .*No space left on device.*model\.pt"
    with pytest.raises(OSError, match=full) as error:
        cr.save(cr.zeros(2), path)
    assert error.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == ["model.pt"]
    assert cr.load(path).tolist() == [1, 1]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_really_full_device():
    file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 - closing is part of the test
    with file, pytest.raises(OSError, match="No space left"):
        cr.save(cr.zeros(1 << 20), file)


def test_damage_is_found(tmp_path):
    path = tmp_path / "model.pt"
    cr.save({"w": cr.arange(1000.0)}, path)
    whole = path.read_bytes()
    for damaged in (b"", b"nonsense", whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(damaged)
        with pytest.raises(RuntimeError, match=r"model\.pt' is damaged"):
            cr.load(path)
    flipped = bytearray(whole)
    flipped[whole.index(np.arange(1000, dtype=np.float32)[500:].tobytes())] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(RuntimeError, match="damaged"):
        cr.load(path)


class Evil:
    def __reduce__(self):
        return os.system, ("exit 1",)


def hostile(pickled):
    file = io.BytesIO()
    cr.save(cr.ones(2), file)
    import zipfile

    made = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            new.writestr(name, pickled if name == "data.pkl" else old.read(name))
    made.seek(0)
    return made


def test_code_is_not_run():
    with pytest.raises(pickle.UnpicklingError, match="weights_only=False"):
        round_trip(Evil())
    with pytest.raises(pickle.UnpicklingError, match="weights_only=False"):
        cr.load(hostile(b"cbuiltins\neval\n(V1+1\ntR."))
    # BUILD on a class would set its attributes
    change = b"cchainrule.core.tensor\nTensor\n}X\x01\x00\x00\x00aK\x01s\x86b."
    with pytest.raises((pickle.UnpicklingError, RuntimeError)):
        cr.load(hostile(b"\x80\x04" + change))
    change = b"cchainrule.core.tensor\nTensor\nN}X\x04\x00\x00\x00evilK\x01s\x86b."
    with pytest.raises(pickle.UnpicklingError, match="class or function"):
        cr.load(hostile(b"\x80\x04" + change))
    assert not hasattr(cr.Tensor, "evil")


def test_array_references_stay_inside_their_memory():
    file = io.BytesIO()
    reference = ("array", 0, "float32", (1000,), (4,), 0)

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            return reference if obj == "here" else None

    Pickler(file, 4).dump("here")
    with pytest.raises(RuntimeError, match="damaged"):
        cr.load(hostile(file.getvalue()))


class Custom:
    def __init__(self):
        self.w = cr.ones(2)


def test_any_object_if_asked():
    assert round_trip(Custom(), weights_only=False).w.tolist() == [1, 1]
    with pytest.raises(pickle.UnpicklingError, match="Custom"):
        round_trip(Custom())
