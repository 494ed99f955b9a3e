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
