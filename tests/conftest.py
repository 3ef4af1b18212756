"""Every test finds the library as it is after import, and leaves it so."""

import os

import pytest

import chainrule as cr

# Tests compile what they test, and leave the user's folder alone.
os.environ["CHAINRULE_CACHE"] = "0"


@pytest.fixture(autouse=True)
def _global_state():
    yield
    cr.set_default_dtype(cr.float32)
    cr.set_grad_enabled(True)
    cr.set_printoptions(profile="default")
