"""Pictures of computational graphs: SVG without a system program, and DOT text."""

from chainrule.explain.picture.layout import layout
from chainrule.explain.picture.model import Picture, PictureEdge, PictureNode
from chainrule.explain.picture.svg import svg

__all__ = ["Picture", "PictureEdge", "PictureNode", "layout", "svg"]
