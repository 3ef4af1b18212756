"""Random programs: every mode of differentiation agrees with every other, and with JAX."""

import pytest

from chainrule.core.primitive import REGISTRY
from tests.fuzz.campaign import Campaign


def test_modes_agree_on_random_programs(campaign):
    campaign.run(300)


@pytest.mark.slow
def test_modes_agree_on_many_random_programs(campaign):
    campaign.run(10_000)


def test_a_wrong_rule_is_found_and_the_program_is_printed(monkeypatch):
    """A rule that is wrong in every mode alike: differences find it."""
    monkeypatch.setattr(REGISTRY["tanh"], "partials", REGISTRY["sigmoid"].partials)
    with pytest.raises(AssertionError) as caught:
        Campaign(seed=0, oracle=0).run(5)
    notes = "\n".join(caught.value.__notes__)
    assert "differences" in str(caught.value)
    assert "cr.tanh(" in notes
    assert "python -m tests.fuzz 1 --seed 0 --first" in notes
