"""hssl.training: the loop learns, repeats itself exactly, and stops with a clear word."""

from functools import partial

import pytest
import torch

from hssl import losses
from hssl.encoders import MLP
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


def test_sweep_keeps_the_order_and_gives_each_run_one_thread():
    runs = sweep(lambda number: (number, torch.get_num_threads()), [{"number": n} for n in range(5)], label="runs")
    assert runs == [(n, 1) for n in range(5)]


def test_sweep_without_settings_and_with_an_error():
    with pytest.raises(ValueError, match="settings"):
        sweep(print, [], label="nothing")
    with pytest.raises(ZeroDivisionError):
        sweep(lambda number: 1 / number, [{"number": 0}], label="runs")
