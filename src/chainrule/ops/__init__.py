"""All operations, one declaration each; importing this package declares them."""

from chainrule.ops import activation as activation
from chainrule.ops import arithmetic as arithmetic
from chainrule.ops import compare as compare
from chainrule.ops import complex as complex
from chainrule.ops import contract as contract
from chainrule.ops import convert as convert
from chainrule.ops import convolution as convolution
from chainrule.ops import create as create
from chainrule.ops import cumulative as cumulative
from chainrule.ops import embedding as embedding
from chainrule.ops import exponential as exponential
from chainrule.ops import gather as gather
from chainrule.ops import index as index
from chainrule.ops import join as join
from chainrule.ops import linalg as linalg
from chainrule.ops import normalization as normalization
from chainrule.ops import pooling as pooling
from chainrule.ops import random as random
from chainrule.ops import reduce as reduce
from chainrule.ops import rounding as rounding
from chainrule.ops import shape as shape
from chainrule.ops import sort as sort
from chainrule.ops import special as special
from chainrule.ops import trigonometric as trigonometric
from chainrule.ops import window as window
