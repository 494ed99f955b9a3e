"""hssl.training on levels: caching changes nothing, errors come early."""

from functools import partial

import pytest
import torch
from torch import nn

from hssl import losses, patches
from hssl.encoders import MLP, Hierarchy, Levels
from hssl.training import SCHEDULES, Batch, Minibatches, Phase, fit, fit_levels
from hssl.training.levels import level_losses


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def neighbours_loss(z, ink, generator):
    ink = ink[:, : z.shape[1], : z.shape[2]]
    first, second = patches.draw_neighbours(ink, generator)
    rows = torch.arange(len(z))
    z = z.flatten(1, 2)
    return losses.info_nce(z[rows, first], z[rows, second], temperature=0.5)


def train(schedule="joint", *, steps=6, seed=0, augment=None, batches=None, **settings):
    """A hierarchy, trained."""
    generator = seeded(seed)
    model = Hierarchy((32, 32), ((8, 8), (16, 16)), 6, channels=(4, 4), hidden=10, head=5, generator=generator)
    store = torch.rand(40, 1, 32, 32, generator=generator) / 4 + torch.rand(40, 1, 1, 1, generator=generator)
    drawn = Minibatches((store,), 8, generator, extras=[torch.ones(40, 4, 4, dtype=torch.bool)], augment=augment)
    objective = [partial(neighbours_loss, generator=generator)] * 2
    history = fit_levels(
        model, batches or drawn, losses=objective, steps=steps, schedule=schedule, **{"learning_rate": 0.01, **settings}
    )
    return model, history


def same(first, second, **tolerance):
    a, b = first.state_dict(), second.state_dict()
    for name in a:
        torch.testing.assert_close(a[name], b[name], **tolerance)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_repeats_itself_and_learns(schedule):
    (first, a), (second, b) = train(schedule, steps=40), train(schedule, steps=40)
    assert a.loss == b.loss
    same(first, second, rtol=0, atol=0)
    for learned in a.levels.values():
        assert sum(learned[-10:]) < sum(learned[:10])
    assert sorted(a.levels) == ([2] if schedule == "random_frozen" else [1, 2])


def test_detached_learns_the_same_with_one_backward_pass_or_with_one_a_level():
    (first, a), (second, b) = train("detached"), train("backward_per_level")
    assert a.loss == pytest.approx(b.loss, rel=1e-5)
    same(first, second, rtol=1e-3, atol=1e-4)


def test_incremental_leaves_what_it_has_learned():
    generator = seeded()
    one = Hierarchy((32, 32), ((8, 8),), 6, channels=(4, 4), hidden=10, head=5, generator=generator)
    assert one.levels[0].size == 8
    model, history = train("incremental", steps=(6, 1))
    longer, more = train("incremental", steps=(6, 9))
    same(model.levels[0], longer.levels[0], rtol=0, atol=0)
    assert history.levels[1] == more.levels[1]
    assert len(more.levels[1]) == 6 and len(more.levels[2]) == 9 and len(more.loss) == 15


@pytest.mark.parametrize("schedule", ["incremental", "overlapping"])
def test_a_cache_changes_nothing(schedule):
    (first, a), (second, b) = train(schedule), train(schedule, precompute=True)
    assert a.loss == pytest.approx(b.loss, rel=1e-4)
    same(first, second, rtol=1e-3, atol=1e-4)


def test_a_level_of_weight_0_learns_from_those_above_it_alone():
    model, _ = train("joint", weights=(0.0, 1.0))
    assert all(p.grad is None for p in model.heads[0].parameters())
    other, _ = train("joint")
    assert not torch.equal(next(model.levels.parameters()), next(other.levels.parameters()))


def test_what_was_watched_is_kept():
    history = train(watch=lambda model: len(model.levels), every=3)[1]
    assert history.watched == [(3, 2), (6, 2)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"schedule": "joint", "precompute": True}, "precompute: nothing is frozen"),
        ({"schedule": "incremental", "precompute": True, "augment": torch.neg}, "augmented anew in every step"),
        ({"schedule": "incremental", "precompute": True, "batches": lambda: ()}, "augmented anew in every step"),
        ({"schedule": "both"}, "schedule: wanted a function or one of joint"),
        ({"schedule": lambda levels: []}, "schedule: wanted phases of levels from 0 to 1"),
        ({"schedule": lambda levels: [Phase(0, 2)]}, "schedule: wanted phases of levels from 0 to 1"),
        ({"schedule": lambda levels: [Phase(1, 0)]}, "schedule: wanted phases of levels from 0 to 1"),
        ({"schedule": lambda levels: [Phase(0, 1, 1.5)]}, "wanted a gradient_scale from 0 to 1, got 1.5"),
        ({"schedule": lambda levels: [Phase(0, 1, 0.5, True)]}, "local_backward only where no gradient passes"),
        ({"steps": (3, 3)}, "steps for each of 1 phases, got 2 and 2"),
        ({"schedule": "incremental", "steps": (3, 0)}, "steps: wanted whole numbers ≥ 1"),
        ({"steps": 0}, "steps: wanted"),
        ({"learning_rate": 1e6}, "learning_rate: wanted a number above 0 and at most 1, got 1000000"),
        ({"weights": (1.0,)}, "weights: wanted 2"),
        ({"weights": (1.0, -1.0)}, "weights: wanted 2 finite"),
        ({"weights": (0.0, 0.0)}, "not all 0"),
        ({"schedule": "incremental", "weights": (0.0, 1.0)}, "weights: in some phase"),
    ],
)
def test_errors_come_before_any_work_is_lost(settings, message):
    settings = {"learning_rate": 0.01, **settings}
    with pytest.raises(ValueError, match=message):
        train(**settings, watch=lambda model: pytest.fail("a step was done"), every=1)


def test_a_loss_for_each_level_and_weights_for_all():
    model = Hierarchy((32, 32), ((8, 8), (16, 16)), 6, generator=seeded())
    with pytest.raises(ValueError, match="losses, steps: wanted a loss for each of 2 levels"):
        fit_levels(model, lambda: (), losses=[torch.mean], weights=(1.0, 1.0), steps=3)
    with pytest.raises(ValueError, match="weights: wanted 2 finite numbers"):
        fit_levels(model, lambda: (), losses=[torch.mean] * 2, weights=(1.0,), steps=3)


def test_one_level_is_trained_as_fit_trains_an_encoder():
    views = tuple(torch.randn(2, 30, 5, generator=seeded()))
    encoder = MLP(5, 2, (8,), generator=seeded())
    wanted = fit(encoder, lambda: views, loss=losses.info_nce, steps=5).loss
    for schedule in SCHEDULES:
        stack = Levels([MLP(5, 2, (8,), generator=seeded())])
        history = fit_levels(stack, lambda: views, losses=[losses.info_nce], steps=5, schedule=schedule)
        assert history.loss == pytest.approx(wanted, rel=1e-6)
        assert history.levels == {1: history.loss}


@pytest.mark.parametrize("scale", [0.25, 0.75])
def test_a_fraction_of_the_gradient_goes_on(scale):
    """Of two linear levels y = b (a x), the loss of the second gives a's gradient, times the scale."""
    x = torch.tensor([[2.0], [3.0]])
    below, above = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    stack = Levels([below, above])
    found = list(level_losses(stack, Batch((x,)), [torch.sum, torch.sum], Phase(0, 1, scale)))
    assert [k for k, _ in found] == [0, 1]
    found[1][1].backward()
    assert below.weight.grad.item() == pytest.approx(scale * above.weight.item() * 5)
    assert above.weight.grad.item() == pytest.approx(below.weight.item() * 5)


def test_only_what_learns_is_in_training_mode():
    seen = []
    stack = Levels([nn.Linear(3, 3), nn.BatchNorm1d(3)], [nn.Identity(), nn.Dropout(0.0)])

    def loss(z):
        seen.append([module.training for module in (*stack.levels, *stack.heads)])
        return z.square().mean()

    x = torch.randn(8, 3, generator=seeded())
    fit_levels(stack, lambda: x, losses=[loss, loss], steps=1, schedule="incremental", watch=len_of_levels, every=1)
    assert seen == [[True, False, True, False], [False, True, False, True]]
    assert not any(module.training for module in stack.modules())


def len_of_levels(stack):
    assert not any(module.training for module in stack.modules())
    return len(stack.levels)


def test_with_local_backward_passes_one_level_is_kept_at_a_time():
    """A level's loss is taken back before the next level is computed."""
    order, x = [], torch.randn(4, 3, generator=seeded())
    levels = [nn.Linear(3, 3) for _ in range(3)]
    for k, level in enumerate(levels):
        level.register_forward_hook(lambda *_, k=k: order.append(f"forward {k}"))
        level.weight.register_hook(lambda _, k=k: order.append(f"backward {k}"))
    by_level = [lambda z: z.square().mean()] * 3
    fit_levels(Levels(levels), lambda: x, losses=by_level, steps=1, schedule="backward_per_level")
    assert order == [f"{way} {k}" for k in range(3) for way in ("forward", "backward")]


def test_minibatches_check_their_store():
    with pytest.raises(ValueError, match="wanted one length"):
        Minibatches((torch.zeros(5, 2),), 3, seeded(), extras=[torch.zeros(4)])


def test_the_sum_over_levels():
    a, b = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0)
    assert losses.level_sum([a, b]).item() == 5
    assert losses.level_sum([a, b], [0.5, 2]).item() == 7
    losses.level_sum([a, b], [0.5, 2]).backward()
    assert a.grad.item() == 0.5
    assert losses.level_sum([a, torch.tensor(float("inf"))], [1, 0]).item() == 2
    for bad, message in (([], "at least one"), ([torch.zeros(2)], "scalars")):
        with pytest.raises(ValueError, match=message):
            losses.level_sum(bad)
