"""hssl.training and hssl.encoders: the loop learns, repeats itself exactly, and stops with a clear word."""

from functools import partial

import pytest
import torch

from hssl import losses
from hssl.encoders import MLP, ConvNet
from hssl.training import fit, minibatches, sweep
from hssl.worlds.latents import ContentStyle


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def train(steps=40, seed=0, **settings):
    generator = seeded(seed)
    world = ContentStyle(2, 3, generator=generator)
    encoder = MLP(5, 2, (16,), generator=generator).whiten(world.sample(500, generator).anchors)

    def batches():
        pairs = world.sample(32, generator)
        return pairs.anchors, pairs.positives

    return encoder, fit(
        encoder, batches, loss=partial(losses.info_nce, similarity="euclidean"), steps=steps, **settings
    )


def test_the_loss_falls():
    history = train(150)[1]
    assert len(history.loss) == 150
    assert sum(history.loss[-20:]) < 0.9 * sum(history.loss[:20])


def test_the_same_generator_gives_the_same_network():
    (first, a), (second, b) = train(), train()
    assert a.loss == b.loss
    assert all(torch.equal(p, q) for p, q in zip(first.parameters(), second.parameters(), strict=True))
    assert train(seed=1)[1].loss != a.loss


def test_minibatches_keep_pairs_together():
    anchors = torch.arange(10.0)[:, None]
    draw = minibatches(anchors, anchors + 100, 6, seeded())
    first, second = draw(), draw()
    assert torch.equal(first[0] + 100, first[1])
    assert len(first[0].unique()) == 6
    assert not torch.equal(first[0], second[0])
    for positives, size in ((anchors[:5], 4), (anchors, 11), (anchors, 1)):
        with pytest.raises(ValueError, match="size: wanted"):
            minibatches(anchors, positives, size, seeded())


def test_watching():
    history = train(25, watch=lambda model: model.training, every=10)[1]
    assert history.watched == [(10, False), (20, False), (25, False)]


@pytest.mark.parametrize(
    "setting", [{"steps": 0}, {"learning_rate": 0.0}, {"learning_rate": float("nan")}, {"every": 0}]
)
def test_a_setting_out_of_range_is_named(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        train(**setting)


def test_divergence_names_the_step():
    encoder = MLP(5, 2, generator=seeded())
    with pytest.raises(FloatingPointError, match="step 1 of 5"):
        fit(encoder, lambda: (torch.ones(4, 5), torch.ones(4, 5)), loss=lambda a, b: a.sum() / 0, steps=5)


def test_an_error_on_the_way_names_the_step():
    encoder = MLP(5, 2, generator=seeded())
    views = torch.full((4, 5), float("nan"))
    with pytest.raises(ValueError, match="NaNs among the embeddings") as caught:
        fit(encoder, lambda: (views, views), loss=losses.info_nce, steps=5)
    assert "step 1 of 5" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("observations", "error", "message"),
    [
        (torch.zeros(30, 4), ValueError, r"wanted shape \(n, 5\), got \(30, 4\)"),
        (torch.zeros(5), ValueError, "wanted shape"),
        (torch.zeros(30, 5, dtype=torch.float64), TypeError, "wanted torch.float32, got torch.float64"),
        (torch.full((30, 5), float("nan")), ValueError, "not finite"),
        (torch.zeros(9, 5), ValueError, "at least 10"),
        (torch.randn(30, 1, generator=seeded()).expand(30, 5), ValueError, "singular"),
    ],
)
def test_bad_observations_are_named(observations, error, message):
    encoder = MLP(5, 2, generator=seeded())
    with pytest.raises(error, match=message):
        encoder.whiten(observations)
    if "shape" in message or error is TypeError:
        with pytest.raises(error, match=message):
            encoder(observations)


def test_whitened_input_is_white():
    world = ContentStyle(statistical=True, causal=True, generator=seeded())
    x = world.sample(2000, seeded(1)).anchors
    encoder = MLP(10, 2, generator=seeded()).whiten(x)
    white = (x - encoder.mean) @ encoder.whitening
    torch.testing.assert_close(torch.cov(white.T), torch.eye(10), atol=1e-3, rtol=0)


def test_encoder_settings():
    assert MLP(4, 2, (8, 8), skip=False, generator=seeded()).skip is None
    with pytest.raises(ValueError, match="at least 1 wide"):
        MLP(4, 0, generator=seeded())


def test_a_convnet_is_drawn_from_its_generator():
    pictures = torch.rand(2, 3, 16, 16, generator=seeded())
    state = torch.random.get_rng_state()
    first, second, other = (ConvNet(5, 16, (4, 8), generator=seeded(s)).eval()(pictures) for s in (0, 0, 1))
    assert first.shape == (2, 5)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("pictures", "error", "message"),
    [
        (torch.zeros(2, 3, 32, 32), ValueError, r"\(n, 3, 16, 16\), got \(2, 3, 32, 32\)"),
        (torch.zeros(3, 16, 16), ValueError, "wanted shape"),
        (torch.zeros(2, 3, 16, 16).double(), TypeError, "wanted torch.float32"),
    ],
)
def test_bad_pictures_are_named(pictures, error, message):
    with pytest.raises(error, match=message):
        ConvNet(5, 16, (4, 8), generator=seeded())(pictures)


@pytest.mark.parametrize("settings", [{"size": 20}, {"n_out": 0}, {"channels": (4, 0)}])
def test_bad_settings_of_a_convnet(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        ConvNet(**{"n_out": 3, "size": 16, "generator": seeded(), **settings})


def test_sweep_keeps_the_order_and_gives_each_run_one_thread():
    runs = sweep(lambda number: (number, torch.get_num_threads()), [{"number": n} for n in range(5)], label="runs")
    assert runs == [(n, 1) for n in range(5)]


def test_sweep_without_settings_and_with_an_error():
    with pytest.raises(ValueError, match="settings"):
        sweep(print, [], label="nothing")
    with pytest.raises(ZeroDivisionError):
        sweep(lambda number: 1 / number, [{"number": 0}], label="runs")
