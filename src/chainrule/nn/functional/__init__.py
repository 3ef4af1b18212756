"""The functions of neural networks, with `torch.nn.functional`'s names and arguments."""

from chainrule.nn.functional.activations import log_softmax as log_softmax
from chainrule.nn.functional.activations import logsigmoid as logsigmoid
from chainrule.nn.functional.activations import relu as relu
from chainrule.nn.functional.activations import softmax as softmax
from chainrule.nn.functional.convolution import conv1d as conv1d
from chainrule.nn.functional.convolution import conv2d as conv2d
from chainrule.nn.functional.convolution import conv3d as conv3d
from chainrule.nn.functional.convolution import conv_transpose1d as conv_transpose1d
from chainrule.nn.functional.convolution import conv_transpose2d as conv_transpose2d
from chainrule.nn.functional.convolution import conv_transpose3d as conv_transpose3d
from chainrule.nn.functional.convolution import linear as linear
from chainrule.nn.functional.dropout import dropout as dropout
from chainrule.nn.functional.losses import binary_cross_entropy as binary_cross_entropy
from chainrule.nn.functional.losses import (
    binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
)
from chainrule.nn.functional.losses import cross_entropy as cross_entropy
from chainrule.nn.functional.losses import l1_loss as l1_loss
from chainrule.nn.functional.losses import mse_loss as mse_loss
from chainrule.nn.functional.losses import nll_loss as nll_loss
from chainrule.nn.functional.normalization import batch_norm as batch_norm
from chainrule.nn.functional.normalization import layer_norm as layer_norm
from chainrule.nn.functional.pooling import avg_pool1d as avg_pool1d
from chainrule.nn.functional.pooling import avg_pool2d as avg_pool2d
from chainrule.nn.functional.pooling import avg_pool3d as avg_pool3d
from chainrule.nn.functional.pooling import max_pool1d as max_pool1d
from chainrule.nn.functional.pooling import max_pool2d as max_pool2d
from chainrule.nn.functional.pooling import max_pool3d as max_pool3d
from chainrule.nn.functional.sparse import embedding as embedding
from chainrule.nn.functional.sparse import one_hot as one_hot
