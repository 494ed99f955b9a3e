"""Views of images: plain callables, `view(images, generator) -> images`; a reader's own works wherever these do.

Redrawn latents are left to the worlds, as `Scenes(redraw="hues")`; what an encoder makes of views, to `training`.
Colours, crops and turns work on whole batches, so that views can be drawn anew in every step of a training.
"""

import math
from collections.abc import Callable
from functools import partial, reduce

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from hssl.checks import ArgumentError, Inside, Pixels, checked, explained
from hssl.pairs import Pairs, View

Images = Float[Tensor, "n 3 size size"]
Views = Float[Tensor, "n 3 side side"]  # of a side length of their own


@checked
def colour(images: Images, generator: torch.Generator) -> Images:
    """Jitter of brightness, contrast, saturation and hue with probability 0.8, and grey with 0.2.

    Each image has its own factors, and its own order of the four. Every factor but the hue's is uniform in 0.2 to 1.8;
    the hue turns by at most a fifth of the circle.

    Source: von Kügelgen et al. 2021, appendix D.2; as torchvision's ColorJitter and RandomGrayscale.

    >>> colour(torch.rand(2, 3, 16, 16, generator=g), g).shape
    torch.Size([2, 3, 16, 16])
    """
    _check(images)
    draws = torch.rand(10, len(images), generator=generator, device=generator.device).to(images)
    amounts = [0.2 + 1.6 * draw for draw in draws[:3]] + [0.4 * draws[3] - 0.2]
    order = draws[4:8].argsort(0)  # (4, n): what comes first, second, ...
    seen = images.clone()
    for turn in order:
        for which, change in enumerate((_brighter, _contrast, _saturated, _turned)):
            rows = ((turn == which) & (draws[8] < 0.8)).nonzero()[:, 0]
            seen[rows] = change(seen[rows], amounts[which][rows, None, None, None]).clamp(0, 1)
    return torch.where((draws[9] < 0.2)[:, None, None, None], _grey(seen), seen)


@checked
def crop(images: Images, generator: torch.Generator, *, area: tuple[float, float] = (0.08, 1.0)) -> Images:
    """A window of a fraction of the area between these two, resized to the whole, flipped half the time.

    Area and the logarithm of the aspect ratio, 3/4 to 4/3, are uniform; a window that does not fit is drawn again.

    Source: von Kügelgen et al. 2021, appendix D.2: 8 % to 100 % for the small crop, 80 % to 100 % for the large one.
        As torchvision's RandomResizedCrop, but the window need not end between pixels.

    >>> crop(torch.rand(2, 3, 16, 16, generator=g), g, area=(0.8, 1.0)).shape
    torch.Size([2, 3, 16, 16])
    """
    _check(images)
    if not 0 < area[0] <= area[1] <= 1:
        raise ArgumentError(f"area: wanted fractions in rising order, above 0 and at most 1, got {area}")
    n, tries = len(images), 10
    draws = torch.rand(2, tries, n, generator=generator, device=generator.device).to(images)
    root = (area[0] + (area[1] - area[0]) * draws[0]).sqrt()
    stretch = (math.log(4 / 3) * (draws[1] - 0.5)).exp()  # square root of the aspect ratio
    sides = torch.stack([root * stretch, root / stretch])  # (2, tries, n), as fractions of the image
    fits = (sides <= 1).all(0)
    first = fits.byte().argmax(0)
    width, height = torch.where(fits.any(0), sides[:, first, torch.arange(n)], sides.new_ones(()))
    x, y, flip = torch.rand(3, n, generator=generator, device=generator.device).to(images)
    across = torch.where(flip < 0.5, -width, width)
    rows = ((across, 0 * x, (2 * x - 1) * (1 - width)), (0 * x, height, (2 * y - 1) * (1 - height)))
    theta = torch.stack([torch.stack(row, 1) for row in rows], 1)  # (n, 2, 3)
    field = affine_grid(theta, list(images.shape), align_corners=False)
    return grid_sample(images, field, padding_mode="border", align_corners=False)


@checked
def quarter_turn(images: Images, generator: torch.Generator, *, least: int = 0) -> Images:
    """Turned by 0, 90, 180 or 270 degrees, each equally likely; with `least` = 1 never by 0.

    Source: von Kügelgen et al. 2021, appendix D.2.

    >>> image = torch.rand(1, 3, 8, 8, generator=g)
    >>> view = quarter_turn(image, g)
    >>> any(torch.equal(view, image.rot90(k, (2, 3))) for k in range(4))
    True
    """
    _check(images)
    if least not in (0, 1):
        raise ArgumentError(f"least: wanted 0 or 1, got {least}")
    turns = torch.randint(least, 4, (len(images),), generator=generator, device=generator.device)
    seen = images.clone()
    for k in range(1, 4):
        seen[turns == k] = images[turns == k].rot90(k, (2, 3))
    return seen


@explained
def camera(images: Images, generator: torch.Generator) -> Images:
    """Exposure of ± 30 %, out of focus half the time (Gaussian of 0.3 to 1.2 pixels), noise of the sensor (sd 0.03).

    >>> camera(torch.rand(2, 3, 16, 16, generator=g), g).shape
    torch.Size([2, 3, 16, 16])
    """
    from torchvision.transforms import (
        v2,  # here, as it loads all models of torchvision: seconds that no other view needs
    )

    blur = v2.RandomApply([v2.GaussianBlur(5, (0.3, 1.2))], p=0.5)
    return _each(v2.Compose([v2.ColorJitter(brightness=0.3), blur, v2.GaussianNoise(sigma=0.03)]), images, generator)


@checked
def viewpoint(
    images: Images,
    generator: torch.Generator,
    *,
    roll: float = 180.0,
    tilt: float = 25.0,
    field: Inside = 0.5,
    size: Pixels | None = None,
) -> Views:
    """Seen by a pinhole camera from another side: rolled about its axis, and moved round the middle of the image.

    The image is a plane, and the camera looks at its middle, from two half sides away. Both angles are uniform, and so
    is the direction of the tilt. What lies outside the image is seen mirrored; by default nothing of it is.

    Args:
        roll: most degrees of the roll, to either side, 0 to 180.
        tilt: most degrees between the camera's axis and the normal of the plane, 0 to 45.
        field: how much of the image's side the camera sees from straight ahead.
        size: side length of the views, pixels; None means that of the images.
    Taught in: ood_photographs, "Two kinds of view".

    >>> viewpoint(torch.rand(2, 3, 64, 64, generator=g), g, size=32).shape
    torch.Size([2, 3, 32, 32])
    """
    for name, value, most in (("roll", roll, 180), ("tilt", tilt, 45)):
        if not 0 <= value <= most:
            raise ArgumentError(f"{name}: wanted 0 to {most} degrees, got {value}")
    draws = torch.rand(3, len(images), generator=generator, device=generator.device).to(images)
    rolled, tilted = (2 * draws[0] - 1) * math.radians(roll), draws[1] * math.radians(tilt)
    about, zero = 2 * math.pi * draws[2], torch.zeros_like(rolled)
    rotation = _turn(tilted * about.cos(), tilted * about.sin(), zero) @ _turn(zero, zero, rolled)
    away = 2.0
    centre = -away * rotation[:, :, 2]  # of the camera, shape (n, 3); the plane is z = 0
    rays = rotation * rotation.new_tensor([field, field, away])  # of a pixel at (u, v): rays @ (u, v, 1)
    # a ray meets the plane at centre − (centre_z / ray_z) · ray
    meets = centre[:, :2, None] * rays[:, 2:] - centre[:, 2, None, None] * rays[:, :2]
    return _looked_at(images, torch.cat([meets, rays[:, 2:]], 1), size)


@checked
def zoom(
    images: Images, generator: torch.Generator, *, factor: tuple[float, float] = (1.0, 2.0), size: Pixels | None = None
) -> Views:
    """Seen from nearer: the middle of the image, enlarged by a factor between these two, uniform in its logarithm.

    Args:
        size: side length of the views, pixels; None means that of the images.
    Taught in: ood_photographs, "Two kinds of view".

    >>> zoom(torch.rand(2, 3, 16, 16, generator=g), g, factor=(1.0, 3.0)).shape
    torch.Size([2, 3, 16, 16])
    """
    if not 1 <= factor[0] <= factor[1] < math.inf:
        raise ArgumentError(f"factor: wanted two finite numbers in rising order, from 1, got {factor}")
    draw = torch.rand(len(images), generator=generator, device=generator.device).to(images)
    side = (factor[0] * (factor[1] / factor[0]) ** draw).reciprocal()
    return _looked_at(images, torch.stack([side, side, torch.ones_like(side)], 1).diag_embed(), size)


@explained
def channel_mix(images: Images, generator: torch.Generator) -> Images:
    """Each new channel is a random average of the three old ones, drawn anew for every image: no hue survives.

    >>> grey = torch.full((1, 3, 8, 8), 0.5)
    >>> torch.allclose(channel_mix(grey, g), grey)
    True
    """
    weights = torch.rand(len(images), 3, 3, generator=generator, device=images.device)
    return torch.einsum("ncij,ndc->ndij", images, weights / weights.sum(2, keepdim=True))


@checked
def hue_turn(images: Images, generator: torch.Generator) -> Images:
    """All hues of an image turned by one random angle: which hues it has is lost, how they differ stays.

    >>> pure = torch.zeros(1, 3, 8, 8)
    >>> pure[:, 0] = 1  # red everywhere
    >>> hue_turn(pure, g).std((2, 3)).max().item()  # still one colour everywhere
    0.0
    """
    _check(images)
    turns = torch.rand(len(images), generator=generator, device=generator.device).to(images)
    return _turned(images, turns[:, None, None, None])


#: The views that have a name.
VIEWS: dict[str, View] = {
    "colour": colour,
    "crop_small": partial(crop, area=(0.08, 1.0)),
    "crop_large": partial(crop, area=(0.8, 1.0)),
    "rotation": quarter_turn,
    "camera": camera,
    "channel_mix": channel_mix,
    "viewpoint": viewpoint,
    "zoom": zoom,
    "hue_turn": hue_turn,
}


@explained
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
def two_views(images: Images, names: str, generator: torch.Generator) -> Pairs:
    """A pair of each image: seen twice through the named views, drawn for each member by itself.

    Quarter turns alone are not drawn by themselves: the members are turned by two different angles, as released.

    Args:
        names: of `VIEWS`, joined by "+", from left to right.
    Raises:
        ArgumentError: an unknown name, no images, or values outside [0, 1].
    Source: von Kügelgen et al. 2021, appendix D.2. Taught in: causal_scenes, "Views".

    >>> pairs = two_views(torch.rand(2, 3, 16, 16, generator=g), "rotation+colour", g)
    >>> pairs.first.shape, pairs.second.shape
    (torch.Size([2, 3, 16, 16]), torch.Size([2, 3, 16, 16]))
    """
    compose(names)  # names what is unknown
    first = second = images
    for name in names.split("+"):
        first = VIEWS[name](first, generator)
        if VIEWS[name] is quarter_turn:
            second = quarter_turn(first, generator, least=1)
        else:
            second = VIEWS[name](second, generator)
    return Pairs(first, second)


def _check(images: Tensor) -> None:
    if not len(images) or not ((images >= 0) & (images <= 1)).all():
        raise ArgumentError("images: wanted at least one, and values in [0, 1]")


def _turn(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Rotations about (x, y, z) by its length in radians, shape (n, 3, 3)."""
    zero = torch.zeros_like(x)
    return torch.linalg.matrix_exp(torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).view(-1, 3, 3))


def _looked_at(images: Tensor, homographies: Tensor, size: int | None) -> Tensor:
    """Views whose pixel at (u, v), from −1 to 1, shows what is at the homography, shape (n, 3, 3), of (u, v, 1)."""
    _check(images)
    side = size or images.shape[-1]
    at = ((torch.arange(side) + 0.5) / side * 2 - 1).to(images)
    v, u = torch.meshgrid(at, at, indexing="ij")
    pixels = torch.stack([u, v, torch.ones_like(u)], 2)
    seen = torch.einsum("nij,hwj->nhwi", homographies, pixels)
    field = seen[..., :2] / seen[..., 2:]
    return grid_sample(images, field, padding_mode="reflection", align_corners=False)


def _each(transform: Callable, images: Tensor, generator: torch.Generator) -> Tensor:
    """Images transformed each in its own way, held to [0, 1]."""
    _check(images)
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # torchvision draws from the global generator
        return torch.stack([transform(image) for image in images]).clamp(0, 1)


def _grey(images: Tensor) -> Tensor:
    return (images * images.new_tensor([0.2989, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True).expand_as(images)


def _brighter(images: Tensor, factor: Tensor) -> Tensor:
    return images * factor


def _contrast(images: Tensor, factor: Tensor) -> Tensor:
    return factor * images + (1 - factor) * _grey(images).mean((1, 2, 3), keepdim=True)


def _saturated(images: Tensor, factor: Tensor) -> Tensor:
    return factor * images + (1 - factor) * _grey(images)


def _turned(images: Tensor, turns: Tensor) -> Tensor:
    """Hues turned by a fraction of the circle; saturation and value of HSV stay."""
    red, green, blue = images.split(1, 1)
    value, low = images.amax(1, keepdim=True), images.amin(1, keepdim=True)
    spread = value - low
    by = torch.where(spread == 0, 1, spread)
    sixths = torch.where(value == green, 2 + (blue - red) / by, 4 + (red - green) / by)
    sixths = torch.where(value == red, (green - blue) / by, sixths) + 6 * turns
    k = (sixths + images.new_tensor([5, 3, 1])[:, None, None]) % 6  # of red, green, blue
    return value - spread * torch.minimum(k, 4 - k).clamp(0, 1)
