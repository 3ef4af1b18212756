"""The step player: one page that works offline and steps through the traces of a function."""

from chainrule.explaining.player.page import page

__all__ = ["page"]
