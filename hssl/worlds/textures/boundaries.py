"""Images of two regions and the boundary that wanders between them: sharp or diffuse, of pure or of tinged colour.

Where the boundary is, and which way it runs there, is known everywhere; other kinds of images are left to `textures`.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from hssl.checks import Count, checked
from hssl.pairs import Pairs, View
from hssl.patches import cut, pixel_grid
from hssl.worlds.textures.textures import Factor, Texture, TextureLatents, colour, numbers_of

WAVES = 12  #: plane waves that make the boundary, and as many that make the tinge of either side
LONGEST, SHORTEST = 1.6, 0.5  #: their wavelengths, image widths
SHARP, DIFFUSE = -2.2, -1.0  #: width of the boundary where it is sharpest and where it is widest, log₁₀ image widths


class Boundary(NamedTuple):
    """Where the boundary is, pixel by pixel; shapes (n, size, size).

    >>> world = Boundaries(size=32)
    >>> land = world.boundary(world.texture.sample_latents(3, g)).distance > 0
    """

    distance: Tensor  #: to the boundary, image widths, to first order; positive on land
    orientation: Tensor  #: of the boundary that is nearest, radians in [0, π): 0 is level


class BoundaryWindows(NamedTuple):
    """Two windows on the boundary of each image, which do not overlap.

    >>> world = Boundaries()
    >>> world.windows(world.texture.sample_latents(20, g), g).corners.shape[1:]
    torch.Size([2, 2])
    """

    rows: Tensor  #: shape (m,), which image; one whose boundary is too short for two windows has none, so m may be 0
    corners: Tensor  #: shape (m, 2, 2): row and column of the upper left pixel of either
    orientation: Tensor  #: shape (m, 2), radians in [0, π): of the boundary in the middle of either


def _draw_regions(factors, seeds, x, y):
    """Land and water, each of one hue or of many round it, and a boundary between them, sharp or diffuse."""
    draws = _draw(seeds)
    distance, _, _ = _distance(draws, x, y)
    width = factors["width"] if "width" in factors else _varied_width(seeds, x, y)
    share = torch.sigmoid(distance / 10**width)[:, None]
    sides = []
    for i, side in enumerate(("land", "water"), start=1):
        spread = factors["tinge"] if "tinge" in factors else factors[f"tinge_{side}"]
        tinge, _, _ = _waves(draws[:, i], x, y, shortest=0.2, longest=0.6)
        sides.append(colour((factors[f"hue_{side}"] + spread * tinge) % 1))
    return share * sides[0] + (1 - share) * sides[1]


_TINGE = Factor(0.0, 0.08, "turns of the colour circle, standard deviation")
_HUES = {
    "hue_land": Factor(0.0, 0.3, "turns of the colour circle"),
    "hue_water": Factor(0.4, 0.8, "turns of the colour circle"),
}


class Boundaries:
    """Pairs of windows on the boundary of one image: they share its width, its tinge and both hues, not its direction.

    In `varied` images they do not share the width either: the boundary is sharp at one end of the image and diffuse
    at the other, along a direction that the seed sets. Each side has a tinge of its own there. The truth is then the
    width at the first window.

    Args:
        size: side length of the images, 8 to 1024 pixels. window: of the windows, even, from 4 to half of that.
        varied: whether the width of the boundary differs within an image.
        views: called with windows and a generator, for either member separately; None leaves the windows as they are.
    Raises:
        ValueError: a size out of range.

    >>> pairs = Boundaries().sample(4, g)
    >>> pairs.first.shape, list(pairs.truth)
    (torch.Size([4, 3, 16, 16]), ['width', 'tinge', 'hue_land', 'hue_water', 'orientation'])
    """

    #: Its images. Factors: width of the boundary, how far the hues of either side stray, and a warm and a cold hue.
    texture = Texture({"width": Factor(SHARP, DIFFUSE, "log₁₀ image widths"), "tinge": _TINGE, **_HUES}, _draw_regions)
    #: Its varied images. Factors: a tinge and a hue for either side.
    varied_texture = Texture({"tinge_land": _TINGE, "tinge_water": _TINGE, **_HUES}, _draw_regions)

    @checked
    def __init__(self, *, size: int = 64, window: int = 16, varied: bool = False, views: View | None = None):
        if not 8 <= size <= 1024 or window < 4 or window % 2 or 2 * window > size:
            wanted = "wanted 8 to 1024 pixels, and an even number from 4 to half of that"
            raise ValueError(f"size, window: {wanted}; got {size}, {window}")
        self.size, self.window, self.views = size, window, views
        if varied:
            self.texture = self.varied_texture

    @checked
    def sample(self, n: Count, generator: torch.Generator) -> Pairs:
        """Draw n pairs, each of an image of its own; an image without room for two windows is replaced.

        Returns:
            Members of shape (n, 3, window, window), in [0, 1] but for the views; the truth is `Texture.targets`, and
            the "orientation" of the boundary in the first window: sine and cosine of twice the angle, shape (n, 2).
        Raises:
            ArgumentError: n < 1.
        """
        kept, left = [], n
        while left:
            latents = self.texture.sample_latents(left, generator)
            rows, corners, orientation = self.windows(latents, generator)
            kept.append((latents.values[rows], latents.seeds[rows], corners, orientation))
            left -= len(rows)
        values, seeds, corners, orientation = map(torch.cat, zip(*kept, strict=True))
        latents, twice = TextureLatents(values, seeds), 2 * orientation[:, 0]
        images, rows = self.texture.render(latents, self.size), torch.arange(n, device=seeds.device)
        first, second = (cut(images, rows, corners[:, which], self.window) for which in (0, 1))
        truth = self.texture.targets(latents) | {"orientation": torch.stack([twice.sin(), twice.cos()], 1)}
        if "width" not in truth:
            y, x = ((corners[:, 0] + self.window / 2) / self.size - 0.5).T[..., None, None]  # from the image's centre
            truth = {"width": _varied_width(seeds, x, y)[:, 0], **truth}
        return Pairs(first, second, truth).viewed(self.views, generator)

    @checked
    def windows(self, latents: TextureLatents, generator: torch.Generator) -> BoundaryWindows:
        """Choose two windows whose middle lies on the boundary, in every image of `texture`.

        Raises:
            ValueError: as `Texture.render`.

        >>> found = Boundaries().windows(Boundaries.texture.sample_latents(20, g), g)
        >>> ((found.corners[:, 0] - found.corners[:, 1]).abs().amax(1) >= 16).all().item()
        True
        """
        (distance, orientation), size, window = self.boundary(latents), self.size, self.window
        half, at = window // 2, torch.arange(size, device=distance.device)
        inner = (at >= half) & (at <= size - half)
        on = (distance.abs() < 0.7 / size) & inner[:, None] & inner
        rows = on.flatten(1).any(1).nonzero()[:, 0]
        first = _choose(on[rows], generator)
        down, right = ((at - first[:, axis, None]).abs() for axis in (0, 1))
        far = torch.maximum(down[:, :, None], right[:, None]) >= window
        room = (on[rows] & far).flatten(1).any(1)
        rows, first = rows[room], first[room]
        middles = torch.stack([first, _choose(on[rows] & far[room], generator)], 1)
        return BoundaryWindows(rows, middles - half, orientation[rows[:, None], middles[..., 0], middles[..., 1]])

    @checked
    def boundary(self, latents: TextureLatents) -> Boundary:
        """Distance to the boundary, and its orientation, at every pixel of images of `texture`.

        Raises:
            ValueError: as `Texture.render`.

        >>> Boundaries(size=32).boundary(Boundaries.texture.sample_latents(3, g)).distance.shape
        torch.Size([3, 32, 32])
        """
        self.texture.check(latents)
        x, y = pixel_grid(self.size, device=latents.values.device)
        distance, dx, dy = _distance(_draw(latents.seeds), x - 0.5, y - 0.5)
        return Boundary(distance, torch.atan2(dx, -dy) % math.pi)


def _choose(where: Tensor, generator: torch.Generator) -> Tensor:
    """Row and column, shape (m, 2), of one of the true pixels of each of m masks, each equally likely."""
    chosen = torch.multinomial(where.flatten(1).float(), 1, generator=generator)[:, 0]
    return torch.stack([chosen // where.shape[2], chosen % where.shape[2]], 1)


def _draw(seeds: Tensor) -> Tensor:
    """Direction, length and phase, each uniform in [0, 1), of all waves: of the boundary and of either side's tinge."""
    return numbers_of(seeds, (3, 3, WAVES), torch.rand)


def _varied_width(seeds: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Width of a varied boundary at x and y, from sharp at one end of the image to diffuse at the other."""
    across = 2 * math.pi * numbers_of(seeds ^ 1, (1, 1), torch.rand)  # not among the numbers of the waves
    return (SHARP + DIFFUSE) / 2 + (DIFFUSE - SHARP) * (x * across.cos() + y * across.sin())


def _distance(draws: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Signed distance to the zero line of the waves, to first order, and the direction in which it grows."""
    value, dx, dy = _waves(draws[:, 0], x, y, shortest=SHORTEST, longest=LONGEST)
    steep = torch.hypot(dx, dy).clamp_min(1.0)  # where the waves are flat there is no boundary near
    return value / steep, dx, dy


def _waves(draws: Tensor, x: Tensor, y: Tensor, *, shortest: float, longest: float) -> tuple[Tensor, Tensor, Tensor]:
    """A sum of plane waves of variance 1, and its gradient; shape (n, h, w) each, from draws of shape (n, 3, waves)."""
    direction, length, phase = draws[..., None].unbind(1)  # (n, waves, 1)
    k = 2 * math.pi / (shortest * (longest / shortest) ** length)
    kx, ky = k * (2 * math.pi * direction).cos(), k * (2 * math.pi * direction).sin()
    # sin(kx·x + ky·y + phase) is the imaginary part of a product, so a sum of waves is a product of two matrices
    across = torch.polar(torch.ones_like(kx * x[0]), kx * x[0])  # (n, waves, w); ten times as fast as exp(1j * …)
    turns = ky * y[:, 0] + 2 * math.pi * phase
    down = torch.polar(torch.full_like(turns, (2 / WAVES) ** 0.5), turns)  # (n, waves, h)
    rows = torch.cat([down, 1j * kx * down, 1j * ky * down], 2)  # the waves and their two slopes
    value, dx, dy = (rows.mT @ across).imag.chunk(3, 1)
    return value, dx, dy
