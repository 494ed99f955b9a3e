"""hssl.worlds.textures: every factor shows, some in closed form, and bad input is named."""

import colorsys
import math

import pytest
import torch
from scipy.stats import kstest, uniform

from hssl.pairs import Pairs
from hssl.worlds.textures import (
    TEXTURES,
    Factor,
    Texture,
    TextureLatents,
    Textures,
    blob,
    dead_leaves,
    draw_gradient_edge,
    gradient_edge,
    noise,
)
from hssl.worlds.textures import textures as module


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


each = pytest.mark.parametrize("name", TEXTURES)


def middle(texture, n=1, **factors):
    shares = 0.4 + 0.02 * torch.arange(len(texture.factors))  # no two hues alike, or an edge between them is unseen
    low, high = (
        torch.tensor(bounds) for bounds in zip(*[factor[:2] for factor in texture.factors.values()], strict=True)
    )
    values = (low + (high - low) * shares).repeat(n, 1)
    for name, value in factors.items():
        values[:, list(texture.factors).index(name)] = torch.as_tensor(value)
    return TextureLatents(values, torch.arange(n))


@each
def test_the_same_latents_give_the_same_image_alone_and_in_a_batch(name):
    texture = TEXTURES[name]
    latents = texture.sample_latents(24, seeded())
    images = texture.render(latents, 32)
    assert images.shape == (24, 3, 32, 32)
    assert torch.equal(images, texture.render(latents, 32))
    for some in (1, 5):
        parts = zip(*(field.split(some) for field in latents), strict=True)
        alone = torch.cat([texture.render(TextureLatents(*part), 32) for part in parts])
        torch.testing.assert_close(alone, images, atol=1e-6, rtol=0)
    assert 0 <= images.min() <= images.max() <= 1


RANGES = {  # spelt out
    "gradient_edge": [
        (0, math.tau),
        (-0.25, 0.25),
        (-2, -0.7),
        *[(-1.5, 1.5)],
        *[(-0.8, 0.8)] * 2,
        (0, 0.3),
        (0.4, 0.8),
    ],
    "blob": [(-0.2, 0.2), (-0.2, 0.2), (0.1, 0.3), (0, 0.4), (-2.6, -0.8), (0, 5 / 6), (0, 5 / 6)],
    "noise": [(0, 2.5), (0.05, 0.4), (0, 5 / 6)],
    "dead_leaves": [(-1.6, -0.7), (-2.6, -1.4), (0, 5 / 6), (0.05, 0.6)],
}


@each
def test_factors_are_uniform_and_independent(name):
    values = TEXTURES[name].sample_latents(20_000, seeded(1)).values.double()
    for column, (low, high) in zip(values.T, RANGES[name], strict=True):
        assert kstest(column, uniform(low, high - low).cdf).pvalue > 0.001
        assert low <= column.min() < low + 0.01 * (high - low) and high - 0.01 * (high - low) < column.max() <= high
    assert torch.corrcoef(values.T).fill_diagonal_(0).abs().max() < 4.5 / math.sqrt(20_000)


# what is redrawn
@each
def test_what_is_redrawn_is_drawn_as_at_first_and_nothing_else_is(name):
    texture, latents = TEXTURES[name], TEXTURES[name].sample_latents(5000, seeded(2))
    for column, factor in enumerate(texture.factors):
        changed = texture.resample(latents, factor, seeded(3))
        others = [k for k in range(len(texture.factors)) if k != column]
        assert torch.equal(changed.values[:, others], latents.values[:, others])
        assert torch.equal(changed.seeds, latents.seeds)  # the random pattern is kept unless it is named
        low, high = RANGES[name][column]
        assert kstest(changed.values[:, column], uniform(low, high - low).cdf).pvalue > 0.001
        before_and_after = torch.stack([latents.values[:, column], changed.values[:, column]])
        assert torch.corrcoef(before_and_after)[0, 1].abs() < 4.5 / math.sqrt(5000)
    changed = texture.resample(latents, "seed", seeded(3))
    assert torch.equal(changed.values, latents.values) and not (changed.seeds == latents.seeds).any()
    together = texture.resample(latents, "+".join([*texture.factors, "seed"]), seeded(3))
    assert not (together.values == latents.values).all(1).any() and torch.equal(together.seeds, changed.seeds)


def test_unknown_names_are_refused():
    for names in ("", "hue+shape", "hue, seed"):
        with pytest.raises(ValueError, match=r"^names: wanted one of exponent, contrast, hue, seed; got"):
            noise.resample(noise.sample_latents(2, seeded()), names, seeded())
        with pytest.raises(ValueError, match=r"^redraw: wanted one of exponent, contrast, hue, seed; got"):
            Textures("noise", names)


# pairs
@pytest.mark.parametrize("name", ["noise", "dead_leaves"])
def test_a_pair_shares_the_random_pattern_unless_the_seed_is_redrawn(name):
    """Brightness, which no hue changes, correlates over the pixels of a pair: fully, or not at all on average."""
    for redraw, low, high in (("hue", 0.95, 1.001), ("hue+seed", -0.2, 0.2)):
        pairs = Textures(name, redraw, size=16).sample(100, seeded(4))
        assert ((pairs.first - pairs.second).abs().amax((1, 2, 3)) > 0.01).float().mean() > 0.9
        bright = torch.stack([pairs.first, pairs.second], 1).amax(2).flatten(2)
        found = torch.stack([torch.corrcoef(pair)[0, 1] for pair in bright])
        assert low < found.mean() < high


@each
def test_the_truth_is_that_of_the_first_members(name):
    world = Textures(name, "seed", views=lambda images, generator: images)
    pairs, latents = world.sample(6, seeded(5)), TEXTURES[name].sample_latents(6, seeded(5))
    assert isinstance(pairs, Pairs) and pairs.first.shape == (6, 3, 32, 32)
    assert torch.equal(pairs.first, TEXTURES[name].render(latents, 32))
    for factor, wanted in TEXTURES[name].targets(latents).items():
        assert torch.equal(pairs.truth[factor], wanted)
    again = world.sample(6, seeded(5))
    assert torch.equal(again.first, pairs.first) and torch.equal(again.second, pairs.second)


def test_own_views_and_an_own_way_to_redraw():
    def mirrored(latents, generator):
        return latents._replace(values=latents.values * torch.tensor([1.0, -1, 1, 1, 1, 1, 1, 1]))

    pairs = Textures(gradient_edge, mirrored, size=16).sample(8, seeded(6))
    latents = gradient_edge.sample_latents(8, seeded(6))
    assert torch.equal(pairs.second, gradient_edge.render(mirrored(latents, None), 16))
    dimmed = Textures("blob", views=lambda x, g: x * torch.rand(len(x), 1, 1, 1, generator=g)).sample(8, seeded(6))
    ratio = (dimmed.second / dimmed.first).flatten(1)
    assert ratio.std(1).max() < 1e-5 and ratio.mean(1).std() > 0.1  # one factor an image, another for either member


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Textures("wood", "hue"), ValueError, "^kind: wanted one of gradient_edge, blob, noise, dead_leaves"),
        (lambda: Textures("noise"), ValueError, "^redraw, views: wanted at least one"),
        (lambda: Textures("noise", "hue", size=4), ValueError, "^size: wanted 8 to 1024"),
        (lambda: Textures("noise", "hue", views="blur"), TypeError, "^views: wanted"),
        (lambda: Textures("noise", "hue").sample(0, seeded()), ValueError, "^n: wanted"),
        (lambda: Textures("noise", "hue").sample(2, 0), TypeError, "^generator: wanted Generator, got 0"),
        (lambda: noise.sample_latents(2, None), TypeError, "^generator: wanted Generator, got None"),
        (
            lambda: noise.render((torch.zeros(2, 3), torch.zeros(2).long())),
            TypeError,
            "^latents: wanted TextureLatents",
        ),
    ],
)
def test_bad_settings_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(("name", "factor"), [(name, factor) for name in TEXTURES for factor in TEXTURES[name].factors])
def test_every_factor_shows(name, factor):
    texture = TEXTURES[name]
    low, high = texture.factors[factor][:2]
    ends = [texture.render(middle(texture, **{factor: low + share * (high - low)}), 32) for share in (0.1, 0.6)]
    assert (ends[0] - ends[1]).abs().max() > 0.01


def test_half_way_over_the_edge_colours_are_half_mixed():
    shown = {"angle": 0.0, "position": 0.0, "taper": 0.0, "ramp_1": 0.0, "ramp_2": 0.0, "hue_1": 0.0, "hue_2": 0.5}
    image = gradient_edge.render(middle(gradient_edge, width=-1.5, **shown), 65)[0]
    torch.testing.assert_close(image[:, 32, 32], (image[:, 32, 0] + image[:, 32, 64]) / 2, atol=1e-3, rtol=0)
    share = (image[0, 32] - image[0, 32, 0]) / (image[0, 32, 64] - image[0, 32, 0])
    x = (torch.arange(65) + 0.5) / 65 - 0.5
    torch.testing.assert_close(share, torch.sigmoid(x / 10**-1.5), atol=1e-4, rtol=0)


def test_targets_are_factors_and_points_on_the_circle():
    found = gradient_edge.targets(middle(gradient_edge, 2, angle=torch.pi / 2, hue_1=0.25, width=-1.5))
    assert list(found) == list(gradient_edge.factors)
    for name, wanted in (("angle", [1.0, 0.0]), ("hue_1", [1.0, 0.0]), ("width", [-1.5])):
        torch.testing.assert_close(found[name], torch.tensor([wanted, wanted]), atol=1e-6, rtol=0)
    assert TEXTURES["dead_leaves"].targets(middle(TEXTURES["dead_leaves"]))["hue_spread"].shape == (1, 1)


def test_the_edge_is_sharper_at_one_end():
    shown = {"angle": 0.0, "position": 0.0, "width": -1.2, "ramp_1": 0.0, "ramp_2": 0.0}
    image = gradient_edge.render(middle(gradient_edge, taper=1.5, **shown), 64)[
        0, 0
    ]  # the edge runs from top to bottom
    steepest = image.diff(dim=1).abs().amax(1)
    assert steepest[0] > 5 * steepest[-1]


def test_two_names_of_one_image():
    """Turned by half a circle with sides exchanged, an edge is the same, if both sides may have either colour."""
    both = {"hue_1": Factor(0.0, 0.8, "turns"), "hue_2": Factor(0.0, 0.8, "turns")}
    edge = Texture({**gradient_edge.factors, **both}, draw_gradient_edge)
    shown = {"position": 0.1, "taper": 1.0, "ramp_1": 0.4, "ramp_2": -0.2, "hue_1": 0.1, "hue_2": 0.6}
    other = {"position": -0.1, "taper": -1.0, "ramp_1": 0.2, "ramp_2": -0.4, "hue_1": 0.6, "hue_2": 0.1}
    first, second = middle(edge, angle=1.0, **shown), middle(edge, angle=1.0 + torch.pi, **other)
    torch.testing.assert_close(edge.render(first, 32), edge.render(second, 32), atol=1e-4, rtol=0)


def rgb(hue, value):
    return torch.tensor(colorsys.hsv_to_rgb(hue, 0.6, value))


def test_an_edge_lies_where_its_factors_say_and_has_their_colours():
    """Against colours of the standard library: far from the boundary, and ramps along it."""
    shown = {"width": -2.0, "taper": 0.0, "hue_1": 0.1, "hue_2": 0.6, "ramp_1": 0.4, "ramp_2": -0.2}
    image = gradient_edge.render(middle(gradient_edge, angle=0.0, position=0.2, **shown), 100)[0]
    at = (torch.arange(100) + 0.5) / 100 - 0.5
    for column, hue, ramp in ((99, 0.1, 0.4), (0, 0.6, -0.2)):  # the first colour lies beyond the boundary
        torch.testing.assert_close(image[:, :, column], rgb(hue, 0.8)[:, None] * (1 + ramp * at), atol=1e-5, rtol=0)
    nearer = (image - image[:, :, 99:]).abs().sum(0) < (image - image[:, :, :1]).abs().sum(0)
    assert (nearer == (at > 0.2)).all()
    down = gradient_edge.render(middle(gradient_edge, angle=torch.pi / 2, position=0.2, **shown), 100)[0]
    torch.testing.assert_close(down, image.rot90(-1, (1, 2)), atol=1e-5, rtol=0)  # from x towards y, downwards


def test_a_blob_has_its_position_size_and_colours():
    shown = {"x": -0.15, "y": 0.1, "radius": 0.2, "roughness": 0.0, "width": -2.6, "hue_blob": 0.1, "hue_ground": 0.5}
    image = blob.render(middle(blob, **shown), 200)[0]
    torch.testing.assert_close(image[:, 120, 70], rgb(0.1, 0.8), atol=1e-5, rtol=0)
    torch.testing.assert_close(image[:, 0, 0], rgb(0.5, 0.55), atol=1e-5, rtol=0)
    share = (image[0] - image[0, 0, 0]) / (image[0, 120, 70] - image[0, 0, 0])
    at = (torch.arange(200) + 0.5) / 200 - 0.5
    assert share.mean().item() == pytest.approx(math.pi * 0.2**2, rel=0.01)
    assert (share.sum(0) @ at / share.sum()).item() == pytest.approx(-0.15, abs=1e-3)
    assert (share.sum(1) @ at / share.sum()).item() == pytest.approx(0.1, abs=1e-3)
    soft = blob.render(middle(blob, **{**shown, "width": -1.0}), 200)[0, 0]
    across = (soft - image[0, 0, 0]) / (image[0, 120, 70] - image[0, 0, 0])
    distance = torch.hypot(at + 0.15, (at - 0.1)[:, None])
    torch.testing.assert_close(across, torch.sigmoid((0.2 - distance) / 0.1), atol=1e-4, rtol=0)


def test_the_outline_of_a_blob_has_five_waves_whose_power_falls_as_order_to_the_minus_2_6():
    """Drawn on rays: the radius along each is the integral of the blob's share; its waves round the circle by FFT."""
    n, rays, shown = 1000, 16, {"x": 0.0, "y": 0.0, "radius": 0.2, "roughness": 0.1, "width": -2.0}
    latents = middle(blob, n, hue_blob=0.0, hue_ground=0.5, **shown)
    along, angle = torch.meshgrid((torch.arange(80) + 0.5) / 200, torch.arange(rays) * (math.tau / rays), indexing="ij")
    values = dict(zip(blob.factors, latents.values.T[:, :, None, None], strict=True))
    red = blob.draw(values, latents.seeds, along * angle.cos(), along * angle.sin())[:, 0]
    share = (red - rgb(0.5, 0.55)[0]) / (rgb(0.0, 0.8)[0] - rgb(0.5, 0.55)[0])
    radius = share.sum(1) / 200 / 0.2  # (n, rays), relative to the factor
    waves = torch.fft.rfft(radius)[:, 1:8] * (2 / rays)
    assert radius.mean().item() == pytest.approx(1, abs=4.5 * 0.1 / math.sqrt(n))
    variances = torch.cat([waves.real.square(), waves.imag.square()]).mean(0) / 0.1**2
    wanted = torch.arange(1, 8) ** -2.6 * torch.tensor([1.0, 1, 1, 1, 1, 0, 0])
    assert ((variances - wanted).abs() <= 4.5 * wanted / math.sqrt(n) + 1e-4).all()


@pytest.mark.parametrize("contrast", [0.05, 0.1])
def test_noise_has_its_contrast_and_its_tint(contrast):
    images = noise.render(middle(noise, 20, exponent=1.0, contrast=contrast, hue=0.3), 64)
    torch.testing.assert_close(images.mean((2, 3)), rgb(0.3, 0.6).expand(20, 3), atol=1e-4, rtol=0)
    wanted = contrast * rgb(0.3, 0.6).expand(20, 3)
    torch.testing.assert_close(images.std((2, 3)), wanted, atol=1e-3, rtol=1e-3)


# dead leaves: a world of few leaves, seen as a whole
def leaves(monkeypatch, count, n, size, edge=2.4, **factors):
    monkeypatch.setattr(module, "LEAVES", count or module.LEAVES)
    shown = {"smallest": -1.0, "width": -2.6, "hue": 0.1, "hue_spread": 0.5, **factors}
    latents = middle(dead_leaves, n, **shown)
    at = ((torch.arange(size) + 0.5) / size - 0.5) * edge
    y, x = torch.meshgrid(at, at, indexing="ij")
    values = dict(zip(dead_leaves.factors, latents.values.T[:, :, None, None], strict=True))
    return dead_leaves.draw(values, latents.seeds, x, y), at


def test_leaves_are_as_large_as_documented(monkeypatch):
    """Up to 0.4, which of leaves from 0.2 upwards 3.6 % reach within 0.02."""
    images, _ = leaves(monkeypatch, 1, 600, size=160, smallest=math.log10(0.2))
    area = ((0.5 - images.amax(1)) / 0.15).sum((1, 2)) * (2.4 / 160) ** 2
    assert 0.38 < (area.max() / math.pi).sqrt() < 0.41


def test_leaves_are_discs_of_radius_position_and_hue_as_documented(monkeypatch):
    """p(r) ∝ r⁻³ from the smallest radius, 0.1, to 0.4; centres uniform in ±0.7; hues 0.1 ± 0.25."""
    images, at = leaves(monkeypatch, 1, 600, size=160)
    cover = (0.5 - images.amax(1)) / 0.15  # the first leaf has brightness 0.35, what is bare has 0.5
    area = cover.sum((1, 2)) * (2.4 / 160) ** 2
    radius = (area / math.pi).sqrt().double()
    assert kstest(radius, lambda r: (0.1**-2 - r.clip(0.1, 0.4) ** -2.0) / (0.1**-2 - 0.4**-2)).pvalue > 0.01
    for across in (1, 2):
        centre = (cover.sum(3 - across) @ at / cover.sum((1, 2))).double()
        assert kstest(centre, uniform(-0.7, 1.4).cdf).pvalue > 0.01
    brightest = cover.flatten(1).argmax(1)
    colours = images.flatten(2)[torch.arange(600), :, brightest].double()
    hues = torch.tensor([colorsys.rgb_to_hsv(*colour)[0] for colour in colours.tolist()]).double()
    assert kstest((hues + 0.25) % 1, uniform(0.1, 0.5).cdf).pvalue > 0.01
    saturation = [colorsys.rgb_to_hsv(*colour)[1] for colour in colours.tolist()]
    assert torch.tensor(saturation).median().item() == pytest.approx(0.6, abs=0.01)


def test_leaves_lie_front_to_back(monkeypatch):
    """What the first leaf covers whole, no later one changes."""
    (one, _), (many, _) = (leaves(monkeypatch, count, 8, size=100) for count in (1, 3))
    first = one.amax(1, keepdim=True) < 0.3501
    assert first.any() and (one != many).any()
    torch.testing.assert_close(many * first, one * first, atol=1e-3, rtol=0)


def test_as_much_is_bare_as_300_leaves_leave(monkeypatch):
    """(1 − π E[r²] / 1.4²)^300 in the middle of an image, with E[r²] = 2 log(R / s) / (s⁻² − R⁻²)."""
    images, _ = leaves(monkeypatch, None, 1500, size=2, edge=0.5, smallest=-1.6, width=-6.0)
    bare = (images - 0.5).abs().amax(1) < 1e-3
    s, r = 10**-1.6, 0.4
    wanted = (1 - math.pi * 2 * math.log(r / s) / (s**-2 - r**-2) / 1.4**2) ** 300
    assert bare.float().mean().item() == pytest.approx(wanted, abs=4.5 * math.sqrt(wanted / (4 * 1500)))


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_the_spectrum_of_noise_falls_as_its_exponent_says(exponent):
    images = noise.render(middle(noise, 200, exponent=exponent, contrast=0.05), 64).mean(1)
    power = torch.fft.rfft2(images - images.mean((1, 2), keepdim=True)).abs().square().mean(0)[0, 1:32]
    frequency = torch.arange(1, 32) / 64
    slope = torch.linalg.lstsq(torch.stack([frequency.log(), torch.ones(31)], 1), power.log()[:, None]).solution[0]
    assert slope.item() == pytest.approx(-2 * exponent, abs=0.1)


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
def test_no_image_at_all_and_a_bad_size(name):
    with pytest.raises(ValueError, match=r"^n: wanted a whole number ≥ 1, got 0"):
        TEXTURES[name].sample_latents(0, seeded())
    with pytest.raises(ValueError, match="size"):
        TEXTURES[name].render(middle(TEXTURES[name]), 2)
