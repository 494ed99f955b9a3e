"""Rendered scenes after Causal3DIdent: one of seven shapes under a coloured spotlight, every latent known.

What is resampled to make a pair is left to `augment`; what the latents look like, to `shading`.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from hssl.worlds.scenes.shading import HUES, Scene, View, shade

CLASSES = ("teapot", "hare", "dragon", "cow", "armadillo", "horse", "head")
LATENTS = (
    *("x", "y", "z", "alpha", "beta", "gamma"),
    *("spotlight", "hue_object", "hue_spotlight", "hue_background"),
)
BATCH = 64  # images rendered at a time: enough to be fast, few enough for the processor's caches

#: Sign of each class's mean rotation about the three axes, and of its position against the spotlight's.
ROTATION_SIGN = ((-1, 1, 1), (1, -1, 1), (1, 1, -1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1), (-1, -1, -1))
POSITION_SIGN = (0, -1, -1, 1, 1, -1, 1)
#: Mean hue of each class's object: its own, and its share of the mean hue of background and spotlight.
HUE_MEAN = (0.0, 0.0, 0.0, -0.35, 0.7, -0.7, 0.35)
HUE_FOLLOWS = (0, 1, -1, 0, 0, 0, 0)


class Latents(NamedTuple):
    """Everything that a scene is made of; rows belong together."""

    labels: Tensor  #: shape (n,), int64: the class, an index into CLASSES
    values: Tensor  #: shape (n, 10), in [−1, 1], columns as in LATENTS

    def check(self) -> "Latents":
        """Itself, if it can be rendered.

        Raises:
            TypeError: labels are no integers, or values no floating-point numbers.
            ValueError: another shape, no scene at all, an unknown label, or a value outside [−1, 1] or NaN.
        """
        labels, values = self
        if labels.is_floating_point() or not values.is_floating_point():
            raise TypeError(
                f"labels, values: wanted integers and floating-point numbers, got {labels.dtype}, {values.dtype}"
            )
        if values.ndim != 2 or values.shape[1] != len(LATENTS) or labels.shape != values.shape[:1] or not len(values):
            raise ValueError(
                f"labels, values: wanted shapes (n,) and (n, {len(LATENTS)}) with n ≥ 1, "
                f"got {tuple(labels.shape)} and {tuple(values.shape)}"
            )
        if not 0 <= labels.min() <= labels.max() < len(CLASSES):
            raise ValueError(f"labels: wanted 0 to {len(CLASSES) - 1}, got {labels.min()} to {labels.max()}")
        if bad := [name for name, column in zip(LATENTS, values.T, strict=True) if not (column.abs() <= 1).all()]:
            raise ValueError(f"values: wanted numbers in [−1, 1], but not so in {', '.join(bad)}")
        return self

    def rows(self, which) -> "Latents":
        """Some of the scenes: a slice, a mask, or indices."""
        return Latents(self.labels[which], self.values[which])


def sample_latents(n: int, generator: torch.Generator, *, causal: bool = True) -> Latents:
    """Draw n scenes.

    Args:
        causal: as in Causal3DIdent: class sets the mean of rotation, position and hue of the object, the spotlight
            that of its position, and both other hues that of its hue. Otherwise all latents are independent and
            uniform. The class is uniform in both.
    Raises:
        ValueError: n < 1.
    Source: von Kügelgen et al. 2021, appendix C.2. Taught in: causal_scenes, "The world".
    """
    if n < 1:
        raise ValueError(f"n: wanted at least one scene, got {n}")
    device = generator.device
    labels = torch.randint(len(CLASSES), (n,), generator=generator, device=device)
    values = torch.rand(n, len(LATENTS), generator=generator, device=device) * 2 - 1
    if causal:
        _, mean = causal_means(labels, values)
        values[:, :6] = truncated_normal(mean[:, :6], generator)
        values[:, 7] = truncated_normal(mean[:, 7], generator)
    return Latents(labels, values)


def targets(latents: Latents) -> dict[str, Tensor]:
    """What a probe is asked for, by latent: positions as they are, angles and hues as sine and cosine; shape (n, k)."""
    found = {}
    for name, column in zip(LATENTS, latents.values.T, strict=True):
        turn = HUES * math.pi * (column + 1) if name.startswith("hue") else column * math.pi / 2
        found[name] = column[:, None] if name in ("x", "y", "z") else torch.stack([turn.sin(), turn.cos()], 1)
    return found


def causal_means(classes: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Causal3DIdent's structural equations: which latents have parents, shape (10,), and their means, shape (n, 10).

    A latent with parents is normal around its mean, standard deviation ½, truncated to [−1, 1].
    """
    angle = values[:, 6] * math.pi / 2
    sign, rotation, hue, follows = (
        values.new_tensor(table)[classes] for table in (POSITION_SIGN, ROTATION_SIGN, HUE_MEAN, HUE_FOLLOWS)
    )
    means = torch.zeros_like(values)
    means[:, 0], means[:, 1] = sign * angle.sin(), sign * angle.cos()
    means[:, 3:6] = 0.35 * rotation
    means[:, 7] = hue + follows * (values[:, 8] + values[:, 9]) / 2
    caused = torch.ones(len(LATENTS), dtype=torch.bool, device=values.device)
    caused[[6, 8, 9]] = False
    return caused, means


def truncated_normal(mean: Tensor, generator: torch.Generator, sd: float = 0.5) -> Tensor:
    """Normal around `mean`, truncated to [−1, 1], by the inverse of its distribution function; same shape."""
    low, high = (torch.special.ndtr((bound - mean.double()) / sd) for bound in (-1.0, 1.0))
    share = torch.rand(mean.shape, generator=generator, device=mean.device, dtype=torch.float64)
    drawn = mean + sd * torch.special.ndtri(low + share * (high - low))
    return drawn.clamp(-1, 1).to(mean.dtype)


@torch.no_grad()
def render(latents: Latents, size: int = 64, *, supersampling: int = 2, with_object: bool = True) -> Tensor:
    """Pictures of scenes, shape (n, 3, size, size), in [0, 1]; the same latents always give the same picture.

    Args:
        size: edge in pixels, 8 to 1024.
        supersampling: rays along the edge of a pixel, 1 to 4, for the object's outline.
        with_object: False takes the object away, and leaves light and ground.
    Raises:
        TypeError, ValueError: see `Latents.check`; or size or supersampling out of range.
    Taught in: causal_scenes, "The world".
    """
    latents = Latents(*latents).check()
    if not 8 <= size <= 1024 or not 1 <= supersampling <= 4:
        raise ValueError(f"size, supersampling: wanted 8 to 1024 and 1 to 4, got {size} and {supersampling}")
    view = View(size, supersampling, latents.values.device)
    step = max(1, BATCH * 64**2 // size**2)
    parts = range(0, len(latents.values), step)
    return torch.cat([shade(Scene(*latents.rows(slice(i, i + step))), view, with_object) for i in parts])
