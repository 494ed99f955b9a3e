"""hssl.worlds.scenes: the causal law, what shows of the latents, and bad input."""

import pytest
import torch
from scipy.stats import kstest, truncnorm

from hssl.worlds.scenes import (
    CLASSES,
    LATENTS,
    Latents,
    causal_means,
    render,
    sample_latents,
    targets,
    truncated_normal,
)


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


def test_a_picture_does_not_depend_on_its_batch():
    latents = sample_latents(70, seeded())  # more than one batch
    torch.testing.assert_close(render(latents, 64)[68:], render(latents.rows(slice(68, 70)), 64), atol=1e-4, rtol=0)


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
    caused, mean = causal_means(*latents)
    for column in caused.nonzero()[:, 0].tolist():
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
        (Latents(GOOD.labels, GOOD.values[:, :9]), ValueError, r"\(n, 10\)"),
        (Latents(GOOD.labels[:1], GOOD.values), ValueError, "wanted shapes"),
        (Latents(GOOD.labels[:0], GOOD.values[:0]), ValueError, "n ≥ 1"),
        (Latents(GOOD.labels.float(), GOOD.values), TypeError, "wanted integers"),
        (Latents(GOOD.labels, GOOD.values.int()), TypeError, "floating-point"),
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
    with pytest.raises(ValueError, match="at least one"):
        sample_latents(0, seeded())
