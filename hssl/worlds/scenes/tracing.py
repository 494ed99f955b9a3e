"""Sphere tracing of baked signed distances: where rays meet a shape, its normals, and what it shadows.

Points and directions are in a shape's own frame and lie in three rows, shape (3, n), which is what makes this fast.
Light, colour and the camera are left to `scenes`.
"""

from functools import cache
from typing import IO

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from hssl.checks import Positive, checked, explained
from hssl.files import packaged, read_file

EXTENT = 1.05  # half the edge of the cube that the grid fills
REACH = 1.0  # radius of the sphere that holds every shape
FARTHEST = 0.35  # distances are kept up to here
STEPS, REFINEMENTS, SHADOW_STEPS = 20, 4, 14

Vectors = Float[Tensor, "3 n"]
Numbers = Float[Tensor, " n"]
Indices = Int[Tensor, " n"]


class Shapes:
    """Signed distances to several shapes, each on a cubic grid; positive outside.

    Args:
        distances: shape (shapes, r, r, r), indexed by z, y, x; from −EXTENT to EXTENT.

    >>> Shapes(torch.zeros(2, 4, 4, 4)).start(torch.tensor([0, 1]))
    tensor([ 0, 64], dtype=torch.int32)
    """

    @checked
    def __init__(self, distances: Float[Tensor, "shapes r r r"]):
        self.count, self.resolution = distances.shape[:2]
        self.voxel = 2 * EXTENT / (self.resolution - 1)
        self.flat = distances.reshape(-1).contiguous()

    @explained
    def start(self, shape: Indices) -> Indices:
        """Where in `flat` the grid of each shape starts, shape (n,), int32."""
        return (shape * self.resolution**3).int()

    @explained
    def nearest(self, place: Vectors, start: Indices) -> Numbers:
        """Distance at the grid point nearest to a place in voxels, shape (n,): fast, and right to half a diagonal."""
        x, y, z = place.int().clamp_(0, self.resolution - 1)
        return self.flat.index_select(0, z.mul_(self.resolution).add_(y).mul_(self.resolution).add_(x).add_(start))

    @explained
    def in_voxels(self, origins: Vectors, directions: Vectors) -> tuple[Vectors, Vectors]:
        """Rays such that origin + depth · direction is a place for `nearest`."""
        return (origins + EXTENT) / self.voxel + 0.5, directions / self.voxel

    @explained
    def distance(self, points: Vectors, start: Indices) -> Numbers:
        """Distance by trilinear interpolation, shape (n,)."""
        r, place = self.resolution, ((points + EXTENT) / self.voxel).clamp(0, self.resolution - 1.001)
        cell = place.int()
        fx, fy, fz = place - cell
        corner = start + (cell[2] * r + cell[1]) * r + cell[0]
        edges = [
            torch.lerp(self.flat.index_select(0, corner + k), self.flat.index_select(0, corner + k + 1), fx)
            for k in (0, r, r * r, r * r + r)
        ]
        return torch.lerp(torch.lerp(edges[0], edges[1], fy), torch.lerp(edges[2], edges[3], fy), fz)

    @explained
    def normal(self, points: Vectors, start: Indices) -> Vectors:
        """Unit normals, shape (3, n), from the distances at four corners of a tetrahedron around each point."""
        corners = points.new_tensor([[1, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]])[:, :, None]
        return unit(torch.stack([k * self.distance(points + self.voxel * k, start) for k in corners]).sum(0))

    @explained
    def trace(self, origins: Vectors, directions: Vectors, first: Numbers, last: Numbers, start: Indices):
        """Follow rays from depth `first` to `last`, shape (n,) each.

        Returns:
            hit: shape (hits,), which of the rays met their shape. depth: shape (hits,), where.
        """
        rays, depth = torch.arange(len(first), device=first.device), first
        (o, d), end, grid, found = self.in_voxels(origins, directions), last, start, []
        for step in range(STEPS):
            gap = self.nearest(torch.addcmul(o, depth, d), grid)
            near = gap < 0.6 * self.voxel
            depth = torch.where(near, depth, depth + (gap - 0.5 * self.voxel).clamp_min_(0.5 * self.voxel))
            if step % 4 == 3:  # keep only the rays that are still on their way
                found.append((rays[near], depth[near]))
                left = (~near & (depth < end)).nonzero()[:, 0]
                rays, depth, end, grid = (value[left] for value in (rays, depth, end, grid))
                o, d = o[:, left], d[:, left]
        hit, depth = (torch.cat(parts) for parts in zip(*found, strict=True))
        o, d, grid = origins[:, hit], directions[:, hit], start[hit]
        for _ in range(REFINEMENTS):
            depth = depth + self.distance(o + depth * d, grid).clamp(-0.05, 0.05)
        met = (self.distance(o + depth * d, grid).abs() < 0.35 * self.voxel).nonzero()[:, 0]
        return hit[met], depth[met]

    @explained
    def visible(
        self, origins: Vectors, directions: Vectors, first: Numbers, start: Indices, *, hardness: Positive
    ) -> Numbers:
        """Share of a light that reaches each origin past the shape, shape (n,): 0 in the umbra, 1 in the open.

        The penumbra comes from how near the ray passes by, relative to how far it has gone.
        """
        share, depth, (o, d) = torch.ones_like(first), first, self.in_voxels(origins, directions)
        for _ in range(SHADOW_STEPS):
            gap = self.nearest(torch.addcmul(o, depth, d), start)
            share = torch.minimum(share, hardness * gap / (depth + 0.05))
            depth = depth + gap.clamp_(0.06, FARTHEST)
        return share.clamp(0, 1)


@explained
def unit(vectors: Vectors) -> Vectors:
    """Vectors of length 1, of vectors in three rows, shape (3, n).

    >>> unit(torch.tensor([[3.0], [0.0], [4.0]])).T
    tensor([[0.6000, 0.0000, 0.8000]])
    """
    return normalize(vectors, dim=0, eps=1e-6)


@cache
@explained
def baked(device: torch.device) -> Shapes:
    """The seven shapes of the package, baked by tools/bake_shapes.py: steps of FARTHEST/127 in int8.

    Raises:
        FileNotFoundError, ValueError: the file that they are in is missing or damaged; names it.

    >>> baked(torch.device("cpu")).count
    7
    """
    steps = read_file(packaged("worlds/scenes/shapes.npz"), _steps)
    return Shapes(torch.from_numpy(steps).to(device).float() * (FARTHEST / 127))


def _steps(file: IO[bytes]) -> np.ndarray:
    steps = np.load(file)["distances"]
    if steps.dtype != np.int8 or steps.shape != (7, 64, 64, 64):
        raise ValueError(f"wanted int8 of shape (7, 64, 64, 64), got {steps.dtype} of shape {steps.shape}")
    return steps
