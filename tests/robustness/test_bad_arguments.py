"""Whatever a public function is called with: an error about the call, or an answer."""

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.ops.api import FUNCTIONS

from . import calls

ALLOWED = (TypeError, ValueError, RuntimeError, IndexError, BufferError)
INTERNALS = re.compile(
    r"could not be broadcast|out of bounds for array|object has no attribute|^ufunc |"
    r"operand type\(s\)|not supported between|cannot reshape array|object is not (iterable|callable"
    r"|subscriptable)|truth value of an array|setting an array element|object arrays? |astype"
)
PUBLIC = calls.public_functions()


@pytest.fixture(autouse=True)
def quiet():
    with np.errstate(all="ignore"):
        yield


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("space", sorted({name.split(".")[0] for name in PUBLIC}))
def test_errors_are_about_the_call(space):
    leaks = []
    for name, f in PUBLIC.items():
        if not name.startswith(space + "."):
            continue
        for args, kwargs in calls.calls(name, f, 12):
            try:
                f(*args, **kwargs)
            except ALLOWED as error:
                words = str(error).replace(name.rpartition(".")[2], "")  # its own name is no leak
                if not calls.on_purpose(error) or INTERNALS.search(words):
                    leaks.append(f"{name}: {error!r}")
    assert not leaks, "\n".join(leaks)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda x: x.sum(dim="a"), TypeError, "must be int"),
        (lambda x: x.sum(dim=5), IndexError, r"range of \[-2, 1\], but got 5"),
        (lambda x: x.sum(dim=1.5), TypeError, "must be int"),
        (lambda x: x + cr.ones(4), RuntimeError, r"size of tensor a \(3\).*b \(4\)"),
        (lambda x: cr.add(x, "a"), TypeError, "str"),
        (lambda x: cr.add(x, [1.0]), TypeError, "chainrule.tensor"),
        (lambda x: x @ cr.ones(2, 2), RuntimeError, "mat1 and mat2"),
        (lambda x: x.reshape(5), RuntimeError, r"\[5\].*invalid for input of size 6"),
        (lambda x: cr.cat([x, cr.ones(2)]), RuntimeError, "dimensions"),
        (lambda x: cr.sum(None), TypeError, "NoneType"),
        (lambda x: x.transpose(0), TypeError, r"missing.*it takes transpose\("),
        (lambda x: cr.nn.functional.relu("a"), TypeError, "str"),
        (lambda x: cr.nn.Linear(3, 2)("a"), TypeError, "Linear|linear"),
        (lambda x: x.to("floatt"), RuntimeError, "floatt"),
        (lambda x: x.clamp(min="a"), TypeError, "'a'|str"),
    ],
)
def test_wording(call, kind, words):
    x = cr.zeros(2, 3)
    with pytest.raises(kind, match=words) as caught:
        call(x)
    assert calls.on_purpose(caught.value)


@pytest.mark.parametrize("wrong", ["a", [1.0], None, {}])
def test_operators_leave_the_last_word_to_the_other_side(wrong):
    with pytest.raises(TypeError, match=r"unsupported operand type\(s\) for \+: 'Tensor' and"):
        cr.zeros(2) + wrong


def test_the_cause_stays_visible():
    with pytest.raises(TypeError) as caught:
        cr.nn.functional.dropout(cr.ones(2), p="a")
    assert "Tensor float32 [2]" in str(caught.value)
    assert isinstance(caught.value.__cause__, TypeError)


def test_errors_of_users_pass_as_they_are():
    class Odd:
        def __index__(self):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        cr.zeros(2, 3).sum(dim=Odd())

    class Broken(cr.nn.Module):
        def forward(self, x):
            return {}["mine"]

    with pytest.raises(KeyError, match="mine"):
        Broken()(cr.ones(1))
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        cr.log(cr.zeros(2))


def test_every_function_of_numbers_refuses_text_and_none():
    for name, f in FUNCTIONS.items():
        if not hasattr(f, "prim"):
            continue
        for wrong in (None, "a", [1.0], {}, object()):
            args = [wrong] * getattr(f.prim, "arity", 1)
            with pytest.raises(TypeError) as caught:
                f(*args)
            assert calls.on_purpose(caught.value), name


@pytest.mark.parametrize("name", ["adaptive_max_pool1d", "adaptive_avg_pool1d"])
def test_negative_sizes(name):
    with pytest.raises(RuntimeError, match="greater than or equal to 0"):
        getattr(cr.nn.functional, name)(cr.ones(2, 2, 4), -7)


def test_tolerances_may_be_tensors():
    assert cr.allclose(cr.ones(2), cr.ones(2), cr.tensor(1e-5))


def test_constants_that_require_grad_are_refused():
    beta = cr.tensor(2.0, requires_grad=True)
    for f in (cr.nn.functional.softplus, cr.nn.functional.elu, cr.nn.functional.leaky_relu):
        with pytest.raises(TypeError, match="gets no gradient"):
            f(cr.ones(2), beta)
