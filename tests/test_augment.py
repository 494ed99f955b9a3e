"""hssl.augment: what a view changes, that it is drawn from its generator alone, and bad input."""

import pytest
import torch
from torch.nn.functional import interpolate
from torchvision.transforms.v2 import functional

from hssl.augment import (
    VIEWS,
    _brighter,
    _contrast,
    _saturated,
    _turned,
    camera,
    channel_mix,
    colour,
    compose,
    crop,
    hue_turn,
    quarter_turn,
    two_views,
    viewpoint,
    zoom,
)

IMAGES = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", [*VIEWS, "crop_small+colour"])
def test_views(name):
    state = torch.random.get_rng_state()
    view, before = compose(name), IMAGES.clone()
    seen = view(IMAGES, seeded())
    assert seen.shape == IMAGES.shape
    assert 0 <= seen.min() <= seen.max() <= 1
    assert torch.equal(seen, view(IMAGES, seeded()))
    assert not torch.equal(seen, view(IMAGES, seeded(1)))
    assert torch.equal(state, torch.random.get_rng_state())  # nobody else's random numbers were used up
    assert torch.equal(IMAGES, before)


def test_views_follow_one_another():
    generator = seeded()
    assert torch.equal(compose("rotation+colour")(IMAGES, seeded()), colour(quarter_turn(IMAGES, generator), generator))


def test_a_quarter_turn_moves_pixels_and_changes_none():
    many = IMAGES[:1].expand(400, -1, -1, -1)
    turns = [next(k for k in range(4) if torch.equal(view, IMAGES[0].rot90(k, (1, 2)))) for view in
             quarter_turn(many, seeded())]  # fmt: skip
    assert torch.bincount(torch.tensor(turns)).tolist() == pytest.approx([100] * 4, abs=35)


RAMP = torch.linspace(0, 1, 64).expand(3, 64, 64)  # brightness tells the column


@pytest.mark.parametrize(("area", "low"), [((0.08, 1.0), 0.08), ((0.8, 1.0), 0.8)])
def test_a_crop_shows_a_window_of_that_area_flipped_half_the_time(area, low):
    down = RAMP.mT
    images = torch.stack([RAMP[0], down[0], RAMP[0]]).expand(500, 3, 64, 64)  # red across, green down
    seen = crop(images, seeded(), area=area)
    across = seen[:, 0, 32, -1] - seen[:, 0, 32, 0]
    height = seen[:, 1, -1, 32] - seen[:, 1, 0, 32]
    fractions = across.abs() * height
    assert fractions.min() >= low * 0.8 - 0.05
    assert fractions.min() < low + 0.1 * (1 - low) + 0.02 and fractions.max() > 0.85
    assert (across < 0).float().mean().item() == pytest.approx(0.5, abs=0.08)
    assert interpolate(images[:1], 32).shape == crop(images[:1, :, ::2, ::2], seeded()).shape


def test_colour_is_jittered_in_8_of_10_and_grey_in_2_of_10():
    images = torch.tensor([0.6, 0.3, 0.45])[:, None, None].expand(1000, 3, 8, 8)
    seen = colour(images, seeded())
    grey = (seen[:, 0] == seen[:, 1]).flatten(1).all(1) & (seen[:, 1] == seen[:, 2]).flatten(1).all(1)
    same = torch.isclose(seen, images, atol=1e-3).flatten(1).all(1)
    assert grey.float().mean().item() == pytest.approx(0.2, abs=0.04)
    assert same.float().mean().item() == pytest.approx(0.2 * 0.8, abs=0.04)


def test_a_camera_exposes_and_adds_noise():
    images = torch.full((1000, 3, 16, 16), 0.5)
    seen = camera(images, seeded())
    exposure = seen.mean((1, 2, 3)) / 0.5
    assert 0.69 < exposure.min() < 0.75 and 1.25 < exposure.max() < 1.31
    assert (seen.std((1, 2, 3))).mean().item() == pytest.approx(0.03, rel=0.05)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[:0], "at least one"),
        (IMAGES[0], "images: wanted"),
        (IMAGES[:, :, :16], "images: wanted"),
        (IMAGES / 0, r"\[0, 1\]"),
        (IMAGES * torch.nan, r"\[0, 1\]"),
        (IMAGES.mul(255).byte(), "images: wanted Float"),
        (IMAGES.numpy(), "images: wanted Float.*numpy"),
    ],
)
def test_bad_images_are_named(images, message):
    with pytest.raises(ValueError, match=message):
        colour(images, seeded())


def test_other_bad_input():
    for names in ("sepia", "colour+", ""):
        with pytest.raises(ValueError, match=r"names: unknown '.*'; there are colour, crop_small"):
            compose(names)
    with pytest.raises(ValueError, match="area: wanted"):
        crop(IMAGES, seeded(), area=(0.5, 0.2))
    with pytest.raises(ValueError, match="generator: wanted Generator, got 0"):
        quarter_turn(IMAGES, 0)


def test_channels_are_mixed_by_averages_drawn_for_each_image():
    images = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)).expand(50, 3, 8, 8)
    mixed = channel_mix(images, torch.Generator().manual_seed(1))
    low, high = images.amin(1, keepdim=True), images.amax(1, keepdim=True)
    assert (mixed >= low - 1e-6).all() and (mixed <= high + 1e-6).all()
    assert (mixed[0] - mixed[1]).abs().max() > 0.01
    solved = torch.linalg.lstsq(images[0].flatten(1).T, mixed[0].flatten(1).T)  # a linear map of the channels
    assert torch.allclose(images[0].flatten(1).T @ solved.solution, mixed[0].flatten(1).T, atol=1e-5)


@pytest.mark.parametrize(("change", "reference"), [
    (_brighter, functional.adjust_brightness),
    (_contrast, functional.adjust_contrast),
    (_saturated, functional.adjust_saturation),
    (_turned, functional.adjust_hue),
])  # fmt: skip
def test_colours_change_as_torchvision_changes_them(change, reference):
    amounts = torch.tensor([-0.2, -0.1, 0.0, 0.05, 0.13, 0.2]) + (0 if change is _turned else 1)
    ours = change(IMAGES, amounts[:, None, None, None]).clamp(0, 1)
    theirs = torch.stack([reference(image, amount) for image, amount in zip(IMAGES, amounts.tolist(), strict=True)])
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_colour_changes_in_an_order_of_each_image():
    """Grey first or last makes a difference to contrast, so that one factor for all would give one result for all."""
    images = IMAGES[:1].expand(500, -1, -1, -1)
    seen = colour(images, seeded())
    assert len({round(mean, 4) for mean in seen.mean((1, 2, 3)).tolist()}) > 300


def test_the_two_members_are_turned_by_different_angles():
    pairs = two_views(IMAGES[:1].expand(400, -1, -1, -1), "rotation", seeded())
    turns = [
        [next(k for k in range(4) if torch.equal(view, IMAGES[0].rot90(k, (1, 2)))) for view in member]
        for member in (pairs.first, pairs.second)
    ]
    assert all(a != b for a, b in zip(*turns, strict=True))
    for of in turns:
        assert torch.bincount(torch.tensor(of)).tolist() == pytest.approx([100] * 4, abs=35)


def test_the_other_views_of_a_pair_are_drawn_for_each_member():
    pairs = two_views(IMAGES, "crop_small+colour", seeded())
    assert not torch.equal(pairs.first, pairs.second)
    assert torch.equal(pairs.first, two_views(IMAGES, "crop_small+colour", seeded()).first)
    assert not torch.equal(pairs.first, two_views(IMAGES, "crop_small+colour", seeded(1)).first)


def test_bad_pairs_of_views_are_named():
    with pytest.raises(ValueError, match="names: unknown 'sepia'"):
        two_views(IMAGES, "rotation+sepia", seeded())
    with pytest.raises(ValueError, match="at least one"):
        two_views(IMAGES[:0], "rotation", seeded())
    with pytest.raises(ValueError, match="least: wanted 0 or 1, got 2"):
        quarter_turn(IMAGES, seeded(), least=2)


# views from another side and from nearer: of a plane whose red rises across and whose green rises down
ACROSS = ((torch.arange(64) + 0.5) / 64).expand(64, 64)
PLANE = torch.stack([ACROSS, ACROSS.T, torch.full((64, 64), 0.5)])


def seen_at(view):
    """Where in the plane each pixel of a view lies, in half sides from the middle: x and y, shape (n, size, size)."""
    return 2 * view[:, 0] - 1, 2 * view[:, 1] - 1


def test_from_straight_ahead_a_camera_sees_the_middle_of_the_image():
    view = viewpoint(PLANE[None], seeded(), roll=0, tilt=0, field=0.5)
    x, y = seen_at(view)
    wanted = ((torch.arange(64) + 0.5) / 64 * 2 - 1) * 0.5
    torch.testing.assert_close(x[0], wanted.expand(64, 64), atol=1e-5, rtol=0)
    torch.testing.assert_close(y[0], wanted.expand(64, 64).T, atol=1e-5, rtol=0)


def test_a_roll_turns_the_view_and_keeps_lengths():
    x, y = seen_at(viewpoint(PLANE[None].expand(300, -1, -1, -1), seeded(), roll=180, tilt=0))
    dx, dy = x[:, 31, -1] - x[:, 31, 0], y[:, 31, -1] - y[:, 31, 0]
    torch.testing.assert_close(torch.hypot(dx, dy), torch.full((300,), 0.5 * 2 * 63 / 64), atol=1e-4, rtol=0)
    turns = torch.atan2(dy, dx) / torch.pi
    assert -1 < turns.min() < -0.9 and 0.9 < turns.max() < 1 and abs(turns.mean()) < 0.15
    few, _ = seen_at(viewpoint(PLANE[None].expand(300, -1, -1, -1), seeded(), roll=10, tilt=0))
    assert (few[:, 31, -1] - few[:, 31, 0]).min() > 0.98 * torch.cos(torch.tensor(torch.pi / 18))


def test_a_tilt_shortens_what_recedes_by_the_pinhole_law():
    """Of a plane seen from 2 half sides, turned by t: a ray at v half sides meets it at 2 v / (2 cos t ∓ v sin t)."""
    images = PLANE[None].expand(2000, -1, -1, -1)
    x, y = seen_at(viewpoint(images, seeded(), roll=0, tilt=25, field=0.5))
    far = torch.hypot(x, y).amax((1, 2))  # of a corner
    t = torch.tensor(25 * torch.pi / 180)
    corner = 0.5 * 63 / 64 * 2**0.5
    largest = 2 * corner / (2 * t.cos() - corner * t.sin())
    assert largest - 0.05 < far.max() <= largest + 1e-4 and far.min() >= corner - 1e-4
    torch.testing.assert_close(x[:, 31:33, 31:33].mean((1, 2)), torch.zeros(2000), atol=0.01, rtol=0)  # looks there
    lines = torch.stack([x, y], 1)[:, :, 20]  # a row of the view is a straight line of the plane
    steps = (lines - lines[:, :, :1])[:, :, 1:]
    turned = steps[:, 0] * steps[:, 1, -1:] - steps[:, 1] * steps[:, 0, -1:]
    assert turned.abs().max() < 1e-3


def test_nothing_from_outside_is_seen_by_default():
    inside = torch.zeros(1, 3, 64, 64)
    inside[..., 1:-1, 1:-1] = 1
    assert viewpoint(inside.expand(500, -1, -1, -1), seeded()).min() > 0.99
    assert zoom(inside[..., 1:-1, 1:-1], seeded()).min() > 0.99


def test_a_zoom_shows_the_middle_so_many_times_larger():
    x, y = seen_at(zoom(PLANE[None].expand(500, -1, -1, -1), seeded(), factor=(2.0, 4.0)))
    factors = 2 * 63 / 64 / (x[:, 5, -1] - x[:, 5, 0])
    torch.testing.assert_close(x, y.mT, atol=1e-4, rtol=0)
    torch.testing.assert_close(x, -x.flip(2), atol=1e-4, rtol=0)
    assert 2 - 1e-3 < factors.min() < 2.05 and 3.95 < factors.max() < 4 + 1e-3
    assert factors.log2().mean().item() == pytest.approx(1.5, abs=0.05)  # uniform in the logarithm
    same = zoom(IMAGES, seeded(), factor=(1.0, 1.0))
    torch.testing.assert_close(same, IMAGES, atol=1e-5, rtol=0)


@pytest.mark.parametrize("view", [viewpoint, zoom])
def test_a_view_may_have_fewer_pixels(view):
    assert view(IMAGES, seeded(), size=16).shape == (6, 3, 16, 16)
    half = zoom(IMAGES, seeded(), factor=(1.0, 1.0), size=16)
    torch.testing.assert_close(half, interpolate(IMAGES, 16, mode="area"), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: viewpoint(IMAGES, seeded(), tilt=60.0), "^tilt: wanted 0 to 45 degrees, got 60"),
        (lambda: viewpoint(IMAGES, seeded(), roll=200.0), "^roll: wanted 0 to 180 degrees, got 200"),
        (lambda: viewpoint(IMAGES, seeded(), field=0.0), "^field: wanted"),
        (lambda: viewpoint(IMAGES + 1, seeded()), "^images: wanted"),
        (lambda: zoom(IMAGES, seeded(), factor=(0.5, 2.0)), "^factor: wanted .* from 1, got"),
        (lambda: zoom(IMAGES, seeded(), factor=(3.0, 2.0)), "^factor: wanted .* from 1, got"),
        (lambda: zoom(IMAGES, seeded(), size=0), "^size: wanted"),
    ],
)
def test_bad_settings_of_a_view_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_turn_of_hue_keeps_differences_of_hue_saturation_and_value():
    from colorsys import rgb_to_hsv

    image = torch.zeros(1, 3, 8, 8)
    image[0, :, :, :4], image[0, :, :, 4:] = torch.tensor([[0.8, 0.3, 0.2], [0.2, 0.8, 0.3]])[..., None, None]
    before, after = ([rgb_to_hsv(*x[0, :, 0, k].tolist()) for k in (0, 7)] for x in (image, hue_turn(image, seeded(1))))
    assert abs(after[0][0] - before[0][0]) > 0.02
    assert (after[1][0] - after[0][0]) % 1 == pytest.approx((before[1][0] - before[0][0]) % 1, abs=1e-5)
    for one, other in zip(before, after, strict=True):
        assert other[1:] == pytest.approx(one[1:], abs=1e-5)


def test_turns_of_hue_are_uniform():
    red = torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(4000, 3, 8, 8)
    seen = hue_turn(red, seeded())[:, :, 0, 0]
    assert (seen.mean(0) - 0.5).abs().max() < 0.03
