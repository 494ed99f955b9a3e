"""hssl.worlds.latents: closed forms, invariances, and what it says to bad settings. Three content, four style."""

import pytest
import torch
from sklearn.linear_model import LinearRegression

from hssl.worlds.latents import ROWS, ContentStyle, conditioned, wishart


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def make(**settings):
    return ContentStyle(3, 4, generator=seeded(), **settings)


def test_shapes_and_shared_content():
    pairs = make(change_probability=0.5).sample(7, seeded(1))
    assert [tuple(t.shape) for t in pairs] == [(7, 3), (7, 4), (7, 4), (7, 7), (7, 7)]
    world = make()
    assert torch.equal(pairs.anchors, world.observe(pairs.content, pairs.style))
    assert torch.equal(pairs.positives, world.observe(pairs.content, pairs.augmented_style))


def test_same_generator_same_world_and_sample():
    first, second = (make(statistical=True, causal=True).sample(5, seeded(3)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first.anchors, make(statistical=True, causal=True).sample(5, seeded(4)).anchors)


def test_mixing_is_inverted_exactly():
    world = make(statistical=True, causal=True)
    pairs = world.sample(200, seeded())
    content, style = world.invert(pairs.anchors)
    torch.testing.assert_close(content, pairs.content, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(style, pairs.style, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_share_of_changed_coordinates(probability):
    pairs = make(change_probability=probability).sample(20_000, seeded())
    changed = (pairs.style != pairs.augmented_style).float().mean().item()
    assert changed == pytest.approx(probability, abs=0.01)


def test_untouched_coordinates_never_change():
    pairs = make(untouched=2).sample(100, seeded())
    assert torch.equal(pairs.style[:, :2], pairs.augmented_style[:, :2])
    assert (pairs.style[:, 2:] != pairs.augmented_style[:, 2:]).all()


def test_added_change_has_its_covariance():
    world = make(statistical=True, change_scale=0.5)
    pairs = world.sample(100_000, seeded())
    measured = torch.cov((pairs.augmented_style - pairs.style).T)
    torch.testing.assert_close(measured, 0.25 * world.change_covariance, atol=0.02, rtol=0.05)


def test_negation_and_resampling():
    pairs = make(change="negate").sample(50, seeded())
    assert torch.equal(pairs.augmented_style, -pairs.style)
    pairs = make(change="resample", causal=True, statistical=True).sample(100_000, seeded())
    torch.testing.assert_close(torch.cov(pairs.style.T), torch.cov(pairs.augmented_style.T), atol=0.1, rtol=0.1)


def test_latents_have_the_covariances_of_the_model():
    world = make(statistical=True, causal=True)
    pairs = world.sample(200_000, seeded())
    torch.testing.assert_close(torch.cov(pairs.content.T), world.content_covariance, atol=0.03, rtol=0.05)
    residual = pairs.style - world.offset - pairs.content @ world.effect.T
    torch.testing.assert_close(torch.cov(residual.T), world.style_covariance, atol=0.03, rtol=0.05)


def test_ceiling_closed_form():
    world = make(causal=True)
    rows = (world.effect**2).sum(1)  # of BBᵀ, for white content and style
    assert world.style_ceiling() == pytest.approx((rows / (rows + 1)).mean().item(), abs=1e-6)
    assert make(statistical=True).style_ceiling() == 0.0


@pytest.mark.parametrize("row", ROWS)
def test_ceiling_is_what_the_best_predictor_reaches(row):
    world = ContentStyle.row(row, n_content=3, n_style=4, generator=seeded(5))
    assert world.style_ceiling(seeded()) == pytest.approx(world.style_ceiling(), abs=0.01)
    content, style = (latent.numpy() for latent in world.sample(50_000, seeded(1))[:2])
    fitted = LinearRegression().fit(content, style).score(content, style)  # knows nothing of a and B
    assert fitted == pytest.approx(world.style_ceiling(), abs=0.01)


def test_change_ratios_are_the_variances_that_samples_show():
    world = make(change_probability=0.6, statistical=True, causal=True, change_scale=0.7)
    ratios, directions = world.change_ratios()
    pairs = world.sample(200_000, seeded())
    style, change = pairs.style @ directions, (pairs.augmented_style - pairs.style) @ directions
    torch.testing.assert_close(torch.cov(style.T), torch.eye(4), atol=0.02, rtol=0)
    torch.testing.assert_close(torch.cov(change.T), torch.diag(ratios), atol=0.02, rtol=0.02)
    torch.testing.assert_close(make(change_probability=0.6).change_ratios()[0], torch.full((4,), 0.6))
    with pytest.raises(ValueError, match="wanted 'add'"):
        make(untouched=1).change_ratios()


def test_covariances_are_what_their_names_say():
    eigenvalues = torch.linalg.eigvalsh(conditioned(6, 10.0, seeded()))
    assert (eigenvalues[-1] / eigenvalues[0]).item() == pytest.approx(10, rel=1e-3)
    assert eigenvalues.mean().item() == pytest.approx(1, rel=1e-4)
    generator = seeded()
    mean = torch.stack([wishart(4, generator) for _ in range(4000)]).mean(0)
    torch.testing.assert_close(mean, 4 * torch.eye(4), atol=0.25, rtol=0)


@pytest.mark.parametrize(
    "setting",
    [
        {"n_content": 0},
        {"n_style": -1},
        {"change_probability": 1.2},
        {"change_probability": float("nan")},
        {"condition": 0.5},
        {"dependence": -1.0},
        {"change": "twist"},
        {"change_scale": 0.0},
        {"untouched": 9},
    ],
    ids=str,
)
def test_a_setting_out_of_range_is_named(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        ContentStyle(**setting)


def test_unknown_row_lists_the_rows():
    with pytest.raises(ValueError, match=r"p80.*p75_stat_cau"):
        ContentStyle.row("p80")


def test_bad_samples_and_observations():
    world = make()
    with pytest.raises(ValueError, match="n: "):
        world.sample(0, seeded())
    with pytest.raises(ValueError, match="content: wanted shape"):
        world.observe(torch.zeros(2, 4), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="style: wanted shape"):
        world.observe(torch.zeros(2, 3), torch.zeros(3, 4))
