"""Anomaly detection: the line where a nan or inf is born."""

import re

import numpy as np
import pytest

import chainrule as cr

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def leaf(value):
    return cr.tensor(value, dtype=cr.float64, requires_grad=True)


def test_forward_names_operation_line_and_operands():
    x, y = leaf([1.0, 6.0]), leaf([2.0, 0.0])
    with cr.autograd.detect_anomaly(), pytest.raises(RuntimeError) as caught:
        x / y  # the line of the birth
    message = str(caught.value)
    assert "returned inf values in its forward pass" in message
    assert "x / y  # the line of the birth" in message
    assert "test_anomaly.py" in message
    assert "index [1] from operands (6, 0)" in message


def test_a_nan_that_was_there_is_not_born():
    x = leaf([np.nan, 1.0])
    with cr.autograd.detect_anomaly():
        y = x * 2 + 1
        with pytest.raises(RuntimeError, match="'Log' returned inf"):
            (leaf([0.0]) * 1).log()
    assert np.isnan(y.detach().numpy()[0])


def test_backward_names_the_forward_line():
    x = leaf([0.0, 4.0])
    with cr.autograd.detect_anomaly():
        root = x.sqrt()
        with pytest.raises(RuntimeError) as caught:
            root.sum().backward()
    message = str(caught.value)
    assert message.startswith("Function 'SqrtBackward0' returned inf values in its 0th output")
    assert message.count("root = x.sqrt()") == 2
    assert "Traceback of the forward call" in message
    assert "in test_backward_names_the_forward_line" in message
    assert "incoming gradient (1)" in message
    assert x.grad is None


def test_traceback_is_the_users():
    x = leaf([0.0])
    with cr.autograd.detect_anomaly(), pytest.raises(RuntimeError) as caught:
        x.sqrt().sum().backward()
    names = [entry.name for entry in caught.traceback]
    assert names[0] == "test_traceback_is_the_users"
    assert "run" not in names
    assert "_pull" not in names


def test_backward_of_a_custom_function():
    class Bad(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g * float("nan")

    x = leaf([1.0])
    with (
        cr.autograd.detect_anomaly(),
        pytest.raises(RuntimeError, match="'BadBackward' returned nan"),
    ):
        Bad.apply(x).sum().backward()


def test_graph_recorded_outside_still_tells_its_line():
    x = leaf([0.0])
    y = x.sqrt()
    with cr.autograd.detect_anomaly(), pytest.raises(RuntimeError, match=re.escape("y = x.sqrt()")):
        y.sum().backward()


def test_masked_values_are_no_anomaly():
    x = leaf([0.0, 4.0])
    with cr.autograd.detect_anomaly():
        cr.where(x > 0, x.sqrt(), 0.0).sum().backward()
        (g,) = cr.autograd.grad(cr.where(x > 0, x.sqrt(), 0.0).sum(), x, create_graph=True)
    np.testing.assert_array_equal(x.grad.numpy(), [0, 0.25])
    np.testing.assert_array_equal(g.detach().numpy(), [0, 0.25])


def test_switches():
    assert not cr.autograd.is_anomaly_enabled()
    with cr.autograd.set_detect_anomaly(True, check_nan=False):
        assert cr.autograd.is_anomaly_enabled()
        assert not cr.autograd.is_anomaly_check_nan_enabled()
        leaf([0.0]).log()
    assert not cr.autograd.is_anomaly_enabled()
    cr.autograd.set_detect_anomaly(True)
    try:
        with pytest.raises(RuntimeError, match="'Log'"):
            leaf([0.0]).log()
    finally:
        cr.autograd.set_detect_anomaly(False)
    leaf([0.0]).log()
    with cr.no_grad(), cr.autograd.detect_anomaly():
        assert not cr.is_grad_enabled()


def test_gradients_are_the_same_as_without():
    data = np.array([[0.3, 0.9], [1.4, 0.7]])

    def run():
        x = leaf(data)
        ((x.sin() * x.exp()).log() * x.sum(0))[0].prod().backward()
        return x.grad.numpy()

    expected = run()
    with cr.autograd.detect_anomaly():
        np.testing.assert_array_equal(run(), expected)
