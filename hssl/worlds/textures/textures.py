"""Four kinds of images with no object, each with known factors of variation, and pairs that share some of them.

The scene without its object is `scenes.render`'s; the boundary between two regions is left to `boundaries`.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hssl.checks import Count, Finite, ImageSize, checked, explained, one_of
from hssl.pairs import Pairs, View
from hssl.patches import pixel_grid
from hssl.worlds.scenes.shading import hue_to_rgb

LEAVES = 300  # in an image of dead leaves
HARMONICS = 5  # of a blob's outline


class Factor(NamedTuple):
    """A factor of variation: its range and its unit.

    >>> Factor(2.0, 8.0, "per width").high
    8.0
    """

    low: Finite
    high: Finite
    unit: str


class TextureLatents(NamedTuple):
    """A batch of textures; rows belong together.

    >>> blob.render(TextureLatents(blob.sample_latents(1, g).values.expand(3, -1), torch.arange(3)), 16).shape
    torch.Size([3, 3, 16, 16])
    """

    values: Float[Tensor, "n factors"]  #: shape (n, factors), in the factors' units
    seeds: Int[Tensor, " n"]  #: shape (n,), int64: of the random pattern, which is all that the factors leave open


class Texture:
    """A family of images with known factors of variation.

    Args:
        factors: by name, in the order of the columns of `TextureLatents.values`.
        draw: called with the factors, shape (n, 1, 1) each, the seeds, and the pixels' x and y, shape (size, size),
            in image widths from the centre, y downwards; gives images, shape (n, 3, size, size).

    >>> def stripes(factors, seeds, x, y):
    ...     wave = 0.5 + 0.5 * torch.sin(2 * torch.pi * factors["frequency"] * x)
    ...     return wave[:, None].expand(-1, 3, -1, -1)
    >>> striped = Texture({"frequency": Factor(2.0, 8.0, "per width")}, stripes)
    >>> striped.render(striped.sample_latents(5, g), 16).shape
    torch.Size([5, 3, 16, 16])
    """

    @checked
    def __init__(self, factors: dict[str, Factor], draw: Callable[..., Tensor]):
        self.factors, self.draw = factors, draw

    @checked
    def sample_latents(self, n: Count, generator: torch.Generator) -> TextureLatents:
        """Draw n textures, every factor uniform and independent.

        Raises:
            ArgumentError: n < 1.
        Taught in: ood_limits, "The worlds".

        >>> noise.sample_latents(4, g).values.shape
        torch.Size([4, 3])
        """
        low, high = torch.tensor([factor[:2] for factor in self.factors.values()], device=generator.device).T
        values = low + (high - low) * torch.rand(n, len(low), generator=generator, device=generator.device)
        return TextureLatents(values, torch.randint(2**62, (n,), generator=generator, device=generator.device))

    @checked
    def resample(self, latents: TextureLatents, names: str, generator: torch.Generator) -> TextureLatents:
        """The same textures with some factors redrawn, uniformly and independently of all others.

        Args:
            names: factors, and "seed" for the random pattern, joined by "+". What is not named stays, the pattern too.
        Raises:
            ValueError: an unknown name.
        Taught in: ood_limits, "The worlds".

        >>> before = noise.sample_latents(4, g)
        >>> after = noise.resample(before, "hue+seed", g)
        >>> (before.values == after.values).all(0).tolist(), (before.seeds == after.seeds).any().item()
        ([True, True, False], False)
        """
        chosen = names.split("+")
        for name in chosen:
            one_of("names", name, (*self.factors, "seed"))
        self.check(latents)
        values, seeds = latents.values.clone(), latents.seeds
        for column, (name, factor) in zip(values.T, self.factors.items(), strict=True):
            fresh = torch.rand(
                len(values), generator=generator, device=values.device
            )  # drawn for every factor, so that
            if name in chosen:  # what one is redrawn to does not depend on which others are
                column.copy_(factor.low + (factor.high - factor.low) * fresh)
        if "seed" in chosen:
            seeds = torch.randint_like(seeds, 2**62, generator=generator)
        return TextureLatents(values, seeds)

    @torch.no_grad()
    @checked
    def render(self, latents: TextureLatents, size: ImageSize = 64) -> Float[Tensor, "n 3 size size"]:
        """Images, shape (n, 3, size, size), in [0, 1]: the same latents give the same image, whatever the batch.

        Raises:
            ArgumentError: values or seeds of another shape or dtype, or size not 8 to 1024.
            ValueError: no image at all, or a factor outside its range or NaN.

        >>> noise.render(noise.sample_latents(4, g), 32).shape
        torch.Size([4, 3, 32, 32])
        """
        self.check(latents)
        factors = dict(zip(self.factors, latents.values.T[:, :, None, None], strict=True))
        x, y = pixel_grid(size, device=latents.values.device)
        return self.draw(factors, latents.seeds, x - 0.5, y - 0.5).clamp(0, 1)

    @explained
    def targets(self, latents: TextureLatents) -> dict[str, Tensor]:
        """What a probe is asked for, by factor: angles and hues as sine and cosine, others as they are; shape (n, k).

        >>> {name: tuple(of.shape) for name, of in noise.targets(noise.sample_latents(4, g)).items()}
        {'exponent': (4, 1), 'contrast': (4, 1), 'hue': (4, 2)}
        """
        if (width := latents.values.shape[1]) != len(self.factors):
            raise ValueError(f"values: wanted {len(self.factors)} columns, one a factor, got {width}")
        turns = {"radians": 1.0, _CIRCLE: 2 * math.pi}
        found = {}
        for (name, factor), column in zip(self.factors.items(), latents.values.T, strict=True):
            turn = column * turns.get(factor.unit, 0.0)
            found[name] = torch.stack([turn.sin(), turn.cos()], 1) if factor.unit in turns else column[:, None]
        return found

    @explained
    def check(self, latents: TextureLatents) -> None:
        """Raises what `render` raises of latents."""
        _check_shapes(*latents)
        if latents.values.shape[1] != len(self.factors) or not len(latents.seeds):
            shape = tuple(latents.values.shape)
            raise ValueError(f"values: wanted shape (n, {len(self.factors)}) with n ≥ 1, got {shape}")
        for (name, factor), column in zip(self.factors.items(), latents.values.T, strict=True):
            if not ((factor.low <= column) & (column <= factor.high)).all():
                raise ValueError(f"values: wanted {name} in [{factor.low}, {factor.high}] {factor.unit}")


@checked
def _check_shapes(values: Float[Tensor, "n factors"], seeds: Int[Tensor, " n"]) -> None:
    """Raises unless they are as they are declared."""


Redraw = str | Callable[[TextureLatents, torch.Generator], TextureLatents] | None


class Textures:
    """Pairs of textures: the second member is the first one with some of its factors redrawn.

    A pair shares all that is not redrawn. The random pattern (a blob's outline, the grains of noise, where the leaves
    lie) is shared as well, unless `redraw` names "seed".

    Args:
        kind: one of `TEXTURES`, or a `Texture`.
        redraw: names as in `Texture.resample`, such as "hue" or "hue+seed"; or a callable that is given the first
            members' latents and a generator, and gives the second members'; None redraws nothing.
        size: side length of the images, 8 to 1024 pixels.
        views: called with images and a generator, for either member separately; None leaves the images as they are.
    Raises:
        ValueError: an unknown kind or name, a size out of range, or nothing that sets the members apart.

    >>> pairs = Textures("blob", "hue_blob").sample(4, g)
    >>> pairs.first.shape, sorted(pairs.truth)[:3]
    (torch.Size([4, 3, 32, 32]), ['hue_blob', 'hue_ground', 'radius'])
    >>> def dimmer(images, generator):
    ...     return images * torch.rand(len(images), 1, 1, 1, generator=generator)
    >>> len(Textures("noise", "hue+seed", views=dimmer).sample(4, g))
    4
    """

    @checked
    def __init__(self, kind: str | Texture, redraw: Redraw = None, *, size: ImageSize = 32, views: View | None = None):
        if isinstance(kind, str):
            one_of("kind", kind, TEXTURES)
        self.texture = TEXTURES[kind] if isinstance(kind, str) else kind
        self.redraw, self.size, self.views = redraw, size, views
        for name in redraw.split("+") if isinstance(redraw, str) else ():
            one_of("redraw", name, (*self.texture.factors, "seed"))
        if redraw is None and views is None:
            raise ValueError("redraw, views: wanted at least one of them, or both members are the same image")

    @checked
    def sample(self, n: Count, generator: torch.Generator) -> Pairs:
        """Draw n pairs.

        Returns:
            Members of shape (n, 3, size, size), in [0, 1] but for the views; the truth is `Texture.targets` of the
            first.
        Raises:
            ArgumentError: n < 1.
        """
        first = self.texture.sample_latents(n, generator)
        if isinstance(self.redraw, str):
            second = self.texture.resample(first, self.redraw, generator)
        else:
            second = first if self.redraw is None else self.redraw(first, generator)
        images, others = self.texture.render(first, self.size), self.texture.render(second, self.size)
        return Pairs(images, others, self.texture.targets(first)).viewed(self.views, generator)


@explained
def draw_gradient_edge(
    factors: Mapping[str, Tensor], seeds: Tensor, x: Float[Tensor, "size size"], y: Float[Tensor, "size size"]
) -> Float[Tensor, "n 3 size size"]:
    """Two colours, each with a ramp of brightness, and a straight boundary, sharper at one end than at the other.

    >>> Texture(gradient_edge.factors, draw_gradient_edge).render(gradient_edge.sample_latents(2, g), 16).shape
    torch.Size([2, 3, 16, 16])
    """
    along = x * factors["angle"].cos() + y * factors["angle"].sin() - factors["position"]
    across = y * factors["angle"].cos() - x * factors["angle"].sin()
    share = torch.sigmoid(along / 10 ** (factors["width"] + factors["taper"] * across))[:, None]  # of the first colour
    first, second = (colour(factors[f"hue_{i}"]) * (1 + factors[f"ramp_{i}"] * across)[:, None] for i in (1, 2))
    return share * first + (1 - share) * second


def _draw_blob(factors, seeds, x, y):
    """A star-shaped stain, its rim sharp or diffuse."""
    order = torch.arange(1, HARMONICS + 1, device=x.device)
    waves = numbers_of(seeds, (2, HARMONICS)) / order**1.3
    angle = torch.atan2(y - factors["y"], x - factors["x"])[:, None] * order[:, None, None]  # (n, harmonics, h, w)
    wave = (waves[:, 0, :, None, None] * angle.cos() + waves[:, 1, :, None, None] * angle.sin()).sum(1)
    radius = factors["radius"] * (1 + factors["roughness"] * wave)
    inside = torch.sigmoid((radius - torch.hypot(x - factors["x"], y - factors["y"])) / 10 ** factors["width"])[:, None]
    return inside * colour(factors["hue_blob"]) + (1 - inside) * colour(factors["hue_ground"], value=0.55)


def _draw_noise(factors, seeds, x, y):
    """Noise whose amplitude falls with frequency f as f^−exponent, in one tint."""
    size = len(x)
    frequency = torch.hypot(torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None]).to(x.device)
    frequency[0, 0] = torch.inf  # no mean
    field = torch.fft.rfft2(numbers_of(seeds, (size, size))) * frequency ** -factors["exponent"]
    field = torch.fft.irfft2(field, s=(size, size))
    field = field / field.std((1, 2), keepdim=True)
    return colour(factors["hue"], value=0.6) * (1 + factors["contrast"] * field)[:, None]


def _draw_dead_leaves(factors, seeds, x, y):
    """Discs that hide each other, front to back, radii drawn from p(r) ∝ r⁻³; what they leave bare is grey."""
    uniform = numbers_of(seeds, (LEAVES, 4), torch.rand)  # radius, x, y, hue
    smallest = 10 ** factors["smallest"][:, 0]
    radius = (smallest**-2 + (0.4**-2 - smallest**-2) * uniform[:, :, 0]) ** -0.5
    centre = uniform[:, :, 1:3] * 1.4 - 0.7
    hue = (factors["hue"][:, 0] + factors["hue_spread"][:, 0] * (uniform[:, :, 3] - 0.5)) % 1
    image = torch.zeros(len(seeds), 3, *x.shape, device=x.device)
    through = torch.ones(len(seeds), 1, *x.shape, device=x.device)
    for leaf in range(LEAVES):
        dx, dy = (at - centre[:, leaf, i, None, None] for i, at in enumerate((x, y)))
        cover = torch.sigmoid((radius[:, leaf, None, None] - torch.hypot(dx, dy)) / 10 ** factors["width"])[:, None]
        brightness = 0.35 + 0.6 * ((leaf * 0.618) % 1)
        image += through * cover * colour(hue[:, leaf, None, None], value=brightness)
        through = through * (1 - cover)
    return image + through * 0.5


@explained
def colour(hue: Float[Tensor, "n h w"], value: Finite = 0.8) -> Float[Tensor, "n 3 h w"]:
    """RGB of hues in turns, shape (n, h, w), with saturation 0.6; shape (n, 3, h, w).

    >>> colour(torch.zeros(2, 1, 1)).shape
    torch.Size([2, 3, 1, 1])
    """
    return hue_to_rgb(hue, saturation=0.6, value=value).movedim(-1, 1)


@explained
def numbers_of(
    seeds: Int[Tensor, " n"], shape: tuple[int, ...], draw: Callable[..., Tensor] = torch.randn
) -> Float[Tensor, "n ..."]:
    """Random numbers, shape (n, *shape), those of an image drawn from its own seed by `torch.randn` or `torch.rand`.

    >>> first, second, third = numbers_of(torch.tensor([1, 2, 1]), (4,))
    >>> torch.equal(first, second), torch.equal(first, third)
    (False, True)
    """
    draws = [draw(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds.tolist()]
    return torch.stack(draws).to(seeds.device)


_CIRCLE = "turns of the colour circle"
_SOFTNESS = Factor(-2.6, -0.8, "log₁₀ image widths")
_HUE = Factor(0.0, 5 / 6, _CIRCLE)

#: Direction and position of the boundary, its width half way and how much wider it grows along itself, the ramp of
#: either side along it, and a warm and a cold colour: since no colour is both, no image has latents of two kinds.
gradient_edge = Texture(
    {
        "angle": Factor(0.0, 2 * math.pi, "radians"),
        "position": Factor(-0.25, 0.25, "image widths"),
        "width": Factor(-2.0, -0.7, "log₁₀ image widths"),
        "taper": Factor(-1.5, 1.5, "log₁₀ of the width, an image width"),
        "ramp_1": Factor(-0.8, 0.8, "relative brightness, an image width"),
        "ramp_2": Factor(-0.8, 0.8, "relative brightness, an image width"),
        "hue_1": Factor(0.0, 0.3, _CIRCLE),
        "hue_2": Factor(0.4, 0.8, _CIRCLE),
    },
    draw_gradient_edge,
)
#: Position and size of a stain, how ragged and how sharp its rim is, and two colours.
blob = Texture(
    {
        "x": Factor(-0.2, 0.2, "image widths"),
        "y": Factor(-0.2, 0.2, "image widths"),
        "radius": Factor(0.1, 0.3, "image widths"),
        "roughness": Factor(0.0, 0.4, "of the radius"),
        "width": _SOFTNESS,
        "hue_blob": _HUE,
        "hue_ground": _HUE,
    },
    _draw_blob,
)
#: Spectrum, contrast and tint of noise.
noise = Texture(
    {
        "exponent": Factor(0.0, 2.5, "of the amplitude spectrum"),
        "contrast": Factor(0.05, 0.4, "standard deviation relative to the mean"),
        "hue": _HUE,
    },
    _draw_noise,
)
#: Size of the smallest leaf, sharpness of the rims, and the palette.
dead_leaves = Texture(
    {
        "smallest": Factor(-1.6, -0.7, "log₁₀ image widths"),
        "width": Factor(-2.6, -1.4, "log₁₀ image widths"),
        "hue": _HUE,
        "hue_spread": Factor(0.05, 0.6, "turns"),
    },
    _draw_dead_leaves,
)
TEXTURES = {"gradient_edge": gradient_edge, "blob": blob, "noise": noise, "dead_leaves": dead_leaves}
