"""Rendered scenes after Causal3DIdent: one of seven shapes under a coloured spotlight, every latent known.

What the latents look like is left to `shading`.
"""

import math
from collections.abc import Callable
from typing import Annotated, NamedTuple

import torch
from beartype.vale import Is
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hssl.checks import WORDS, ArgumentError, Count, ImageSize, NonNegative, Positive, checked, explained, one_of
from hssl.pairs import Pairs, View
from hssl.worlds.scenes.shading import HUES, Camera, Scene, colours_of, relit, shade, solve_maps

CLASSES = ("teapot", "hare", "dragon", "cow", "armadillo", "horse", "head")
LATENTS = ("x", "y", "z", "alpha", "beta", "gamma", "spotlight", "hue_object", "hue_spotlight", "hue_background")
Supersampling = Annotated[int, Is[lambda value: 1 <= value <= 4]]
WORDS[Supersampling] = "1 to 4 rays"
#: Images of 64 pixels rendered at a time: enough to be fast; on a processor few enough for its caches.
BATCH = {"cpu": 64, "cuda": 1024}

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
FACTORS = {"position": ("x", "y", "z")} | {name: (name,) for name in LATENTS[6:]} | {"rotation": GROUPS["rotations"]}
VARIABLES = ("class", *FACTORS)
#: The causal graph of the scenes: what each variable follows from. The others are roots.
PARENTS = {
    "position": ("class", "spotlight"),
    "rotation": ("class",),
    "hue_object": ("class", "hue_spotlight", "hue_background"),
}


class Latents(NamedTuple):
    """Everything that a scene is made of; rows belong together.

    >>> Latents(torch.arange(3), torch.zeros(3, 10)).rows(slice(2)).labels
    tensor([0, 1])
    """

    labels: Int[Tensor, " n"]  #: shape (n,), int64: the class, an index into CLASSES
    values: Float[Tensor, "n 10"]  #: shape (n, 10), in [−1, 1], columns as in LATENTS

    @explained
    def rows(self, which: Int[Tensor, " k"] | Bool[Tensor, " n"] | list[int] | slice) -> "Latents":
        """Some of the scenes: a slice, a mask, or indices."""
        return Latents(self.labels[which], self.values[which])


@checked
def _check(labels: Int[Tensor, " n"], values: Float[Tensor, "n 10"]) -> None:
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
        mean = _causal_means(labels, values)
        values[:, :6] = truncated_normal(mean[:, :6], generator)
        values[:, 7] = truncated_normal(mean[:, 7], generator)
    return Latents(labels, values)


@explained
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


@explained
def downstream(variable: str) -> set[str]:
    """The variable and all that follows from it, directly or not.

    Raises:
        ValueError: an unknown variable.

    >>> sorted(downstream("spotlight"))
    ['position', 'spotlight']
    """
    one_of("variable", variable, VARIABLES)
    found = {variable}
    while more := {name for name, parents in PARENTS.items() if found & set(parents)} - found:
        found |= more
    return found


@explained
def counterfactual(latents: Latents, generator: torch.Generator, *, variable: str) -> Latents:
    """The same scenes with one variable drawn anew, and with it all that follows from it; everything else is kept.

    Args:
        variable: one of `VARIABLES`. A root is drawn uniformly; what has parents, around the mean that they set.
    Raises:
        ValueError: an unknown variable.
    Source: section 3 of von Kügelgen et al. 2021, in the causal model of appendix C.2. Taught in: arrows, "The rules".

    >>> before = sample_latents(3, g)
    >>> (counterfactual(before, g, variable="spotlight").values != before.values).any(0).nonzero()[:, 0].tolist()
    [0, 1, 2, 6]
    """
    _check(*latents)
    redrawn, fresh = downstream(variable), sample_latents(len(latents.labels), generator, causal=False)
    labels = fresh.labels if "class" in redrawn else latents.labels
    columns = {name: [LATENTS.index(latent) for latent in FACTORS[name]] for name in redrawn - {"class"}}
    values = latents.values.clone()
    for name in (name for name in FACTORS if name in redrawn and name not in PARENTS):
        values[:, columns[name]] = fresh.values[:, columns[name]]
    means = _causal_means(labels, values)
    for name in (name for name in PARENTS if name in redrawn):
        values[:, columns[name]] = truncated_normal(means[:, columns[name]], generator)
    return Latents(labels, values)


@checked
def nearly(latents: Latents, kept: Bool[Tensor, "10"], generator: torch.Generator, sigma: Positive) -> Latents:
    """The same scenes with some latents drawn anew around their values: normal, truncated to [−1, 1].

    Args:
        kept: which of `LATENTS` are drawn so, shape (10,). sigma: standard deviation before truncation, > 0.
    Raises:
        ArgumentError: another shape or type of kept, or sigma <= 0.
    Taught in: sharing, "Sharing nearly".

    >>> before = sample_latents(3, g)
    >>> after = nearly(before, torch.arange(10) < 3, g, sigma=0.01)
    >>> bool((after.values - before.values).abs().max() < 0.1), torch.equal(after.values[:, 3:], before.values[:, 3:])
    (True, True)
    """
    return latents._replace(
        values=torch.where(kept, truncated_normal(latents.values, generator, sigma), latents.values)
    )


@explained
def untouched(names: str) -> list[str]:
    """The latents that `resample` under these names leaves alone: what the theorem calls content.

    >>> untouched("positions+rotations")
    ['hue_object', 'hue_spotlight', 'hue_background']
    """
    touched = _named(names)
    return [name for name in LATENTS if name not in touched]


@explained
def truth(latents: Latents) -> dict[str, Tensor]:
    """What a probe is asked for: the class, and the targets of the latents in each of `FACTORS` side by side.

    >>> {name: tuple(factor.shape) for name, factor in truth(sample_latents(3, g)).items()}  # doctest: +ELLIPSIS
    {'class': (3,), 'position': (3, 3), 'spotlight': (3, 2), ... 'rotation': (3, 6)}
    """
    found = targets(latents)
    return {"class": latents.labels} | {
        factor: torch.cat([found[name] for name in names], 1) for factor, names in FACTORS.items()
    }


@explained
def targets(latents: Latents) -> dict[str, Tensor]:
    """By latent: positions as they are, angles and hues as sine and cosine; shape (n, 1) or (n, 2).

    >>> {name: target.shape[1] for name, target in list(targets(sample_latents(3, g)).items())[2:5]}
    {'z': 1, 'alpha': 2, 'beta': 2}
    """
    found = {}
    for name, column in zip(LATENTS, latents.values.T, strict=True):
        turn = HUES * math.pi * (column + 1) if name.startswith("hue") else column * math.pi / 2
        found[name] = column[:, None] if name in ("x", "y", "z") else torch.stack([turn.sin(), turn.cos()], 1)
    return found


def _causal_means(classes: Tensor, values: Tensor) -> Tensor:
    """Causal3DIdent's structural equations: means of the latents that have parents, shape (n, 10), 0 for the others.

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
    return means


@explained
def truncated_normal(
    mean: Float[Tensor, "*shape"], generator: torch.Generator, sd: Positive = 0.5
) -> Float[Tensor, "*shape"]:
    """Normal around `mean`, truncated to [−1, 1], by the inverse of its distribution function; same shape.

    >>> truncated_normal(torch.full((1000,), 0.9), g, sd=0.01).mean().round(decimals=2)
    tensor(0.9000)
    """
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
        ArgumentError: labels are no integers, values no floating-point numbers, another shape, no scene at all, an
            unknown label, a value outside [−1, 1] or NaN; or size or supersampling out of range.
    Taught in: causal_scenes, "The world".

    >>> render(sample_latents(2, g), 16).shape
    torch.Size([2, 3, 16, 16])
    """
    _check(*latents)
    view, step = _view(latents, size, supersampling)
    parts = zip(*(field.split(step) for field in latents), strict=True)
    return torch.cat([shade(Scene(*part), view, with_object) for part in parts])


@torch.no_grad()
@checked
def light_maps(latents: Latents, size: ImageSize = 64, *, supersampling: Supersampling = 2) -> Float[Tensor, "n 7 s s"]:
    """What `relight` needs to show these scenes under any hues: seven maps of light, shape (n, 7, size, size).

    Linear light is a sum of seven terms in the colours of object, spotlight and background; each map is the factor of
    one of them. Takes as long as three renderings. Arguments and errors are those of `render`.

    >>> light_maps(sample_latents(2, g), 16).shape
    torch.Size([2, 7, 16, 16])
    """
    _check(*latents)
    view, step = _view(latents, size, supersampling)
    parts = zip(*(field.split(step) for field in latents), strict=True)
    return torch.cat([solve_maps(Scene(*part), view) for part in parts])


@torch.no_grad()
@checked
def relight(maps: Float[Tensor, "n 7 s s"], hues: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3 s s"]:
    """Images of scenes under other hues, in closed form: as `render` draws them, with a mean error below 0.002.

    What differs: `render` limits the light of each ray, and here that of each pixel.

    Args:
        maps: of `light_maps`. hues: of object, spotlight and background, in [−1, 1], shape (n, 3).
    Taught in: sharing, "New hues in every step".

    >>> scene = sample_latents(2, g)
    >>> error = relight(light_maps(scene, 16), scene.values[:, 7:]) - render(scene, 16)
    >>> error.abs().mean().item() < 0.002
    True
    """
    if not (hues.abs() <= 1).all():
        raise ArgumentError("hues: wanted numbers in [−1, 1]")
    return relit(maps, *colours_of(hues))


Redraw = Callable[[Latents, torch.Generator], Latents]


class Scenes:
    """A world of scenes whose pairs share all latents but those redrawn: an augmentation made exact.

    Args:
        redraw: latents or groups of them, redrawn uniformly for the second member: "hues", "positions+rotations",
            "x"; "" for none. Or a function of latents and a generator that gives others.
        views: a function of images, shape (n, 3, size, size), and a generator, through which either member goes by
            itself: those of `augment`, or a reader's own. None: the images as they are rendered.
        causal: whether latents depend on each other, as in Causal3DIdent. size: side length in pixels.
        sigma: how exactly the pair shares: 0 exactly; otherwise each latent that is not redrawn is `nearly` the same,
            with this standard deviation. The class is shared exactly in either case.
    Raises:
        ArgumentError: an unknown name, a size or sigma out of range; (when drawn) views of another shape than images.
    Taught in: causal_scenes, "Views".

    >>> pairs = Scenes(redraw="hues", size=16).sample(3, g)
    >>> pairs.first.shape, list(pairs.truth)[:3]
    (torch.Size([3, 3, 16, 16]), ['class', 'position', 'spotlight'])
    """

    @checked
    def __init__(
        self,
        redraw: str | Redraw = "",
        *,
        views: View | None = None,
        causal: bool = True,
        size: ImageSize = 32,
        sigma: NonNegative = 0.0,
    ):
        if isinstance(redraw, str) and redraw:
            _named(redraw)  # names what is unknown
        self.redraw, self.views, self.causal, self.size, self.sigma = redraw, views, causal, size, sigma

    @checked
    def sample(self, n: Count, generator: torch.Generator) -> Pairs:
        """Draw n pairs: images in [0, 1]; class and latents of the first, as `truth` has them."""
        latents, changed = self.sample_latents(n, generator)
        first = render(latents, self.size)  # what is the same is rendered once
        second = first if changed is latents else render(changed, self.size)
        return Pairs(first, second, truth(latents)).viewed(self.views, generator)

    @checked
    def sample_latents(self, n: Count, generator: torch.Generator) -> tuple[Latents, Latents]:
        """The latents of n pairs: those of the first members, and those of the second."""
        latents = changed = sample_latents(n, generator, causal=self.causal)
        if not isinstance(self.redraw, str):
            changed = self.redraw(latents, generator)
        elif self.redraw:
            changed = resample(latents, self.redraw, generator)
        if self.sigma:
            changed = nearly(changed, (changed.values == latents.values).all(0), generator, self.sigma)
        return latents, changed


def _view(latents: Latents, size: int, supersampling: int) -> tuple[Camera, int]:
    """The camera on the latents' device, and how many images are rendered there at a time."""
    device = latents.values.device
    return Camera(size, supersampling, device), max(1, BATCH.get(device.type, BATCH["cpu"]) * 64**2 // size**2)


def _named(names: str) -> list[str]:
    """The latents behind names."""
    single = {name: (name,) for name in LATENTS} | GROUPS
    if unknown := [name for name in names.split("+") if name not in single]:
        raise ArgumentError(
            f"names: unknown {', '.join(map(repr, unknown))}; there are {', '.join(single)} (views of images, such as "
            "augment.colour, are given as `views`)"
        )
    return [latent for name in names.split("+") for latent in single[name]]
