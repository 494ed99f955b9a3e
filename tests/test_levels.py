"""hssl.encoders.levels, hssl.training.schedules: what each level sees, whose gradient is zero, which is whose sum."""

from functools import partial

import pytest
import torch
from torch import nn

from hssl import losses, patches
from hssl.encoders import ConvNet, Hierarchy, Levels, Merge, WindowEncoder, drawn_from, embed
from hssl.training import Batch, Phase
from hssl.training.levels import level_losses
from hssl.training.schedules import SCHEDULES, phases

WINDOWS = ((8, 4), (16, 8), (32, 32))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def hierarchy(windows=WINDOWS, seed=0, **settings):
    return Hierarchy((32, 32), windows, 6, channels=(4, 4), hidden=10, generator=seeded(seed), **settings)


def pictures(n=5, seed=1):
    return torch.rand(n, 1, 32, 32, generator=seeded(seed))


def neighbours_loss(z, generator):
    """Of pairs drawn among neighbouring windows; of the next pictures' window at the top, which has no neighbour."""
    z = z.flatten(1, 2)
    if z.shape[1] == 1:
        return losses.info_nce(z[::2, 0], z[1::2, 0], temperature=0.5)
    return losses.info_nce(z[:, 0], z[:, 1], temperature=0.5)


def by_level(k=3):
    return [partial(neighbours_loss, generator=None)] * k


def gradients(model, phase, x=None):
    """Of every parameter after one backward pass as the phase wants it."""
    model.zero_grad(set_to_none=True)
    model.train()
    values = []
    batch = Batch((pictures(6) if x is None else x,))
    for _, value in level_losses(model, batch, by_level(len(model.levels)), phase):
        if phase.local_backward:
            value.backward()
        values.append(value)
    if not phase.local_backward:
        losses.level_sum(values).backward()
    return {name: p.grad for name, p in model.named_parameters()}


def only(schedule, levels=3):
    """The one phase of a schedule that has one."""
    (phase,) = phases(schedule, levels)
    return phase


def of_level(found, k):
    return {name: grad for name, grad in found.items() if name.startswith((f"levels.{k}.", f"heads.{k}."))}


def test_every_level_comes_with_its_grid():
    model = hierarchy().eval()
    assert [tuple(z.shape) for z in model(pictures())] == [(5, 7, 7, 6), (5, 3, 3, 6), (5, 1, 1, 6)]
    assert model.grids == ((7, 7), (3, 3), (1, 1))
    assert len(model(pictures(), upto=2)) == 2


@pytest.mark.parametrize("windows", [((8, 8),), ((8, 8), (32, 32)), ((4, 4), (8, 8), (16, 16), (32, 32))])
def test_any_number_of_levels(windows):
    model = hierarchy(windows).eval()
    found = model(pictures())
    assert len(found) == len(windows)
    assert found[-1].shape[1:3] == patches.grid_shape(32, 32, *windows[-1])


def test_a_window_sees_its_own_pixels_and_no_others():
    model = hierarchy().eval()
    x, r, c = pictures(1), 1, 2
    changed = x.clone()
    changed[:, :, 8 * r : 8 * r + 16, 8 * c : 8 * c + 16] += 1.0
    for k, (size, stride) in enumerate(WINDOWS[:2]):
        differ = (model(x)[k] != model(changed)[k]).any(3)[0]
        rows, cols = model.grids[k]
        for i in range(rows):
            for j in range(cols):
                meets = 8 * r < i * stride + size and i * stride < 8 * r + 16
                meets &= 8 * c < j * stride + size and j * stride < 8 * c + 16
                assert differ[i, j] == meets


def test_the_next_level_is_an_mlp_of_the_concatenation():
    model = hierarchy().eval()
    first, second, _ = model(pictures())
    by_hand = torch.cat([first[:, 2, 4], first[:, 2, 6], first[:, 4, 4], first[:, 4, 6]], 1)  # tiles of window (1, 2)
    torch.testing.assert_close(model.levels[1].layers(by_hand), second[:, 1, 2])


def test_constituents_are_laid_out_not_pooled():
    model = hierarchy(((8, 8), (16, 16))).eval()
    first = model(pictures())[0]
    swapped = first.clone()
    swapped[:, 0, 0], swapped[:, 0, 1] = first[:, 0, 1], first[:, 0, 0]
    assert not torch.allclose(model.levels[1](first)[:, 0, 0], model.levels[1](swapped)[:, 0, 0])


def test_the_same_generator_gives_the_same_hierarchy():
    a, b, c = (hierarchy(seed=s).eval()(pictures())[-1] for s in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_embedding_many_pictures_in_parts():
    model = hierarchy().eval()
    parts = embed(model, pictures(), batch=2)
    for a, b in zip(parts, model(pictures()), strict=True):
        torch.testing.assert_close(a, b)


def test_what_lies_below_may_have_any_scale_and_offset():
    level = hierarchy(((8, 8), (16, 16))).levels[1].train()
    below = torch.randn(5, 4, 4, 6, generator=seeded())
    torch.testing.assert_close(level(below), level(10 * below + 100), rtol=0, atol=1e-3)


# --- whose gradient is what -------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0, 1, 2])
def test_incremental_moves_one_level_and_nothing_else(k):
    found = gradients(hierarchy(head=5), phases("incremental", 3)[k])
    for level in range(3):
        for name, grad in of_level(found, level).items():
            assert (grad is None) if level != k else (grad is not None and grad.isfinite().all()), name
    assert any(grad.abs().max() > 0 for grad in of_level(found, k).values())


def test_the_joint_gradient_is_the_sum_of_its_parts():
    model = hierarchy(head=5).double()
    x = pictures(6).double()
    whole = gradients(model, only("joint"), x=x)
    parts = []
    for k in range(3):
        model.zero_grad(set_to_none=True)
        values = dict(level_losses(model, Batch((x,)), by_level(), Phase(0, 2)))
        values[k].backward()
        parts.append({name: p.grad for name, p in model.named_parameters()})
    for name, grad in whole.items():
        together = sum(part[name] for part in parts if part[name] is not None)
        torch.testing.assert_close(grad, together, rtol=1e-9, atol=1e-12)


def test_detached_is_what_each_level_wants_for_itself():
    model = hierarchy(head=5).double()
    x = pictures(6).double()
    joint, detached = gradients(model, only("joint"), x=x), gradients(model, only("detached"), x=x)
    apart = gradients(model, only("backward_per_level"), x=x)
    for name, grad in detached.items():
        torch.testing.assert_close(grad, apart[name], rtol=1e-9, atol=1e-12)
    for name in of_level(joint, 2):  # above the last level there is nothing that could reach it
        torch.testing.assert_close(joint[name], detached[name], rtol=1e-9, atol=1e-12)
    differ = [not torch.allclose(joint[name], detached[name]) for name in of_level(joint, 0)]
    assert any(differ)


def test_a_fraction_of_the_gradient_goes_on():
    model = hierarchy(((8, 8), (16, 16))).double()
    x = pictures(6).double()
    none, part, all_ = (of_level(gradients(model, Phase(0, 1, scale), x=x), 0) for scale in (0.0, 0.25, 1.0))
    for name in none:
        torch.testing.assert_close(part[name], 0.75 * none[name] + 0.25 * all_[name], rtol=1e-9, atol=1e-12)


def test_phases():
    assert phases("joint", 3) == [Phase(0, 2, 1.0)] and phases("detached", 3) == [Phase(0, 2, 0.0)]
    assert phases("backward_per_level", 3) == [Phase(0, 2, 0.0, local_backward=True)]
    assert [phase[:2] for phase in phases("incremental", 3)] == [(0, 0), (1, 1), (2, 2)]
    assert [phase[:2] for phase in phases("overlapping", 3)] == [(0, 0), (0, 1), (1, 2)]
    assert {phase.gradient_scale for phase in phases("overlapping", 3)} == {1.0}
    assert [phase[:2] for phase in phases("random_frozen", 3)] == [(2, 2)]
    assert phases(SCHEDULES["joint"], 2) == phases("joint", 2)


# --- bad input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: hierarchy(windows=()), "at least one level"),
        (lambda: hierarchy(((8, 8), (20, 20))), "multiple of 8"),
        (lambda: hierarchy(((64, 64),)), "at most 32"),
        (lambda: hierarchy(channels_in=0), "channels_in: wanted a whole number ≥ 1, got 0"),
        (lambda: hierarchy(head=0), "head: wanted a whole number ≥ 1 or None, got 0"),
        (lambda: hierarchy(((0, 8),)), "windows: size: wanted a whole number ≥ 1, got 0"),
        (lambda: Hierarchy((32, 32), WINDOWS, (4, 0, 4)), r"n_out: wanted whole numbers ≥ 1, got \[4, 0, 4\]"),
        (lambda: Hierarchy((32, 32), WINDOWS, 0), "n_out: wanted"),
        (lambda: Hierarchy((32, 32), WINDOWS, hidden=0), "hidden: wanted a whole number ≥ 1, got 0"),
        (lambda: Hierarchy((32, 32), WINDOWS, channels=(4, 0)), r"channels: wanted whole numbers ≥ 1, got \(4, 0\)"),
        (lambda: Hierarchy((32, 32), WINDOWS, generator=7), "generator: wanted Generator or None, got 7"),
        (lambda: WindowEncoder(8, 0, nn.Identity()), "stride: wanted a whole number ≥ 1, got 0"),
        (lambda: Hierarchy((32, 32), WINDOWS, (4, 4), generator=seeded()), "a width each, got 3, 2"),
        (lambda: Levels([]), "at least one level"),
        (lambda: Levels([nn.Identity()], []), "a head for each"),
        (
            lambda: Merge(torch.zeros(4, 4, dtype=torch.int64), (3, 1), 2, 2, 2, generator=seeded()),
            "constituents: wanted shape",
        ),
        (lambda: merge(torch.zeros(2, 4)), "constituents: wanted Int"),
        (lambda: merge(torch.full((2, 4), -1)), "constituents: wanted indices ≥ 0, got -1"),
        (lambda: merge(torch.zeros(2, 0).long()), "constituents: wanted shape"),
        (lambda: merge(torch.zeros(2, 4).long(), (-2, -1)), "constituents: wanted shape"),
        (lambda: merge(torch.zeros(2, 4).long(), n_in=0), "n_in"),
        (lambda: merge(torch.zeros(2, 4).long(), n_out=0), "n_out"),
        (lambda: merge(torch.zeros(2, 4).long(), hidden=0), "hidden"),
        (lambda: merge(torch.zeros(2, 4).long(), generator=None), "generator: wanted Generator, got None"),
        (lambda: hierarchy()(pictures(), upto=4), "a level from 1 to 3, got 4"),
        (lambda: hierarchy()(pictures(), upto=0), "upto: wanted a whole number ≥ 1 or None, got 0"),
        (lambda: hierarchy()(torch.zeros(2, 1, 16, 32)), r"observations: wanted Float.* got f32\[2,1,16,32\]"),
        (lambda: hierarchy()(torch.zeros(2, 3, 32, 32)), r"observations: wanted Float.* got f32\[2,3,32,32\]"),
    ],
)
def test_bad_settings_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("size", "windows", "message"),
    [
        (
            (48, 48),
            ((8, 8), (16, 16), (32, 32)),
            r"windows: \(32, 32\) leaves pixels of a 48×48 image unseen.* divides 16",
        ),
        ((32, 48), ((8, 8), (32, 32)), r"windows: \(32, 32\) leaves pixels of a 32×48 image"),
        ((48, 32), ((8, 8), (32, 32)), r"windows: \(32, 32\) leaves pixels of a 48×32 image"),
        ((30, 30), ((8, 4),), r"windows: \(8, 4\) leaves pixels of a 30×30 image.* stride ≤ 8 that divides 22"),
        ((30, 32), ((8, 11),), r"windows: \(8, 11\) leaves .* divides 22 and 24"),  # gaps between windows
    ],
)
def test_windows_that_leave_pixels_unseen_are_refused(size, windows, message):
    with pytest.raises(ValueError, match=message):
        Hierarchy(size, windows, 4, channels=(2,), hidden=3)


@pytest.mark.parametrize(
    ("size", "windows"),
    [((48, 48), ((8, 8), (16, 16), (32, 16))), ((48, 48), ((16, 16),)), ((32, 48), ((32, 8),)), ((8, 8), ((8, 99),))],
)
def test_every_pixel_reaches_the_last_level(size, windows):
    model = Hierarchy(size, windows, 4, channels=(8,), hidden=16).double().eval()
    x = torch.rand(8, 1, *size, generator=seeded(), dtype=torch.float64).requires_grad_()
    model(x)[-1].square().sum().backward()
    assert (x.grad.abs().sum((0, 1)) > 0).all()


def merge(constituents, grid=(2, 1), n_in=2, n_out=2, hidden=2, **settings):
    return Merge(constituents, grid, n_in, n_out, hidden, **{"generator": seeded(), **settings})


def test_bad_embeddings_below_are_named():
    above = hierarchy(((8, 8), (16, 16))).levels[1]
    for below in (torch.zeros(2, 4, 4, 5), torch.zeros(2, 16, 6), torch.zeros(2, 4, 4, 6).int()):
        with pytest.raises(TypeError, match="below: wanted Float"):
            above(below)
    for below in (torch.zeros(2, 2, 4, 6), torch.zeros(2, 3, 5, 6)):
        with pytest.raises(ValueError, match=f"below: wanted at least 16 windows, got {below.shape[1]} × "):
            above(below)


@pytest.mark.parametrize("model", [hierarchy(), Levels([nn.Linear(32, 4), nn.Linear(4, 2)])])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_observations_of_another_type_are_named(model, dtype):
    with pytest.raises(TypeError, match=rf"observations: wanted torch\.float32, the type of the weights, got {dtype}"):
        model(pictures().to(dtype))


def test_a_level_of_another_type_is_named():
    stack = Levels([nn.Linear(4, 3), nn.Linear(3, 2).half()])
    with pytest.raises(TypeError, match=r"levels\[1\]: wanted torch\.float16, .* got torch\.float32"):
        stack(torch.zeros(5, 4))
    assert len(stack(torch.zeros(5, 4), upto=1)) == 1


def test_types_that_may_differ():
    assert Levels([nn.Embedding(9, 3), nn.Linear(3, 2)])(torch.arange(5))[1].shape == (5, 2)  # integers in
    assert Levels([nn.Identity()])(torch.zeros(5, 4).half())[0].dtype == torch.float16  # no weights
    with torch.autocast("cpu", dtype=torch.bfloat16):  # torch itself converts
        found = Levels([nn.Linear(4, 3), nn.Linear(3, 2)])(torch.zeros(5, 4))
    assert [z.dtype for z in found] == [torch.bfloat16] * 2


def test_windows_give_their_networks_output():
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    x = torch.rand(3, 1, 8, 12, generator=seeded())
    found = WindowEncoder(4, 2, network)(x)
    assert found.shape == (3, 3, 5, 2)
    torch.testing.assert_close(found[:, 1, 3], network(x[:, :, 2:6, 6:10]))


# --- what it is made of -----------------------------------------------------------------------------------


def test_a_hierarchy_is_made_of_these_parts_in_this_order():
    model = Hierarchy((16, 16), ((8, 4), (16, 16)), (3, 5), channels_in=2, hidden=7, head=6, generator=seeded(2))
    generator = seeded(2)
    parts = [
        ConvNet(2, 3, 8, (32, 32), 7, generator=generator),
        drawn_from(
            generator,
            lambda: nn.Sequential(
                nn.BatchNorm1d(12, affine=False),
                nn.Linear(12, 7, bias=False),
                nn.BatchNorm1d(7),
                nn.ReLU(),
                nn.Linear(7, 5),
            ),
        ),
        drawn_from(generator, lambda: nn.Sequential(nn.Linear(3, 7), nn.ReLU(), nn.Linear(7, 6))),
        drawn_from(generator, lambda: nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 6))),
    ]
    found = [model.levels[0].network, model.levels[1].layers, *model.heads]
    for part, wanted in zip(found, parts, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(part.parameters(), wanted.parameters(), strict=True))
    x = torch.rand(4, 2, 16, 16, generator=seeded())
    low, high = model.train()(x)  # batch statistics of all windows of all images
    assert (low.shape, high.shape) == ((4, 3, 3, 3), (4, 1, 1, 5))
    by_hand = parts[1](torch.cat([low[:, 0, 0], low[:, 0, 2], low[:, 2, 0], low[:, 2, 2]], 1))
    torch.testing.assert_close(high[:, 0, 0], by_hand)
    torch.testing.assert_close(model.heads[1](high), parts[3](high))
    model.eval(), parts[0].eval()
    parts[0].load_state_dict(model.levels[0].network.state_dict())
    tiles = [parts[0](x[:, :, y : y + 8, z : z + 8]) for y in (0, 8) for z in (0, 8)]
    low = model(x, upto=1)[0]
    torch.testing.assert_close(torch.stack(tiles), torch.stack([low[:, y, z] for y in (0, 2) for z in (0, 2)]))


def test_usual_widths_of_a_hierarchy():
    model = Hierarchy((16, 16), ((8, 8), (16, 16)))
    shapes = [[tuple(p.shape) for p in level.parameters() if p.ndim > 1] for level in model.levels]
    assert shapes == [[(32, 1, 3, 3), (32, 32, 3, 3), (128, 128), (32, 128)], [(128, 128), (32, 128)]]
    assert all(isinstance(head, nn.Identity) for head in model.heads)
    none, zero = (model.state_dict() for model in (model, Hierarchy((16, 16), ((8, 8), (16, 16)), generator=seeded())))
    assert all(torch.equal(value, zero[name]) for name, value in none.items())


def test_levels_stand_upon_each_other():
    stack = Levels([nn.Linear(4, 3), nn.Linear(3, 2)])
    x = torch.randn(5, 4, generator=seeded())
    for upto in (None, 2, 1):
        found = stack(x, upto=upto)
        wanted = [stack.levels[0](x), stack.levels[1](stack.levels[0](x))][:upto]
        assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert all(isinstance(head, nn.Identity) for head in stack.heads)
    assert Levels(stack.levels[:1], stack.heads[:1]).levels[0] is stack.levels[0]
