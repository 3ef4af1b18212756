"""What tests of modules start from."""

import pytest

import chainrule as cr


@pytest.fixture
def double_and_seeded():
    """Modules have parameters in double precision, the same ones in every test."""
    cr.set_default_dtype(cr.float64)
    cr.manual_seed(0)
