"""A disk cache of a test's own."""

import pytest

from chainrule.compiler import cache, identity


@pytest.fixture(autouse=True)
def _edited(monkeypatch):
    """Somebody may edit the compiler while its tests run."""
    monkeypatch.setattr(identity, "_IMPORTED", float("inf"))


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """A cache of the test's own, empty."""
    monkeypatch.setenv("CHAINRULE_CACHE", "1")
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(cache, "_KNOWN", {})
    return tmp_path / "code"
