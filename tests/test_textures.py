"""hssl.worlds.textures: every dial shows, some in closed form, and bad input is named."""

import pytest
import torch

from hssl.worlds.textures import TEXTURES, Dial, TextureLatents, Texture, draw_gradient_edge, gradient_edge, noise


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


each = pytest.mark.parametrize("name", TEXTURES)


def middle(texture, n=1, **dials):
    shares = 0.4 + 0.02 * torch.arange(len(texture.dials))  # no two hues alike, or an edge between them is unseen
    low, high = (torch.tensor(bounds) for bounds in zip(*[dial[:2] for dial in texture.dials.values()], strict=True))
    values = (low + (high - low) * shares).repeat(n, 1)
    for name, value in dials.items():
        values[:, list(texture.dials).index(name)] = torch.as_tensor(value)
    return TextureLatents(values, torch.arange(n))


@each
def test_the_same_latents_give_the_same_picture(name):
    texture = TEXTURES[name]
    latents = texture.sample_latents(4, seeded())
    pictures = texture.render(latents, 32)
    assert pictures.shape == (4, 3, 32, 32)
    assert torch.equal(pictures, texture.render(latents, 32))
    alone = texture.render(TextureLatents(*(field[2:3] for field in latents)), 32)
    torch.testing.assert_close(alone, pictures[2:3], atol=1e-5, rtol=0)
    assert 0 <= pictures.min() <= pictures.max() <= 1


@pytest.mark.parametrize(("name", "dial"), [(name, dial) for name in TEXTURES for dial in TEXTURES[name].dials])
def test_every_dial_shows(name, dial):
    texture = TEXTURES[name]
    low, high = texture.dials[dial][:2]
    ends = [texture.render(middle(texture, **{dial: low + share * (high - low)}), 32) for share in (0.1, 0.6)]
    assert (ends[0] - ends[1]).abs().max() > 0.01


def test_half_way_over_the_edge_colours_are_half_mixed():
    shown = {"angle": 0.0, "position": 0.0, "taper": 0.0, "ramp_1": 0.0, "ramp_2": 0.0, "hue_1": 0.0, "hue_2": 0.5}
    picture = gradient_edge.render(middle(gradient_edge, width=-1.5, **shown), 65)[0]
    torch.testing.assert_close(picture[:, 32, 32], (picture[:, 32, 0] + picture[:, 32, 64]) / 2, atol=1e-3, rtol=0)
    share = (picture[0, 32] - picture[0, 32, 0]) / (picture[0, 32, 64] - picture[0, 32, 0])
    x = (torch.arange(65) + 0.5) / 65 - 0.5
    torch.testing.assert_close(share, torch.sigmoid(x / 10**-1.5), atol=1e-4, rtol=0)


def test_targets_are_dials_and_points_on_the_circle():
    found = gradient_edge.targets(middle(gradient_edge, 2, angle=torch.pi / 2, hue_1=0.25, width=-1.5))
    assert list(found) == list(gradient_edge.dials)
    for name, wanted in (("angle", [1.0, 0.0]), ("hue_1", [1.0, 0.0]), ("width", [-1.5])):
        torch.testing.assert_close(found[name], torch.tensor([wanted, wanted]), atol=1e-6, rtol=0)
    assert TEXTURES["dead_leaves"].targets(middle(TEXTURES["dead_leaves"]))["hue_spread"].shape == (1, 1)


def test_the_edge_is_sharper_at_one_end():
    shown = {"angle": 0.0, "position": 0.0, "width": -1.2, "ramp_1": 0.0, "ramp_2": 0.0}
    picture = gradient_edge.render(middle(gradient_edge, taper=1.5, **shown), 64)[
        0, 0
    ]  # the edge runs from top to bottom
    steepest = picture.diff(dim=1).abs().amax(1)
    assert steepest[0] > 5 * steepest[-1]


def test_two_names_of_one_picture():
    """Turned by half a circle with sides exchanged, an edge is the same, if both sides may have either colour."""
    both = {"hue_1": Dial(0.0, 0.8, "turns"), "hue_2": Dial(0.0, 0.8, "turns")}
    edge = Texture({**gradient_edge.dials, **both}, draw_gradient_edge)
    shown = {"position": 0.1, "taper": 1.0, "ramp_1": 0.4, "ramp_2": -0.2, "hue_1": 0.1, "hue_2": 0.6}
    other = {"position": -0.1, "taper": -1.0, "ramp_1": 0.2, "ramp_2": -0.4, "hue_1": 0.6, "hue_2": 0.1}
    first, second = middle(edge, angle=1.0, **shown), middle(edge, angle=1.0 + torch.pi, **other)
    torch.testing.assert_close(edge.render(first, 32), edge.render(second, 32), atol=1e-4, rtol=0)


def test_the_spectrum_of_noise_falls_as_its_exponent_says():
    pictures = noise.render(middle(noise, 200, exponent=1.0, contrast=0.05), 64).mean(1)
    power = torch.fft.rfft2(pictures - pictures.mean((1, 2), keepdim=True)).abs().square().mean(0)[0, 1:32]
    frequency = torch.arange(1, 32) / 64
    slope = torch.linalg.lstsq(torch.stack([frequency.log(), torch.ones(31)], 1), power.log()[:, None]).solution[0]
    assert slope.item() == pytest.approx(-2, abs=0.1)


@each
@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda v, s: (v + 100, s), ValueError, "values: wanted"),
        (lambda v, s: (v / 0, s), ValueError, "values: wanted"),
        (lambda v, s: (v[:, 1:], s), ValueError, r"values: wanted shape \(n, \d\) with n ≥ 1"),
        (lambda v, s: (v[:0], s[:0]), ValueError, "n ≥ 1"),
        (lambda v, s: (v.int(), s), TypeError, "values: wanted Float"),
        (lambda v, s: (v, s.float()), TypeError, "seeds: wanted Int"),
    ],
)
def test_bad_latents_are_named(name, spoil, error, message):
    with pytest.raises(error, match=message):
        TEXTURES[name].render(TextureLatents(*spoil(*middle(TEXTURES[name], 2))), 16)


@each
def test_no_picture_at_all_and_a_bad_size(name):
    with pytest.raises(ValueError, match="^n: wanted a whole number ≥ 1, got 0"):
        TEXTURES[name].sample_latents(0, seeded())
    with pytest.raises(ValueError, match="size"):
        TEXTURES[name].render(middle(TEXTURES[name]), 2)
