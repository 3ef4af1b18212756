"""Every mode on every operation of the reference derivatives, where they are at hand."""

import pytest

from . import agreement

if not agreement.PACK.exists():
    pytest.skip("no reference derivatives here (../shared/oracle)", allow_module_level=True)

OPERATIONS = {key: (op, cases) for key, op, cases in agreement.operations()}


def have(op):
    try:
        agreement.resolve(op)
    except AttributeError:
        return False
    return True


@pytest.mark.filterwarnings("ignore")  # the records call functions in deprecated ways, too
@pytest.mark.parametrize("key", [key for key, (op, _) in OPERATIONS.items() if have(op)])
def test_agreement(key):
    short, refused = agreement.check_operation(key, *OPERATIONS[key])
    known, reason = agreement.DIFFERENCES.get(key, ((), ""))
    assert set(short) <= set(known), short
    assert bool(refused) == (key in agreement.REFUSED)
    if short:
        pytest.skip(reason)


def test_what_differs_or_refuses_is_there():
    assert {*agreement.DIFFERENCES, *agreement.REFUSED} <= set(OPERATIONS)
