"""hssl.worlds.scenes: the causal law, what shows of the latents, and bad input."""

import pytest
import torch
from scipy.stats import kstest, truncnorm

from hssl.worlds.scenes import (
    CLASSES,
    FACTORS,
    GROUPS,
    LATENTS,
    Latents,
    Scenes,
    _causal_means,
    counterfactual,
    downstream,
    light_maps,
    nearly,
    relight,
    render,
    resample,
    sample_latents,
    targets,
    truncated_normal,
    truth,
    untouched,
)
from hssl.worlds.scenes.nearest import NearestScenes


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def still(n=1, **latents):
    """Scenes with every latent at 0 but these."""
    values = torch.zeros(n, len(LATENTS))
    for name, value in latents.items():
        values[:, LATENTS.index(name)] = torch.as_tensor(value)
    return Latents(torch.zeros(n, dtype=torch.int64), values)


def test_the_same_generator_gives_the_same_picture():
    first, second = (render(sample_latents(3, seeded(1)), 32) for _ in range(2))
    assert first.shape == (3, 3, 32, 32)
    assert torch.equal(first, second)
    assert first.min() >= 0
    assert first.max() <= 1
    assert not torch.equal(first, render(sample_latents(3, seeded(2)), 32))


@pytest.mark.parametrize("rows", [slice(0, 1), slice(3, 8), slice(60, 70)])
def test_an_image_does_not_depend_on_its_batch(rows):
    latents = sample_latents(70, seeded())  # more than one batch
    assert torch.equal(render(latents, 64)[rows], render(latents.rows(rows), 64))


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
    assert kstest(changed.numpy(), "uniform", (-1, 2)).pvalue > 1e-3
    assert abs(torch.corrcoef(torch.stack([changed, latents.values[:, 3]]))[0, 1]) < 0.03


def test_groups_and_factors_are_of_the_world():
    for groups in (GROUPS, FACTORS):
        assert sorted(name for group in groups.values() for name in group) == sorted(LATENTS)


def test_pairs_share_what_is_not_redrawn():
    pairs = Scenes(redraw="hues", size=16).sample(4, seeded())
    latents = sample_latents(4, seeded())
    assert torch.equal(pairs.first, render(latents, 16))
    assert (pairs.first != pairs.second).flatten(1).any(1).all()
    assert list(pairs.truth) == ["class", *FACTORS]
    for name, factor in truth(latents).items():
        assert torch.equal(pairs.truth[name], factor)
    both = Scenes(size=16).sample(4, seeded())
    assert torch.equal(both.first, both.second)


def test_own_redrawing_and_own_views():
    def mirrored(latents, generator):
        return latents._replace(values=-latents.values)

    pairs = Scenes(mirrored, views=lambda images, generator: 1 - images, size=16, causal=False).sample(3, seeded())
    latents = sample_latents(3, seeded(), causal=False)
    assert torch.equal(pairs.first, 1 - render(latents, 16))
    assert torch.equal(pairs.second, 1 - render(latents._replace(values=-latents.values), 16))
    with pytest.raises(ValueError, match=r"views: wanted views of shape \(3, 3, 16, 16\), got \(3, 3, 8, 8\)"):
        Scenes(views=lambda images, generator: images[..., ::2, ::2], size=16).sample(3, seeded())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"redraw": "hues+weather"}, "unknown 'weather'; there are x, y, .*positions"),
        ({"redraw": "colour"}, "views of images, such as augment.colour"),
        ({"size": 4}, "size: wanted 8 to 1024 pixels, got 4"),
        ({"views": "colour"}, "views: wanted"),
    ],
)
def test_a_setting_of_a_world_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Scenes(**settings)


@pytest.mark.parametrize("name", LATENTS)
def test_every_latent_shows(name):
    low, high = (render(still(**{name: value}), 32) for value in (-0.5, 0.5))
    assert (low - high).abs().max() > 0.05


def test_without_its_object_only_light_and_ground_are_left():
    latents = sample_latents(4, seeded())
    moved = Latents((latents.labels + 1) % 7, latents.values.clone())
    moved.values[:, 3:6] = 0.3  # another shape, turned
    assert torch.equal(render(latents, 32, with_object=False), render(moved, 32, with_object=False))


def test_supersampling_converges():
    latents = sample_latents(8, seeded())
    exact = render(latents, 32, supersampling=4)
    error = [(render(latents, 32, supersampling=n) - exact).abs().mean() for n in (1, 2)]
    assert error[1] < 0.6 * error[0]


def test_independent_latents_are_uniform():
    latents = sample_latents(4000, seeded(), causal=False)
    assert torch.bincount(latents.labels).tolist() == pytest.approx([4000 / 7] * 7, rel=0.15)
    for column in latents.values.T:
        assert kstest(column.numpy(), "uniform", (-1, 2)).pvalue > 1e-3


def test_truncated_normal_is_one():
    mean = torch.full((5000,), 0.8)
    drawn = truncated_normal(mean, seeded())
    law = truncnorm((-1 - 0.8) / 0.5, (1 - 0.8) / 0.5, loc=0.8, scale=0.5)
    assert kstest(drawn.numpy(), law.cdf).pvalue > 1e-3


def test_causal_latents_follow_their_parents():
    latents = sample_latents(40_000, seeded())
    mean = _causal_means(*latents)
    for column in (0, 1, 2, 3, 4, 5, 7):
        low, high = (-1 - mean[:, column].numpy()) / 0.5, (1 - mean[:, column].numpy()) / 0.5
        place = truncnorm.cdf((latents.values[:, column].numpy() - mean[:, column].numpy()) / 0.5, low, high)
        assert kstest(place, "uniform").pvalue > 1e-3, LATENTS[column]
    dragon, horse = (CLASSES.index(name) for name in ("dragon", "horse"))
    angle = torch.pi / 2 * latents.values[:, 6]
    assert torch.equal(mean[latents.labels == horse, 1], -angle.cos()[latents.labels == horse])
    assert (mean[latents.labels == horse, 7] == -0.7).all()
    own = latents.labels == dragon
    torch.testing.assert_close(mean[own, 7], -(latents.values[own, 8] + latents.values[own, 9]) / 2)


def test_targets_are_points_on_the_circle():
    found = targets(still(3, x=0.4, alpha=1.0, hue_object=torch.tensor([-1.0, 0.0, 1.0])))
    assert list(found) == list(LATENTS)
    assert found["x"].shape == (3, 1)
    torch.testing.assert_close(found["alpha"], torch.tensor([[1.0, 0.0]]).expand(3, 2), atol=1e-6, rtol=0)
    turns = torch.atan2(*found["hue_object"].T) / (2 * torch.pi)
    torch.testing.assert_close(turns % 1, torch.tensor([0, 5 / 12, 5 / 6]), atol=1e-5, rtol=0)


GOOD = still(2)


@pytest.mark.parametrize(
    ("latents", "error", "message"),
    [
        (Latents(GOOD.labels, GOOD.values + 1.5), ValueError, "not so in x, y"),
        (Latents(GOOD.labels, GOOD.values / 0), ValueError, r"\[−1, 1\]"),
        (Latents(GOOD.labels + 7, GOOD.values), ValueError, "labels: wanted 0 to 6"),
        (Latents(GOOD.labels, GOOD.values[:, :9]), ValueError, r"values: wanted Float\[Tensor, 'n 10'\]"),
        (Latents(GOOD.labels[:1], GOOD.values), ValueError, "values: wanted .* where n = 1"),
        (Latents(GOOD.labels[:0], GOOD.values[:0]), ValueError, "at least one"),
        (Latents(GOOD.labels.float(), GOOD.values), TypeError, "labels: wanted Int"),
        (Latents(GOOD.labels, GOOD.values.int()), TypeError, "values: wanted Float"),
    ],
)
def test_bad_latents_are_named(latents, error, message):
    with pytest.raises(error, match=message):
        render(latents, 16)


@pytest.mark.parametrize("setting", [{"size": 4}, {"size": 4096}, {"supersampling": 0}])
def test_a_setting_out_of_range_is_named(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        render(GOOD, **setting)


def test_no_scene_at_all():
    with pytest.raises(ValueError, match="n: wanted a whole number ≥ 1"):
        sample_latents(0, seeded())


@pytest.mark.parametrize(
    ("variable", "drawn"),
    [
        ("class", {"class", "position", "rotation", "hue_object"}),
        ("spotlight", {"spotlight", "position"}),
        ("hue_background", {"hue_background", "hue_object"}),
        ("rotation", {"rotation"}),
    ],
)
def test_a_counterfactual_redraws_a_variable_and_its_effects_alone(variable, drawn):
    assert downstream(variable) == drawn
    latents = sample_latents(300, seeded())
    changed = counterfactual(latents, seeded(1), variable=variable)
    moved = (changed.values != latents.values).any(0)
    for factor, names in FACTORS.items():
        assert all(moved[LATENTS.index(name)] == (factor in drawn) for name in names)
    assert torch.equal(changed.labels, latents.labels) == ("class" not in drawn)


def test_a_counterfactual_has_the_distribution_of_the_world():
    latents = sample_latents(40_000, seeded())
    for variable in ("class", "spotlight", "hue_spotlight"):
        changed = counterfactual(latents, seeded(1), variable=variable)
        before, after = (of.values - _causal_means(*of) for of in (latents, changed))
        assert (before.mean(0) - after.mean(0)).abs().max() < 0.02
        assert (before.std(0) - after.std(0)).abs().max() < 0.02


def test_effects_follow_their_new_cause():
    changed = counterfactual(sample_latents(20_000, seeded()), seeded(1), variable="spotlight")
    mean = _causal_means(*changed)[:, 0]
    law = truncnorm((-1 - mean.numpy()) / 0.5, (1 - mean.numpy()) / 0.5, loc=mean.numpy(), scale=0.5)
    assert kstest(law.cdf(changed.values[:, 0].numpy()), "uniform").pvalue > 1e-3


def test_an_unknown_variable_is_named():
    with pytest.raises(ValueError, match=r"variable: wanted one of class, position, .*; got 'weather'"):
        counterfactual(sample_latents(2, seeded()), seeded(), variable="weather")


@pytest.mark.parametrize("sigma", [0.1, 0.4])
def test_sharing_nearly_is_a_truncated_normal_about_the_old_value(sigma):
    first, second = Scenes("hues", causal=False, sigma=sigma).sample_latents(20_000, seeded())
    assert torch.equal(first.labels, second.labels)
    for column in range(7):
        z, new = first.values[:, column].numpy(), second.values[:, column].numpy()
        law = truncnorm((-1 - z) / sigma, (1 - z) / sigma, loc=z, scale=sigma)
        assert kstest(law.cdf(new), "uniform").pvalue > 1e-3
    redrawn = torch.stack([first.values[:, 7], second.values[:, 7]])
    assert abs(torch.corrcoef(redrawn)[0, 1]) < 0.03


def test_sigma_zero_shares_exactly_and_wrong_ones_are_named():
    first, second = Scenes("hues").sample_latents(50, seeded())
    assert torch.equal(first.values[:, :7], second.values[:, :7])
    with pytest.raises(ValueError, match="sigma: wanted a finite number ≥ 0, got -1"):
        Scenes("hues", sigma=-1.0)
    with pytest.raises(ValueError, match="sigma: wanted a finite number > 0, got 0"):
        nearly(first, torch.ones(10).bool(), seeded(), sigma=0)
    with pytest.raises(ValueError, match="kept: wanted"):
        nearly(first, torch.ones(9).bool(), seeded(), sigma=0.1)


def test_relit_scenes_are_as_rendered():
    latents = sample_latents(60, seeded())
    hues = torch.rand(60, 3, generator=seeded(1)) * 2 - 1
    changed = latents._replace(values=torch.cat([latents.values[:, :7], hues], 1))
    maps = light_maps(latents, 32)
    assert (relight(maps, hues) - render(changed, 32)).abs().mean() < 0.002
    assert torch.allclose(maps, light_maps(changed, 32), atol=1e-5)  # no hue is left in them
    with pytest.raises(ValueError, match=r"hues: wanted numbers in \[−1, 1\]"):
        relight(maps, hues * 2)


def test_the_released_rule_shares_the_class_exactly_and_the_rest_nearly():
    world = NearestScenes("hues", 3000, size=8, generator=seeded())
    items, others = world.bank.pairs(400, "hues", 1.0, seeded(1))
    first, second = (world.bank.latents.rows(rows) for rows in (items, others))
    assert torch.equal(first.labels, second.labels) and (items != others).all()
    kept, redrawn = (
        [torch.corrcoef(torch.stack([first.values[:, i], second.values[:, i]]))[0, 1].item() for i in columns]
        for columns in (range(7), range(7, 10))
    )
    assert min(kept) > 0.5 and max(redrawn) < min(kept)
    items, others = world.bank.pairs(4, "hues", 1.0, seeded(2))
    pairs = world.sample(4, seeded(2))
    for images, rows in ((pairs.first, items), (pairs.second, others)):
        assert torch.equal(images, render(world.bank.latents.rows(rows), 8))
