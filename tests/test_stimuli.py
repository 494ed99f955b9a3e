"""hssl.worlds.contours.stimuli: areas in closed form, figures whose parts lie where they should, and bad input."""

import math

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from hssl.worlds.contours import Contours
from hssl.worlds.contours.stimuli import (
    BACKGROUND,
    PAIRINGS,
    as_segments,
    box,
    draw_bars,
    four_arms,
    ring,
    scrambled,
    snake,
    two_patches,
)

WORLD = Contours()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def links(elements):
    """The ratio from each element to the next, round to the first."""
    ratio = WORLD.log_likelihood_ratio(WORLD.between(elements.positions, elements.orientations))
    return torch.cat([ratio.diagonal(1), ratio[-1:, 0]])


# figures
def test_four_arms_and_their_three_pairings():
    arms = four_arms(0.7, reach=1.5)
    torch.testing.assert_close(arms.positions[:2] + arms.positions[2:], torch.zeros(2, 2), atol=1e-6, rtol=0)
    torch.testing.assert_close(arms.positions.norm(dim=1), torch.full((4,), 1.5))
    torch.testing.assert_close(arms.orientations, torch.tensor([0.0, 0.7, 0.0, 0.7]), atol=1e-6, rtol=0)
    assert all(sorted(pairing.flatten().tolist()) == [0, 1, 2, 3] for pairing in PAIRINGS)
    assert len({frozenset(map(frozenset, pairing.tolist())) for pairing in PAIRINGS}) == 3
    first, second = arms.groups[PAIRINGS].unbind(-1)
    assert (first == second).all(1).tolist() == [True, False, False]


def crossing(angle):
    arms = four_arms(angle)
    ratio = WORLD.log_likelihood_ratio(WORLD.between(arms.positions, arms.orientations))
    return torch.softmax(ratio[PAIRINGS[..., 0], PAIRINGS[..., 1]].sum(1), 0)


def test_the_squarer_they_cross_the_likelier_are_two_lines():
    chances = [crossing(angle)[0].item() for angle in (0.3, 0.8, 1.2, math.pi / 2)]
    assert sorted(chances) == chances
    right = crossing(math.pi / 2)
    assert right[0] > 0.9 and right[1].item() == pytest.approx(right[2].item(), abs=1e-5)


@pytest.mark.parametrize("n", [3, 8, 11])
def test_a_ring_is_made_of_tangents(n):
    elements = ring(n, 2.0)
    directions = torch.stack([elements.orientations.cos(), elements.orientations.sin()], 1)
    torch.testing.assert_close((elements.positions * directions).sum(1), torch.zeros(n), atol=1e-5, rtol=0)
    torch.testing.assert_close(elements.positions.norm(dim=1), torch.full((n,), 2.0))
    steps = (elements.positions - elements.positions.roll(-1, 0)).norm(dim=1)
    torch.testing.assert_close(steps, torch.full((n,), 4 * math.sin(math.pi / n)))
    torch.testing.assert_close(links(elements), links(elements)[:1].expand(n), atol=1e-4, rtol=0)


def test_closing_a_ring_of_eight_adds_one_link():
    every = links(ring(8, 1.6 * 8 / (2 * math.pi)))
    assert every.sum().item() == pytest.approx(29.92, abs=0.01)
    assert every[:-1].sum().item() == pytest.approx(26.18, abs=0.01)


def test_a_box_has_its_elements_on_four_sides():
    elements = box(4, 3, spacing=1.0)
    x, y = elements.positions.T
    level = elements.orientations == 0
    assert len(x) == 14 and level.sum() == 8
    assert (y[level].abs() == 1.5).all() and (x[~level].abs() == 2).all()
    steps = (elements.positions - elements.positions.roll(-1, 0)).norm(dim=1)
    corners = torch.tensor([3, 6, 10, 13])
    wanted = torch.ones(14).index_fill(0, corners, math.sqrt(0.5))
    torch.testing.assert_close(steps, wanted)
    torch.testing.assert_close(elements.positions.sum(0), torch.zeros(2))


def test_a_figure_has_its_documented_measures():
    """Arms 0.9 from the centre, 1.6 from element to element in a box, strokes 0.8 long."""
    torch.testing.assert_close(four_arms(1.0).positions.norm(dim=1), torch.full((4,), 0.9))
    assert (box(3, 2).positions[1] - box(3, 2).positions[0]).norm().item() == pytest.approx(1.6)
    ends = as_segments(box(3, 2))
    torch.testing.assert_close((ends[:, 2:] - ends[:, :2]).norm(dim=1), torch.full((10,), 0.8))


def test_scrambling_keeps_the_places_and_undoes_the_contour():
    elements = ring(200, 50.0)
    other = scrambled(elements, seeded())
    assert torch.equal(other.positions, elements.positions) and torch.equal(other.groups, elements.groups)
    assert torch.equal(other.orientations, scrambled(elements, seeded()).orientations)
    assert other.orientations.min() >= 0 and other.orientations.max() < math.pi
    assert links(other).mean() < 0 < links(elements).mean()


@pytest.fixture(scope="module")
def snakes():
    generator = seeded(1)
    return [snake(9, generator) for _ in range(300)]


def test_a_snake_is_one_contour_in_a_background(snakes):
    sharpest = 0.0
    for elements in snakes[:50]:
        assert elements.groups.tolist() == [0] * 9 + [BACKGROUND] * 72
        steps = elements.positions[:9].diff(dim=0)
        assert steps.norm(dim=1).max() < 1.6 * 1.5 * math.sqrt(2) + 1e-4
        turns = torch.atan2(steps[:, 1], steps[:, 0]).diff()
        assert turns.cos().min() > math.cos(0.7) - 1e-5
        sharpest = max(sharpest, turns.sin().abs().max().item())
        pairs = WORLD.between(elements.positions, elements.orientations)
        ends = (pairs.turn - 2 * pairs.azimuth)[[0, 8], [1, 7]]  # of both ends and their neighbours: on a circle
        assert ends.sin().abs().max() < 1e-5
    assert sharpest > math.sin(0.68)  # no path turns more sharply, and some nearly as much
    contour = torch.cat([links(elements)[:8] for elements in snakes])
    others = torch.cat([links(elements)[9:-1] for elements in snakes])
    assert contour.mean() > 2 and others.mean() < -2


def test_places_do_not_tell_which_elements_are_the_snake(snakes):
    """Distance to the nearest neighbour tells contour from background no better than chance: AUC 0.5 ± 0.04.

    The same for how many lie within two cells. Only elements off the border count, where all have neighbours.
    """
    nearest, crowd, label = [], [], []
    for elements in snakes:
        distances = torch.cdist(elements.positions, elements.positions).fill_diagonal_(math.inf)
        inner = elements.positions.abs().amax(1) < 1.6 * 3
        nearest.append(distances.amin(1)[inner])
        crowd.append((distances < 3.2).sum(1)[inner])
        label.append((elements.groups == 0)[inner])
    label = torch.cat(label)
    assert label.sum() > 500
    for score in (nearest, crowd):
        assert roc_auc_score(label, torch.cat(score)) == pytest.approx(0.5, abs=0.04)


def test_every_cell_holds_one_element(snakes):
    cells = (snakes[0].positions / 1.6).round()
    assert len(cells.unique(dim=0)) == 81
    assert 0.24 < (snakes[0].positions / 1.6 - cells).abs().max() <= 0.25 + 1e-6
    again = snake(9, seeded(1))
    assert all(torch.equal(a, b) for a, b in zip(snakes[0], again, strict=True))


def test_a_snake_on_a_straight_grid_is_a_straight_line():
    elements = snake(4, seeded(), jitter=0.0, sharpest=0.1, spacing=1.0)
    steps = elements.positions[:4].diff(dim=0)
    torch.testing.assert_close(steps, steps[:1].expand(3, 2))
    heading = math.atan2(steps[0, 1], steps[0, 0]) % math.pi
    assert (elements.orientations[:4] - heading).sin().abs().max() < 1e-6


def test_segments_keep_middle_length_and_direction():
    elements = box(5, 3)
    ends = as_segments(elements, length=1.0)
    torch.testing.assert_close((ends[:, :2] + ends[:, 2:]) / 2, elements.positions)
    along = ends[:, 2:] - ends[:, :2]
    torch.testing.assert_close(along.norm(dim=1), torch.ones(16))
    torch.testing.assert_close(torch.atan2(along[:, 1], along[:, 0]), elements.orientations)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: four_arms(math.nan), "angle: wanted"),
        (lambda: four_arms(math.inf), "angle: wanted"),
        (lambda: ring(4, math.nan), "radius: wanted"),
        (lambda: snake(9, seeded(), jitter=math.nan), "jitter: wanted"),
        (lambda: snake(9, seeded(), spacing=math.inf), "spacing: wanted"),
        (lambda: snake(9, 0), "generator: wanted Generator, got 0"),
        (lambda: snake(9, seeded(), grid=2), "n, grid: wanted"),
        (lambda: scrambled(ring(4, 1.0), 0), "generator: wanted Generator, got 0"),
        (lambda: as_segments(ring(5, 1.0), length=math.nan), "length: wanted"),
        (lambda: four_arms(1.0, 0.0), "reach: wanted"),
        (lambda: ring(2, 1.0), "n: wanted"),
        (lambda: ring(5, -1.0), "radius: wanted"),
        (lambda: box(0, 3), "across: wanted"),
        (lambda: box(3, 3, math.inf), "spacing: wanted"),
        (lambda: snake(2, seeded()), "n, grid: .* 3 to 81 elements"),
        (lambda: snake(82, seeded()), "n, grid: .* 3 to 81 elements"),
        (lambda: snake(9, seeded(), jitter=0.5), "jitter, sharpest: wanted"),
        (lambda: snake(9, seeded(), sharpest=4.0), "jitter, sharpest: wanted"),
        (lambda: snake(9, seeded(), grid=3, sharpest=0.1), "no path of 9 elements"),
        (lambda: as_segments(ring(5, 1.0), length=0.0), "length: wanted"),
    ],
)
def test_bad_figures_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# bars
def test_a_bar_is_what_its_formula_says():
    angles, contrasts = torch.tensor([0.3, 1.9, 4.0]), torch.tensor([-2.0, 0.0, 1.5])
    bars = draw_bars(angles, contrasts)
    assert bars.shape == (3, 1, 12, 12) and bars.dtype == torch.float32
    for bar, angle, contrast in zip(bars[:, 0], angles.tolist(), contrasts.tolist(), strict=True):
        for row, column in ((0, 0), (5, 6), (3, 8), (11, 2)):
            x, y = (column + 0.5) / 12 - 0.5, (row + 0.5) / 12 - 0.5
            axis = x * math.sin(angle) - y * math.cos(angle)
            wanted = expit(contrast) * math.exp(-((axis / 0.09) ** 2) / 2 - (math.hypot(x, y) / 0.29) ** 2 / 2)
            assert bar[row, column].item() == pytest.approx(wanted, rel=1e-4, abs=1e-7)


def test_bars_turn_and_mirror_exactly():
    angles, contrasts = torch.linspace(0, 3, 7), torch.linspace(-1, 1, 7)
    bars = draw_bars(angles, contrasts)
    torch.testing.assert_close(draw_bars(angles + math.pi, contrasts), bars, atol=1e-5, rtol=0)
    torch.testing.assert_close(draw_bars(-angles, contrasts), bars.flip(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(draw_bars(angles + math.pi / 2, contrasts), bars.rot90(-1, (2, 3)), atol=1e-5, rtol=0)
    torch.testing.assert_close(draw_bars(angles, contrasts - 50), bars * 0, atol=1e-5, rtol=0)


GOOD = torch.zeros(3)


@pytest.mark.parametrize(
    ("orientations", "contrasts", "settings", "error", "message"),
    [
        (GOOD.int(), GOOD, {}, TypeError, "orientations: wanted Float"),
        (GOOD, GOOD.int(), {}, TypeError, "contrasts: wanted Float"),
        (GOOD[:0], GOOD[:0], {}, ValueError, "orientations, size: wanted a bar or more"),
        (GOOD, GOOD[:2], {}, ValueError, "contrasts: wanted Float.* where n = 3"),
        (GOOD / 0, GOOD, {}, ValueError, "orientations: there are values that are not finite"),
        (GOOD, GOOD, {"size": 2}, ValueError, "size: wanted"),
    ],
)
def test_bad_bars_are_named(orientations, contrasts, settings, error, message):
    with pytest.raises(error, match=message):
        draw_bars(orientations, contrasts, **settings)


def test_arms_are_single_precision_whatever_the_angle_comes_as():
    assert four_arms(np.float64(0.7)).positions.dtype == torch.float32


def test_two_patches_hold_the_bars_and_where_the_second_lies():
    pairs = Contours().relations(400, True, seeded(1))
    seen = two_patches(pairs, seeded(2))
    first, second = (seen[:, at : at + 144].view(-1, 1, 12, 12) for at in (0, 144))
    heading = math.pi * torch.rand(400, generator=seeded(2))
    torch.testing.assert_close(first, draw_bars(heading, pairs.contrast_1))
    torch.testing.assert_close(second, draw_bars(heading + pairs.turn, pairs.contrast_2))
    torch.testing.assert_close(2 * (seen[:, 288] + 1), pairs.distance)
    doubled = torch.atan2(seen[:, 290], seen[:, 289]) - 2 * heading  # what is left is the azimuth, known up to π
    torch.testing.assert_close(doubled.cos(), (2 * pairs.azimuth).cos(), atol=1e-5, rtol=0)
    torch.testing.assert_close(doubled.sin(), (2 * pairs.azimuth).sin(), atol=1e-5, rtol=0)
