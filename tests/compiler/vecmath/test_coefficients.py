"""The constants in the package are those that the fits give."""

import pytest

pytest.importorskip("mpmath")

import mpmath as mp

from chainrule.compiler.vecmath.polynomials import POLYNOMIALS
from chainrule.compiler.vecmath.tables import QUOTIENTS, TABLES
from chainrule.compiler.vecmath.words import TWO_OVER_PI, WORDS

from .coefficients import (
    all_quotients,
    all_tables,
    all_words,
    fit_polynomials,
    two_over_pi_bits,
)
from .fits import fits

FITS = fits()


def test_tables_are_complete():
    assert set(POLYNOMIALS) == set(FITS)
    assert {n: set(k) for n, k in POLYNOMIALS.items()} == {
        n: set(f.bounds) for n, f in FITS.items()
    }


def test_words():
    assert all_words() == WORDS
    assert tuple(two_over_pi_bits()) == TWO_OVER_PI


def test_tables_in_registers():
    def as_lists(found):
        return {name: {k: list(v) for k, v in kinds.items()} for name, kinds in found.items()}

    assert all_tables() == as_lists(TABLES)
    assert all_quotients() == as_lists(QUOTIENTS)


def test_quotient_of_tanh():
    """Errors relative to tanh, up to where the quotient is used."""
    with mp.workdps(50):
        for kind, bound in {"float32": 2.0**-27, "float64": 2.0**-56}.items():
            over, under = (QUOTIENTS[name][kind][::-1] for name in ("tanh_over", "tanh_under"))
            for i in range(1, 200):
                x = mp.mpf(9) / 10 * i / 199
                z = x * x
                bend = z / 4 + z * mp.polyval(over, z) / mp.polyval(under, z)
                assert abs((x - x * bend) / mp.tanh(x) - 1) < bound


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FITS))
def test_fits_give_the_same_polynomials(name):
    found = {kind: coefficients for kind, (coefficients, _) in fit_polynomials(FITS[name]).items()}
    assert {kind: list(c) for kind, c in POLYNOMIALS[name].items()} == found


@pytest.mark.parametrize("name", sorted(FITS))
def test_polynomials_meet_their_bounds(name):
    """With rounded coefficients, up to what rounding them adds; on points of no fit."""
    fit = FITS[name]
    with mp.workdps(50):
        for kind, coefficients in POLYNOMIALS[name].items():
            digits = 24 if kind == "float32" else 53
            for i in range(1, 30):
                x = fit.low + (fit.high - fit.low) * (i - mp.mpf(1) / 3) / 30
                error = mp.polyval([mp.mpf(c) for c in coefficients[::-1]], x) - fit.function(x)
                rounding = (
                    sum(abs(c * x**j) for j, c in enumerate(coefficients)) * mp.mpf(2) ** -digits
                )
                assert (
                    abs(fit.weight(x)) * abs(error)
                    <= fit.bounds[kind] + abs(fit.weight(x)) * rounding
                )
