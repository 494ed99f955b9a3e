"""Coasts: where the boundary is and which way it runs, what the dials do, and what is random in them."""

import pytest
import torch
from scipy.ndimage import distance_transform_edt

from hssl.worlds.coasts import boundary, coast, shore_windows
from hssl.worlds.scenes.shading import hue_to_rgb


def draw(n=20, seed=0, **dials):
    latents = coast.sample_latents(n, torch.Generator().manual_seed(seed))
    values = latents.values.clone()
    for name, value in dials.items():
        values[:, list(coast.dials).index(name)] = value
    return latents._replace(values=values)


def test_distance_is_that_to_the_shore_near_the_shore():
    size = 128
    for distance in boundary(draw(), size).distance.numpy():
        land = distance > 0
        exact = distance_transform_edt(land) - distance_transform_edt(~land)  # in pixels, to the centre of a pixel
        near = abs(exact) < 4
        assert abs(distance[near] * size - exact[near]).mean() < 0.7  # half a pixel comes from the grid


def test_orientation_is_that_of_the_lines_of_equal_distance():
    size = 256
    distance, orientation = boundary(draw(), size)
    near = (distance.abs() < 0.02)[:, 1:-1, 1:-1]
    dy = (distance[:, 2:, 1:-1] - distance[:, :-2, 1:-1])[near]
    dx = (distance[:, 1:-1, 2:] - distance[:, 1:-1, :-2])[near]
    along = orientation[:, 1:-1, 1:-1][near]
    off = (dx * along.cos() + dy * along.sin()).abs() / torch.hypot(dx, dy)
    assert off.median() < 0.02
    assert ((orientation >= 0) & (orientation < torch.pi)).all()


def test_without_tinge_either_side_has_its_own_hue():
    latents = draw(tinge=0.0, width=-2.0)
    pictures, (distance, _) = coast.render(latents, 64), boundary(latents, 64)
    for column, sign in ((2, 1), (3, -1)):
        colour = hue_to_rgb(latents.values[:, column], saturation=0.6, value=0.8)[:, :, None, None]
        far = (sign * distance > 0.08)[:, None]
        assert ((pictures - colour).abs() * far).max() < 1e-3


def test_tinge_is_a_standard_deviation_of_the_hue():
    pure, tinged = (coast.render(draw(n=60, tinge=t, hue_land=0.05, hue_water=0.45), 32) for t in (0.0, 0.02))
    land = (boundary(draw(n=60), 32).distance > 0.1)[:, None].expand_as(pure)
    # near hue 1/20 only green changes with the hue: by 6 · saturation · value a turn
    spread = (tinged - pure)[:, 1][land[:, 1]].std() / (6 * 0.6 * 0.8)
    assert abs(spread / 0.02 - 1) < 0.15


def test_width_is_how_slowly_one_colour_becomes_the_other():
    latents = draw(tinge=0.0, width=-1.0, hue_land=0.0, hue_water=0.5)
    red, (distance, _) = coast.render(latents, 64)[:, 0], boundary(latents, 64)
    share = (red - red.min()) / (red.max() - red.min())
    near = distance.abs() < 0.1
    assert torch.allclose(share[near], torch.sigmoid(distance[near] / 0.1), atol=0.02)


def test_seed_is_the_shore_and_dials_do_not_move_it():
    latents = draw()
    assert torch.equal(coast.render(latents, 32), coast.render(latents, 32))
    moved = latents._replace(values=draw(seed=1).values)
    assert torch.equal(boundary(latents, 32).distance, boundary(moved, 32).distance)
    other = latents._replace(seeds=draw(seed=1).seeds)
    assert not torch.equal(boundary(latents, 32).distance, boundary(other, 32).distance)


def test_bad_latents_are_named():
    with pytest.raises(ValueError, match="tinge"):
        boundary(draw(tinge=2.0))


def test_windows_lie_on_the_boundary_and_apart():
    latents = draw(n=200)
    rows, corners, orientation = shore_windows(latents, 64, 16, torch.Generator().manual_seed(0))
    distance, directions = boundary(latents, 64)
    assert 100 < len(rows) <= 200 and ((corners >= 0) & (corners <= 48)).all()
    assert ((corners[:, 0] - corners[:, 1]).abs().amax(1) >= 16).all()
    for which in (0, 1):
        down, right = (corners[:, which] + 8).T
        assert (distance[rows, down, right].abs() < 1 / 64).all()
        assert torch.equal(directions[rows, down, right], orientation[:, which])


@pytest.mark.parametrize("window", [2, 15, 40])
def test_windows_that_cannot_be_are_refused(window):
    with pytest.raises(ValueError, match="window"):
        shore_windows(draw(), 64, window, torch.Generator())
