"""hssl.worlds.icons.rasteriser: path data, areas in closed form, and bad input."""

import math

import numpy as np
import pytest
import torch
from scipy.interpolate import BPoly

from hssl.worlds.icons.rasteriser import BOX, distance_to, fill, polylines, resample, stroke

PIXEL = BOX / 64


def test_an_arc_lies_on_its_circle():
    (line,) = polylines("M3 12a9 9 0 1 0 18 0a9 9 0 1 0-18 0")
    radius = (line - torch.tensor([12.0, 12.0])).norm(dim=1)
    torch.testing.assert_close(radius, torch.full_like(radius, 9.0), atol=0.01, rtol=0)
    middles = ((line[1:] + line[:-1]) / 2 - torch.tensor([12.0, 12.0])).norm(dim=1)
    assert 9 - middles.min() < 0.01 + 0.0025  # of the polyline to the curve, and of fontTools' curve to the circle
    assert torch.equal(line[0], torch.tensor([3.0, 12.0]))


def test_a_curve_goes_where_bernstein_says():
    (line,) = polylines("M2 3C4 20 15 1 22 17")
    t = torch.arange(len(line)) / (len(line) - 1)
    corners = np.array([[2, 3], [4, 20], [15, 1], [22, 17]])
    wanted = torch.from_numpy(BPoly(corners[:, None], [0, 1])(t)).float()
    torch.testing.assert_close(line, wanted, atol=1e-5, rtol=0)


def test_subpaths_and_what_follows_a_closed_one():
    lines = polylines("m3 3l18 18M9 5h4v4zl0 2")
    assert [line.tolist() for line in lines] == [
        [[3, 3], [21, 21]],
        [[9, 5], [13, 5], [13, 9], [9, 5]],
        [[9, 5], [9, 7]],
    ]


@pytest.mark.parametrize(("path", "length", "ends"), [("M4 12h16", 16, 1), ("M5 4l9 15", math.hypot(9, 15), 1)])
def test_a_line_covers_its_area(path, length, ends):
    (ink,) = stroke([polylines(path)], 64)
    assert ink.sum().item() * PIXEL**2 == pytest.approx(2 * length + ends * math.pi, rel=0.01)


def test_a_ring_covers_its_area_and_nothing_else():
    (ink,) = stroke([polylines("M5 12a7 7 0 1 0 14 0a7 7 0 1 0-14 0")], 96)
    assert ink.sum().item() * (BOX / 96) ** 2 == pytest.approx(2 * math.pi * 7 * 2, rel=0.01)
    assert ink[48, 48] == 0
    torch.testing.assert_close(ink, ink.flip(0), atol=0.05, rtol=0)
    torch.testing.assert_close(ink, ink.T, atol=0.05, rtol=0)


def test_ink_is_the_distance_to_the_nearest_line():
    lines = [*polylines("M3 4l17 5l-8 11"), *polylines("M6 18c3-9 9-9 12 0")]
    at = (torch.arange(32) + 0.5) * BOX / 32
    points = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1).view(-1, 2)
    wanted = (0.5 + (1 - distance_to(points, lines)) * 32 / BOX).clamp(0, 1).view(32, 32)
    torch.testing.assert_close(stroke([lines], 32)[0], wanted, atol=1e-4, rtol=0)


def test_pictures_do_not_depend_on_each_other():
    groups = [polylines("M4 12h16"), [], polylines("M12 12h.01")]
    ink = stroke(groups, 64)
    assert ink[1].max() == 0
    assert torch.equal(ink[2], stroke(groups[2:], 64)[0])
    assert ink[2].sum().item() * PIXEL**2 == pytest.approx(math.pi, rel=0.05)  # a dot


def test_what_leaves_the_picture_is_cut_off():
    (ink,) = stroke([polylines("M-20 12h60")], 64)
    assert ink.sum().item() * PIXEL**2 == pytest.approx(2 * BOX, rel=0.01)


def test_inside_is_where_the_outline_turns_round():
    (star,) = polylines("M12 1L18.5 21L1.5 8.6H22.5L5.5 21z")  # its middle is turned round twice
    inside = fill([star], 64, supersampling=1) > 0
    at = (np.arange(64) + 0.5) * PIXEL
    corners = star.numpy() @ [1, 1j] - (at + 1j * at[:, None])[..., None]  # (64, 64, corners), seen from each pixel
    turns = np.angle(corners[..., 1:] / corners[..., :-1]).sum(-1) / (2 * np.pi)
    assert set(np.abs(turns.round()).flatten()) == {0, 1, 2}
    assert np.array_equal(inside.numpy(), np.abs(turns) > 0.5)


def test_a_hole_runs_the_other_way_round():
    outer, hole, island = "M4 4h16v16H4z", "M8 8v8h8V8z", "M8 8h8v8H8z"
    assert fill(polylines(outer), 48).mean().item() == pytest.approx(16**2 / BOX**2)
    assert fill(polylines(outer + hole), 48).mean().item() == pytest.approx((16**2 - 8**2) / BOX**2)
    assert fill(polylines(outer + island), 48).mean().item() == pytest.approx(16**2 / BOX**2)


def test_points_along_a_line_are_equally_far_apart():
    points = resample(torch.tensor([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]]), 0.5)
    assert len(points) == 15
    assert points[6].tolist() == [3, 0]
    torch.testing.assert_close(points.diff(dim=0).norm(dim=1), torch.full((14,), 0.5))


@pytest.mark.parametrize("path", ["", "M3 3", "hello", "M3 3 L x"])
def test_what_is_no_path_is_named(path):
    with pytest.raises(ValueError, match="path: wanted SVG path data"):
        polylines(path)


GOOD = torch.tensor([[1.0, 1.0], [2.0, 2.0]])


@pytest.mark.parametrize(
    ("groups", "size", "width", "message"),
    [
        ([[GOOD]], 4, 2.0, "size"),
        ([[GOOD]], 64, 0.0, "width"),
        ([[GOOD[:1]]], 64, 2.0, "polylines"),
        ([[GOOD / 0]], 64, 2.0, "polylines"),
        ([[GOOD[:, :1]]], 64, 2.0, "polylines"),
    ],
)
def test_bad_lines_are_named(groups, size, width, message):
    with pytest.raises(ValueError, match=message):
        stroke(groups, size, width=width)


def test_nothing_is_infinitely_far_from_nothing():
    assert distance_to(GOOD, []).tolist() == [math.inf, math.inf]
