"""Values, vjps, jvps and second order agree with the reference derivatives, where they are at hand."""

import pytest

from . import agreement

if not agreement.PACK.exists():
    pytest.skip("the reference derivatives are not here (../shared/oracle)", allow_module_level=True)


def test_agreement(subtests=None):
    short = {}
    whole = 0
    for key, op, cases in agreement.operations():
        try:
            bad, why = agreement.check_operation(op, cases)
        except AttributeError:
            continue
        if bad:
            short[key] = f"{dict(bad)} {why}"
        else:
            whole += 1
    assert set(short) <= set(agreement.DIFFERENCES), {
        k: v for k, v in short.items() if k not in agreement.DIFFERENCES
    }
    assert whole >= agreement.WHOLE
