"""Pairs from scenes that are rendered already: a counterfactual is the nearest of them, as in the released data set.

How the released images are read is left to `causal3dident`.
"""

from typing import Annotated

import scipy  # its parts load when they are used
import torch
from beartype.vale import Is
from jaxtyping import Int
from torch import Tensor

from hssl.checks import MOST, WORDS, Count, ImageSize, Positive, checked, explained
from hssl.pairs import Pairs, View
from hssl.worlds.scenes import (
    CLASSES,
    LATENTS,
    Latents,
    render,
    sample_latents,
    truncated_normal,
    truth,
    untouched,
)

Several = Annotated[int, Is[lambda value: 2 * len(CLASSES) <= value <= MOST]]
WORDS[Several] = f"a whole number ≥ {2 * len(CLASSES)}"


class Bank:
    """Latents of rendered scenes, and which of them come nearest to others. Rows of a class need not lie together.

    >>> bank = Bank(Latents(torch.zeros(3).long(), torch.linspace(-1, 1, 3)[:, None].expand(3, 10)))
    >>> asked = Latents(torch.zeros(2).long(), torch.tensor([[0.1], [0.6]]).expand(2, 10))
    >>> bank.nearest(asked), bank.nearest(asked, but=torch.tensor([1, 0]))
    (tensor([1, 2]), tensor([2, 2]))
    """

    @checked
    def __init__(self, latents: Latents):
        self.latents = latents
        self.rows = [(latents.labels == k).nonzero()[:, 0] for k in range(len(CLASSES))]
        self.trees = [scipy.spatial.KDTree(latents.values[rows].numpy()) if len(rows) else None for rows in self.rows]

    @explained
    def nearest(self, latents: Latents, but: Int[Tensor, " n"] | None = None) -> Int[Tensor, " n"]:
        """Rows of the bank that come nearest to the latents, of the same class, shape (n,), int64.

        Args:
            but: rows that may not be found, one for each of the latents, shape (n,), int64.
        Raises:
            ValueError: a class without a scene, or with a single one, which may not be found.
        """
        labels, values = latents
        found = torch.empty(len(values), dtype=torch.int64)
        for k in labels.unique().tolist():
            tree, asked = self.trees[int(k)], (labels == k).nonzero()[:, 0]
            if tree is None or (but is not None and tree.n < 2):
                raise ValueError(f"but: class {CLASSES[k]} has a single item or none, so that there is no other")
            near = torch.from_numpy(tree.query(values[asked].numpy(), k=min(2, tree.n))[1]).view(len(asked), -1)
            items = self.rows[int(k)][near]  # the nearest and the one after it
            taken = torch.zeros(len(asked), dtype=torch.bool) if but is None else items[:, 0] == but[asked]
            found[asked] = torch.where(taken, items[:, -1], items[:, 0])
        return found

    @explained
    def pairs(self, n: Count, redraw: str, sigma: Positive, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Rows of the first and of the second members of n pairs, shape (n,) each, int64; firsts with replacement.

        The named latents of a first member are drawn anew from a normal around their old values, standard deviation
        sigma, truncated to [−1, 1]. Its partner is the scene of the same class, never itself, that comes nearest.
        """
        items = torch.randint(len(self.latents.labels), (n,), generator=generator)
        return items, self.partners(items, redraw, sigma, generator)

    @explained
    def partners(
        self, items: Int[Tensor, " n"], redraw: str, sigma: Positive, generator: torch.Generator
    ) -> Int[Tensor, " n"]:
        """Rows of the second members, for rows of first ones, as in `pairs`; shape (n,), int64."""
        if not redraw:
            return items
        latents, kept = self.latents.rows(items), untouched(redraw)
        touched = torch.tensor([name not in kept for name in LATENTS])
        drawn = truncated_normal(latents.values, generator, sigma)
        changed = latents._replace(values=torch.where(touched, drawn, latents.values))
        return self.nearest(changed, but=items)


class NearestScenes:
    """A world of pairs made by the released rule, in our renderer: only the class is shared exactly.

    `count` scenes are drawn; a counterfactual is the nearest of them, so that what is not redrawn is shared only
    nearly. A scene is rendered when it is first drawn.

    Args:
        redraw: latents or groups of them, joined by "+", as in `Scenes`.
        count: how many scenes there are. causal, size, views: as in `Scenes`. sigma: as published, 1.
        generator: draws the scenes; None means a fresh generator with seed 0.
    Raises:
        ArgumentError: an unknown name, or a count or size out of range.
    Source: von Kügelgen et al. 2021, section 5.2 and released code. Taught in: sharing, "The released pairs".

    >>> pairs = NearestScenes("hues", 100, size=16).sample(3, g)
    >>> pairs.first.shape
    torch.Size([3, 3, 16, 16])
    """

    @checked
    def __init__(
        self,
        redraw: str,
        count: Several,
        *,
        causal: bool = True,
        size: ImageSize = 32,
        views: View | None = None,
        sigma: Positive = 1.0,
        generator: torch.Generator | None = None,
    ):
        untouched(redraw)  # names what is unknown
        generator = generator or torch.Generator().manual_seed(0)
        self.redraw, self.size, self.views, self.sigma = redraw, size, views, sigma
        self.bank = Bank(sample_latents(count, generator, causal=causal))

    @checked
    def sample(self, n: Count, generator: torch.Generator) -> Pairs:
        """Draw n pairs: images in [0, 1]; class and latents of the first, as `scenes.truth` has them."""
        items, others = self.bank.pairs(n, self.redraw, self.sigma, generator)
        first, second = (render(self.bank.latents.rows(rows), self.size) for rows in (items, others))
        return Pairs(first, second, truth(self.bank.latents.rows(items))).viewed(self.views, generator)
