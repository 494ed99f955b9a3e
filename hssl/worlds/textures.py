"""Images with no object: every dial is known, and none of them is the place or the kind of a thing.

What is resampled to make a pair is left to `augment`. The scene without its object is `scenes.render`'s.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from hssl.worlds.scenes.shading import hue_to_rgb

LEAVES = 300  # at most, in a picture of dead leaves
HARMONICS = 5  # of a blob's outline


class Dial(NamedTuple):
    """What can be turned, between which values."""

    low: float
    high: float
    unit: str


class Latents(NamedTuple):
    """A batch of textures; rows belong together."""

    values: Tensor  #: shape (n, dials), in the dials' units
    seeds: Tensor  #: shape (n,), int64: what is random in a picture apart from its dials


class Texture:
    """A family of pictures with known dials.

    Args:
        dials: by name, in the order of the columns of `Latents.values`.
        draw: called with the dials, shape (n, 1, 1) each, the seeds, and the pixels' x and y, shape (size, size),
            in picture widths from the centre, y downwards; gives pictures, shape (n, 3, size, size).
    """

    def __init__(self, dials: dict[str, Dial], draw: Callable[..., Tensor]):
        self.dials, self.draw = dials, draw

    def sample_latents(self, n: int, generator: torch.Generator) -> Latents:
        """Draw n textures, every dial uniform and independent.

        Raises:
            ValueError: n < 1.
        Taught in: ood_limits, "The worlds".
        """
        if n < 1:
            raise ValueError(f"n: wanted at least one picture, got {n}")
        low, high = (torch.tensor(bounds, device=generator.device) for bounds in zip(*self._bounds(), strict=True))
        values = low + (high - low) * torch.rand(n, len(low), generator=generator, device=generator.device)
        return Latents(values, torch.randint(2**62, (n,), generator=generator, device=generator.device))

    @torch.no_grad()
    def render(self, latents: Latents, size: int = 64) -> Tensor:
        """Pictures, shape (n, 3, size, size), in [0, 1]; the same latents always give the same picture.

        Raises:
            TypeError: values are no floating-point numbers, or seeds no integers.
            ValueError: another shape, no picture at all, a dial outside its range or NaN, or size not 8 to 1024.
        """
        self.check(latents, size)
        values, seeds = latents
        at = (torch.arange(size, device=values.device) + 0.5) / size - 0.5
        y, x = torch.meshgrid(at, at, indexing="ij")
        dials = {name: column[:, None, None] for name, column in zip(self.dials, values.T, strict=True)}
        return self.draw(dials, seeds, x, y).clamp(0, 1)

    def targets(self, latents: Latents) -> dict[str, Tensor]:
        """What a probe is asked for, by dial: angles and hues as sine and cosine, others as they are; shape (n, k)."""
        turns = {"radians": 1.0, _CIRCLE: 2 * math.pi}
        found = {}
        for (name, dial), column in zip(self.dials.items(), latents.values.T, strict=True):
            turn = column * turns.get(dial.unit, 0.0)
            found[name] = torch.stack([turn.sin(), turn.cos()], 1) if dial.unit in turns else column[:, None]
        return found

    def _bounds(self) -> list[tuple[float, float]]:
        return [(dial.low, dial.high) for dial in self.dials.values()]

    def check(self, latents: Latents, size: int) -> None:
        """Raises what `render` raises."""
        values, seeds = latents
        if not values.is_floating_point() or seeds.is_floating_point():
            raise TypeError(
                f"values, seeds: wanted floating-point numbers and integers, got {values.dtype}, {seeds.dtype}"
            )
        if values.ndim != 2 or values.shape[1] != len(self.dials) or seeds.shape != values.shape[:1] or not len(seeds):
            raise ValueError(
                f"values, seeds: wanted shapes (n, {len(self.dials)}) and (n,) with n ≥ 1, "
                f"got {tuple(values.shape)} and {tuple(seeds.shape)}"
            )
        for (name, dial), column in zip(self.dials.items(), values.T, strict=True):
            if not ((dial.low <= column) & (column <= dial.high)).all():
                raise ValueError(f"values: wanted {name} in [{dial.low}, {dial.high}] {dial.unit}")
        if not 8 <= size <= 1024:
            raise ValueError(f"size: wanted 8 to 1024, got {size}")


def draw_gradient_edge(dials, seeds, x, y):
    """Two colours, each with a ramp of brightness, and a straight boundary, sharper at one end than at the other."""
    along = x * dials["angle"].cos() + y * dials["angle"].sin() - dials["position"]
    across = y * dials["angle"].cos() - x * dials["angle"].sin()
    share = torch.sigmoid(along / 10 ** (dials["width"] + dials["taper"] * across))[:, None]  # of the first colour
    first, second = (_colour(dials[f"hue_{i}"]) * (1 + dials[f"ramp_{i}"] * across)[:, None] for i in (1, 2))
    return share * first + (1 - share) * second


def draw_blob(dials, seeds, x, y):
    """A star-shaped stain without identity, its rim sharp or diffuse."""
    order = torch.arange(1, HARMONICS + 1, device=x.device)
    waves = numbers_of(seeds, (2, HARMONICS)) / order**1.3
    angle = torch.atan2(y - dials["y"], x - dials["x"])[:, None] * order[:, None, None]  # (n, harmonics, h, w)
    wave = (waves[:, 0, :, None, None] * angle.cos() + waves[:, 1, :, None, None] * angle.sin()).sum(1)
    radius = dials["radius"] * (1 + dials["roughness"] * wave)
    inside = torch.sigmoid((radius - torch.hypot(x - dials["x"], y - dials["y"])) / 10 ** dials["width"])[:, None]
    return inside * _colour(dials["hue_blob"]) + (1 - inside) * _colour(dials["hue_ground"], value=0.55)


def draw_noise(dials, seeds, x, y):
    """Noise whose amplitude falls with frequency f as f^−exponent, in one tint."""
    size = len(x)
    frequency = torch.hypot(torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None]).to(x.device)
    frequency[0, 0] = torch.inf  # no mean
    field = torch.fft.rfft2(numbers_of(seeds, (size, size))) * frequency ** -dials["exponent"]
    field = torch.fft.irfft2(field, s=(size, size))
    field = field / field.std((1, 2), keepdim=True)
    return _colour(dials["hue"], value=0.6) * (1 + dials["contrast"] * field)[:, None]


def draw_dead_leaves(dials, seeds, x, y):
    """Discs that hide each other, radii drawn from p(r) ∝ r⁻³; front to back, until nothing shines through."""
    uniform = numbers_of(seeds, (LEAVES, 4), normal=False)  # radius, x, y, hue
    smallest = 10 ** dials["smallest"][:, 0]
    radius = (smallest**-2 + (0.4**-2 - smallest**-2) * uniform[:, :, 0]) ** -0.5
    centre = uniform[:, :, 1:3] * 1.4 - 0.7
    hue = (dials["hue"][:, 0] + dials["hue_spread"][:, 0] * (uniform[:, :, 3] - 0.5)) % 1
    picture = torch.zeros(len(seeds), 3, *x.shape, device=x.device)
    through = torch.ones(len(seeds), 1, *x.shape, device=x.device)
    for leaf in range(LEAVES):
        dx, dy = (at - centre[:, leaf, i, None, None] for i, at in enumerate((x, y)))
        cover = torch.sigmoid((radius[:, leaf, None, None] - torch.hypot(dx, dy)) / 10 ** dials["width"])[:, None]
        brightness = 0.35 + 0.6 * ((leaf * 0.618) % 1)
        picture += through * cover * _colour(hue[:, leaf, None, None], value=brightness)
        through = through * (1 - cover)
        if leaf % 32 == 31 and through.max() < 0.01:
            break
    return picture + through * 0.5


def _colour(hue: Tensor, value: float = 0.8) -> Tensor:
    return hue_to_rgb(hue.flatten(), saturation=0.6, value=value)[:, :, None, None]


def numbers_of(seeds: Tensor, shape: tuple[int, ...], *, normal: bool = True) -> Tensor:
    """Random numbers, shape (n, *shape), those of a picture drawn from its own seed: normal, or uniform in [0, 1)."""
    draws = []
    for seed in seeds.tolist():
        generator = torch.Generator().manual_seed(seed)
        draws.append((torch.randn if normal else torch.rand)(shape, generator=generator))
    return torch.stack(draws).to(seeds.device)


_CIRCLE = "turns of the colour circle"
_SOFTNESS = Dial(-2.6, -0.8, "log₁₀ picture widths")
_HUE = Dial(0.0, 5 / 6, _CIRCLE)

#: Direction and place of the boundary, its width half way and how much wider it grows along itself, the ramp of either
#: side along the boundary, and a warm and a cold colour: since no colour is both, no picture has two names.
gradient_edge = Texture(
    {
        "angle": Dial(0.0, 2 * math.pi, "radians"),
        "position": Dial(-0.25, 0.25, "picture widths"),
        "width": Dial(-2.0, -0.7, "log₁₀ picture widths"),
        "taper": Dial(-1.5, 1.5, "log₁₀ of the width, a picture width"),
        "ramp_1": Dial(-0.8, 0.8, "relative brightness, a picture width"),
        "ramp_2": Dial(-0.8, 0.8, "relative brightness, a picture width"),
        "hue_1": Dial(0.0, 0.3, _CIRCLE),
        "hue_2": Dial(0.4, 0.8, _CIRCLE),
    },
    draw_gradient_edge,
)
#: Place and size of a stain, how ragged and how sharp its rim is, and two colours.
blob = Texture(
    {
        "x": Dial(-0.2, 0.2, "picture widths"),
        "y": Dial(-0.2, 0.2, "picture widths"),
        "radius": Dial(0.1, 0.3, "picture widths"),
        "roughness": Dial(0.0, 0.4, "of the radius"),
        "width": _SOFTNESS,
        "hue_blob": _HUE,
        "hue_ground": _HUE,
    },
    draw_blob,
)
#: Spectrum, contrast and tint of noise.
noise = Texture(
    {
        "exponent": Dial(0.0, 2.5, "of the amplitude spectrum"),
        "contrast": Dial(0.05, 0.4, "standard deviation relative to the mean"),
        "hue": _HUE,
    },
    draw_noise,
)
#: Size of the smallest leaf, sharpness of the rims, and the palette.
dead_leaves = Texture(
    {
        "smallest": Dial(-1.6, -0.7, "log₁₀ picture widths"),
        "width": Dial(-2.6, -1.4, "log₁₀ picture widths"),
        "hue": _HUE,
        "hue_spread": Dial(0.05, 0.6, "turns"),
    },
    draw_dead_leaves,
)
TEXTURES = {"gradient_edge": gradient_edge, "blob": blob, "noise": noise, "dead_leaves": dead_leaves}
