"""The generic checks find what is wrong: each is given a primitive with one fault."""

import numpy as np
import pytest

from chainrule.core.kinds import Elementwise, General
from chainrule.core.partials import selection
from chainrule.core.samples import Sample, uniform

from . import checks, properties

ROWS = {row.title: row for row in properties.PROPERTIES}
DIFFERENCES = "vjp against differences"
ADJOINT = "adjointness of jvp and vjp"


def one_sample():
    return [Sample(uniform(2, 3))]


def same(prim, size, args, mapped, params):
    return prim.apply(args, params)


def doubling(**declared):
    """A primitive x ↦ 2x, some of whose declarations are replaced."""
    rules = {
        "vjps": (lambda xp, g: 2.0 * g,),
        "jvps": (lambda xp, t: 2.0 * t,),
        "batch": same,
        "samples": one_sample,
    }
    return General("faulty", lambda x: 2.0 * x, **{**rules, **declared})


def unrecorded(x):
    return 2.0 * np.asarray(x.array if hasattr(x, "array") else x)


SQUARE_OFF_THE_TAPE = General(
    "faulty",
    np.square,
    vjps=(lambda xp, g, x: g * unrecorded(x),),
    jvps=(lambda xp, t, x: 2.0 * t * x,),
    samples=one_sample,
)
TURN_WITHOUT_CONJUGATE = General(
    "faulty",
    lambda x: 2j * x,
    vjps=(lambda xp, g: 2j * g,),
    jvps=(lambda xp, t: 2j * t,),
    samples=one_sample,
)
FAULTS = {
    "a wrong partial": (
        Elementwise("faulty", np.sin, (lambda xp, x: xp.sin(x),)),
        [DIFFERENCES, "jvp rule against differences", "forward mode against differences"],
    ),
    "a wrong vjp": (doubling(vjps=(lambda xp, g: 3.0 * g,)), [DIFFERENCES, ADJOINT]),
    "a wrong jvp": (
        doubling(jvps=(lambda xp, t: 3.0 * t,)),
        [ADJOINT, "jvp rule against differences", "jacrev is jacfwd"],
    ),
    "slightly different rules": (doubling(vjps=(lambda xp, g: (2.0 + 1e-9) * g,)), [ADJOINT]),
    "a derivative that is not recorded": (SQUARE_OFF_THE_TAPE, ["second order"]),
    "a wrong batch rule": (
        doubling(batch=lambda prim, size, args, mapped, params: args[0]),
        ["a batch is a loop"],
    ),
    "a wrong shape rule": (
        doubling(aval=lambda x: np.zeros((1, *x.shape))),
        ["aval predicts evaluation"],
    ),
    "a function that NumPy alone has": (
        Elementwise("faulty", np.sin, (lambda x: np.cos(x),)),
        ["rule under array_api_strict"],
    ),
    "a mask times a number": (
        Elementwise("faulty", np.abs, (selection(lambda x: (x > 0) * 2.0 - 1.0),)),
        ["rule under array_api_strict"],
    ),
    "a conjugate that is missing": (TURN_WITHOUT_CONJUGATE, ["complex inputs"]),
}


@pytest.mark.parametrize(
    ("prim", "title"),
    [
        pytest.param(prim, title, id=f"{name}-{title}")
        for name, (prim, titles) in FAULTS.items()
        for title in titles
    ],
)
def test_a_fault_is_found(prim, title):
    row = ROWS[title]
    assert not all(passes(row, prim, name, case) for name, case in row.cases(prim))


def passes(row, prim, name, case):
    try:
        row.run(prim, name, case)
    except Exception:
        return False
    return True


def test_a_primitive_without_a_fault_passes():
    prim = doubling()
    for title in (DIFFERENCES, ADJOINT, "second order", "a batch is a loop", "complex inputs"):
        cases = list(ROWS[title].cases(prim))
        assert cases
        for name, case in cases:
            ROWS[title].run(prim, name, case)


def test_a_random_direction_has_the_dtype_of_what_it_belongs_to():
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64, np.complex64):
        assert checks.random_like(np.zeros(3, dtype), rng).dtype == dtype
