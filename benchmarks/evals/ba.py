"""ba: Jacobians of reprojection errors, bundle adjustment's 2×15 block for each observation.

A camera has a rotation (axis times angle), a centre, a focal length, a principal point and two
coefficients of radial distortion.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from evals.libraries import Hips, Library, NumPy

SIZES = {
    "tiny": (5, 100, 1000), "check": (7, 50, 400), "small": (49, 7776, 31_843),
    "medium": (257, 65_132, 225_911), "large": (1197, 126_327, 563_734),
}  # fmt: skip


def generate(size: str, rng: np.random.Generator) -> dict[str, Any]:
    n, m, p = SIZES[size]
    camera = np.array([-0.76, -1.11, -0.85, 34.6, 39.7, 53.9, 419.2, 0.2, -0.7, -8.5, 0.6])
    return {
        "cams": camera * rng.uniform(0.95, 1.05, (n, 11)),
        "X": np.array([7.2, 0.001, 3.02]) * rng.uniform(0.9, 1.1, (m, 3)),
        "w": rng.uniform(0.67, 1.25, p), "feats": rng.uniform(259, 848, (p, 2)),
        "obs": np.stack([np.arange(p) % n, np.arange(p) % m], 1),
    }  # fmt: skip


def spread(given: dict[str, Any]) -> dict[str, Any]:
    """A case of one camera, point and observation, repeated to its size."""
    if "cams" in given:
        return given
    n, m, p = given["n"], given["m"], given["p"]
    return {
        "cams": np.tile(given["cam"], (n, 1)), "X": np.tile(given["x"], (m, 1)),
        "w": np.full(p, given["w"]), "feats": np.tile(given["feat"], (p, 1)),
        "obs": np.stack([np.arange(p) % n, np.arange(p) % m], 1),
    }  # fmt: skip


def errors(xp: Any, camera: Any, point: Any, w: Any, feature: Any) -> tuple[Any, Any]:
    """The two weighted errors, of one observation or of arrays of them along the last axis.

    Rodrigues: x turned about the unit vector a by the angle φ is
    x cos φ + (a × x) sin φ + a (a·x) (1 - cos φ). No camera here has the angle 0.
    """
    r0, r1, r2 = camera[0], camera[1], camera[2]
    angle = xp.sqrt(r0 * r0 + r1 * r1 + r2 * r2)
    a0, a1, a2 = r0 / angle, r1 / angle, r2 / angle
    x0, x1, x2 = point[0] - camera[3], point[1] - camera[4], point[2] - camera[5]
    cos, sin = xp.cos(angle), xp.sin(angle)
    along = (a0 * x0 + a1 * x1 + a2 * x2) * (1 - cos)
    y0 = x0 * cos + (a1 * x2 - a2 * x1) * sin + a0 * along
    y1 = x1 * cos + (a2 * x0 - a0 * x2) * sin + a1 * along
    y2 = x2 * cos + (a0 * x1 - a1 * x0) * sin + a2 * along
    u, v = y0 / y2, y1 / y2
    square = u * u + v * v
    scale = camera[6] * (1 + camera[9] * square + camera[10] * square * square)
    return (
        w * (u * scale + camera[7] - feature[0]),
        w * (v * scale + camera[8] - feature[1]),
    )


def programs(lib: Library, given: dict[str, Any]) -> dict[str, Any]:
    """Three ways: each observation's Jacobian forwards or in reverse, mapped over observations;
    and the gradients of the sums of both errors, whose terms share no variable."""
    if isinstance(lib, NumPy):
        return {}
    xp, data = lib.np, spread(given)
    args = [lib.array(data[name]) for name in ("cams", "X", "w", "feats", "obs")]

    def mapped(jacobian: Any) -> Any:
        def residual(camera: Any, point: Any, w: Any, feature: Any) -> Any:
            return xp.stack(errors(xp, camera, point, w, feature))

        block = jacobian(residual, (0, 1, 2))

        def one(camera: Any, point: Any, w: Any, feature: Any) -> Any:
            by_camera, by_point, by_weight = block(camera, point, w, feature)
            return xp.concatenate([by_camera, by_point, by_weight[:, None]], 1)

        def f(cams: Any, points: Any, w: Any, feats: Any, obs: Any) -> Any:
            blocks = lib.vmap(one)(cams[obs[:, 0]], points[obs[:, 1]], w, feats)
            return blocks, lib.vmap(lib.grad(lambda w: 1 - w * w))(w)

        return f

    def summed(cams: Any, points: Any, w: Any, feats: Any, obs: Any) -> Any:
        camera, point, feature = cams[obs[:, 0]].T, points[obs[:, 1]].T, feats.T

        def row(k: int) -> Any:
            parts = lib.grad(lambda c, x, w: xp.sum(errors(xp, c, x, w, feature)[k]), (0, 1, 2))
            by_camera, by_point, by_weight = parts(camera, point, w)
            return xp.concatenate([by_camera, by_point, by_weight[None]], 0).T

        return xp.stack([row(0), row(1)], 1), lib.grad(lambda w: xp.sum(1 - w * w))(w)

    ways = {"sums": summed}
    if not isinstance(lib, Hips):
        ways |= {"reverse": mapped(lib.jacrev), "forward": mapped(lib.jacfwd)}
    made = {}
    for name, f in ways.items():
        jacobian = lib.program(f, *args)
        made[name] = lambda jacobian=jacobian: jacobian(*args)
    return made


def flat(lib: Library, result: Any) -> np.ndarray:
    return np.concatenate([lib.numpy(part).ravel() for part in result])
