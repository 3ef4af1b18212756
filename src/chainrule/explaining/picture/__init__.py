"""Pictures of computational graphs: SVG without a system program, and DOT text."""

from chainrule.explaining.picture.collapse import collapse
from chainrule.explaining.picture.dot import dot
from chainrule.explaining.picture.drawing import Drawing
from chainrule.explaining.picture.from_graph import draw, picture_of
from chainrule.explaining.picture.layout import layout
from chainrule.explaining.picture.model import Picture, PictureEdge, PictureNode
from chainrule.explaining.picture.svg import svg

__all__ = [
    "Drawing",
    "Picture",
    "PictureEdge",
    "PictureNode",
    "collapse",
    "dot",
    "draw",
    "layout",
    "picture_of",
    "svg",
]
