"""hssl.worlds.latents: closed forms, invariances, and what it says to bad settings. Three content, four style."""

import pytest
import torch
from sklearn.linear_model import LinearRegression

from hssl.worlds.latents import ROWS, ContentStyle, _conditioned, draw_layers, mix, unmix, wishart


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def make(**settings):
    return ContentStyle(3, 4, generator=seeded(), **settings)


def latents(world, n, generator):
    """Content, style, and style after the augmentation, drawn as `sample` draws them."""
    truth = world.sample(n, generator).truth
    return truth["content"], truth["style"], world.augment(truth["content"], truth["style"], generator)


def test_shapes_and_shared_content():
    world = make(change_probability=0.5)
    pairs = world.sample(7, seeded(1))
    content, style = pairs.truth["content"], pairs.truth["style"]
    assert pairs.first.shape == pairs.second.shape == (7, 7)
    assert content.shape == (7, 3) and style.shape == (7, 4)
    assert torch.equal(pairs.first, world.observe(content, style))
    kept, changed = world.invert(pairs.second)
    torch.testing.assert_close(kept, content, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(changed, style, atol=0.1)


def test_same_generator_same_world_and_sample():
    first, second = (make(statistical=True, causal=True).sample(5, seeded(3)) for _ in range(2))
    assert torch.equal(first.first, second.first) and torch.equal(first.second, second.second)
    assert not torch.equal(first.first, make(statistical=True, causal=True).sample(5, seeded(4)).first)


def test_mixing_is_inverted_exactly():
    world = make(statistical=True, causal=True)
    pairs = world.sample(200, seeded())
    content, style = world.invert(pairs.first)
    torch.testing.assert_close(content, pairs.truth["content"], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(style, pairs.truth["style"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_share_of_changed_coordinates(probability):
    _, style, after = latents(make(change_probability=probability), 20_000, seeded())
    changed = (style != after).float().mean().item()
    assert changed == pytest.approx(probability, abs=0.01)


def test_untouched_coordinates_never_change():
    _, style, after = latents(make(untouched=2), 100, seeded())
    assert torch.equal(style[:, :2], after[:, :2])
    assert (style[:, 2:] != after[:, 2:]).all()


def test_added_change_has_its_covariance():
    world = make(statistical=True, change_scale=0.5)
    _, style, after = latents(world, 100_000, seeded())
    measured = torch.cov((after - style).T)
    torch.testing.assert_close(measured, 0.25 * world.change_covariance, atol=0.02, rtol=0.05)


def test_negation_and_resampling():
    _, style, after = latents(make(change="negate"), 50, seeded())
    assert torch.equal(after, -style)
    _, style, after = latents(make(change="resample", causal=True, statistical=True), 100_000, seeded())
    torch.testing.assert_close(torch.cov(style.T), torch.cov(after.T), atol=0.1, rtol=0.1)


def test_latents_have_the_covariances_of_the_model():
    world = make(statistical=True, causal=True)
    content, style, _ = latents(world, 200_000, seeded())
    torch.testing.assert_close(torch.cov(content.T), world.content_covariance, atol=0.03, rtol=0.05)
    residual = style - world.offset - content @ world.effect.T
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
    content, style = (latent.numpy() for latent in world.sample(50_000, seeded(1)).truth.values())
    fitted = LinearRegression().fit(content, style).score(content, style)  # knows nothing of a and B
    assert fitted == pytest.approx(world.style_ceiling(), abs=0.01)


def test_where_style_is_shared_content_is_drawn_again_from_its_distribution_given_style():
    world = make(statistical=True, causal=True, shared="style")
    pairs = world.sample(200_000, seeded())
    content, style = pairs.truth["content"], pairs.truth["style"]
    other, same = world.invert(pairs.second)
    torch.testing.assert_close(same, style, atol=1e-3, rtol=1e-3)
    joint, again = (torch.cov(torch.cat([c, style], 1).T) for c in (content, other))
    torch.testing.assert_close(joint, again, atol=0.06, rtol=0.03)
    between = torch.corrcoef(torch.cat([content, other], 1).T)[:3, 3:].diagonal()
    assert between.mean().item() == pytest.approx(world.content_ceiling(), abs=0.01)  # they share what style says
    fitted = LinearRegression().fit(style[:50_000].numpy(), content[:50_000].numpy())
    score = fitted.score(style[:50_000].numpy(), content[:50_000].numpy())
    assert score == pytest.approx(world.content_ceiling(), abs=0.01)
    assert make().content_ceiling() == 0
    first, second = (make(shared=name).sample(5, seeded()).first for name in ("content", "style"))
    assert torch.equal(first, second)


def test_change_ratios_are_the_variances_that_samples_show():
    world = make(change_probability=0.6, statistical=True, causal=True, change_scale=0.7)
    ratios, directions = world.change_ratios()
    _, style, after = latents(world, 200_000, seeded())
    style, change = style @ directions, (after - style) @ directions
    torch.testing.assert_close(torch.cov(style.T), torch.eye(4), atol=0.02, rtol=0)
    torch.testing.assert_close(torch.cov(change.T), torch.diag(ratios), atol=0.02, rtol=0.02)
    torch.testing.assert_close(make(change_probability=0.6).change_ratios()[0], torch.full((4,), 0.6))
    with pytest.raises(ValueError, match="wanted 'add'"):
        make(untouched=1).change_ratios()


def test_covariances_are_what_their_names_say():
    eigenvalues = torch.linalg.eigvalsh(_conditioned(6, 10.0, seeded()))
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
        {"condition": float("inf")},
        {"dependence": 1e30},
        {"change_scale": float("inf")},
        {"dependence": -1.0},
        {"change": "twist"},
        {"shared": "nothing"},
        {"change_scale": 0.0},
        {"untouched": 9},
    ],
    ids=str,
)
def test_a_setting_out_of_range_is_named(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        ContentStyle(**setting)


def test_unknown_row_lists_the_rows():
    with pytest.raises(ValueError, match=r"name: wanted one of .*p75_stat_cau; got 'p80'"):
        ContentStyle.row("p80")


def test_bad_samples_and_observations():
    world = make()
    with pytest.raises(ValueError, match="n: "):
        world.sample(0, seeded())
    with pytest.raises(ValueError, match="content: wanted shape"):
        world.observe(torch.zeros(2, 4), torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"style: wanted shape \(2, 4\), got \(2, 5\)"):
        world.observe(torch.zeros(2, 3), torch.zeros(2, 5))
    with pytest.raises(ValueError, match=r"style: wanted Float\[Tensor, 'n style'\] where n = 2, .* got f32\[3,4\]"):
        world.observe(torch.zeros(2, 3), torch.zeros(3, 4))
    with pytest.raises(TypeError, match=r"generator: wanted Generator, got 0"):
        world.sample(3, 0)


def test_layers_are_well_conditioned_with_unit_columns():
    layers = draw_layers(10, seeded())
    assert layers.shape == (3, 10, 10)
    torch.testing.assert_close(layers.norm(dim=1), torch.ones(3, 10))
    assert (torch.linalg.cond(layers) < 6).all()  # about 5.1 bounds the 25 lowest of 25,000


@pytest.mark.parametrize("n", [1, 2, 7])
def test_unmixing_undoes_mixing(n):
    layers, z = draw_layers(n, seeded()), torch.randn(50, n, generator=seeded(1))
    kept = z.clone()
    torch.testing.assert_close(unmix(mix(z, layers), layers), z, atol=1e-4, rtol=1e-4)
    assert torch.equal(z, kept)


def test_one_identity_layer_changes_nothing_and_two_bend():
    z = torch.tensor([[1.0, -1.0]])
    assert torch.equal(mix(z, torch.eye(2)[None]), z)
    assert mix(z, torch.eye(2).repeat(2, 1, 1)).tolist() == [[1.0, pytest.approx(-0.2)]]
