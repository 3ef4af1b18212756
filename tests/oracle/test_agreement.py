"""Agreement with the reference derivatives, where they are at hand."""

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
    if key in agreement.DIFFERENCES:
        pytest.skip(agreement.DIFFERENCES[key])
    short, why = agreement.check_operation(*OPERATIONS[key])
    assert not short, why
