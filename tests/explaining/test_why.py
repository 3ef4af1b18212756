"""why(y, x): every reason for a gradient, at the right line, and always with the right verdict."""

import gc
import sys
import weakref

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import chainrule as cr
import chainrule.nn  # declares primitives of its own
from chainrule.core.cuts import RING
from chainrule.core.primitive import REGISTRY
from chainrule.explaining.reasons import Several, Why
from tests.fuzz.generate import programs
from tests.fuzz.program import Pair

why = cr.why


def var(*values):
    return cr.tensor(values[0] if len(values) == 1 else values, dtype=cr.float64,
                     requires_grad=True)  # fmt: skip


def line():
    """The line of the call."""
    return sys._getframe(1).f_lineno


def at(number):
    return f"test_why.py:{number} ("


@pytest.fixture(autouse=True)
def no_cuts():
    RING.clear()


# ---------------------------------------------------------------- None


def test_detach():
    x, w = var(1.0, 2.0), var(3.0, 4.0)
    u = (x * 2).detach()
    n = line() - 1
    y = (u * w).sum()
    found = why(y, x)
    assert found.verdict == "none"
    assert found.headline.startswith(
        "None: y does not depend on x: the connection was cut by detach"
    )
    assert at(n) + "u = (x * 2).detach()" in found.headline
    assert found.lines[0].startswith("its result goes on into multiply at ")
    assert at(n + 2) in found.lines[0]
    assert found.gradient is None


def test_detach_where_nothing_is_left_on_the_tape():
    x = var(1.0, 2.0)
    y = (x.exp().detach() * 3.0).sum()
    n = line() - 1
    found = why(y, x)
    assert found.verdict == "none"
    assert at(n) in found.headline
    assert "y does not require grad: nothing that leads to it is recorded" in found.lines


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("item()", lambda x: x.item()), ("tolist()", lambda x: x.tolist()),
        ("numpy(force=True)", lambda x: float(x.numpy(force=True))),
    ],
)  # fmt: skip
def test_numbers(kind, number):
    x, w = var(2.0), var(3.0)
    y = number(x * 2) * w
    found = why(y, x)
    assert f"the connection was cut by {kind} at " in found.headline
    assert "lambda x: " in found.headline


def test_float_inside_no_grad():
    x, w = var(2.0), var(3.0)
    with cr.no_grad():
        c = float(x)
        n = line() - 1
    y = c * w
    assert "cut by float()" in why(y, x).headline
    assert at(n) in why(y, x).headline


def test_data_and_detach_in_place():
    x, w = var(2.0), var(3.0)
    c = x.data
    n = line() - 1
    assert at(n) in why(c * w, x).headline
    h = x * 2
    h.detach_()
    n = line() - 1
    assert at(n) in why(h * w, x).headline


def test_a_copy_by_tensor():
    x, w = var(2.0), var(3.0)
    with pytest.warns(UserWarning, match="copy construct"):
        c = cr.tensor(x)
    n = line() - 1
    found = why(c * w, x)
    assert "cut by tensor()" in found.headline
    assert at(n) in found.headline


@pytest.mark.parametrize(
    ("name", "f"),
    [
        ("argmax", lambda x: x.argmax()), ("greater", lambda x: (x > 1).double()),
        ("isfinite", lambda x: cr.isfinite(x).double()),
        ("argsort", lambda x: x.argsort()),
        ("logical_not", lambda x: cr.logical_not(x).double()),
    ],
)  # fmt: skip
def test_operations_without_a_derivative(name, f):
    x, w = var(1.0, 2.0), var(3.0, 4.0)
    y = (f(x) * w).sum()
    found = why(y, x)
    assert found.verdict == "none"
    assert f"the connection was cut by {name} at " in found.headline
    assert "which has no derivative" in found.headline


def test_a_conversion_to_integers():
    x, w = var(1.0, 2.0), var(3.0, 4.0)
    k = x.long()
    n = line() - 1
    found = why((k * w).sum(), x)
    assert "cut by a conversion to integers" in found.headline
    assert at(n) in found.headline


def test_no_grad_at_the_line_of_the_with():
    x = var(1.0, 2.0)
    with cr.no_grad():
        n = line() - 1
        y = (x * 3).sum()
    found = why(y, x)
    assert found.verdict == "none"
    assert "recording was switched off by no_grad at" in found.headline
    assert at(n) + "with cr.no_grad():" in found.headline


def test_no_grad_in_a_function_that_is_run():
    w = var(3.0)

    def f(x):
        with cr.no_grad():
            h = x * 3
        return h * w

    n = f.__code__.co_firstlineno + 1
    found = why(f, var(1.0))
    assert "recording was switched off by no_grad at" in found.headline
    assert at(n) in found.headline
    assert "its result goes on into multiply" in found.lines[0]


def test_the_newest_of_several_cuts_stands_first_and_the_others_are_listed():
    x, w = var(1.0, 2.0), var(3.0)
    a = x.sum().item()
    n = line() - 1
    b = x.detach().sum()
    found = why(a * w + b * 0.0, x)
    assert "was probably cut by detach()" in found.headline
    assert any(at(n) in text for text in found.lines)


def test_a_comparison_is_the_last_suspect():
    x, w = var(1.0, 2.0), var(3.0)
    a = x.sum().item()
    n = line() - 1
    if (x > 0).all():
        found = why(a * w, x)
    assert "cut by item()" in found.headline
    assert at(n) in found.headline


def test_x_that_does_not_require_grad():
    x, w = cr.tensor([1.0]), var(2.0)
    found = why((x * w).sum(), x)
    assert found.headline.startswith("None: x does not require grad")
    assert "x.requires_grad_()" in found.lines[0]
    x = var(1.0).detach()
    n = line() - 1
    assert at(n) in why((x * w).sum(), x).headline


def test_integers():
    x, k = var(1.0), cr.tensor([1, 2])
    assert "k is chainrule.int64; only floating" in why(x, k).headline
    y = (x > 0).sum()
    found = why(y, x)
    assert found.headline == "None: y is chainrule.int64, which has no gradient"
    assert "greater at" in found.lines[0]


def test_x_that_is_used_nowhere():
    x, w = var(1.0), var(2.0)
    n = line() - 1
    found = why(w * 2, x)
    assert "nothing that is known leads from x to y" in found.headline
    assert at(n) not in found.headline
    assert "is it used" in found.lines[0]


def test_a_name_that_was_given_to_another_tensor():
    x = var(1.0, 2.0)
    y = (x * 2).sum()
    x = x + 1
    n = line() - 1
    found = why(y, x)
    assert found.verdict == "none"
    assert "None: y does not depend on x, which was made later, at " in found.headline
    assert at(n) + "x = x + 1" in found.headline
    assert "keep that tensor under a name of its own" in found.lines[0]
    fresh = x.detach().requires_grad_()
    assert "compute y from this tensor" in why(y, fresh).lines[0]


def test_siblings():
    x = var(1.0, 2.0)
    h = x + 1
    assert "both were computed from the tensor made at" in why((x * 2).sum(), h).headline


def test_a_gradient_that_custom_code_does_not_give():
    class Silent(cr.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return None

    x = var(1.0)
    y = Silent.apply(x)
    n = line() - 1
    found = why(y, x)
    assert found.verdict == "none"
    assert "has no derivative with respect to that argument" in found.headline
    assert at(n) in found.headline


# ---------------------------------------------------------------- zero


def test_relu():
    x = var(-1.0, 2.0, -3.0, -4.0)
    h = cr.relu(x)
    n = line() - 1
    found = why(h.sum(), x)
    assert found.verdict == "regular"
    assert "zero in 3 of 4 entries: relu at" in found.headline
    assert at(n) in found.headline
    assert "passed nothing for 3 of 4 entries (its input was not positive: −1)" in found.headline
    np.testing.assert_array_equal(found.gradient.numpy(), [0, 1, 0, 0])


def test_the_reason_is_found_behind_other_operations():
    x = var(-1.0, 2.0)
    h = cr.relu(x.reshape(2, 1) * 5.0)
    n = line() - 1
    y = (h @ cr.ones(1, 3, dtype=cr.float64)).exp().sum()
    found = why(y, x)
    assert "zero in 1 of 2 entries: relu at" in found.headline
    assert at(n) in found.headline


def zero_by(f, *values):
    """The reason for a gradient of zero, and the lines of f."""
    x = var(*values)
    found = why(f(x), x)
    assert found.verdict == "zero", found
    assert found.headline.startswith("zero: ")
    return found.headline


def test_multiplied_by_zero():
    assert "multiply at" in (text := zero_by(lambda x: (x * 0.0).exp().sum(), 1.0, 2.0))
    assert "(multiplied by 0)" in text


def test_saturated():
    assert "(it is saturated: 800)" in zero_by(lambda x: cr.sigmoid(x), 800.0)
    assert "(it is saturated: −40)" in zero_by(lambda x: cr.tanh(x * 2), -20.0)


def test_outside_the_bounds():
    assert "clamp at" in (text := zero_by(lambda x: x.clamp(-1, 1).sum(), 3.0, -4.0))
    assert "(its input was outside the bounds: 3)" in text


def test_the_other_branch():
    assert "where at" in (text := zero_by(lambda x: cr.where(x > 9, x, 1.0).sum(), 3.0, 4.0))
    assert "(the other branch was taken)" in text
    assert "(the other argument was taken: 3)" in zero_by(
        lambda x: cr.maximum(x, cr.tensor(9.0, dtype=cr.float64)).sum(), 3.0, 4.0
    )


def test_not_chosen():
    x = var(3.0, 5.0, 4.0)
    found = why(x.max(), x)
    assert "zero in 2 of 3 entries: max_all at" in found.headline
    assert "(another entry was taken)" in found.headline
    found = why(x[1:].sum(), x)
    assert "zero in 1 of 3 entries: getitem at" in found.headline
    assert "(they were not selected)" in found.headline


def test_overwritten():
    x = var(3.0, 5.0)
    h = x * 2
    h[0] = 7.0
    n = line() - 1
    found = why(h.sum(), x)
    assert "zero in 1 of 2 entries" in found.headline
    assert "(they were overwritten)" in found.headline
    assert at(n) in found.headline


@pytest.mark.parametrize("name", ["sign", "round", "floor", "ceil", "trunc"])
def test_derivative_zero_everywhere(name):
    text = zero_by(lambda x: getattr(x, name)().sum(), 1.2, 2.7)
    assert f"{name} at" in text
    assert "(its derivative is 0 everywhere)" in text


def test_contributions_that_cancel():
    text = zero_by(lambda x: (x * 3.0 - x * 3.0).sum(), 1.0)
    assert "contributions cancel: (3 from multiply" in text or "(−3 from multiply" in text
    assert "adjoints cancel inside softmax" in zero_by(lambda x: cr.softmax(x, 0).sum(), 1.0, 1.0)


def test_underflow():
    text = zero_by(lambda x: cr.exp(-x) * 1e-200 * 1e-200, 1.0)
    assert "multiply at" in text


def test_a_loop_is_told_once():
    x = var(-1.0)
    h = x
    for _ in range(11):
        h = cr.relu(h) - 1.0
    found = why(h, x)
    assert found.verdict == "zero"
    assert "relu" in found.headline


# ---------------------------------------------------------------- nan and inf


def test_infinite_derivative():
    x = var(0.0, 1.0)
    s = cr.sqrt(x)
    n = line() - 1
    found = why(s.sum(), x)
    assert found.verdict == "inf"
    assert found.headline.startswith("inf: born at sqrt, ")
    assert at(n) in found.headline
    assert "local derivative ∞ (its argument is 0) times cotangent 1" in found.headline


def test_nan_from_infinity():
    x = var(0.0)
    s = cr.sqrt(x)
    n = line() - 1
    y = s - s * 2.0 + cr.sqrt(x) * 1.0
    found = why(y, x)
    assert found.verdict == "nan"
    assert "infinite contributions of both signs" in found.headline
    assert at(n) in found.headline


def test_zero_times_an_infinite_cotangent():
    x = var(0.0, 0.0)
    squares = (x * x).sum()
    n = line() - 1
    length = squares.sqrt()
    found = why(length, x)
    assert found.verdict == "nan"
    assert "born at multiply, " in found.headline
    assert at(n) in found.headline
    assert "local derivative 0 (its arguments are 0, 0) times cotangent ∞" in found.headline
    assert found.lines[0].startswith("the infinite cotangent was born at sqrt, ")
    assert at(n + 2) in found.lines[0]
    assert "(its result is 0) times cotangent 1" in found.lines[0]


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_nan_in_the_forward_pass():
    x = var(4.0, -1.0)
    s = cr.sqrt(x)
    n = line() - 1
    y = (s * 2.0).sum()
    found = why(y, x)
    assert found.verdict == "nan"
    assert "born at sqrt" in found.headline
    assert "at [1]" in found.headline
    assert "nan stands already in the values: first at sqrt at " in found.lines[0]
    assert at(n) in found.lines[0]
    assert found.lines[0].endswith("(its argument is −1)")


def test_nan_given_by_the_user():
    w, x = cr.tensor([1.0, float("nan")], requires_grad=True), cr.ones(2, requires_grad=True)
    n = line() - 1
    found = why((w * x).sum(), x)
    assert found.verdict == "nan"
    assert any("in the tensor made at" in text and at(n) in text for text in found.lines)


def test_zero_times_infinity_is_suppressed_and_said():
    x = var(0.0, 4.0)
    y = cr.where(x > 0, cr.sqrt(x), 0.0).sum()
    n = line() - 1
    found = why(y, x)
    assert found.verdict == "regular"
    np.testing.assert_array_equal(found.gradient.numpy(), [0, 0.25])
    text = next(text for text in found.lines if "suppressed" in text)
    assert text.startswith("0·∞ suppressed")
    assert "sqrt at" in text
    assert at(n) in text
    assert text.endswith("for 1 of 2 entries")


# ---------------------------------------------------------------- regular


def test_contributions_and_path():
    a, b = var(2.0), var(5.0)
    y = cr.log(a) + a * b - cr.sin(b)
    found = why(y, a)
    assert found.headline == "dy/da = 5.5"
    assert found.lines[0].startswith("5 from multiply at ")
    assert found.lines[1].startswith("0.5 from log at ")
    assert found.lines[2].startswith("path: a → multiply (")
    assert found.lines[2].endswith("→ y")
    assert why(y, b).headline == "dy/db = 1.716"


def test_several_inputs_of_a_function():
    found = why(lambda a, b: cr.log(a) + a * b, 2.0, 5.0)
    assert isinstance(found, Several)
    assert [w.headline for w in found] == ["dy/da = 5.5", "dy/db = 2"]
    assert repr(found).count("path:") == 2


def test_a_value_that_was_computed_has_no_grad_attribute():
    x = var(1.0)
    h = x * 2
    found = why(h * h, h)
    assert found.verdict == "regular"
    assert any("h.retain_grad()" in text for text in found.lines)


def test_hooks_are_not_run_but_named():
    x = var(1.0)
    h = x * 2
    seen = []
    h.register_hook(seen.append)
    found = why(h * h, x)
    assert not seen
    assert any("hooks on values made at" in text for text in found.lines)


# ---------------------------------------------------------------- the tape


def test_a_freed_tape():
    x = var(1.0, 2.0)
    y = (x.exp() * x).sum()
    y.backward()
    n = line() - 1
    x.grad = None
    found = why(y, x)
    assert found.verdict == "freed"
    assert "the tape was freed by backward() at" in found.headline
    assert at(n) + "y.backward()" in found.headline
    assert "retain_graph=True" in found.headline
    again = why(lambda: (x.exp() * x).sum(), x)
    assert again.verdict == "regular"
    assert x.grad is None


def test_an_overwritten_value():
    x = var(1.0, 2.0)
    h = x * 2
    y = (h * h).sum()
    with cr.no_grad():
        h += 1
    found = why(y, x)
    assert found.verdict == "changed"
    assert "modified by an inplace operation" in found.headline


def test_nothing_is_changed():
    x = var(1.0, 2.0)
    y = (x.exp() * x).sum()
    before = RING.copy()
    why(y, x)
    assert x.grad is None
    assert y.requires_grad
    assert before == RING
    y.backward()
    assert x.grad is not None


def test_notes_keep_nothing_alive():
    x = var(np.ones(1000))
    h = x * 2
    d = h.detach()
    mask = h > 0
    refs = [weakref.ref(h.node), weakref.ref(h.array), weakref.ref(mask.array)]
    x_node = weakref.ref(x.node)
    del h, d, mask
    gc.collect()
    assert [r() for r in refs] == [None, None, None]
    del x
    gc.collect()
    assert x_node() is None


def test_notes_are_bounded():
    x = var(1.0)
    for _ in range(3000):
        x.detach()
    assert len(RING) == 1000


def test_transforms_are_refused_with_advice():
    def f(x):
        why(x * 2, x)
        return x

    with pytest.raises(RuntimeError, match=r"belongs to a running .* outside of the transform"):
        cr.func.jvp(f, (cr.tensor(1.0),), (cr.tensor(1.0),))
    with pytest.raises(RuntimeError, match="belongs to a running"):
        cr.func.vmap(f)(cr.ones(3))


def test_bad_arguments():
    x = var(1.0)
    with pytest.raises(TypeError, match="y is a int"):
        why(3, x)
    with pytest.raises(TypeError, match="x is a float"):
        why(x * 2, 3.0)
    with pytest.raises(TypeError, match="takes one tensor x, got 2"):
        why(x * 2, x, x)
    with pytest.raises(TypeError, match="returned float"):
        why(lambda x: 3.0, x)
    with pytest.raises(TypeError, match="no input that is a float"):
        why(lambda n: cr.ones(n), 3)


def test_html():
    found = why(cr.relu(var(-1.0)), var(1.0))
    page = found._repr_html_()
    assert page.startswith("<div><b>None: ")
    found = Why("zero", "a < b", ["c & d"])
    assert found._repr_html_() == "<div><b>a &lt; b</b><ul><li>c &amp; d</li></ul></div>"


# ---------------------------------------------------------------- random programs


def verdict_of(g):
    if g is None:
        return "none"
    g = g.numpy()
    if not np.isfinite(g).all():
        return "nan" if np.isnan(g).any() else "inf"
    return "zero" if not g.any() else "regular"


def arguments_of(sample):
    """The positions of the arguments by which a primitive may be differentiated."""
    return [
        i for i, a in enumerate(sample.args) if isinstance(a, np.ndarray) and a.dtype.kind in "fc"
    ]


@pytest.mark.parametrize("name", sorted(n for n, p in REGISTRY.items() if p.differentiable))
@pytest.mark.parametrize("scale", [1, 0], ids=["as-they-are", "zeros"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_verdict_is_that_of_autograd_on_every_primitive(name, scale):
    """Half of the entries of the results are used; arguments may be all zero."""
    prim = REGISTRY[name]
    for sample in prim.samples() if prim.samples else ():
        for i in arguments_of(sample):
            x = cr.tensor(sample.args[i] * scale, requires_grad=True)
            args = [cr.tensor(a) if isinstance(a, np.ndarray) else a for a in sample.args]
            args[i] = x * 1.0
            try:
                found = prim.apply(args, sample.params)
            except (np.linalg.LinAlgError, cr.linalg.LinAlgError):
                continue  # of a matrix of zeros
            outs = [o for o in (found if isinstance(found, tuple) else [found]) if o is not None]
            outs = [o for o in outs if o.requires_grad]
            if not outs:
                continue
            rng = np.random.default_rng(i)
            y = sum((o * (rng.normal(size=o.shape) > 0)).abs().sum() for o in outs)
            (g,) = cr.autograd.grad(y, x, allow_unused=True, retain_graph=True)
            reason = why(y, x)
            assert reason.verdict == verdict_of(g)
            assert repr(reason)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs())
def test_the_verdict_is_that_of_autograd_on_random_programs(program):
    with np.errstate(all="ignore"):
        f = program.load({"cr": cr, "Pair": Pair})
        x = cr.tensor(program.inputs(), requires_grad=True)
        y = f(x)
        g = None
        if y.requires_grad:
            (g,) = cr.autograd.grad(y.sum(), x, allow_unused=True, retain_graph=True)
        live = why(y, x)
        assert live.verdict == verdict_of(g)
        if g is not None:
            np.testing.assert_allclose(live.gradient.numpy(), g.numpy(), rtol=1e-9, atol=1e-12)
        assert x.grad is None
        assert repr(live)
        again = why(f, x)
        assert again.verdict == live.verdict
