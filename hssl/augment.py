"""Views as counterfactuals: the same scene with some latents drawn afresh, or the same picture transformed.

Names may be joined: "positions+hues", "crop_small+colour". What the encoder makes of the views is left to `training`.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from hssl.worlds.scenes import LATENTS

#: Latents of a scene that belong together.
GROUPS = {
    "positions": ("x", "y", "z", "spotlight"),
    "rotations": ("alpha", "beta", "gamma"),
    "hues": ("hue_object", "hue_spotlight", "hue_background"),
}


class Views(NamedTuple):
    """Pairs of pictures; rows belong together."""

    latents: NamedTuple  #: of the anchors
    anchors: Tensor  #: shape (n, 3, size, size), in [0, 1]
    positives: Tensor  #: same shape


def views(world, n: int, names: str, generator: torch.Generator, *, size: int = 32) -> Views:
    """Draw n scenes of a world, and two views of each.

    Args:
        world: has `sample_latents(n, generator)` and `render(latents, size)`; a texture also has its `dials`.
        names: latents or groups of them, as in `resample`, redrawn for the positive; and names of `transforms`, done
            to both; joined by "+".
    Raises:
        ValueError: n < 1, or an unknown name.
    Taught in: causal_scenes, "Views".
    """
    of_pictures = transforms(size)
    drawn = "+".join(name for name in names.split("+") if name not in of_pictures)
    done = "+".join(name for name in names.split("+") if name in of_pictures)
    latents = world.sample_latents(n, generator)
    changed = resample(latents, drawn, generator, getattr(world, "dials", None)) if drawn else latents
    anchors = world.render(latents, size)
    positives = world.render(changed, size) if drawn else anchors
    if done:
        anchors, positives = (transform(pictures, done, generator) for pictures in (anchors, positives))
    return Views(latents, anchors, positives)


class QuarterTurn(v2.Transform):
    """Turn a picture by 0, 90, 180 or 270 degrees, each equally likely."""

    def make_params(self, flat_inputs):
        return {"turns": int(torch.randint(4, ()))}

    def transform(self, image, params):
        return image.rot90(params["turns"], (-2, -1))


def transforms(size: int) -> dict[str, v2.Transform]:
    """The transforms of pictures, by name, for pictures of that edge; each keeps the size.

    colour: jitter of brightness, contrast, saturation and hue with probability 0.8, and grey with 0.2.
    crop_small, crop_large: a window of 8 % to 100 %, or of 80 % to 100 % of the area, flipped half the time.
    rotation: a multiple of 90 degrees. camera: exposure, out of focus, and noise of the sensor.
    Source: von Kügelgen et al. 2021, appendix D.2 (all but camera).
    """

    def crop(area):
        resize = v2.RandomResizedCrop(size, area, interpolation=InterpolationMode.BILINEAR, antialias=True)
        return v2.Compose([resize, v2.RandomHorizontalFlip()])

    jitter = v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8)
    blur = v2.RandomApply([v2.GaussianBlur(5, (0.3, 1.2))], p=0.5)
    return {
        "colour": v2.Compose([jitter, v2.RandomGrayscale(0.2)]),
        "crop_small": crop((0.08, 1.0)),
        "crop_large": crop((0.8, 1.0)),
        "rotation": QuarterTurn(),
        "camera": v2.Compose([v2.ColorJitter(brightness=0.3), blur, v2.GaussianNoise(sigma=0.03)]),
    }


def transform(images: Tensor, names: str, generator: torch.Generator) -> Tensor:
    """Transformed pictures, same shape, each in its own way.

    Args:
        images: shape (n, 3, size, size), in [0, 1].
        names: one of `transforms`, or several joined by "+", done from left to right.
    Raises:
        TypeError: the pictures are no floating-point tensor.
        ValueError: another shape, no picture at all, a value outside [0, 1] or NaN, or an unknown name.
    Taught in: causal_scenes, "Views".
    """
    if not images.is_floating_point():
        raise TypeError(f"images: wanted floating-point numbers, got {images.dtype}")
    if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3] or not len(images):
        raise ValueError(f"images: wanted shape (n, 3, size, size) with n ≥ 1, got {tuple(images.shape)}")
    if not ((images >= 0) & (images <= 1)).all():
        raise ValueError("images: wanted values in [0, 1]")
    chain = v2.Compose(_named(names, transforms(images.shape[-1])))
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # torchvision draws from the global generator
        return torch.stack([chain(image) for image in images]).clamp(0, 1)


def resample(latents: NamedTuple, names: str, generator: torch.Generator, dials: dict | None = None) -> NamedTuple:
    """The same scenes with the named latents drawn afresh, uniformly and independently of all others.

    Args:
        latents: of `worlds.scenes` (without `dials`), or of a texture with these `dials`.
        names: latents or, in scenes, groups of them, joined by "+"; "seed" is whatever a texture has beside its dials.
    Raises:
        ValueError: an unknown name.
    Taught in: causal_scenes, "Views".
    """
    bounds = {name: (-1.0, 1.0) for name in LATENTS} if dials is None else {n: d[:2] for n, d in dials.items()}
    single = {name: (name,) for name in bounds} | ({"seed": ()} if dials else GROUPS)
    chosen = [name for group in _named(names, single) for name in group]
    values = latents.values.clone()
    for column, (name, (low, high)) in enumerate(bounds.items()):
        fresh = torch.rand(len(values), generator=generator, device=values.device)
        if name in chosen:
            values[:, column] = low + (high - low) * fresh
    changed = latents._replace(values=values)
    if dials and "seed" in names.split("+"):
        return changed._replace(seeds=torch.randint_like(latents.seeds, 2**62, generator=generator))
    return changed


def _named(names: str, known: dict) -> list:
    if unknown := [name for name in names.split("+") if name not in known]:
        raise ValueError(f"names: unknown {', '.join(map(repr, unknown))}; there are {', '.join(known)}")
    return [known[name] for name in names.split("+")]


def untouched(names: str) -> list[str]:
    """The latents of a scene that `resample` under these names leaves alone: what the theorem calls content."""
    touched = {latent for group in _named(names, {name: (name,) for name in LATENTS} | GROUPS) for latent in group}
    return [name for name in LATENTS if name not in touched]
