"""hssl.worlds.pictures.composed: pixels come from where the truth says, colours match, and bad input."""

import pytest
import torch

from hssl.worlds.pictures.composed import LEAST, compose
from hssl.worlds.pictures.photographs import load

NAMES = ["china", "flower", "life"]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_every_pixel_comes_from_the_photograph_that_the_truth_names():
    found = compose(NAMES, 6, seeded(), size=24, scale=64)
    assert found.images.shape == (6, 3, 24, 24) and found.regions.dtype == torch.bool
    assert (found.sources[:, 0] != found.sources[:, 1]).all()
    area = found.regions.float().mean((1, 2))
    assert ((area > LEAST) & (area < 1 - LEAST)).all()
    for image, region, sources in zip(*found, strict=True):
        for mask, source in zip((region, ~region), sources.tolist(), strict=True):
            windows = load(NAMES[source], 64).unfold(1, 24, 1).unfold(2, 24, 1).permute(1, 2, 0, 3, 4).flatten(0, 1)
            assert ((windows - image).abs() * mask).amax((1, 2, 3)).min() < 1e-6


def test_matched_colours_have_the_same_mean_and_spread():
    plain, matched = (compose(["china", "flower"], 40, seeded(), size=32, scale=96, matched=of) for of in (False, True))
    assert torch.equal(plain.regions, matched.regions)

    def apart(found):
        inside, outside = found.regions[:, None].float(), (~found.regions)[:, None].float()
        means = [(found.images * of).sum((2, 3)) / of.sum((2, 3)) for of in (inside, outside)]
        return (means[0] - means[1]).abs().mean()

    assert apart(matched) < apart(plain) / 2
    first = plain.regions[:, None].expand(-1, 3, -1, -1)
    assert torch.equal(plain.images[first], matched.images[first])


def test_views_change_the_squares_and_not_the_regions():
    def dark(squares, generator):
        return squares / 2

    plain, seen = (compose(NAMES, 3, seeded(), size=16, scale=48, views=of) for of in (None, dark))
    assert torch.equal(seen.images, plain.images / 2) and torch.equal(seen.regions, plain.regions)


def test_deterministic_and_from_the_generator_alone():
    state = torch.random.get_rng_state()
    one, same, other = (compose(NAMES, 3, seeded(seed), size=16, scale=48) for seed in (0, 0, 1))
    assert torch.equal(one.images, same.images) and not torch.equal(one.images, other.images)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("names", "size", "message"),
    [
        (["china"], 16, "names: wanted at least two"),
        (["china", "moon"], 16, "name"),
        (NAMES, 48, "size: wanted at most"),
    ],
)
def test_bad_input_is_named(names, size, message):
    with pytest.raises(ValueError, match=message):
        compose(names, 2, seeded(), size=size, scale=48)
