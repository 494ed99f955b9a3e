"""hssl.worlds.graphs: the graph, what each rule keeps, F1 of arrows, and bad input."""

from typing import Any, cast

import pytest
import torch

from hssl.worlds.graphs import BlockGraph, f1, f1_by_chance, found_downstream
from hssl.worlds.latents import unmix


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def chain():
    """0 → 1 → 2, and 3 alone."""
    world = BlockGraph(4, 2, 0.0, generator=seeded())
    world.order = [0, 1, 2, 3]
    for p, i in ((0, 1), (1, 2)):
        world.parents[i, p] = True
        world.effects[i, p] = torch.eye(2)
    reached = torch.eye(4) + world.parents.T.float()
    world.downstream = torch.linalg.matrix_power(reached, 4) > 0
    return world


def blocks(world, pairs):
    return [unmix(x, world.layers).view(-1, 4, 2) for x in (pairs.first, pairs.second)]


def test_downstream_is_what_arrows_reach():
    for seed in range(20):
        world = BlockGraph(6, 1, generator=seeded(seed))
        reached = torch.eye(6, dtype=torch.bool)
        for _ in range(6):
            reached |= (reached.float() @ world.parents.T.float()) > 0
        assert torch.equal(world.downstream, reached)
        assert not (world.parents & world.parents.T).any()
        assert all(world.order.index(p) < world.order.index(i) for i, p in world.parents.nonzero().tolist())


@pytest.mark.parametrize(
    ("effects", "changed"),
    [
        ("redrawn", [False, True, True, False]),
        ("recomputed", [False, True, True, False]),
        ("frozen", [False, True, False, False]),
    ],
)
def test_a_rule_changes_what_it_says(chain, effects, changed):
    before, after = blocks(chain, chain.rule([1], effects).sample(200, seeded()))
    differ = (before - after).abs().amax(dim=(0, 2)) > 1e-3
    assert differ.tolist() == changed


def test_effects_that_are_recomputed_keep_their_noise(chain):
    kept, redrawn = (
        blocks(chain, chain.rule([1], effects).sample(500, seeded())) for effects in ("recomputed", "redrawn")
    )
    noise = [z[:, 2] - z[:, 1] for z in kept]
    assert torch.allclose(noise[0], noise[1], atol=1e-3)
    noise = [z[:, 2] - z[:, 1] for z in redrawn]
    assert (noise[0] - noise[1]).abs().mean() > 0.5


def test_what_follows_is_drawn_around_its_parents(chain):
    _, after = blocks(chain, chain.rule([0]).sample(20_000, seeded()))
    joint = torch.corrcoef(torch.stack([after[:, 0, 0], after[:, 1, 0], after[:, 2, 0]]))
    assert joint[0, 1] == pytest.approx(0.5**0.5, abs=0.02)  # variances 1, 2, 3
    assert joint[1, 2] == pytest.approx((2 / 3) ** 0.5, abs=0.02)


def test_frozen_effects_cut_the_redrawn_block_loose(chain):
    before, after = blocks(chain, chain.rule([1], "frozen").sample(20_000, seeded()))
    both = torch.corrcoef(torch.stack([after[:, 0, 0], after[:, 1, 0]]))
    assert abs(both[0, 1]) < 0.03
    assert after[:, 1].var().item() == pytest.approx(before[:, 1].var().item(), rel=0.05)  # its own distribution


def test_no_effect_is_weaker_than_asked():
    for seed in range(10):
        world = BlockGraph(5, 2, 1.0, least=0.8, generator=seeded(seed))
        strengths = (world.effects**2).sum((2, 3)) / 2
        assert (strengths[world.parents] >= 0.8).all() and not strengths[~world.parents].any()


def test_f1_against_precision_and_recall():
    true = torch.tensor([[1, 1, 1], [0, 1, 1], [0, 0, 1]], dtype=torch.bool)
    found = torch.tensor([[0, 1, 0], [1, 0, 1], [0, 0, 0]], dtype=torch.bool)
    precision, recall = 2 / 3, 2 / 3
    assert f1(found, true) == pytest.approx(2 * precision * recall / (precision + recall))
    nothing = torch.zeros(3, 3, dtype=torch.bool)
    assert f1(nothing, nothing) == 1.0 and f1(nothing, true) == 0.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: BlockGraph(0), "blocks: wanted a whole number ≥ 1, got 0"),
        (lambda: BlockGraph(density=2.0), "density: wanted a number from 0 to 1"),
        (lambda: BlockGraph(least=1.5), "least: wanted a number from 0 to 1"),
        (lambda: BlockGraph().rule([4]), "redraw: wanted blocks 0 to 3, got 4"),
        (lambda: BlockGraph().rule([0], cast(Any, "none")), "effects: wanted one of redrawn, recomputed, frozen"),
        (lambda: f1(torch.zeros(2, 2).bool(), torch.zeros(3, 3).bool()), "true: wanted"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_chance_is_the_mean_over_all_orders():
    true = torch.eye(3, dtype=torch.bool)
    true[0, 1] = True  # one arrow among six places
    assert f1_by_chance(true, true, shuffles=3000) == pytest.approx(1 / 6, abs=0.03)


def test_downstream_is_what_moves_no_further():
    movements = torch.tensor([[0.1, 0.12, 0.2], [0.5, 0.0, 0.031], [0.5, 0.5, 0.0]])
    assert found_downstream(movements).tolist() == [[True, True, False], [False, True, False], [False, False, True]]
    assert found_downstream(movements, 0.1).tolist()[1] == [False, True, True]
    with pytest.raises(ValueError, match="movements: there are values that are not finite"):
        found_downstream(movements * torch.nan)
