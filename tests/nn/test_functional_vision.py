"""Images against PyTorch: blocks, resizing, pixels and channels, padding."""

import pytest

import chainrule as cr

from .oracle import compare, compare_errors, compare_float32, normal

X = normal(2, 3, 6, 5)


@pytest.mark.parametrize("options", [
    {"kernel_size": 2}, {"kernel_size": (3, 2), "padding": 1, "stride": (2, 1)},
    {"kernel_size": 2, "dilation": 2, "padding": (1, 0)},
])  # fmt: skip
def test_unfold_and_fold(options):
    compare("unfold", X, **options)
    compare("unfold", X[0], **options)
    from .oracle import TF, torch

    columns = TF.unfold(torch.tensor(X), **options).numpy()
    compare("fold", columns, (6, 5), **options)
    compare("fold", columns[0], (6, 5), **options)


MODES = {3: ["linear"], 4: ["bilinear", "bicubic"], 5: ["trilinear"]}
SHAPES = {3: (2, 3, 6), 4: (2, 3, 6, 5), 5: (1, 2, 3, 4, 2)}


@pytest.mark.parametrize("ndim", [3, 4, 5])
@pytest.mark.parametrize(
    "by", [{"size": 7}, {"size": 3}, {"scale_factor": 2}, {"scale_factor": 1.7}]
)
def test_interpolate(ndim, by):
    x = normal(*SHAPES[ndim])
    for mode in ("nearest", "nearest-exact"):
        compare("interpolate", x, mode=mode, **by)
    compare("interpolate", x, mode="area", **by)
    for mode in MODES[ndim]:
        for corners in (False, True):
            compare("interpolate", x, mode=mode, align_corners=corners, **by)


def test_interpolate_options():
    compare("interpolate", X, size=(3, 9), mode="bilinear")
    compare("interpolate", X, scale_factor=(1.5, 0.5), mode="bilinear")
    compare("interpolate", X, scale_factor=1.7, mode="bilinear", recompute_scale_factor=True)
    compare_float32("interpolate", X, size=9, mode="bilinear")


def test_pixels_and_channels():
    compare("pixel_shuffle", normal(2, 8, 3, 2), 2)
    compare("pixel_unshuffle", normal(2, 2, 6, 4), 2)
    compare("channel_shuffle", normal(2, 6, 2, 2), 3)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_pad(mode):
    compare("pad", X, (1, 2, 2, 1), mode=mode)


@pytest.mark.parametrize(("name", "args", "kwargs"), [
    ("interpolate", (X,), {}),
    ("interpolate", (X,), {"size": 3, "scale_factor": 2}),
    ("interpolate", (X,), {"size": 3, "mode": "linear"}),
    ("interpolate", (X,), {"size": (3, 4, 5)}),
    ("interpolate", (X,), {"size": 3, "align_corners": True}),
    ("pixel_shuffle", (X, 2), {}),
    ("pixel_unshuffle", (X, 4), {}),
    ("fold", (normal(1, 8, 5), (4, 5), 2), {}),
    ("unfold", (normal(3, 2, 2), 3), {}),
])  # fmt: skip
def test_errors(name, args, kwargs):
    compare_errors(name, *args, start=60, **kwargs)


@pytest.mark.parametrize("corners", [False, True])
def test_affine_grid(corners):
    compare("affine_grid", normal(2, 2, 3), (2, 3, 4, 5), align_corners=corners)
    compare("affine_grid", normal(2, 3, 4), (2, 1, 4, 3, 2), align_corners=corners)


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_grid_sample(mode, padding, corners):
    options = {"mode": mode, "padding_mode": padding, "align_corners": corners}
    compare("grid_sample", normal(2, 3, 4, 5), normal(2, 3, 2, 2), **options)
    compare("grid_sample", normal(2, 2, 3, 4, 2), normal(2, 2, 3, 2, 3), **options)


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_bicubic_grid_sample(padding, corners):
    options = {"mode": "bicubic", "padding_mode": padding, "align_corners": corners}
    compare("grid_sample", normal(2, 3, 4, 5), normal(2, 3, 2, 2), **options)
    with pytest.raises(RuntimeError, match="only supports 4D input"):
        cr.nn.functional.grid_sample(cr.ones(1, 1, 2, 2, 2), cr.zeros(1, 1, 1, 1, 3), **options)
