"""hssl.worlds.scenes.shading and tracing: geometry known in closed form, and the baked shapes."""

import bake_shapes
import numpy as np
import pytest
import torch

from hssl.worlds.scenes import CLASSES
from hssl.worlds.scenes.shading import CAMERA, Camera, Scene, _rotations, hue_to_rgb
from hssl.worlds.scenes.tracing import EXTENT, FARTHEST, REACH, Shapes, unit


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def ball():
    """A ball of radius ½, its distances exact."""
    return Shapes((bake_shapes.grid(64).norm(dim=-1) - 0.5)[None])


def test_rotations_are_rotations():
    turn = _rotations(torch.randn(6, 3, generator=seeded()))
    torch.testing.assert_close(turn @ turn.mT, torch.eye(3).expand(6, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(turn), torch.ones(6), atol=1e-5, rtol=0)
    quarter = _rotations(torch.tensor([[0.0, 0.0, torch.pi / 2]]))[0]
    torch.testing.assert_close(quarter @ torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0]), atol=1e-6, rtol=0)


def test_hues():
    primary = hue_to_rgb(torch.tensor([0.0, 1 / 3, 2 / 3]), saturation=1.0, value=1.0)
    torch.testing.assert_close(primary, torch.eye(3), atol=1e-5, rtol=0)


def test_rays_meet_a_ball_where_they_must(ball):
    y = torch.linspace(-0.9, 0.9, 181)
    origins = torch.stack([torch.full_like(y, -3.0), y, torch.zeros_like(y)])
    directions = torch.tensor([1.0, 0, 0])[:, None].expand(3, len(y)).contiguous()
    start = torch.zeros(len(y), dtype=torch.int32)
    hit, depth = ball.trace(origins, directions, torch.full_like(y, 2.0), torch.full_like(y, 4.0), start)
    assert set(hit.tolist()) >= set((y.abs() < 0.48).nonzero()[:, 0].tolist())
    assert (y[hit].abs() < 0.52).all()
    inner = y[hit].abs() < 0.45
    wanted = 3 - (0.25 - y[hit] ** 2).clamp_min(0).sqrt()
    torch.testing.assert_close(depth[inner], wanted[inner], atol=0.01, rtol=0)
    points = origins[:, hit] + depth * directions[:, hit]
    facing = (ball.normal(points, start[hit]) * unit(points)).sum(0)
    assert facing[inner].min() > 0.99


def test_what_a_ball_shades(ball):
    below = torch.tensor([[0.0, 0.9], [0.0, 0.0], [-0.9, -0.9]])  # one under the ball, one beside it
    upwards = torch.tensor([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    share = ball.visible(below, upwards, torch.full((2,), 0.02), torch.zeros(2, dtype=torch.int32), hardness=9.0)
    assert share.tolist() == pytest.approx([0, 1], abs=1e-6)


def test_the_camera_sees_the_ground():
    view = Camera(16, 1, torch.device("cpu"))
    assert view.ground[:, 2].abs().max() < 1e-5
    along = unit((view.ground - torch.tensor(CAMERA)).T).T
    torch.testing.assert_close(along, view.rays, atol=1e-5, rtol=0)


def test_no_two_hues_draw_the_same_colour():
    values = torch.zeros(50, 10)
    values[:, 7] = torch.linspace(-1, 1, 50)
    scene = Scene(torch.zeros(50, dtype=torch.int64), values)
    assert torch.pdist(scene.object).min() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["teapot", "dragon"])
def test_the_baked_file_is_what_the_script_bakes(name):
    with np.load(bake_shapes.FILE) as file:
        stored = file["distances"]
    assert stored.shape == (len(CLASSES), *3 * [bake_shapes.RESOLUTION])
    again = bake_shapes.bake(name).astype(int)
    assert np.abs(again - stored[CLASSES.index(name)]).max() <= 2  # of 127, for rounding on another machine


@pytest.mark.parametrize("name", CLASSES)
def test_shapes_are_solid_and_within_the_sphere(name):
    with np.load(bake_shapes.FILE) as file:
        distances = file["distances"][CLASSES.index(name)] * FARTHEST / 127
    points = bake_shapes.grid(bake_shapes.RESOLUTION).numpy()
    radius = np.linalg.norm(points, axis=-1)
    assert radius[distances < 0].max() < REACH
    assert 0.01 < (distances < 0).mean() < 0.25
    step = 2 * EXTENT / (bake_shapes.RESOLUTION - 1)
    near = np.abs(distances) < FARTHEST - step
    slope = np.linalg.norm(np.stack(np.gradient(distances, step)), axis=0)
    assert np.percentile(slope[near], 99) < 1.15  # a distance changes by at most one a unit
