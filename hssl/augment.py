"""Views of images: plain callables, `view(images, generator) -> images`; a reader's own works wherever these do.

Redrawn latents are left to the worlds, as `Scenes(redraw="hues")`; what an encoder makes of views, to `training`.
"""

from collections.abc import Callable
from functools import partial, reduce

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from hssl.checks import ArgumentError, checked
from hssl.pairs import View

Images = Float[Tensor, "n 3 size size"]


def colour(images: Images, generator: torch.Generator) -> Images:
    """Jitter of brightness, contrast, saturation and hue with probability 0.8, and grey with 0.2.

    Source: von Kügelgen et al. 2021, appendix D.2.

    >>> colour(torch.rand(2, 3, 16, 16, generator=g), g).shape
    torch.Size([2, 3, 16, 16])
    """
    jitter = v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8)
    return _each(v2.Compose([jitter, v2.RandomGrayscale(0.2)]), images, generator)


def crop(images: Images, generator: torch.Generator, *, area: tuple[float, float] = (0.08, 1.0)) -> Images:
    """A window of a fraction of the area between these two, resized to the whole, flipped half the time.

    Source: von Kügelgen et al. 2021, appendix D.2: 8 % to 100 % for the small crop, 80 % to 100 % for the large one.

    >>> crop(torch.rand(2, 3, 16, 16, generator=g), g, area=(0.8, 1.0)).shape
    torch.Size([2, 3, 16, 16])
    """
    if not 0 < area[0] <= area[1] <= 1:
        raise ArgumentError(f"area: wanted fractions in rising order, above 0 and at most 1, got {area}")
    resize = v2.RandomResizedCrop(images.shape[-1], area, interpolation=InterpolationMode.BILINEAR, antialias=True)
    return _each(v2.Compose([resize, v2.RandomHorizontalFlip()]), images, generator)


def quarter_turn(images: Images, generator: torch.Generator) -> Images:
    """Turned by 0, 90, 180 or 270 degrees, each equally likely. Source: von Kügelgen et al. 2021, appendix D.2.

    >>> image = torch.rand(1, 3, 8, 8, generator=g)
    >>> view = quarter_turn(image, g)
    >>> any(torch.equal(view, image.rot90(k, (2, 3))) for k in range(4))
    True
    """
    return _each(lambda image: image.rot90(int(torch.randint(4, ())), (-2, -1)), images, generator)


def camera(images: Images, generator: torch.Generator) -> Images:
    """Exposure of ± 30 %, out of focus half the time (Gaussian of 0.3 to 1.2 pixels), noise of the sensor (sd 0.03).

    >>> camera(torch.rand(2, 3, 16, 16, generator=g), g).shape
    torch.Size([2, 3, 16, 16])
    """
    blur = v2.RandomApply([v2.GaussianBlur(5, (0.3, 1.2))], p=0.5)
    return _each(v2.Compose([v2.ColorJitter(brightness=0.3), blur, v2.GaussianNoise(sigma=0.03)]), images, generator)


def channel_mix(images: Images, generator: torch.Generator) -> Images:
    """Each new channel is a random average of the three old ones, drawn anew for every image: no hue survives.

    >>> grey = torch.full((1, 3, 8, 8), 0.5)
    >>> torch.allclose(channel_mix(grey, g), grey)
    True
    """
    weights = torch.rand(len(images), 3, 3, generator=generator, device=images.device)
    return torch.einsum("ncij,ndc->ndij", images, weights / weights.sum(2, keepdim=True))


#: The views that have a name.
VIEWS: dict[str, View] = {
    "colour": colour,
    "crop_small": partial(crop, area=(0.08, 1.0)),
    "crop_large": partial(crop, area=(0.8, 1.0)),
    "rotation": quarter_turn,
    "camera": camera,
    "channel_mix": channel_mix,
}


def compose(names: str) -> View:
    """The named views, one after the other.

    Args:
        names: of `VIEWS`, joined by "+", from left to right.
    Raises:
        ArgumentError: an unknown name.

    >>> compose("crop_small+colour")(torch.rand(2, 3, 16, 16, generator=g), g).shape
    torch.Size([2, 3, 16, 16])
    """
    if unknown := [name for name in names.split("+") if name not in VIEWS]:
        raise ArgumentError(f"names: unknown {', '.join(map(repr, unknown))}; there are {', '.join(VIEWS)}")
    chosen = [VIEWS[name] for name in names.split("+")]
    return lambda images, generator: reduce(lambda seen, view: view(seen, generator), chosen, images)


@checked
def _each(transform: Callable, images: Images, generator: torch.Generator) -> Images:
    """Images transformed each in its own way, held to [0, 1]."""
    if not len(images) or not ((images >= 0) & (images <= 1)).all():
        raise ArgumentError("images: wanted at least one, and values in [0, 1]")
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # torchvision draws from the global generator
        return torch.stack([transform(image) for image in images]).clamp(0, 1)
