"""`--fuzz-seed=N`, and the totals at the end of a run."""

import secrets

import pytest

from tests.fuzz.campaign import Campaign

CAMPAIGNS = []


def pytest_addoption(parser):
    parser.addoption("--fuzz-seed", type=int, help="which random programs tests/fuzz compares")


@pytest.fixture
def campaign(request):
    """A campaign of the seed asked for, or of a fixed one; in a slow test of a new one."""
    seed = request.config.getoption("--fuzz-seed", default=None)
    if seed is None:
        slow = request.node.get_closest_marker("slow") is not None
        seed = secrets.randbelow(10**6) if slow else 0
    found = Campaign(seed)
    CAMPAIGNS.append(found)
    print(f"fuzz: seed {seed}; pytest tests/fuzz --fuzz-seed={seed} runs the same programs")
    return found


def pytest_terminal_summary(terminalreporter):
    for c in CAMPAIGNS:
        terminalreporter.write_line(c.summary())
