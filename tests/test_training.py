"""hssl.training.loop and batches: what `fit` takes, that it repeats itself, and that it stops with a clear word."""

import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from hssl.checks import ArgumentError
from hssl.encoders import MLP, Levels
from hssl.losses import info_nce
from hssl.pairing import threshold
from hssl.pairs import Pairs
from hssl.training import Batch, Minibatches, fit, fit_levels
from hssl.worlds.latents import ContentStyle

LOSS = partial(info_nce, similarity="euclidean")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def train(steps=40, seed=0, **settings):
    generator = seeded(seed)
    world = ContentStyle(2, 3, generator=generator)
    encoder = MLP(5, 2, (16,), generator=generator).whiten(world.sample(500, generator).first)
    return encoder, fit(encoder, world, loss=LOSS, **{"steps": steps, "batch": 32, "generator": generator, **settings})


def test_the_loss_falls():
    history = train(150)[1]
    assert len(history.loss) == 150
    assert sum(history.loss[-20:]) < 0.9 * sum(history.loss[:20])


def test_the_same_generator_gives_the_same_network():
    (first, a), (second, b) = train(), train()
    assert a.loss == b.loss
    assert all(torch.equal(p, q) for p, q in zip(first.parameters(), second.parameters(), strict=True))
    assert train(seed=1)[1].loss != a.loss


def test_the_loop_is_the_one_that_the_book_writes_out():
    """Adam and the one-cycle rate, in the fewest lines, on the same pairs."""
    world = ContentStyle(2, 3, generator=seeded())
    mine, ours = (MLP(5, 2, (16,), generator=seeded(1)) for _ in range(2))
    generator, losses = seeded(2), []
    optimizer = torch.optim.Adam(mine.parameters(), fused=True)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=31, pct_start=0.02, cycle_momentum=False)
    for _ in range(30):
        pairs = world.sample(32, generator)
        loss = LOSS(*mine(torch.cat([pairs.first, pairs.second])).chunk(2))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rates.step()
        losses.append(loss.item())
    history = fit(ours, world, loss=LOSS, steps=30, batch=32, generator=seeded(2))
    assert history.loss == losses


class Weight(nn.Module):
    """One number; with the loss below its gradient is 1, so that Adam moves it by the learning rate."""

    def __init__(self):
        super().__init__()
        self.value = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, x):
        return x.double() * 0 + self.value


def test_the_learning_rate_rises_for_2_percent_of_the_steps_and_falls_to_0():
    ones = torch.ones(2, 1)
    history = fit(
        Weight(), lambda: (ones, ones), loss=lambda a, b: a.mean() / 2 + b.mean() / 2, steps=200, learning_rate=0.1,
        watch=lambda model: model.value.item(), every=1,
    )  # fmt: skip
    at = torch.tensor([0.0] + [value for _, value in history.watched])
    rates = -at.diff()
    assert rates.argmax().item() in (3, 4)  # of 201 steps, counted from 0
    assert rates.max().item() == pytest.approx(0.1, rel=0.01)
    for step in (50, 100, 150):  # half a cosine, from the peak to the end
        passed = (step - 0.02 * 201 + 1) / (0.98 * 201)
        assert rates[step].item() == pytest.approx(0.05 * (1 + math.cos(math.pi * passed)), abs=5e-4)
    assert rates[-1].item() < 1e-4


X = torch.arange(40.0).view(10, 4)


@pytest.mark.parametrize(
    "batches",
    [
        Pairs(X, -X),
        lambda: Pairs(X, -X),
        lambda: (X, -X),
        lambda: Batch((X, -X)),
        DataLoader(TensorDataset(X, -X), batch_size=10),
        DataLoader(TensorDataset(X, -X), batch_size=5, shuffle=True, generator=seeded()),
        Minibatches((X, -X), 10, seeded()),
    ],
    ids=["pairs", "gives pairs", "gives members", "gives a batch", "loader", "shuffled loader", "minibatches"],
)
def test_what_gives_pairs(batches):
    seen = []

    class Seeing(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, x):
            seen.append(x)
            return x * self.weight

    fit(Seeing(), batches, loss=lambda a, b: (a * b).mean(), steps=4, batch=10, generator=seeded())
    assert len(seen) == 4
    for x in seen:
        first, second = x.chunk(2)
        assert torch.equal(first, -second)


def test_extras_and_a_single_member_reach_the_loss():
    seen = []

    def loss(z, extra):
        seen.append((len(z), extra))
        return z.square().mean()

    fit(MLP(5, 2, generator=seeded()), lambda: Batch((torch.ones(4, 5),), ("extra",)), loss=loss, steps=2)
    assert seen == [(4, "extra")] * 2


def test_a_pairing_rule_sees_embeddings_without_gradient_and_observations():
    encoder, seen = MLP(4, 2, generator=seeded()), []

    def rule(h, x):
        seen.append((h.requires_grad, tuple(h.shape), tuple(x.shape)))
        return threshold(h, 1.0)

    def loss(h, positive, negative):
        assert h.requires_grad and positive.shape == (20, 20)
        return torch.cdist(h, h)[negative].mean()

    fit(encoder, Pairs(X, -X), loss=loss, pairing=rule, steps=2, batch=10, generator=seeded())
    assert seen == [(False, (20, 2), (20, 4))] * 2


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        (lambda: (X[:8], X[:6]), r"batches: wanted members of one shape, a row a pair, got \(8, 4\) and \(6, 4\)"),
        (lambda: (X, X[:, :3]), "batches: wanted members of one shape"),
        (lambda: (X, 3), "batches: wanted members that are tensors"),
        (lambda: Pairs(X, X[:6]), "second: wanted"),
        (DataLoader(TensorDataset(X, torch.arange(10)), batch_size=5), "batches: wanted members of one shape"),
        (DataLoader(TensorDataset(X), batch_size=20, drop_last=True), "batches: the DataLoader gave no batch"),
        ((X, X), "batches: wanted World or"),
        (None, "batches: wanted World or"),
    ],
)
def test_what_is_no_pair(batches, message):
    with pytest.raises(ValueError, match=message):
        fit(MLP(4, 2, generator=seeded()), batches, loss=LOSS, steps=1)


def test_a_world_needs_a_generator():
    for generator, message in ((None, "generator: wanted one"), (3, "generator: wanted Generator or None, got 3")):
        with pytest.raises(ValueError, match=message):
            fit(MLP(4, 2, generator=seeded()), Pairs(X, X), loss=LOSS, steps=1, generator=generator)


def test_minibatches_keep_rows_together():
    draw = Minibatches((X[:, 0], X[:, 0] + 100), 6, seeded(), extras=[X[:, 0] * 2])
    first, second = draw(), draw()
    assert torch.equal(first.members[0] + 100, first.members[1])
    assert torch.equal(first.members[0] * 2, first.extras[0])
    assert len(first.members[0].unique()) == 6
    assert not torch.equal(first.members[0], second.members[0])
    for other, size in ((X[:5], 4), (X, 11), (X, 1)):
        with pytest.raises(ValueError, match="size: wanted"):
            Minibatches((X, other), size, seeded())


def test_watching():
    history = train(25, watch=lambda model: model.training, every=10)[1]
    assert history.watched == [(10, False), (20, False), (25, False)]


@pytest.mark.parametrize(
    "setting",
    [
        {"steps": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"learning_rate": 1e6},
        {"every": 0},
        {"batch": 0},
        {"batch": 2.5},
    ],
)
def test_a_setting_out_of_range_is_named(setting):
    with pytest.raises(ValueError, match=f"{next(iter(setting))}: wanted"):
        train(**setting)


def test_divergence_names_the_step_before_the_weights_are_lost():
    encoder = MLP(5, 2, generator=seeded())
    before = [p.clone() for p in encoder.parameters()]
    with pytest.raises(FloatingPointError, match="step 1 of 5"):
        fit(encoder, lambda: (torch.ones(4, 5), torch.ones(4, 5)), loss=lambda a, b: a.sum() / 0, steps=5)
    assert all(torch.equal(p, q) for p, q in zip(encoder.parameters(), before, strict=True))


def test_an_error_on_the_way_names_the_step():
    encoder = MLP(5, 2, generator=seeded())
    views = torch.full((4, 5), float("nan"))
    with pytest.raises(ValueError, match="not finite") as caught:
        fit(encoder, lambda: (views, views), loss=info_nce, steps=5)
    assert "step 1 of 5" in caught.value.__notes__[0]


def test_an_interrupted_training_leaves_the_encoder_in_evaluation_mode():
    encoder = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))

    def interrupt(a, b):
        assert encoder.training and encoder[1].training
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(encoder, lambda: (X, X), loss=interrupt, steps=3)
    assert not encoder.training and not encoder[1].training


def test_fit_learns_where_the_caller_measures():
    with torch.no_grad():
        history = train(30)[1]
    assert history.loss[-1] < history.loss[0]


def test_another_device_that_is_not_here_is_refused_before_anything_is_trained(monkeypatch):
    monkeypatch.setenv("HSSL_DEVICE", "nowhere")
    encoder = nn.Linear(2, 2)
    before = encoder.weight.clone()
    with pytest.raises(ArgumentError, match=r"HSSL_DEVICE: wanted a device of this machine.*'nowhere'"):
        fit(encoder, Pairs(torch.randn(8, 2), torch.randn(8, 2)), loss=info_nce, steps=1, batch=4, generator=seeded())
    assert torch.equal(encoder.weight, before)


def test_a_rule_is_given_what_the_encoder_learns_from():
    x, seen = torch.randn(6, 2, generator=seeded()), []

    def rule(h, observations, number):
        seen.append((h.requires_grad, torch.equal(observations, x), number))
        return ("mask",)

    fit(nn.Linear(2, 2), lambda: Batch((x,), (3,)), loss=lambda h, mask: h.square().sum(), pairing=rule, steps=1)
    assert seen == [(False, True, 3)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("schedule", ["joint", "incremental"])
def test_on_a_gpu_levels_learn_the_same_and_come_back(schedule, monkeypatch):
    x, losses = torch.randn(64, 4, generator=seeded()), []
    for device in ("cpu", "cuda"):
        monkeypatch.setenv("HSSL_DEVICE", device)
        stack = Levels([MLP(4, 3, generator=seeded()), MLP(3, 2, generator=seeded(1))])
        history = fit_levels(stack, Pairs(x, x), losses=[info_nce] * 2, steps=5, schedule=schedule, generator=seeded())
        assert next(stack.parameters()).device.type == "cpu"
        losses.append(torch.tensor(history.loss))
    assert torch.allclose(*losses, rtol=1e-3)
