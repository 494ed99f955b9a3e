"""hssl.augment: what is resampled, what is left alone, and bad input."""

import pytest
import torch

from hssl.augment import GROUPS, resample, transform, transforms, untouched, views
from hssl.worlds import scenes
from hssl.worlds.scenes import LATENTS, sample_latents
from hssl.worlds.textures import gradient_edge, noise

IMAGES = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("names", ["positions", "hues", "positions+hues", "x+rotations"])
def test_what_is_not_named_is_left_alone(names):
    latents = sample_latents(50, seeded())
    before, changed = latents.values.clone(), resample(latents, names, seeded(1))
    kept = [LATENTS.index(name) for name in untouched(names)]
    drawn = [column for column in range(len(LATENTS)) if column not in kept]
    assert torch.equal(changed.labels, latents.labels)
    assert torch.equal(changed.values[:, kept], before[:, kept])
    assert (changed.values[:, drawn] != before[:, drawn]).all()
    assert torch.equal(latents.values, before)


def test_what_is_named_is_drawn_uniformly_whatever_the_rest():
    latents = sample_latents(20_000, seeded())
    changed = resample(latents, "rotations", seeded(1)).values[:, 3]
    assert changed.std().item() == pytest.approx(3**-0.5, abs=0.01)
    assert abs(torch.corrcoef(torch.stack([changed, latents.values[:, 3]]))[0, 1]) < 0.03


def test_groups_are_of_the_world():
    assert {name for group in GROUPS.values() for name in group} == set(LATENTS)


def test_views_share_what_is_not_named():
    seen = views(scenes, 4, "hues", seeded(), size=16)
    assert torch.equal(seen.anchors, scenes.render(seen.latents, 16))
    assert seen.positives.shape == (4, 3, 16, 16)
    assert (seen.anchors != seen.positives).any()
    turned = views(scenes, 4, "rotation", seeded(), size=16)
    for first, second in zip(turned.anchors, turned.positives, strict=True):
        assert any(torch.equal(first, second.rot90(k, (1, 2))) for k in range(4))
    both = views(gradient_edge, 4, "angle+crop_small", seeded(), size=16)
    assert torch.equal(both.latents.values, gradient_edge.sample_latents(4, seeded()).values)
    with pytest.raises(ValueError, match="unknown 'angle'"):
        views(scenes, 4, "angle+colour", seeded(), size=16)


def test_textures_too():
    latents = gradient_edge.sample_latents(30, seeded())
    changed = resample(latents, "angle+position", seeded(1), gradient_edge.dials)
    assert torch.equal(changed.values[:, 2:], latents.values[:, 2:])
    assert (changed.values[:, :2] != latents.values[:, :2]).all()
    assert torch.equal(changed.seeds, latents.seeds)
    gradient_edge.render(changed, 16)  # within the ranges of the dials
    latents = noise.sample_latents(30, seeded())
    changed = resample(latents, "seed", seeded(1), noise.dials)
    assert torch.equal(changed.values, latents.values)
    assert (changed.seeds != latents.seeds).all()


@pytest.mark.parametrize("name", [*transforms(32), "crop_small+colour"])
def test_transformed_pictures(name):
    state = torch.random.get_rng_state()
    views = transform(IMAGES, name, seeded())
    assert views.shape == IMAGES.shape
    assert 0 <= views.min() <= views.max() <= 1
    assert torch.equal(views, transform(IMAGES, name, seeded()))
    assert not torch.equal(views, transform(IMAGES, name, seeded(1)))
    assert torch.equal(state, torch.random.get_rng_state())  # nobody else's random numbers were used up


def test_a_quarter_turn_moves_pixels_and_changes_none():
    views = transform(IMAGES, "rotation", seeded())
    for image, view in zip(IMAGES, views, strict=True):
        assert any(torch.equal(view, image.rot90(k, (1, 2))) for k in range(4))


@pytest.mark.parametrize(
    ("images", "names", "error", "message"),
    [
        (IMAGES, "sepia", ValueError, "unknown 'sepia'; there are colour, crop_small"),
        (IMAGES, "colour+", ValueError, "unknown ''"),
        (IMAGES[:0], "colour", ValueError, "n ≥ 1"),
        (IMAGES[0], "colour", ValueError, "wanted shape"),
        (IMAGES[:, :, :16], "colour", ValueError, "wanted shape"),
        (IMAGES / 0, "colour", ValueError, r"\[0, 1\]"),
        (IMAGES.mul(255).byte(), "colour", TypeError, "floating-point"),
    ],
)
def test_bad_pictures_are_named(images, names, error, message):
    with pytest.raises(error, match=message):
        transform(images, names, seeded())


def test_unknown_latents_are_named():
    with pytest.raises(ValueError, match="unknown 'weather'"):
        resample(sample_latents(2, seeded()), "hues+weather", seeded())
    with pytest.raises(ValueError, match="unknown 'hues'"):
        resample(noise.sample_latents(2, seeded()), "hues", seeded(), noise.dials)
