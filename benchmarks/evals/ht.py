"""ht: the Jacobian of hand tracking, points on the skin of a hand model less measured points.

The model has bones in a tree, each with three angles; vertices move with a weighted mean of the
bones' motions. A measured point belongs to a place in a triangle, given by the two coordinates
`us`. Each point depends on its own `us` only, so one direction for the first of them all and one
for the second give all columns: the Jacobian is by 2 + 26 variables.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from evals.libraries import Hips, Library, NumPy

SIZES = {"small": (100, 544), "medium": (800, 10_000)}
BONES, FINGERS = 22, 5


def generate(size: str, rng: np.random.Generator) -> dict[str, Any]:
    c, vertices = SIZES[size]
    relatives = np.zeros((BONES, 4, 4))
    for motion in relatives:
        motion[:3, :3] = np.linalg.qr(rng.standard_normal((3, 3)))[0]
        motion[:, 3] = [*rng.uniform(-0.05, 0.05, 3), 1]
    parents = np.array([-1, *[0 if i % 4 == 0 else i for i in range(4 * FINGERS)], 0])
    weights = rng.uniform(size=(vertices, BONES)) * (rng.uniform(size=(vertices, BONES)) < 0.2)
    weights[:, 0] += 0.1
    absolutes: list[np.ndarray] = []
    for bone, parent in enumerate(parents):
        own = relatives[bone]
        absolutes.append(own if parent < 0 else absolutes[parent] @ own)
    positions = np.c_[rng.uniform(-0.3, 0.3, (vertices, 3)), np.ones(vertices)]
    return {
        "theta": rng.standard_normal(26), "us": rng.uniform(0, 0.5, (c, 2)),
        "correspondences": rng.integers(0, 1084, c), "points": rng.standard_normal((c, 3)),
        "parents": parents, "base_relatives": relatives,
        "inverse_base_absolutes": np.linalg.inv(np.stack(absolutes)),
        "base_positions": positions, "weights": weights / weights.sum(1, keepdims=True),
        "triangles": rng.integers(0, 544, (1084, 3)), "is_mirrored": False,
    }  # fmt: skip


def places_of_angles() -> np.ndarray:
    """Where each bone's three angles stand in (theta, 0): a finger has 2, 1, 1 and no angles."""
    places = np.full((BONES, 3), 26)
    at = 6
    for finger in range(FINGERS):
        for joint in range(3):
            bone = 2 + 4 * finger + joint
            places[bone, 0], at = at, at + 1
            if joint == 0:
                places[bone, 1], at = at, at + 1
    return places


def levels_of(parents: np.ndarray) -> list[np.ndarray]:
    """The bones by how far they are from the root."""
    depth: list[int] = []
    for parent in parents:
        depth.append(0 if parent < 0 else depth[parent] + 1)
    return [np.flatnonzero(np.array(depth) == k) for k in range(max(depth) + 1)]


def matrices(xp: Any, rows: list[list[Any]]) -> Any:
    """Square matrices from their entries."""
    return xp.stack([xp.stack(row, -1) for row in rows], -2)


def turned(xp: Any, angles: Any) -> Any:
    """Rotations about x, then y, then z, as 4×4 matrices; the second angle is that about z."""
    cx, cz, cy = (xp.cos(angles[:, k]) for k in range(3))
    sx, sz, sy = (xp.sin(angles[:, k]) for k in range(3))
    zero, one = 0 * cx, 0 * cx + 1
    return matrices(xp, [
        [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx, zero],
        [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx, zero],
        [-sy, cy * sx, cy * cx, zero],
        [zero, zero, zero, one],
    ])  # fmt: skip


def rotation(xp: Any, r: Any) -> Any:
    """The rotation by the length of r about it (Rodrigues)."""
    angle = xp.sqrt(xp.sum(r * r))
    x, y, z = r[0] / angle, r[1] / angle, r[2] / angle
    c, s = xp.cos(angle), xp.sin(angle)
    d = 1 - c
    return matrices(xp, [
        [x * x * d + c, x * y * d - z * s, x * z * d + y * s],
        [x * y * d + z * s, y * y * d + c, y * z * d - x * s],
        [x * z * d - y * s, y * z * d + x * s, z * z * d + c],
    ])  # fmt: skip


def programs(lib: Library, given: dict[str, Any]) -> dict[str, Any]:
    """One way: forwards, in 28 directions at once."""
    if isinstance(lib, NumPy | Hips):
        return {}
    xp = lib.np
    levels = levels_of(given["parents"])
    above = [
        np.searchsorted(levels[k - 1], given["parents"][levels[k]]) for k in range(1, len(levels))
    ]
    back = lib.array(np.argsort(np.concatenate(levels)))
    above, levels = [lib.array(a) for a in above], [lib.array(a) for a in levels]
    places = lib.array(places_of_angles())
    mirrored = given["is_mirrored"]

    def errors(z: Any, us: Any, points: Any, corners: Any, weights: Any, positions: Any,
               relatives: Any, inverses: Any) -> Any:  # fmt: skip
        us, theta = us + z[:2], z[2:]
        angles = xp.concatenate([theta, 0 * theta[:1]], 0)[places]
        motions = relatives @ turned(xp, angles)
        chain = [motions[levels[0]]]
        for bones, parents in zip(levels[1:], above, strict=True):
            chain.append(chain[-1][parents] @ motions[bones])
        moved = (xp.concatenate(chain, 0)[back] @ inverses)[:, :3, :]
        # Σ over bones of weight · (motion · position): one product of two matrices.
        factors = weights[corners][:, :, None] * positions[corners][:, None, :]
        flat = xp.reshape(xp.swapaxes(moved, 1, 2), (4 * BONES, 3))
        skin = xp.reshape(factors, (-1, 4 * BONES)) @ flat
        if mirrored:
            skin = skin * lib.array(np.array([-1.0, 1.0, 1.0]))
        skin = xp.reshape(skin @ rotation(xp, theta[:3]).T + theta[3:6], (-1, 3, 3))
        u, v = us[:, :1], us[:, 1:]
        return points - (u * skin[:, 0] + v * skin[:, 1] + (1 - u - v) * skin[:, 2])

    corners = given["triangles"][given["correspondences"]].astype(np.int64).ravel()
    names = ("weights", "base_positions", "base_relatives", "inverse_base_absolutes")
    z = np.concatenate([np.zeros(2), given["theta"]])
    args = [
        lib.array(a)
        for a in (z, given["us"], given["points"], corners, *(given[name] for name in names))
    ]
    jacobian = lib.program(lib.jacfwd(errors), *args)
    return {"": lambda: jacobian(*args)}


def flat(lib: Library, result: Any) -> np.ndarray:
    return lib.numpy(result).ravel()
