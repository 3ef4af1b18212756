"""What docs/numerical.md shows is what happens."""

import doctest
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "numerical.md"


def test_document():
    found = doctest.testfile(str(DOCUMENT), module_relative=False, encoding="utf-8")
    assert found.attempted > 10
    assert found.failed == 0
