"""Pairs of rendered scenes: the same latents but for those that are redrawn. How they look is left to `shading`."""

from collections.abc import Callable

import torch

from hssl.checks import Count, checked
from hssl.pairs import Pairs, View
from hssl.worlds.scenes.distribution import ImageSize, Latents, render, resample, sample_latents, truth, untouched

Redraw = Callable[[Latents, torch.Generator], Latents]


class Scenes:
    """A world of scenes whose pairs share all latents but those redrawn: an augmentation made exact.

    Args:
        redraw: latents or groups of them, redrawn uniformly for the second member: "hues", "positions+rotations",
            "x"; "" for none. Or a function of latents and a generator that gives others.
        views: a function of images, shape (n, 3, size, size), and a generator, through which either member goes by
            itself: those of `augment`, or a reader's own. None: the images as they are rendered.
        causal: whether latents depend on each other, as in Causal3DIdent. size: side length in pixels.
    Raises:
        ArgumentError: an unknown name, or a size out of range; (when drawn) views of another shape than the images.
    Taught in: causal_scenes, "Views".

    >>> pairs = Scenes(redraw="hues", size=16).sample(3, g)
    >>> pairs.first.shape, list(pairs.truth)[:3]
    (torch.Size([3, 3, 16, 16]), ['class', 'position', 'spotlight'])
    """

    @checked
    def __init__(
        self, redraw: str | Redraw = "", *, views: View | None = None, causal: bool = True, size: ImageSize = 32
    ):
        if isinstance(redraw, str) and redraw:
            untouched(redraw)  # names what is unknown
        self.redraw, self.views, self.causal, self.size = redraw, views, causal, size

    @checked
    def sample(self, n: Count, generator: torch.Generator) -> Pairs:
        """Draw n pairs: images in [0, 1]; class and latents of the first, as `distribution.truth` has them."""
        latents = sample_latents(n, generator, causal=self.causal)
        return pair(latents, self._redrawn(latents, generator), self.views, self.size, generator)

    def _redrawn(self, latents: Latents, generator: torch.Generator) -> Latents:
        if isinstance(self.redraw, str):
            return resample(latents, self.redraw, generator) if self.redraw else latents
        return self.redraw(latents, generator)


def pair(latents: Latents, changed: Latents, views: View | None, size: int, generator: torch.Generator) -> Pairs:
    """Pairs of the scenes with these latents, and with those; what is the same is rendered once."""
    first = render(latents, size)
    second = first if changed is latents else render(changed, size)
    return Pairs(first, second, truth(latents)).viewed(views, generator)
