"""Blocks of latents on a random causal graph, mixed so that no observation shows them; pairs by rules on the blocks.

What is learned from such pairs is left to the chapters.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hssl.checks import ArgumentError, Count, Fraction, NonNegative, checked, finite
from hssl.pairs import Pairs
from hssl.worlds.latents import draw_layers, mix

Effects = Literal["redrawn", "recomputed", "frozen"]


class BlockGraph:
    """A linear structural causal model over blocks of latents: z_i = Σ B_pi z_p + n_i over the parents p of block i.

    The noise n_i is standard normal. Observations are an invertible mixing of all blocks, as in `ContentStyle`.

    Args:
        blocks, width: number of blocks, and latents in each.
        density: probability of an arrow between two blocks, in [0, 1]; arrows follow a random order.
        least: of the variance that an arrow adds to its block, in units of the noise's, tr(B Bᵀ) / width: an effect is
            drawn again until it reaches this, in [0, 1].
        generator: draws the graph, the effects and the mixing; None means a fresh generator with seed 0.
    Attributes:
        parents, downstream: shape (blocks, blocks), bool; `parents[i, p]`: p → i. `downstream[j, i]`: i is j, or can
            be reached from j along arrows.
    Raises:
        ArgumentError: a setting out of range.
    Taught in: arrows, "A graph of points".

    >>> world = BlockGraph(3, 2)
    >>> pairs = world.rule([0]).sample(5, g)
    >>> pairs.first.shape, list(pairs.truth), torch.equal(world.downstream.diagonal(), torch.ones(3).bool())
    (torch.Size([5, 6]), ['block0', 'block1', 'block2'], True)
    """

    @checked
    def __init__(
        self,
        blocks: Count = 4,
        width: Count = 2,
        density: Fraction = 0.5,
        *,
        least: Fraction = 0.25,
        generator: torch.Generator | None = None,
    ):
        generator = generator or torch.Generator().manual_seed(0)
        self.blocks, self.width = blocks, width
        self.order = torch.randperm(blocks, generator=generator).tolist()
        self.parents = torch.zeros(blocks, blocks, dtype=torch.bool)
        self.effects = torch.zeros(blocks, blocks, width, width)  # of p on i
        for at, i in enumerate(self.order):
            for p in self.order[:at]:
                if torch.rand((), generator=generator) < density:
                    self.parents[i, p] = True
                    self.effects[i, p] = _effect(width, least, generator)
        reached = torch.eye(blocks) + self.parents.T.float()
        self.downstream = torch.linalg.matrix_power(reached, blocks) > 0
        self.layers = draw_layers(blocks * width, generator)

    @checked
    def latents(self, noise: Float[Tensor, "n blocks width"]) -> Float[Tensor, "n blocks width"]:
        """The blocks that follow from their noise."""
        z = torch.zeros_like(noise)
        for i in self.order:
            z[:, i] = noise[:, i] + torch.einsum("npd,ped->ne", z, self.effects[i])
        return z

    @checked
    def rule(self, redraw: Sequence[int], effects: Effects = "redrawn") -> "Rule":
        """A world whose pairs share all blocks but these and, as a rule, what follows from them.

        Args:
            redraw: blocks that are drawn anew for the second member.
            effects: what happens downstream of them. "redrawn": all of it is drawn anew, around its new means.
                "recomputed": it takes its new means and keeps its own noise. "frozen": it stays as it was; the redrawn
                blocks then come from an unrelated sample.
        Raises:
            ArgumentError: a block that is not there, or unknown effects.
        """
        if unknown := [j for j in redraw if not 0 <= j < self.blocks]:
            raise ArgumentError(f"redraw: wanted blocks 0 to {self.blocks - 1}, got {unknown[0]}")
        changed = torch.zeros(self.blocks, dtype=torch.bool)
        changed[list(redraw)] = True
        return Rule(self, self.downstream[changed].any(0) if effects == "redrawn" else changed, effects)


class Rule:
    """A `BlockGraph` under a rule of pairing: a world.

    >>> pairs = BlockGraph(2, 1).rule([], "frozen").sample(3, g)
    >>> torch.equal(pairs.first, pairs.second)
    True
    """

    @checked
    def __init__(self, graph: BlockGraph, redrawn: Bool[Tensor, " blocks"], effects: Effects):
        if len(redrawn) != graph.blocks:
            raise ArgumentError(f"redrawn: wanted shape ({graph.blocks},), got {tuple(redrawn.shape)}")
        self.graph, self.redrawn, self.effects = graph, redrawn, effects

    @checked
    def sample(self, n: Count, generator: torch.Generator) -> Pairs:
        """Draw n pairs: observations, shape (n, blocks · width); the blocks of the first, shape (n, width) each."""
        shape = (n, self.graph.blocks, self.graph.width)
        noise, other = (torch.randn(shape, generator=generator) for _ in range(2))
        redrawn, z = self.redrawn[:, None], self.graph.latents(noise)
        if self.effects == "frozen":
            changed = torch.where(redrawn, self.graph.latents(other), z)
        else:
            changed = self.graph.latents(torch.where(redrawn, other, noise))
        truth = {f"block{i}": z[:, i] for i in range(self.graph.blocks)}
        first, second = (mix(latents.flatten(1), self.graph.layers) for latents in (z, changed))
        return Pairs(first, second, truth)


@checked
def f1(found: Bool[Tensor, "m m"], true: Bool[Tensor, "m m"]) -> float:
    """F1 of arrows between different nodes: the harmonic mean of precision and recall; 1 where both have none.

    Args:
        found, true: shape (m, m), bool; the diagonal does not count.

    >>> arrows = torch.tensor([[True, True], [False, True]])
    >>> f1(arrows, arrows), f1(arrows.T, arrows)
    (1.0, 0.0)
    """
    off = ~torch.eye(len(true), dtype=torch.bool)
    hits, claimed, there = ((of & off).sum().item() for of in (found & true, found, true))
    return 2 * hits / (claimed + there) if claimed + there else 1.0


@checked
def f1_by_chance(found: Bool[Tensor, "m m"], true: Bool[Tensor, "m m"], *, shuffles: Count = 200) -> float:
    """What `f1` gives on average if the same arrows are found between nodes whose names are shuffled.

    Args:
        found, true: shape (m, m), bool. shuffles: how many random orders of the names, the same at every call.

    >>> f1_by_chance(torch.ones(3, 3).bool(), torch.ones(3, 3).bool())
    1.0
    """
    generator = torch.Generator().manual_seed(0)
    orders = (torch.randperm(len(true), generator=generator) for _ in range(shuffles))
    return sum(f1(found[order][:, order], true) for order in orders) / shuffles


@checked
def found_downstream(movements: Float[Tensor, "m m"], margin: NonNegative = 0.03) -> Bool[Tensor, "m m"]:
    """Which variables are judged downstream of which, from how far encoders move.

    Args:
        movements: `movements[j, k]`: how far the embedding of rule j moves under rule k, shape (m, m).
        margin: k counts as downstream of j if rule k moves it no further than rule j does, plus this.
    Raises:
        ValueError: NaN or ±inf.
    Taught in: arrows, "A graph of points".

    >>> found_downstream(torch.tensor([[0.01, 0.02], [0.6, 0.01]]))
    tensor([[ True,  True],
            [False,  True]])
    """
    finite(1, movements=movements)
    return movements <= movements.diagonal()[:, None] + margin


def _effect(width: int, least: float, generator: torch.Generator) -> Tensor:
    while True:
        effect = torch.randn(width, width, generator=generator) / width**0.5
        if (effect**2).sum() / width >= least:
            return effect
