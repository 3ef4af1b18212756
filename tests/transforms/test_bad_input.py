"""Bad input of every transform: what is said, and that nothing is left behind.

Each case is refused with its type and words, and then the same transform is used rightly.
"""

from collections import namedtuple

import numpy as np
import pytest

import chainrule as cr
from chainrule.core.boxes import running
from chainrule.func import (
    divergence,
    grad,
    grad_and_value,
    hessian,
    hvp,
    jacfwd,
    jacrev,
    jvp,
    laplacian,
    linearize,
    mixed_derivative,
    nth_derivative,
    ode_series,
    taylor,
    vjp,
    vmap,
)

from .programs import POINT, is_number, near, number

X = cr.tensor(POINT)
ONE = number(1.0)
Pair = namedtuple("Pair", "first second")


@pytest.fixture(autouse=True)
def _nothing_is_left_running():
    yield
    assert running.get() == ()
    assert cr.is_grad_enabled()
    near(X, POINT)
    near(vmap(grad(lambda x: x**3))(X), 3 * POINT**2, 1e-14)
    is_number(jvp(lambda x: grad(lambda y: x * y**2)(x), (ONE,), (ONE,))[1], 4.0)


ENTRIES = {
    "grad": lambda f, x: grad(f)(x),
    "grad_and_value": lambda f, x: grad_and_value(f)(x),
    "vjp": lambda f, x: vjp(f, x),
    "jvp": lambda f, x: jvp(f, (x,), (x,)),
    "linearize": lambda f, x: linearize(f, x),
    "vmap": lambda f, x: vmap(f)(x),
    "jacrev": lambda f, x: jacrev(f)(x),
    "jacfwd": lambda f, x: jacfwd(f)(x),
    "hessian": lambda f, x: hessian(f)(x),
    "hvp": lambda f, x: hvp(f, x, x),
    "laplacian": lambda f, x: laplacian(f)(x),
    "divergence": lambda f, x: divergence(f)(x),
    "taylor": lambda f, x: taylor(f, x, order=2),
    "nth_derivative": lambda f, x: nth_derivative(f, 2)(x),
    "mixed_derivative": lambda f, x: mixed_derivative(f, x, [x, x]),
    "ode_series": lambda f, x: ode_series(f, x, 2),
}
DIFFERENTIATING = [name for name in ENTRIES if name != "vmap"]
every_entry = pytest.mark.parametrize("entry", ENTRIES)
every_derivative = pytest.mark.parametrize("entry", DIFFERENTIATING)


class HalfwayError(Exception):
    pass


def raising(kind):
    """A function that raises half-way, inside a nest, with recording switched off."""

    def f(x):
        y = cr.sin(x)
        with cr.no_grad():
            vmap(lambda e: jvp(lambda u: raises(u, kind), (e,), (e,))[0])(cr.stack([y, y]))
        return y

    return f


def raises(x, kind):
    raise kind("half-way")


# ---------------------------------------------------------------- functions


@every_entry
@pytest.mark.parametrize("kind", [HalfwayError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_function_that_raises_half_way(entry, kind):
    with pytest.raises(kind, match="half-way"):
        ENTRIES[entry](raising(kind), X)


@every_entry
def test_no_function_at_all(entry):
    with pytest.raises(TypeError, match="not callable"):
        ENTRIES[entry](3, X)


@every_entry
@pytest.mark.parametrize("value", ["text", object()], ids=["text", "object"])
def test_an_output_that_is_no_tensor(entry, value):
    with pytest.raises((RuntimeError, ValueError), match=rf"Tensor.*got .*{type(value).__name__}"):
        ENTRIES[entry](lambda x: value, X)


def test_an_output_in_a_tree_is_named_by_its_path():
    for transform in (vjp, linearize):
        with pytest.raises(RuntimeError, match=r"type str at \['b'\]\[1\].*has_aux"):
            transform(lambda x: {"a": x, "b": (x, "text")}, X)
    with pytest.raises(ValueError, match=r"type str at \['b'\]\[1\]"):
        vmap(lambda x: {"a": x, "b": (x, "text")})(X)


def test_outputs_that_are_not_scalar():
    for transform in (grad, grad_and_value):
        with pytest.raises(RuntimeError, match=r"scalar tensor, got tensor with 1 dims.*jacrev"):
            transform(cr.sin)(X)
        with pytest.raises(RuntimeError, match="to return a Tensor, got tuple"):
            transform(lambda x: (cr.sum(x), x))(X)


def test_complex_outputs_and_inputs():
    with pytest.raises(RuntimeError, match=r"to return a real tensor, got chainrule.complex128"):
        grad(lambda x: cr.sum(1j * x))(X)
    for transform in (jacrev, jacfwd):
        with pytest.raises(RuntimeError, match="all outputs to be real but received complex"):
            transform(lambda x: 1j * x)(X)
        with pytest.raises(RuntimeError, match="all inputs to be real but received complex"):
            transform(lambda x: x * x)(1j * X)
    near(grad(lambda x: cr.sum((1j * x).abs() ** 2))(X), 2 * POINT, 1e-14)
    near(jvp(lambda x: (1j * x * x).imag, (X,), (X,))[1], 2 * POINT**2, 1e-14)


@pytest.mark.parametrize("value", [X, (X,), (X, X, X), [X, X]], ids=["one", "1", "3", "list"])
def test_has_aux_without_a_pair(value):
    words = "output of function f should be a tuple: \\(output, aux\\)"
    for transform in (grad, grad_and_value, jacrev, jacfwd):
        with pytest.raises(RuntimeError, match=words):
            transform(lambda x: value, has_aux=True)(X)
    with pytest.raises(RuntimeError, match=words):
        vjp(lambda x: value, X, has_aux=True)
    with pytest.raises(RuntimeError, match=words):
        jvp(lambda x: value, (X,), (X,), has_aux=True)


# ---------------------------------------------------------------- inputs


@every_derivative
def test_integer_inputs(entry):
    with pytest.raises(RuntimeError, match=r"floating point and complex dtype.*int64"):
        ENTRIES[entry](lambda x: cr.sum(x), cr.tensor([1, 2, 3]))
    with pytest.raises(
        RuntimeError, match=r"with respect to an integer, got 3( at \[0\])?; pass a float"
    ):
        ENTRIES[entry](lambda x: x * x, 3)


@every_derivative
@pytest.mark.parametrize("value", ["text", object(), b"bytes"], ids=["text", "object", "bytes"])
def test_inputs_that_are_no_tensors(entry, value):
    with pytest.raises(TypeError, match=f"tensors, arrays and floats, got {type(value).__name__}"):
        ENTRIES[entry](lambda x: X, value)


def test_an_input_in_a_tree_is_named_by_its_path():
    with pytest.raises(TypeError, match=r"got str at \['name'\]; choose other arguments"):
        grad(lambda d: cr.sum(d["w"]))({"w": X, "name": "text"})
    with pytest.raises(RuntimeError, match=r"the input at \['n'\] is chainrule.int64"):
        grad(lambda d: cr.sum(d["w"]))({"w": X, "n": cr.tensor(3)})
    found = grad(lambda d: cr.sum(d["w"] ** 2))({"w": X, "n": None})
    assert found["n"] is None


def test_what_is_not_differentiated_may_be_anything():
    f = lambda x, name, n=0: cr.sum(x * n) if name == "text" else x
    near(grad(f)(X, "text", n=3), np.full(3, 3.0))
    near(jvp(lambda x: f(x, "text", n=3), (X,), (X,))[1], 3 * POINT.sum(), 1e-14)
    near(vmap(f, in_dims=(0, None))(X, "other"), POINT)


@pytest.mark.parametrize(
    ("argnums", "words"),
    [
        (1, "Got argnum=1, but only 1 positional inputs"),
        (-2, "Got argnum=-2, but only 1 positional inputs"),
        ((0, 0), "must be unique"),
        ((0, -1), "must be unique"),
        ((), "must be non-empty"),
        ("0", "must be int or Tuple"),
        (0.0, "must be int or Tuple"),
        (None, "must be int or Tuple"),
        (True, "must be int or Tuple"),
    ],
)
@pytest.mark.parametrize("transform", [grad, jacrev, jacfwd, hessian, laplacian, divergence])
def test_argnums(transform, argnums, words):
    with pytest.raises(RuntimeError, match=words):
        transform(lambda x: cr.sum(x), argnums)(X)


def test_no_inputs():
    with pytest.raises(RuntimeError, match="only 0 positional inputs"):
        grad(lambda: ONE)()
    with pytest.raises(ValueError, match="got no inputs"):
        vmap(lambda: ONE)()


# ---------------------------------------------------------------- tangents and cotangents


def test_tangents_that_do_not_fit():
    f = lambda d: cr.sum(d["a"] * d["b"])
    point = {"a": X, "b": X}
    with pytest.raises(RuntimeError, match=r"same structure: at \[0\].*the key 'b'"):
        jvp(f, (point,), ({"a": X, "c": X},))
    with pytest.raises(RuntimeError, match=r"number 1 has shape \[\] instead of \[3\]"):
        jvp(f, (point,), ({"a": X, "b": ONE},))
    with pytest.raises(RuntimeError, match="only contain Tensors, got str"):
        jvp(f, (point,), ({"a": X, "b": "text"},))
    with pytest.raises(RuntimeError, match=r"Mismatch in dtype.*imaginary part would be lost"):
        jvp(cr.sin, (X,), (1j * X,))
    with pytest.raises(RuntimeError, match=r"same structure.*None"):
        jvp(cr.sin, (X,), (None,))
    for primals, tangents in [([X], (X,)), ((X,), [X]), (X, X)]:
        with pytest.raises(RuntimeError, match="to be a tuple"):
            jvp(cr.sin, primals, tangents)
    with pytest.raises(RuntimeError, match="independent of the inputs"):
        jvp(lambda x: ONE, (X,), (X,), strict=True)
    _, push = linearize(cr.sin, X)
    with pytest.raises(RuntimeError, match="instead of"):
        push(ONE)
    with pytest.raises(RuntimeError, match="tuple of length 1 in the primals"):
        push(X, X)
    with pytest.raises(RuntimeError, match="shape"):
        hvp(lambda x: cr.sum(x**2), X, ONE)
    with pytest.raises(RuntimeError, match="direction to have the shapes of x"):
        taylor(cr.sin, X, ONE)


def test_cotangents_that_do_not_fit():
    _, pull = vjp(lambda x: {"a": x, "b": [x, x]}, X)
    with pytest.raises(RuntimeError, match=r"at \['b'\].*list of length 2 in the output"):
        pull({"a": X, "b": [X]})
    with pytest.raises(RuntimeError, match=r"number 2 has shape \[\] instead of \[3\]"):
        pull({"a": X, "b": [X, ONE]})
    with pytest.raises(RuntimeError, match="one dict; got 2 arguments"):
        pull(X, X)
    (found,) = pull({"a": X, "b": [X, X]})
    near(found, 3 * POINT, 1e-14)
    _, pull = vjp(cr.sin, X)
    for wrong, words in [("text", "got str"), (1j * X, "Mismatch in dtype"), (None, "None")]:
        with pytest.raises(RuntimeError, match=words):
            pull(wrong)
    with pytest.raises(RuntimeError, match="a tensor; got 0 arguments"):
        pull()


def test_cotangents_of_tuples_and_of_named_tuples():
    two = lambda make: lambda x: make(2 * x, 3 * x)
    _, pull = vjp(two(lambda a, b: (a, b)), X)
    near(pull(X, X)[0], 5 * POINT, 1e-14)
    near(pull((X, X))[0], 5 * POINT, 1e-14)
    with pytest.raises(RuntimeError, match="tuple of length 2 in the output, but a list"):
        pull([X, X])
    _, pull = vjp(two(Pair), X)
    near(pull(Pair(X, X))[0], 5 * POINT, 1e-14)
    with pytest.raises(RuntimeError, match="one Pair; got 2 arguments"):
        pull(X, X)
    with pytest.raises(RuntimeError, match="Pair of 2 children in the output, but a tuple"):
        pull((X, X))


# ---------------------------------------------------------------- vmap


@pytest.mark.parametrize(
    ("in_dims", "args", "words"),
    [
        (1, (X,), "Got in_dim=1 .* dimensionality 1 .* -1 <= in_dim < 1"),
        (-2, (X,), "Got in_dim=-2"),
        (0, (ONE,), "dimensionality 0"),
        ("0", (X,), "got: str"),
        (None, (X,), "got: NoneType"),
        (True, (X,), "got: bool"),
        (("0",), (X,), "Got in_dim='0' for an input"),
        ((None,), (X,), "at least one input must be mapped"),
        ((0, 0), (X,), "2 entries for 1 arguments"),
        (({"b": 0},), ({"a": X},), r"at \[0\]\[0\] there is the key 'b' in in_dims"),
        (0, (X, "text"), "type str. We cannot vmap over non-Tensor"),
        (0, (X, cr.ones(4)), r"same size in the mapped dimension, got sizes \[3, 4\]"),
    ],
)
def test_in_dims(in_dims, args, words):
    with pytest.raises(ValueError, match=words):
        vmap(lambda *xs: xs[0], in_dims)(*args)


@pytest.mark.parametrize(
    ("out_dims", "words"),
    [
        (1, r"expected to be in range of \[-1, 0\], but got 1"),
        ("0", "out_dims must be int"),
        (True, "out_dims must be int"),
        (None, "out_dims must be int"),
        ((0, 0), "not compatible with the structure of outputs"),
        ({"a": 0}, "not compatible with the structure of outputs"),
    ],
)
def test_out_dims(out_dims, words):
    with pytest.raises(ValueError, match=words):
        vmap(cr.sin, out_dims=out_dims)(X)


def test_out_dims_do_not_make_the_output_twice():
    """A user's class is built once per call."""
    made = []

    class Out(tuple):
        __slots__ = ()

        def __new__(cls, values):
            made.append(1)
            return super().__new__(cls, values)

    cr.tree.register(Out, lambda o: (list(o), None), lambda children, _: Out(children))
    vmap(lambda x: Out([x, x]), out_dims=(0,))
    made.clear()
    vmap(lambda x: Out([x, x]))(X)
    assert len(made) == 2  # by the function, and for the result


def test_other_arguments_of_vmap_and_of_jacobians():
    with pytest.raises(RuntimeError, match="'error', 'different', or 'same'"):
        vmap(cr.sin, randomness="never")
    for size in (0, -1, "2"):
        with pytest.raises(ValueError, match="chunk_size"):
            vmap(cr.sin, chunk_size=size)
        for transform in (jacrev, jacfwd, laplacian):
            with pytest.raises(ValueError, match="chunk_size"):
                transform(cr.sin, chunk_size=size)(X)
    with pytest.raises(RuntimeError, match="randomness error mode"):
        vmap(lambda x: x + cr.rand(()))(X)


@pytest.mark.parametrize(
    "look",
    [
        lambda x: x if x > 0 else -x,
        lambda x: x.item(),
        lambda x: float(x),
        lambda x: [x for _ in range(x.long())],
        lambda x: np.asarray(x),
        lambda x: x.tolist(),
        lambda x: x in (1.0, 2.0),
    ],
    ids=["if", "item", "float", "range", "asarray", "tolist", "in"],
)
def test_decisions_on_mapped_values(look):
    with pytest.raises(RuntimeError, match=r"vmap: this looks at the values.*where"):
        vmap(look)(X)
    with pytest.raises(RuntimeError, match="looks at the values"):
        vmap(grad(lambda x: x if x > 0 else -x))(X)
    with pytest.raises(RuntimeError, match="looks at the values"):
        vmap(lambda x: jvp(lambda y: y if y > 0 else -y, (x,), (x,)))(X)


def test_a_batch_of_no_examples():
    none, empty = X[:0], cr.zeros(0, 3, dtype=cr.float64)
    assert tuple(vmap(cr.sin)(none).shape) == (0,)
    assert tuple(vmap(grad(lambda x: cr.sum(x * x)))(empty).shape) == (0, 3)
    assert tuple(vmap(jacrev(cr.sin))(empty).shape) == (0, 3, 3)
    assert tuple(vmap(jacfwd(lambda x: cr.outer(x, x)))(empty).shape) == (0, 3, 3, 3)
    assert tuple(vmap(hessian(lambda x: cr.sum(x**3)))(empty).shape) == (0, 3, 3)
    assert tuple(grad(lambda x: cr.sum(vmap(cr.sin)(x)))(none).shape) == (0,)
    assert tuple(jvp(vmap(cr.sin), (none,), (none,))[1].shape) == (0,)
    assert tuple(taylor(vmap(cr.sin), none, order=2)[2].shape) == (0,)


def test_empty_inputs():
    none = X[:0]
    assert tuple(jacrev(cr.sin)(none).shape) == (0, 0)
    assert tuple(jacfwd(cr.sin)(none).shape) == (0, 0)
    assert tuple(hessian(lambda x: cr.sum(x * x))(none).shape) == (0, 0)
    assert tuple(jacrev(cr.sum)(none).shape) == tuple(jacfwd(cr.sum)(none).shape) == (0,)
    is_number(laplacian(lambda x: cr.sum(x * x))(none), 0.0)
    is_number(divergence(lambda x: x * x)(none), 0.0)


# ---------------------------------------------------------------- series


def test_orders():
    for order in (-1, 1.5, "2", None, True):
        with pytest.raises(ValueError, match="non-negative integer"):
            taylor(cr.sin, X, order=order)
        with pytest.raises(ValueError, match="non-negative integer"):
            nth_derivative(cr.sin, order)
    with pytest.raises(ValueError, match="at least one direction"):
        mixed_derivative(cr.sum, X, [])


def test_equations_and_fields_that_do_not_fit():
    with pytest.raises(RuntimeError, match="a leaf in y0, but a tuple of length 2 in what f ret"):
        ode_series(lambda y: (y, y), X, 2)
    with pytest.raises(RuntimeError, match="shapes of y0"):
        ode_series(lambda y: cr.sum(y), X, 2)
    with pytest.raises(RuntimeError, match="vector field"):
        divergence(cr.sum)(X)
