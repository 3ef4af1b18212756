"""Random programs: every mode of differentiation agrees with every other, and with JAX."""

import pytest


def test_modes_agree_on_random_programs(campaign):
    campaign.run(300)


@pytest.mark.slow
def test_modes_agree_on_many_random_programs(campaign):
    campaign.run(10_000)
