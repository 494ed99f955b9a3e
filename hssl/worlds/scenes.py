"""Rendered scenes after Causal3DIdent: one of seven shapes under a coloured spotlight, every latent known.

What is resampled to make a pair is left to `augment`; how rays meet a shape, to `tracing`.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from hssl.worlds.tracing import REACH, baked, unit

CLASSES = ("teapot", "hare", "dragon", "cow", "armadillo", "horse", "head")
LATENTS = (
    *("x", "y", "z", "alpha", "beta", "gamma"),
    *("spotlight", "hue_object", "hue_spotlight", "hue_background"),
)
BATCH = 64  # images rendered at a time: enough to be fast, few enough for the processor's caches

POSITION = (0.6, 0.6, 0.3)  # world units at latent 1, around the point ALOFT
ALOFT = (0.0, 0.0, 1.75)
CAMERA, TARGET, FIELD_OF_VIEW = (0.0, -6.0, 4.6), (0.0, 0.0, 1.2), 29.0  # world units; degrees
KEY = (-2.5, -4.0, 9.0)  # the white light that never moves
SPOT_RADIUS, SPOT_HEIGHT = 3.2, 6.0  # of the circle that the spotlight runs on
CONE = (0.968, 0.976)  # cosine at the outer and inner rim of the spotlight's cone
HUES = 5 / 6  # share of the colour circle that a hue runs over: no two latents draw the same colour

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
    return torch.cat([_render(Scene(latents.rows(slice(i, i + step))), view, with_object) for i in parts])


class View:
    """The camera: where its rays meet the ground, a point a pixel, and its rays, supersampled."""

    def __init__(self, size: int, supersampling: int, device: torch.device):
        self.size, self.supersampling = size, supersampling
        self.camera = torch.tensor(CAMERA, device=device)
        forward = torch.tensor(TARGET, device=device) - self.camera
        forward = forward / forward.norm()
        right = torch.linalg.cross(forward, torch.tensor([0.0, 0.0, 1.0], device=device))
        right = right / right.norm()
        up = torch.linalg.cross(right, forward)

        def rays(n: int) -> Tensor:  # shape (n², 3), row by row from the top left
            at = ((torch.arange(n, device=device) + 0.5) / n * 2 - 1) * math.tan(math.radians(FIELD_OF_VIEW / 2))
            y, x = torch.meshgrid(-at, at, indexing="ij")
            rays = (forward + x[..., None] * right + y[..., None] * up).view(-1, 3)
            return rays / rays.norm(dim=1, keepdim=True)

        coarse = rays(size)
        self.ground = self.camera - coarse * (self.camera[2] / coarse[:, 2:])  # (pixels, 3)
        self.rays = rays(size * supersampling)  # (pixels · supersampling², 3)
        row, column = torch.meshgrid(*2 * [torch.arange(size * supersampling, device=device)], indexing="ij")
        self.pixel = (row // supersampling * size + column // supersampling).view(-1)  # of each ray


class Scene:
    """What the latents mean: places in world units, rotations, linear RGB colours; a row a scene."""

    def __init__(self, latents: Latents):
        values, to = latents.values, latents.values.new_tensor
        self.shapes = baked(values.device)
        self.start = self.shapes.start(latents.labels)
        self.centre = values[:, :3] * to(POSITION) + to(ALOFT)  # (b, 3)
        self.rotation = rotations(values[:, 3:6] * math.pi / 2)  # (b, 3, 3), from the shape's frame to the world's
        angle = values[:, 6] * math.pi / 2
        height = torch.full_like(angle, SPOT_HEIGHT)
        self.spot = torch.stack([SPOT_RADIUS * angle.sin(), -SPOT_RADIUS * angle.cos(), height], 1)
        aim = torch.cat([0.35 * self.centre[:, :2], torch.zeros_like(self.centre[:, 2:])], 1) - self.spot
        self.axis = aim / aim.norm(dim=1, keepdim=True)  # the spotlight follows the object a little
        self.key = to(KEY).expand_as(self.spot)
        hues = (values[:, 7:] + 1) / 2 * HUES
        self.object = hue_to_rgb(hues[:, 0], saturation=0.92, value=0.95)
        self.light = hue_to_rgb(hues[:, 1], saturation=0.75, value=1.0)
        self.background = hue_to_rgb(hues[:, 2], saturation=0.55, value=0.42)

    def spotlight(self, towards: Tensor, axis: Tensor) -> Tensor:
        """Strength of the spotlight, of vectors from light to point and its axis, shape (..., 3)."""
        distance = towards.norm(dim=-1)
        return smoothstep(*CONE, (towards * axis).sum(-1) / distance) * (6.5 / distance) ** 2

    def to_shape(self, vectors: Tensor, image: Tensor) -> Tensor:
        """Vectors (n, 3) of the world in the frame of their image's shape, in three rows: shape (3, n)."""
        return torch.einsum("ni,nij->jn", vectors, self.rotation[image])


def _render(scene: Scene, view: View, with_object: bool) -> Tensor:
    picture = _shade_ground(scene, view, with_object)  # (b, pixels, 3), linear light
    if with_object:
        colour, coverage = _shade_object(scene, view)
        picture = picture * (1 - coverage) + colour
    picture = picture.clamp(1e-5, 1) ** (1 / 2.2)
    return picture.view(-1, view.size, view.size, 3).permute(0, 3, 1, 2)


def _shade_ground(scene: Scene, view: View, with_object: bool) -> Tensor:
    key = unit((view.ground - scene.key[0]).T)  # (3, pixels), from light to ground
    diffuse = -0.62 * key[2] / (1 + (view.ground**2).sum(1) / 81)
    towards = view.ground - scene.spot[:, None]  # (b, pixels, 3)
    cone = scene.spotlight(towards, scene.axis[:, None]) * scene.spot[:, 2:] / towards.norm(dim=-1)
    if with_object:
        diffuse = diffuse * _ground_shadow(scene, view, scene.key, cone >= 0, hardness=12.0)
        cone = cone * _ground_shadow(scene, view, scene.spot, cone > 1e-3, hardness=18.0)
    light = (0.22 + diffuse)[..., None] + 1.15 * cone[..., None] * scene.light[:, None]
    return scene.background[:, None] * light


def _ground_shadow(scene: Scene, view: View, light: Tensor, where: Tensor, *, hardness: float) -> Tensor:
    """Share of a light, at (b, 3), that reaches each point of the ground, shape (b, pixels)."""
    to_light, to_centre = light[:, None] - view.ground, scene.centre[:, None] - view.ground  # (b, pixels, 3)
    to_light = to_light / to_light.norm(dim=-1, keepdim=True)
    along = (to_light * to_centre).sum(-1)
    nearest = ((to_centre**2).sum(-1) - along**2).clamp_min(0).sqrt()  # how near the ray passes by the centre
    image, pixel = (where & (nearest < 1.15 * REACH) & (along > 0)).nonzero(as_tuple=True)
    along, nearest = along[image, pixel], nearest[image, pixel]
    origin = scene.to_shape(-to_centre[image, pixel], image)
    first = (along - ((1.15 * REACH) ** 2 - nearest**2).sqrt()).clamp_min(0.02)
    direction = scene.to_shape(to_light[image, pixel], image)
    share = scene.shapes.visible(origin, direction, first, scene.start[image], hardness=hardness)
    result = torch.ones_like(where, dtype=light.dtype)
    result[image, pixel] = 1 - (1 - share) * (1 - smoothstep(0.95, 1.15, nearest))
    return result


def _shade_object(scene: Scene, view: View) -> tuple[Tensor, Tensor]:
    """The object's light, shape (b, pixels, 3), already weighted by its coverage, shape (b, pixels, 1)."""
    origin = view.camera - scene.centre
    along = origin @ view.rays.T  # (b, rays)
    discriminant = along**2 - (origin**2).sum(1, keepdim=True) + REACH**2
    image, ray = (discriminant > 0).nonzero(as_tuple=True)  # these pass through the sphere around the shape
    half, along = discriminant[image, ray].sqrt(), along[image, ray]
    o = (origin[:, None] @ scene.rotation)[:, 0].T[:, image]  # (3, rays), in the shape's frame
    d = (scene.rotation.mT @ view.rays.T).transpose(0, 1)[:, image, ray]
    hit, depth = scene.shapes.trace(o, d, -along - half, -along + half, scene.start[image])
    image, ray = image[hit], ray[hit]
    point = o[:, hit] + depth * d[:, hit]  # (3, hits), in the shape's frame
    light = _light_on_object(scene, point, view.rays[ray], image)
    samples = torch.cat([light.clamp_max(1.2), torch.ones_like(light[:, :1])], 1) / view.supersampling**2
    pixels = view.size**2
    total = samples.new_zeros(len(scene.centre) * pixels, 4)
    total.index_add_(0, image * pixels + view.pixel[ray], samples)
    return total.view(-1, pixels, 4).split([3, 1], dim=2)


def _light_on_object(scene: Scene, point: Tensor, ray: Tensor, image: Tensor) -> Tensor:
    """Linear RGB, shape (hits, 3): sky, bounce from the ground, key light and spotlight with their highlights."""
    grid, shapes = scene.start[image], scene.shapes
    normal = shapes.normal(point, grid)
    world = torch.einsum("nij,jn->ni", scene.rotation[image], point)
    world, up = world + scene.centre[image], torch.einsum("nij,jn->ni", scene.rotation[image], normal)
    open_sky = (shapes.distance(point + 0.16 * normal, grid) / 0.16).clamp(0, 1)  # ambient occlusion
    above, first = point + 2 * shapes.voxel * normal, torch.full_like(open_sky, 0.02)
    shaded = []
    for light, hardness in ((scene.key, 12.0), (scene.spot, 12.0)):
        to_light = unit((light[image] - world).T).T
        share = shapes.visible(above, scene.to_shape(to_light, image), first, grid, hardness=hardness)
        facing = (up * to_light).sum(1).clamp_min(0)
        gloss = (up * unit((to_light - ray).T).T).sum(1).clamp_min(0) ** 28
        shaded.append((facing * share, gloss * share))
    (key, key_gloss), (spot, spot_gloss) = shaded
    cone, spot_colour = scene.spotlight(world - scene.spot[image], scene.axis[image]), scene.light[image]
    bounce = scene.background[image] * (0.35 * (0.5 - 0.5 * up[:, 2]) * open_sky)[:, None]
    white = ((0.20 + 0.12 * up[:, 2]) * open_sky + 0.75 * key)[:, None]
    matt = scene.object[image] * (white + bounce + (1.1 * spot * cone)[:, None] * spot_colour)
    return matt + (0.16 * key_gloss)[:, None] + (0.25 * spot_gloss * cone)[:, None] * spot_colour


def rotations(angles: Tensor) -> Tensor:
    """Rotation matrices R_z(γ) R_y(β) R_x(α), shape (n, 3, 3), of angles (α, β, γ) in radians, shape (n, 3)."""
    (ca, cb, cg), (sa, sb, sg) = angles.cos().T, angles.sin().T
    rows = [
        torch.stack([cg * cb, cg * sb * sa - sg * ca, cg * sb * ca + sg * sa], 1),
        torch.stack([sg * cb, sg * sb * sa + cg * ca, sg * sb * ca - cg * sa], 1),
        torch.stack([-sb, cb * sa, cb * ca], 1),
    ]
    return torch.stack(rows, 1)


def hue_to_rgb(hue: Tensor, *, saturation: float, value: float) -> Tensor:
    """RGB, shape (n, 3), of hues in turns, shape (n,)."""
    k = (hue[:, None] * 6 + hue.new_tensor([5.0, 3.0, 1.0])) % 6
    return value * (1 - saturation * torch.minimum(k, 4 - k).clamp(0, 1))


def smoothstep(low: float, high: float, x: Tensor) -> Tensor:
    """0 below `low`, 1 above `high`, a cubic between."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)
