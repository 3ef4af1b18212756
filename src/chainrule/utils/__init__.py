"""Helpers around training: see `chainrule.utils.data`."""

from chainrule.utils import data

__all__ = ["data"]
