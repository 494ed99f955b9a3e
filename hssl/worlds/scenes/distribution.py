"""Rendered scenes after Causal3DIdent: one of seven shapes under a coloured spotlight, every latent known.

What the latents look like is left to `shading`, pairs of scenes to `pairs`.
"""

import math
from typing import Annotated, NamedTuple

import torch
from beartype.vale import Is
from jaxtyping import Float, Int
from torch import Tensor

from hssl.checks import WORDS, ArgumentError, Count, checked
from hssl.worlds.scenes.shading import HUES, Camera, Scene, shade

CLASSES = ("teapot", "hare", "dragon", "cow", "armadillo", "horse", "head")
LATENTS = (
    *("x", "y", "z", "alpha", "beta", "gamma"),
    *("spotlight", "hue_object", "hue_spotlight", "hue_background"),
)
ImageSize = Annotated[int, Is[lambda value: 8 <= value <= 1024]]
Supersampling = Annotated[int, Is[lambda value: 1 <= value <= 4]]
WORDS |= {ImageSize: "8 to 1024 pixels", Supersampling: "1 to 4 rays"}
BATCH = 64  # images rendered at a time: enough to be fast, few enough for the processor's caches

#: Sign of each class's mean rotation about the three axes, and of its position against the spotlight's.
ROTATION_SIGN = ((-1, 1, 1), (1, -1, 1), (1, 1, -1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1), (-1, -1, -1))
POSITION_SIGN = (0, -1, -1, 1, 1, -1, 1)
#: Mean hue of each class's object: its own, and its share of the mean hue of background and spotlight.
HUE_MEAN = (0.0, 0.0, 0.0, -0.35, 0.7, -0.7, 0.35)
HUE_FOLLOWS = (0, 1, -1, 0, 0, 0, 0)


#: Latents of a scene that belong together.
GROUPS = {
    "positions": ("x", "y", "z", "spotlight"),
    "rotations": ("alpha", "beta", "gamma"),
    "hues": ("hue_object", "hue_spotlight", "hue_background"),
}
#: What is reported beside the class, as in the published table, and the latents that it is made of.
FACTORS = {
    "position": ("x", "y", "z"),
    "spotlight": ("spotlight",),
    "hue_object": ("hue_object",),
    "hue_spotlight": ("hue_spotlight",),
    "hue_background": ("hue_background",),
    "rotation": ("alpha", "beta", "gamma"),
}


class Latents(NamedTuple):
    """Everything that a scene is made of; rows belong together."""

    labels: Tensor  #: shape (n,), int64: the class, an index into CLASSES
    values: Tensor  #: shape (n, 10), in [−1, 1], columns as in LATENTS

    def check(self) -> "Latents":
        """Itself, if it can be rendered.

        Raises:
            ArgumentError: labels are no integers, values no floating-point numbers, another shape, no scene at all, an
                unknown label, or a value outside [−1, 1] or NaN.
        """
        _check_latents(*self)
        return self

    def rows(self, which) -> "Latents":
        """Some of the scenes: a slice, a mask, or indices."""
        return Latents(self.labels[which], self.values[which])


@checked
def _check_latents(labels: Int[Tensor, " n"], values: Float[Tensor, "n 10"]) -> None:
    if not len(labels):
        raise ArgumentError("labels, values: wanted at least one scene, got none")
    if not 0 <= labels.min() <= labels.max() < len(CLASSES):
        raise ArgumentError(f"labels: wanted 0 to {len(CLASSES) - 1}, got {labels.min()} to {labels.max()}")
    if bad := [name for name, column in zip(LATENTS, values.T, strict=True) if not (column.abs() <= 1).all()]:
        raise ArgumentError(f"values: wanted numbers in [−1, 1], but not so in {', '.join(bad)}")


@checked
def sample_latents(n: Count, generator: torch.Generator, *, causal: bool = True) -> Latents:
    """Draw n scenes.

    Args:
        causal: as in Causal3DIdent: class sets the mean of rotation, position and hue of the object, the spotlight
            that of its position, and both other hues that of its hue. Otherwise all latents are independent and
            uniform. The class is uniform in both.
    Source: von Kügelgen et al. 2021, appendix C.2. Taught in: causal_scenes, "The world".

    >>> labels, values = sample_latents(5, g)
    >>> tuple(labels.shape), tuple(values.shape), bool((values.abs() <= 1).all())
    ((5,), (5, 10), True)
    """
    device = generator.device
    labels = torch.randint(len(CLASSES), (n,), generator=generator, device=device)
    values = torch.rand(n, len(LATENTS), generator=generator, device=device) * 2 - 1
    if causal:
        _, mean = causal_means(labels, values)
        values[:, :6] = truncated_normal(mean[:, :6], generator)
        values[:, 7] = truncated_normal(mean[:, 7], generator)
    return Latents(labels, values)


def resample(latents: Latents, names: str, generator: torch.Generator) -> Latents:
    """The same scenes with the named latents drawn afresh, uniformly and independently of all others.

    Args:
        names: latents or groups of them (`GROUPS`), joined by "+": "positions+hues", "x+spotlight".
    Raises:
        ArgumentError: an unknown name.
    Taught in: causal_scenes, "Views".

    >>> before = sample_latents(3, g)
    >>> (resample(before, "hues", g).values != before.values).any(0).nonzero()[:, 0].tolist()
    [7, 8, 9]
    """
    fresh = torch.rand(latents.values.T.shape, generator=generator, device=latents.values.device).T * 2 - 1
    touched = torch.tensor([name in _named(names) for name in LATENTS], device=latents.values.device)
    return latents._replace(values=torch.where(touched, fresh, latents.values))


def untouched(names: str) -> list[str]:
    """The latents that `resample` under these names leaves alone: what the theorem calls content.

    >>> untouched("positions+rotations")
    ['hue_object', 'hue_spotlight', 'hue_background']
    """
    touched = _named(names)
    return [name for name in LATENTS if name not in touched]


def truth(latents: Latents) -> dict[str, Tensor]:
    """What a probe is asked for: the class, and the targets of the latents in each of `FACTORS` side by side.

    >>> {name: tuple(factor.shape) for name, factor in truth(sample_latents(3, g)).items()}  # doctest: +ELLIPSIS
    {'class': (3,), 'position': (3, 3), 'spotlight': (3, 2), ... 'rotation': (3, 6)}
    """
    found = targets(latents)
    return {"class": latents.labels} | {
        factor: torch.cat([found[name] for name in names], 1) for factor, names in FACTORS.items()
    }


def targets(latents: Latents) -> dict[str, Tensor]:
    """By latent: positions as they are, angles and hues as sine and cosine; shape (n, 1) or (n, 2)."""
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
@checked
def render(
    latents: Latents, size: ImageSize = 64, *, supersampling: Supersampling = 2, with_object: bool = True
) -> Float[Tensor, "n 3 size size"]:
    """Images of scenes, in [0, 1]; the same latents always give the same image, in whatever batch.

    Args:
        size: side length in pixels, 8 to 1024.
        supersampling: rays along the side of a pixel, 1 to 4, for the object's outline.
        with_object: False takes the object away, and leaves light and background.
    Raises:
        ArgumentError: as `Latents.check`; or size or supersampling out of range.
    Taught in: causal_scenes, "The world".

    >>> render(sample_latents(2, g), 16).shape
    torch.Size([2, 3, 16, 16])
    """
    latents = Latents(*latents).check()
    view = Camera(size, supersampling, latents.values.device)
    step = max(1, BATCH * 64**2 // size**2)
    parts = range(0, len(latents.values), step)
    return torch.cat([shade(Scene(*latents.rows(slice(i, i + step))), view, with_object) for i in parts])


def _named(names: str) -> list[str]:
    """The latents behind names."""
    single = {name: (name,) for name in LATENTS} | GROUPS
    if unknown := [name for name in names.split("+") if name not in single]:
        raise ArgumentError(
            f"names: unknown {', '.join(map(repr, unknown))}; there are {', '.join(single)} (views of images, such as "
            "augment.colour, are given as `views`)"
        )
    return [latent for name in names.split("+") for latent in single[name]]
