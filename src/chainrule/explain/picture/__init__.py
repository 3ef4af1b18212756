"""Pictures of computational graphs: SVG without a system program, and DOT text."""

from chainrule.explain.picture.collapse import collapse
from chainrule.explain.picture.dot import dot
from chainrule.explain.picture.drawing import Drawing
from chainrule.explain.picture.layout import layout
from chainrule.explain.picture.model import Picture, PictureEdge, PictureNode
from chainrule.explain.picture.svg import svg

__all__ = [
    "Drawing",
    "Picture",
    "PictureEdge",
    "PictureNode",
    "collapse",
    "dot",
    "layout",
    "svg",
]
