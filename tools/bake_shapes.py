"""Bake the seven shapes of the rendered scenes into hssl/worlds/scenes/shapes.npz.

    python tools/bake_shapes.py

Each shape is a smooth union of ellipsoids, round cones, tori and swept chains; x points forward, y to the left, z up,
all within the unit sphere. Such formulas are no true distances, which would make shadows speckled. So the surface is
sampled where the formula changes sign on a grid twice as fine, and the distance to those points is kept: to the
tangent plane of the nearest one close by, to the point itself farther off.
"""

import math
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from hssl.files import write_whole
from hssl.worlds.scenes import CLASSES
from hssl.worlds.scenes.tracing import EXTENT, FARTHEST

ROOT = Path(__file__).resolve().parents[1]
RESOLUTION, FINER = 64, 2
FILE = ROOT / "hssl" / "worlds" / "scenes" / "shapes.npz"
Point = tuple[float, float, float]


# What shapes are made of: functions of points, shape (..., 3), that are negative inside.


def ellipsoid(p: Tensor, centre: Point, radii: Point) -> Tensor:
    q, r = p - p.new_tensor(centre), p.new_tensor(radii)
    scaled = (q / r).norm(dim=-1)
    return scaled * (scaled - 1) / (q / r**2).norm(dim=-1).clamp_min(1e-6)


def cone(p: Tensor, a: Point, b: Point, radius_a: float, radius_b: float) -> Tensor:
    """A ball that moves from a to b and grows or shrinks on the way."""
    a, b = p.new_tensor(a), p.new_tensor(b)
    t = ((p - a) @ (b - a) / ((b - a) @ (b - a))).clamp(0, 1)
    return (p - a - t[..., None] * (b - a)).norm(dim=-1) - torch.lerp(p.new_tensor(radius_a), p.new_tensor(radius_b), t)


def chain(p: Tensor, points: list[Point], radii: list[float], smooth: float = 0.05) -> Tensor:
    """Cones from point to point."""
    links = zip(points, points[1:], radii, radii[1:], strict=False)
    return union(smooth, *[cone(p, *link) for link in links])


def ring(p: Tensor, centre: Point, radius: float, thickness: float) -> Tensor:
    """A torus around the y axis."""
    x, y, z = (p - p.new_tensor(centre)).unbind(-1)
    return torch.hypot(torch.hypot(x, z) - radius, y) - thickness


def disc(p: Tensor, centre: Point, radius: float, half_height: float) -> Tensor:
    """A cylinder around the z axis."""
    x, y, z = (p - p.new_tensor(centre)).unbind(-1)
    d = torch.stack([torch.hypot(x, y) - radius, z.abs() - half_height], -1)
    return d.amax(-1).clamp_max(0) + d.clamp_min(0).norm(dim=-1)


def union(smooth: float, *parts: Tensor) -> Tensor:
    """The parts run into each other over the length `smooth`."""
    whole = parts[0]
    for part in parts[1:]:
        overlap = (smooth - (whole - part).abs()).clamp_min(0) / smooth
        whole = torch.minimum(whole, part) - overlap**2 * smooth / 4
    return whole


def without(smooth: float, whole: Tensor, part: Tensor) -> Tensor:
    return -union(smooth, -whole, part)


def mirrored(p: Tensor) -> Tensor:
    """Points with y made positive: what is built there once appears on both sides."""
    return torch.stack([p[..., 0], p[..., 1].abs(), p[..., 2]], -1)


def legs(p: Tensor, at: tuple[float, ...], top: float, bottom: float, radius: float, spread: float) -> list[Tensor]:
    q, middle = mirrored(p), (top + bottom) / 2
    radii = [1.5 * radius, radius, 1.1 * radius]
    return [chain(q, [(x, spread, top), (x + 0.02, spread, middle), (x, spread, bottom)], radii, 0.03) for x in at]


# The seven shapes.


def teapot(p):
    body = union(0.05, ellipsoid(p, (0, 0, -0.05), (0.58, 0.58, 0.45)), disc(p, (0, 0, -0.45), 0.3, 0.05))
    spout = chain(p, [(0.42, 0, -0.2), (0.66, 0, -0.08), (0.77, 0, 0.16), (0.88, 0, 0.28)], [0.15, 0.11, 0.075, 0.065])
    handle = ring(p, (-0.62, 0, 0.02), 0.25, 0.055)
    knob = ellipsoid(p, (0, 0, 0.52), (0.08, 0.08, 0.08))
    lid = union(0.04, ellipsoid(p, (0, 0, 0.36), (0.3, 0.3, 0.1)), knob)
    rim = disc(p, (0, 0, 0.38), 0.27, 0.03)
    return torch.minimum(union(0.06, body, spout, handle), torch.minimum(lid, rim))


def hare(p):
    q = mirrored(p)
    body = union(
        0.12,
        ellipsoid(p, (-0.15, 0, -0.3), (0.5, 0.38, 0.42)),
        ellipsoid(p, (0.25, 0, -0.1), (0.3, 0.27, 0.3)),
        ellipsoid(p, (0.42, 0, 0.2), (0.25, 0.2, 0.2)),
    )
    ears = cone(q, (0.33, 0.09, 0.33), (0.15, 0.2, 0.88), 0.075, 0.06)
    feet = union(
        0.08,
        ellipsoid(q, (0.35, 0.2, -0.62), (0.25, 0.1, 0.09)),
        ellipsoid(q, (-0.15, 0.3, -0.5), (0.3, 0.14, 0.25)),
    )
    tail = ellipsoid(p, (-0.65, 0, -0.3), (0.14, 0.14, 0.14))
    nose = ellipsoid(p, (0.63, 0, 0.16), (0.07, 0.06, 0.05))
    return union(0.06, body, ears, feet, tail, nose)


def dragon(p):
    p = 1.14 * p  # the wings reach out of the sphere
    q, n = mirrored(p), 14
    along = [i / (n - 1) for i in range(n)]
    rise = [0.55 * max(0.0, u - 0.72) / 0.28 for u in along]
    spine = [
        (-0.9 + 1.65 * u, 0.22 * math.sin(5.5 * u), -0.25 + 0.25 * math.sin(2.6 * u - 0.3) + up)
        for u, up in zip(along, rise, strict=True)
    ]
    thick = [0.045 + 0.17 * math.exp(-(((u - 0.55) / 0.22) ** 2)) + 0.03 * u for u in along]
    x, y, z = spine[-1]
    skull = cone(p, (x, y, z), (x + 0.2, y, z), 0.12, 0.06)
    sides = torch.stack([p[..., 0], (p[..., 1] - y).abs(), p[..., 2]], -1)  # of the head
    horns = cone(sides, (x - 0.03, 0.06, z + 0.08), (x - 0.25, 0.14, z + 0.22), 0.04, 0.012)
    feet = [
        chain(
            q,
            [(f, 0.1, -0.1), (f + 0.05, 0.22, -0.3), (f + 0.02, 0.22, -0.52), (f + 0.14, 0.22, -0.55)],
            [0.1, 0.07, 0.05, 0.05],
            0.04,
        )
        for f in (0.3, -0.25)
    ]
    spikes = [
        cone(p, (x, y, z), (x - 0.04, y, z + r + 0.1), 0.05, 0.01)
        for (x, y, z), r in list(zip(spine, thick, strict=True))[3:12]
    ]
    tip = ellipsoid(p, (-0.93, 0, -0.33), (0.08, 0.02, 0.09))
    trunk = union(0.08, chain(p, spine, thick, 0.08), skull, *feet)
    return union(0.04, trunk, horns, _wing(q), tip, *spikes)


def _wing(q):
    tilt = 0.55
    x, y, z = q.unbind(-1)
    y, z = math.cos(tilt) * y + math.sin(tilt) * z, math.cos(tilt) * z - math.sin(tilt) * y
    w = torch.stack([x, y, z], -1)
    skin = ellipsoid(w, (-0.05, 0.5, 0), (0.34, 0.48, 0.06))
    skin = without(0.03, skin, ellipsoid(w, (-0.3, 0.7, 0), (0.2, 0.4, 0.3)))
    bone = chain(w, [(0.12, 0.08, 0), (0.2, 0.5, 0.02), (0, 0.95, 0)], [0.06, 0.05, 0.035])
    return union(0.03, skin, bone)


def cow(p):
    p = 1.03 * p
    q = mirrored(p)
    trunk = union(
        0.15, ellipsoid(p, (-0.1, 0, 0.1), (0.58, 0.27, 0.3)), ellipsoid(p, (0.3, 0, 0.12), (0.25, 0.24, 0.28))
    )
    trunk = union(0.09, trunk, *legs(p, (0.36, -0.5), -0.1, -0.68, 0.075, 0.16))
    neck, muzzle = (
        cone(p, (0.45, 0, 0.22), (0.68, 0, 0.38), 0.17, 0.14),
        cone(p, (0.68, 0, 0.4), (0.88, 0, 0.27), 0.13, 0.1),
    )
    horns = chain(q, [(0.66, 0.1, 0.5), (0.66, 0.22, 0.56), (0.7, 0.25, 0.68)], [0.045, 0.035, 0.015])
    ears = ellipsoid(q, (0.62, 0.2, 0.42), (0.05, 0.12, 0.05))
    tail = chain(p, [(-0.66, 0, 0.28), (-0.76, 0, 0.1), (-0.77, 0, -0.3)], [0.045, 0.025, 0.05])
    udder = ellipsoid(p, (-0.3, 0, -0.2), (0.15, 0.13, 0.12))
    return union(0.04, union(0.1, trunk, union(0.1, neck, muzzle), udder), horns, ears, tail)


def armadillo(p):
    q = mirrored(p)
    bands = 0.012 * torch.sin(p[..., 0] * 2 * math.pi / 0.17)
    shell = torch.maximum(ellipsoid(p, (-0.08, 0, 0.05), (0.56, 0.4, 0.42)) + bands, -0.22 - p[..., 2])
    snout = chain(p, [(0.35, 0, -0.05), (0.62, 0, -0.08), (0.88, 0, -0.2)], [0.19, 0.14, 0.045])
    ears = ellipsoid(q, (0.52, 0.1, 0.13), (0.04, 0.06, 0.13))
    tail = chain(p, [(-0.5, 0, -0.1), (-0.75, 0, -0.22), (-0.97, 0, -0.3)], [0.12, 0.07, 0.02])
    feet = [cone(q, (x, 0.22, -0.15), (x + 0.03, 0.24, -0.48), 0.11, 0.09) for x in (0.22, -0.36)]
    belly = ellipsoid(p, (-0.05, 0, -0.15), (0.48, 0.3, 0.18))
    return union(0.03, shell, union(0.06, belly, snout, *feet), ears, tail)


def horse(p):
    p = 1.03 * p
    q = mirrored(p)
    trunk = union(
        0.15,
        ellipsoid(p, (-0.12, 0, 0.02), (0.5, 0.2, 0.23)),
        ellipsoid(p, (0.25, 0, 0.05), (0.2, 0.18, 0.23)),
        ellipsoid(p, (-0.42, 0, 0.06), (0.22, 0.2, 0.22)),
    )
    trunk = union(0.09, trunk, *legs(p, (0.27, -0.48), -0.1, -0.82, 0.05, 0.11))
    neck, skull = (
        cone(p, (0.3, 0, 0.15), (0.58, 0, 0.6), 0.16, 0.1),
        cone(p, (0.58, 0, 0.64), (0.84, 0, 0.42), 0.1, 0.065),
    )
    ears = cone(q, (0.54, 0.05, 0.7), (0.53, 0.07, 0.83), 0.035, 0.015)
    mane = cone(p, (0.2, 0, 0.35), (0.47, 0, 0.75), 0.05, 0.05)
    tail = chain(p, [(-0.62, 0, 0.16), (-0.78, 0, 0.05), (-0.82, 0, -0.4)], [0.06, 0.06, 0.04])
    return union(0.04, union(0.1, trunk, neck, skull), ears, mane, tail)


def head(p):
    q = mirrored(p)
    skull = union(
        0.15, ellipsoid(p, (-0.08, 0, 0.25), (0.48, 0.38, 0.45)), ellipsoid(p, (0.12, 0, -0.08), (0.33, 0.29, 0.4))
    )
    face = union(0.12, skull, cone(p, (-0.12, 0, -0.3), (-0.2, 0, -0.85), 0.24, 0.3))
    face = without(0.1, face, ellipsoid(q, (0.48, 0.16, 0.13), (0.12, 0.1, 0.07)))  # the sockets of the eyes
    face = union(0.05, face, ellipsoid(q, (0.34, 0.15, 0.12), (0.07, 0.07, 0.06)))
    nose = chain(p, [(0.4, 0, 0.17), (0.52, 0, -0.02)], [0.05, 0.085])
    brow = cone(q, (0.42, 0.03, 0.23), (0.34, 0.25, 0.22), 0.05, 0.04)
    chin, ears = ellipsoid(p, (0.38, 0, -0.38), (0.1, 0.12, 0.08)), ellipsoid(q, (-0.06, 0.37, 0.06), (0.1, 0.05, 0.15))
    lips = [ellipsoid(p, (0.43, 0, -0.19), (0.05, 0.12, 0.025)), ellipsoid(p, (0.42, 0, -0.25), (0.05, 0.1, 0.025))]
    whole = union(0.03, union(0.06, face, nose, brow, chin, ears), *lips)
    return torch.maximum(whole, -0.78 - p[..., 2])


def grid(resolution: int) -> Tensor:
    """Points of the cube, shape (r, r, r, 3), indexed by z, y, x."""
    at = torch.linspace(-EXTENT, EXTENT, resolution)
    z, y, x = torch.meshgrid(at, at, at, indexing="ij")
    return torch.stack([x, y, z], -1)


def surface(values: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points where the formula changes sign along an edge of the grid, and the normals there, shape (n, 3) each."""
    spacing = 2 * EXTENT / (len(values) - 1)
    gradient = np.stack(np.gradient(values, spacing)[::-1], -1)
    crossings, normals = [], []
    for axis in range(3):
        here, there = (np.take(values, range(i, len(values) - 1 + i), axis) for i in (0, 1))
        crossed = (here > 0) != (there > 0)
        t = (here[crossed] / (here[crossed] - there[crossed]))[:, None]
        for kept, field in ((crossings, points), (normals, gradient)):
            low, high = (np.take(field, range(i, len(values) - 1 + i), axis)[crossed] for i in (0, 1))
            kept.append(low * (1 - t) + high * t)
    normals = np.concatenate(normals)
    return np.concatenate(crossings), normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-9)


def bake(name: str) -> np.ndarray:
    """Distances to a shape in steps of FARTHEST/127, int8, shape (RESOLUTION, RESOLUTION, RESOLUTION)."""
    fine = grid((RESOLUTION - 1) * FINER + 1)
    values, points = globals()[name](fine).numpy(), fine.numpy()
    on_surface, normals = surface(values, points)
    values, points = values[::FINER, ::FINER, ::FINER], points[::FINER, ::FINER, ::FINER].reshape(-1, 3)
    far, nearest = cKDTree(on_surface).query(points, workers=-1)
    near = np.abs(((points - on_surface[nearest]) * normals[nearest]).sum(1))
    voxel = 2 * EXTENT / (RESOLUTION - 1)
    mixing = np.clip((far / voxel - 1) / 2, 0, 1)
    distance = np.minimum(near * (1 - mixing) + far * mixing, far).reshape(values.shape)
    return np.round(np.where(values > 0, distance, -distance).clip(-FARTHEST, FARTHEST) * 127 / FARTHEST).astype("int8")


if __name__ == "__main__":
    baked = np.stack([bake(name) for name in CLASSES])
    write_whole(FILE, lambda file: np.savez_compressed(file, distances=baked))
    print(f"baked {len(CLASSES)} shapes into {FILE.relative_to(ROOT)}: {FILE.stat().st_size / 1e3:.0f} kB")
