"""The list of what users do wrong, and what they are told."""

import multiprocessing
import re
import threading
import warnings

import numpy as np
import pytest

import chainrule as cr


def leaf(value):
    return cr.tensor(value, dtype=cr.float64, requires_grad=True)


def line_here(text):
    """The number of the only line of this file that ends with a text."""
    with open(__file__) as file:
        (number,) = [i for i, line in enumerate(file, 1) if line.rstrip().endswith(text)]
    return number


@pytest.mark.parametrize(
    ("act", "kind", "words"),
    [
        (lambda x: (x * x).backward(), RuntimeError, "scalar outputs"),
        (lambda x: (x * x).backward(cr.ones(3)), RuntimeError, "shape"),
        (lambda x: (x * x).backward(cr.ones(2, 1)), RuntimeError, "shape"),
        (lambda x: cr.ones(1).backward(), RuntimeError, "does not require grad"),
        (lambda x: cr.autograd.grad(x.sum(), leaf(1.0)), RuntimeError, "not have been used"),
        (lambda x: x.add_(1), RuntimeError, "leaf Variable"),
        (lambda x: cr.tensor([1, 2], requires_grad=True), RuntimeError, "floating point"),
        (lambda x: cr.tensor([True]).requires_grad_(), RuntimeError, "floating point"),
        (lambda x: float(x), ValueError, "only one element tensors can be converted"),
        (lambda x: x.numpy(), RuntimeError, r"detach\(\)\.numpy\(\)"),
        (lambda x: np.asarray(x), RuntimeError, r"detach\(\)"),
        (lambda x: bool(x), RuntimeError, "ambiguous"),
        (lambda x: x.to("cuda"), RuntimeError, "no device 'cuda'"),
        (lambda x: cr.zeros(2, device="cuda:0"), RuntimeError, "no device 'cuda:0'"),
        (lambda x: x.cuda(), RuntimeError, "cuda"),
        (lambda x: x.backward(cr.ones(2, dtype=cr.complex64)), RuntimeError, "complex|dtype"),
        (lambda x: (x * x).sum().backward(inputs=[]), RuntimeError, "empty"),
        (lambda x: (x * x).sum().backward(inputs=[cr.ones(1)]), RuntimeError, "require"),
        (lambda x: setattr(x, "grad", cr.ones(3)), RuntimeError, "size|shape"),
        (lambda x: setattr(x, "grad", 3), TypeError, "grad"),
        (lambda x: x[5], IndexError, "out of bounds|out of range"),
        (lambda x: x["a"], (IndexError, TypeError), "ind"),
        (lambda x: x[0.5], (IndexError, TypeError), "ind"),
        (lambda x: len(cr.tensor(1.0)), TypeError, "0-d"),
        (lambda x: list(cr.tensor(1.0)), TypeError, "0-d"),
        (lambda x: x.register_hook(3), TypeError, "callable"),
        (lambda x: cr.optim.SGD([], lr=0.1), ValueError, "empty"),
        (lambda x: cr.optim.SGD([x * x], lr=0.1), ValueError, "non-leaf"),
        (lambda x: cr.optim.SGD([x], lr=-1.0), ValueError, "learning rate"),
        (lambda x: cr.optim.SGD(x, lr=0.1), TypeError, "iterable"),
        (lambda x: cr.manual_seed("a"), (TypeError, ValueError, RuntimeError), "int|seed"),
        (lambda x: cr.set_default_dtype(cr.int32), TypeError, "floating"),
    ],
)
def test_errors_leave_everything_as_it_was(act, kind, words):
    x = leaf([1.0, 2.0])
    x.grad = cr.ones(2, dtype=cr.float64)
    with pytest.raises(kind, match=words):
        act(x)
    np.testing.assert_array_equal(x.detach().numpy(), [1, 2])
    np.testing.assert_array_equal(x.grad.numpy(), [1, 1])
    assert cr.is_grad_enabled()
    assert cr.get_default_dtype() is cr.float32
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [3, 5])


def test_second_backward_names_file_and_both_lines():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()  # recorded
    y.backward()  # freed
    with pytest.raises(RuntimeError) as caught:
        y.backward()
    told = str(caught.value)
    for mark in ("# recorded", "# freed"):
        assert f"{__file__}:{line_here(mark)}" in told
    assert "retain_graph=True" in told


def test_overwritten_saved_value_names_file_and_both_lines():
    x = leaf([1.0, 2.0])
    a = x * 2
    y = a.exp()
    b = a * a  # needs it
    a.zero_()  # overwrites it
    with pytest.raises(RuntimeError) as caught:
        (b + y).sum().backward()
    told = str(caught.value)
    for mark in ("# needs it", "# overwrites it"):
        assert f"{__file__}:{line_here(mark)}" in told
    assert re.search(r"clone\(\)|out of place|not in place|before", told)
    assert x.grad is None


def test_nan_in_anomaly_mode_names_the_line():
    x = leaf([-1.0])
    with (
        cr.autograd.set_detect_anomaly(True),
        np.errstate(all="ignore"),
        pytest.raises(RuntimeError) as caught,
    ):
        cr.log(x)  # has no logarithm
    assert f"{__file__}:{line_here('# has no logarithm')}" in str(caught.value)


class Wrong(cr.autograd.Function):
    returned = None

    @staticmethod
    def forward(ctx, x, y):
        return x * y

    @staticmethod
    def backward(ctx, g):
        return Wrong.returned


@pytest.mark.parametrize(
    "returned",
    [(), cr.ones(2), (cr.ones(2),) * 3, (cr.ones(3), None), ("a", None), 3, (cr.ones(2, 3), None)],
)
def test_wrong_gradients_of_a_custom_function(returned):
    Wrong.returned = returned
    x, y = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    z = Wrong.apply(x, y) + x
    with pytest.raises((RuntimeError, TypeError), match="Wrong"):
        z.sum().backward()
    assert x.grad is None
    assert y.grad is None


@pytest.mark.parametrize("result", ["a", 3, cr.ones(3), cr.ones(2, 1), [None], object()])
def test_hooks_that_return_nonsense(result):
    x = leaf([1.0, 2.0])
    y = x * x
    handle = y.register_hook(lambda g: result)
    with pytest.raises((RuntimeError, TypeError), match="hook"):
        y.sum().backward()
    assert x.grad is None
    handle.remove()
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2, 4])


def in_child(queue):
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    queue.put(x.grad.numpy().tolist())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_backward_in_another_process(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("not on this system")
    x = leaf([3.0])
    (x * x).backward()  # the parent has used everything before it forks
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python: this process has threads
        warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)  # JAX, if other tests use it
        child = context.Process(target=in_child, args=(queue,))
        child.start()
    assert queue.get(timeout=60) == [2, 4]
    child.join(60)
    assert child.exitcode == 0


def test_reading_while_another_thread_writes():
    """Each backward pass is right for the values it saved, or says that they were overwritten."""
    shared = cr.ones(10_000, dtype=cr.float64)
    stop = threading.Event()

    def write():
        while not stop.is_set():
            shared.mul_(-1)

    writer = threading.Thread(target=write)
    writer.start()
    told = 0
    try:
        for _ in range(200):
            x = leaf(np.ones(10_000))
            try:
                (x * shared).sum().backward()
            except RuntimeError as error:
                assert "inplace operation" in str(error)  # noqa: PT017
                told += 1
            else:
                assert set(np.unique(np.abs(x.grad.numpy()))) == {1.0}
    finally:
        stop.set()
        writer.join()


# ------------------------------------------------------------------ data of unusual kinds


@pytest.mark.parametrize("make", [cr.tensor, cr.as_tensor])
@pytest.mark.parametrize("kind", [">f8", ">f4", ">i4", ">c16", ">u2"])
def test_big_endian_data_are_converted(make, kind):
    a = np.arange(4).astype(kind)
    t = make(a)
    assert t.array.dtype.isnative
    assert t.tolist() == [0, 1, 2, 3]
    assert (t + t).tolist() == [0, 2, 4, 6]
    if np.dtype(kind).kind == "f":
        x = t.clone().requires_grad_()
        (x * t).sum().backward()
        assert x.grad.tolist() == [0, 1, 2, 3]


def test_shared_memory_must_be_native():
    with pytest.raises(ValueError, match="byte order"):
        cr.from_numpy(np.arange(4).astype(">f8"))


@pytest.mark.parametrize("kind", ["f8", "f4"])
def test_big_endian_operands_and_parameters(kind):
    a = np.arange(4).astype(">" + kind)
    x = cr.ones(4, dtype=cr.float64 if kind == "f8" else cr.float32, requires_grad=True)
    y = x * a
    y.sum().backward()
    assert y.array.dtype.isnative
    assert x.grad.array.dtype.isnative
    assert x.grad.tolist() == [0, 1, 2, 3]
    for data in (a, cr.as_tensor(a)):
        assert cr.nn.Parameter(data).array.dtype.isnative
    with pytest.raises(TypeError, match="numbers"):
        cr.nn.Parameter(np.array(["a"]), requires_grad=False)


@pytest.mark.parametrize("make", [cr.tensor, cr.as_tensor, cr.from_numpy])
@pytest.mark.parametrize("data", [
    np.zeros(2, [("a", "f4"), ("b", "i4")]), np.array(["a", "b"]), np.array([object()]),
    np.array(["2020-01-01"], "M8[D]"), np.array([1], "m8[s]"), np.array([b"ab"]),
    np.zeros(2, np.longdouble), np.zeros(2, np.clongdouble),
], ids=lambda a: a.dtype.kind + str(a.dtype.itemsize))  # fmt: skip
def test_data_that_are_no_numbers(make, data):
    if np.dtype(np.longdouble).itemsize == 8 and data.dtype.kind in "fc":
        pytest.skip("long doubles are doubles on this system")
    with pytest.raises(TypeError, match=r"convert|can't"):
        make(data)
    with pytest.raises(TypeError):
        cr.ones(2) * data


def test_half_precision_stays():
    x = cr.tensor(np.array([1, 2], np.float16), requires_grad=True)
    (x * x).sum().backward()
    assert x.grad.dtype is cr.float16
    assert x.grad.tolist() == [2, 4]
