"""What the latents of `scenes` look like: camera, places, lights and colours, and how ground and object are shaded.

How rays meet a shape is left to `tracing`.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from hssl.checks import Count, Finite, Fraction, Pixels, checked, explained
from hssl.worlds.scenes.tracing import REACH, baked, unit

POSITION = (0.6, 0.6, 0.3)  # world units at latent 1, around the point ALOFT
ALOFT = (0.0, 0.0, 1.75)
CAMERA, TARGET, FIELD_OF_VIEW = (0.0, -6.0, 4.6), (0.0, 0.0, 1.2), 29.0  # world units; degrees
KEY = (-2.5, -4.0, 9.0)  # the white light that never moves
SPOT_RADIUS, SPOT_HEIGHT = 3.2, 6.0  # of the circle that the spotlight runs on
CONE = (0.968, 0.976)  # cosine at the outer and inner rim of the spotlight's cone
HUES = 5 / 6  # share of the colour circle that a hue runs over: no two latents draw the same colour


class Camera:
    """The camera: where its rays meet the ground, a point a pixel, and its rays, supersampled.

    >>> Camera(8, 2, torch.device("cpu")).rays.shape
    torch.Size([256, 3])
    """

    @checked
    def __init__(self, size: Pixels, supersampling: Count, device: torch.device):
        self.size, self.supersampling = size, supersampling
        self.camera = torch.tensor(CAMERA, device=device)
        forward = normalize(torch.tensor(TARGET, device=device) - self.camera, dim=0)
        right = normalize(torch.linalg.cross(forward, torch.tensor([0.0, 0.0, 1.0], device=device)), dim=0)
        up = torch.linalg.cross(right, forward)

        def rays(n: int) -> Tensor:  # shape (n², 3), row by row from the top left
            at = ((torch.arange(n, device=device) + 0.5) / n * 2 - 1) * math.tan(math.radians(FIELD_OF_VIEW / 2))
            y, x = torch.meshgrid(-at, at, indexing="ij")
            return normalize((forward + x[..., None] * right + y[..., None] * up).view(-1, 3))

        coarse = rays(size)
        self.ground = self.camera - coarse * (self.camera[2] / coarse[:, 2:])  # (pixels, 3)
        self.rays = rays(size * supersampling)  # (pixels · supersampling², 3)
        row, column = torch.meshgrid(*2 * [torch.arange(size * supersampling, device=device)], indexing="ij")
        self.pixel = (row // supersampling * size + column // supersampling).view(-1)  # of each ray


class Scene:
    """What the latents mean: places in world units, rotations, linear RGB colours; a row a scene.

    >>> Scene(torch.tensor([0]), torch.zeros(1, 10)).centre
    tensor([[0.0000, 0.0000, 1.7500]])
    """

    @checked
    def __init__(self, labels: Int[Tensor, " b"], values: Float[Tensor, "b 10"]):
        to = values.new_tensor
        self.shapes = baked(values.device)
        self.start = self.shapes.start(labels)
        self.centre = values[:, :3] * to(POSITION) + to(ALOFT)  # (b, 3)
        self.rotation = _rotations(values[:, 3:6] * math.pi / 2)  # (b, 3, 3), from the shape's frame to the world's
        angle = values[:, 6] * math.pi / 2
        height = torch.full_like(angle, SPOT_HEIGHT)
        self.spot = torch.stack([SPOT_RADIUS * angle.sin(), -SPOT_RADIUS * angle.cos(), height], 1)
        self.axis = normalize(to((0.35, 0.35, 0.0)) * self.centre - self.spot)  # it follows the object a little
        self.key = to(KEY).expand_as(self.spot)
        self.object, self.light, self.background = colours_of(values[:, 7:])

    @explained
    def spotlight(self, towards: Float[Tensor, "... 3"], axis: Float[Tensor, "... 3"]) -> Float[Tensor, "..."]:
        """Strength of the spotlight, of vectors from light to point and its axis, shape (..., 3)."""
        distance = towards.norm(dim=-1)
        return _smoothstep(*CONE, (towards * axis).sum(-1) / distance) * (6.5 / distance) ** 2

    @explained
    def to_shape(self, vectors: Float[Tensor, "n 3"], image: Int[Tensor, " n"]) -> Float[Tensor, "3 n"]:
        """Vectors (n, 3) of the world in the frame of their image's shape, in three rows: shape (3, n)."""
        return _turned(self.rotation.mT[image], vectors.T)


@explained
def shade(scene: Scene, view: Camera, with_object: bool) -> Float[Tensor, "b 3 size size"]:
    """Pictures, shape (b, 3, size, size), in [0, 1].

    >>> shade(Scene(torch.tensor([0]), torch.zeros(1, 10)), Camera(8, 1, torch.device("cpu")), with_object=True).shape
    torch.Size([1, 3, 8, 8])
    """
    return _displayed(_linear_light(scene, view, with_object))


@explained
def solve_maps(scene: Scene, view: Camera) -> Float[Tensor, "b 7 size size"]:
    """The factors of `_terms` in each pixel's linear light, shape (b, 7, size, size).

    Three shadings under colours chosen for it give nine equations for them, a channel each. The colours are dark, so
    that no light is limited.

    >>> solve_maps(Scene(torch.tensor([0]), torch.zeros(1, 10)), Camera(8, 1, torch.device("cpu"))).shape
    torch.Size([1, 7, 8, 8])
    """
    to, like = scene.object.new_tensor, torch.ones_like(scene.object)
    probes = to([[0, 0, 0], [0, 0.4, 0], [0, 0, 0.4], [0.4, 0, 0], [0.4, 0.4, 0], [0.4, 0, 0.4], [0, 0.4, 0.4]])
    probes = torch.cat([probes, to([[0.4, 0.4, 0.4], [0.2, 0.2, 0.2]])])  # (9, 3): object, light, background
    seen = []
    for three in probes.split(3):
        scene.object, scene.light, scene.background = (like * channels for channels in three.T)
        seen.append(_linear_light(scene, view, with_object=True))
    inverse = torch.linalg.pinv(_terms(*probes.T).double()).to(like)  # (7, 9)
    return torch.einsum("te,bpe->btp", inverse, torch.cat(seen, 2)).view(len(like), 7, view.size, view.size)


@explained
def relit(
    maps: Float[Tensor, "b 7 size size"],
    of_object: Float[Tensor, "b 3"],
    of_light: Float[Tensor, "b 3"],
    of_background: Float[Tensor, "b 3"],
) -> Float[Tensor, "b 3 size size"]:
    """Pictures, shape (b, 3, size, size), of maps, shape (b, 7, size, size), under colours, shape (b, 3) each.

    >>> relit(torch.zeros(1, 7, 8, 8), *torch.ones(3, 1, 3)).shape
    torch.Size([1, 3, 8, 8])
    """
    terms = _terms(of_object, of_light, of_background)  # (b, 3, 7)
    return _displayed((terms @ maps.flatten(2)).mT)


@explained
def colours_of(hues: Float[Tensor, "b 3"]) -> tuple[Tensor, Tensor, Tensor]:
    """Linear RGB of object, spotlight and background, shape (b, 3) each, of their latents, shape (b, 3).

    >>> [tuple(colour.shape) for colour in colours_of(torch.zeros(2, 3))]
    [(2, 3), (2, 3), (2, 3)]
    """
    of_object, of_light, of_background = ((hues + 1) / 2 * HUES).T
    return (
        hue_to_rgb(of_object, saturation=0.92, value=0.95),
        hue_to_rgb(of_light, saturation=0.75, value=1.0),
        hue_to_rgb(of_background, saturation=0.55, value=0.42),
    )


def _terms(o: Tensor, light: Tensor, b: Tensor) -> Tensor:
    """What a pixel's light is a sum of, shape (…, 7), of the colours of object, spotlight and background."""
    return torch.stack([torch.ones_like(o), light, b, b * light, o, o * light, o * b], -1)


def _linear_light(scene: Scene, view: Camera, with_object: bool) -> Tensor:
    """Before it is displayed, shape (b, pixels, 3)."""
    light = _shade_ground(scene, view, with_object)
    if with_object:
        colour, coverage = _shade_object(scene, view)
        light = light * (1 - coverage) + colour
    return light


def _displayed(light: Tensor) -> Tensor:
    size = math.isqrt(light.shape[1])
    return (light.clamp(1e-5, 1) ** (1 / 2.2)).view(-1, size, size, 3).permute(0, 3, 1, 2)


def _shade_ground(scene: Scene, view: Camera, with_object: bool) -> Tensor:
    key = unit((view.ground - scene.key[0]).T)  # (3, pixels), from light to ground
    diffuse = -0.62 * key[2] / (1 + (view.ground**2).sum(1) / 81)
    towards = view.ground - scene.spot[:, None]  # (b, pixels, 3)
    cone = scene.spotlight(towards, scene.axis[:, None]) * scene.spot[:, 2:] / towards.norm(dim=-1)
    if with_object:
        diffuse = diffuse * _ground_shadow(scene, view, scene.key, cone >= 0, hardness=12.0)
        cone = cone * _ground_shadow(scene, view, scene.spot, cone > 1e-3, hardness=18.0)
    light = (0.22 + diffuse)[..., None] + 1.15 * cone[..., None] * scene.light[:, None]
    return scene.background[:, None] * light


def _ground_shadow(scene: Scene, view: Camera, light: Tensor, where: Tensor, *, hardness: float) -> Tensor:
    """Share of a light, at (b, 3), that reaches each point of the ground, shape (b, pixels)."""
    to_light, to_centre = (place[:, None] - view.ground for place in (light, scene.centre))  # (b, pixels, 3)
    to_light = normalize(to_light, dim=-1)
    along = (to_light * to_centre).sum(-1)
    nearest = ((to_centre**2).sum(-1) - along**2).clamp_min(0).sqrt()  # how near the ray passes by the centre
    image, pixel = (where & (nearest < 1.15 * REACH) & (along > 0)).nonzero(as_tuple=True)
    along, nearest = along[image, pixel], nearest[image, pixel]
    origin = scene.to_shape(-to_centre[image, pixel], image)
    first = (along - ((1.15 * REACH) ** 2 - nearest**2).sqrt()).clamp_min(0.02)
    direction = scene.to_shape(to_light[image, pixel], image)
    share = scene.shapes.visible(origin, direction, first, scene.start[image], hardness=hardness)
    result = torch.ones_like(where, dtype=light.dtype)
    result[image, pixel] = 1 - (1 - share) * (1 - _smoothstep(0.95, 1.15, nearest))
    return result


def _shade_object(scene: Scene, view: Camera) -> tuple[Tensor, Tensor]:
    """The object's light, shape (b, pixels, 3), already weighted by its coverage, shape (b, pixels, 1)."""
    origin = view.camera - scene.centre
    along = _product(origin.T[..., None], view.rays.T[:, None])  # (b, rays)
    discriminant = along**2 - (origin**2).sum(1, keepdim=True) + REACH**2
    image, ray = (discriminant > 0).nonzero(as_tuple=True)  # these pass through the sphere around the shape
    half, along = discriminant[image, ray].sqrt(), along[image, ray]
    o, d = (scene.to_shape(vectors, image) for vectors in (origin[image], view.rays[ray]))  # (3, rays)
    hit, depth = scene.shapes.trace(o, d, -along - half, -along + half, scene.start[image])
    image, ray = image[hit], ray[hit]
    point = o[:, hit] + depth * d[:, hit]  # (3, hits), in the shape's frame
    light = _light_on_object(scene, point, view.rays[ray], image)
    samples = torch.cat([light.clamp_max(1.2), torch.ones_like(light[:, :1])], 1) / view.supersampling**2
    pixels = view.size**2
    total = samples.new_zeros(len(scene.centre) * pixels, 4)
    total.index_add_(0, image * pixels + view.pixel[ray], samples)
    colour, coverage = total.view(-1, pixels, 4).split([3, 1], -1)
    return colour, coverage


def _light_on_object(scene: Scene, point: Tensor, ray: Tensor, image: Tensor) -> Tensor:
    """Linear RGB, shape (hits, 3): sky, bounce from the ground, key light and spotlight with their highlights."""
    grid, shapes = scene.start[image], scene.shapes
    normal = shapes.normal(point, grid)
    world, up = (_turned(scene.rotation[image], vectors).T for vectors in (point, normal))
    world = world + scene.centre[image]
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


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Scalar products of vectors whose coordinates run along the first axis.

    Not by matrix multiplication, whose rounding depends on how many there are: an image must not depend on its batch.
    """
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _turned(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Products of matrices, shape (n, 3, 3), and vectors in three rows, shape (3, n)."""
    return torch.stack([_product(row.T, vectors) for row in matrices.unbind(1)])


def _rotations(angles: Tensor) -> Tensor:
    """Rotation matrices R_z(γ) R_y(β) R_x(α), shape (n, 3, 3), of angles (α, β, γ) in radians, shape (n, 3)."""
    (ca, cb, cg), (sa, sb, sg) = angles.cos().T, angles.sin().T
    rows = [
        torch.stack([cg * cb, cg * sb * sa - sg * ca, cg * sb * ca + sg * sa], 1),
        torch.stack([sg * cb, sg * sb * sa + cg * ca, sg * sb * ca - cg * sa], 1),
        torch.stack([-sb, cb * sa, cb * ca], 1),
    ]
    return torch.stack(rows, 1)


@explained
def hue_to_rgb(hue: Float[Tensor, "*shape"], *, saturation: Fraction, value: Finite) -> Float[Tensor, "*shape 3"]:
    """RGB, shape (…, 3), of hues in turns, shape (…).

    >>> hue_to_rgb(torch.tensor([0.0, 0.5]), saturation=1.0, value=1.0).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]
    """
    k = (hue[..., None] * 6 + hue.new_tensor([5.0, 3.0, 1.0])) % 6
    return value * (1 - saturation * torch.minimum(k, 4 - k).clamp(0, 1))


def _smoothstep(low: float, high: float, x: Tensor) -> Tensor:
    """0 below `low`, 1 above `high`, a cubic between."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)
