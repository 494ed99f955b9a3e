"""The numerical world: content, style that may depend on it, an invertible mixing, and augmentation.

What a network makes of the observations is left to `encoders`, `training` and `probes`.
"""

import math
from typing import Annotated, Literal

import torch
from beartype.vale import Is
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import leaky_relu

from hssl.checks import WORDS, ArgumentError, Count, Fraction, Whole, checked, explained, one_of
from hssl.pairs import Pairs

SLOPE = 0.2  # of the leaky ReLU for negative values
LAYERS = 3
CANDIDATES, BEST = 25_000, 25  # random matrices, and how many of them, the best-conditioned, may become layers

Condition = Annotated[float, Is[lambda value: 1 <= value <= 1e6]]
Dependence = Annotated[float, Is[lambda value: 0 <= value <= 1e3]]
Scale = Annotated[float, Is[lambda value: 0 < value <= 1e3]]
WORDS |= {
    Condition: "a number from 1 to 1,000,000",
    Dependence: "a number from 0 to 1,000",
    Scale: "a number above 0 and at most 1,000",
}

#: The rows of table 1, as arguments of `ContentStyle`.
ROWS = {
    "p100": {"change_probability": 1.0},
    "p75": {"change_probability": 0.75},
    "p75_stat": {"change_probability": 0.75, "statistical": True},
    "p75_cau": {"change_probability": 0.75, "causal": True},
    "p75_stat_cau": {"change_probability": 0.75, "statistical": True, "causal": True},
}


class ContentStyle:
    """A structural causal model of content c and style s, observed through an invertible mixing.

    c ~ N(0, Σ_c) and s | c ~ N(a + Bc, Σ_s). The augmentation is a counterfactual: it keeps c and
    changes each coordinate of s with probability `change_probability`. Observations are f(c, s), f being
    three square layers with leaky ReLU between them.

    Args:
        n_content, n_style: number of coordinates, each ≥ 1.
        change_probability: that a style coordinate changes between the two views, in [0, 1].
        statistical: coordinates depend on each other within c, within s, and within the change.
        causal: style depends on content, through a ~ N(0, 1) and B ~ N(0, `dependence`²).
        condition: condition number of the three covariances if `statistical`, 1 to 10⁶; None draws them from a
            Wishart distribution with as many degrees of freedom as dimensions, as published.
        dependence: standard deviation of the entries of B, at most 1,000.
        change: "add" noise N(0, change_scale² Σ_a), "resample" from p(s | c), or "negate" the sign.
        change_scale: factor of the added noise, dimensionless, in (0, 1000]: at 1 its covariance is Σ_a.
        untouched: the first so many style coordinates never change.
        shared: what the members of a pair share: "content"; or "style", with the content drawn again from p(c | s),
            whatever is set for the change of style.
        generator: draws the parameters; None means a fresh generator with seed 0. The world lives on its device.
    Raises:
        ArgumentError: a setting is out of range.
    Source: von Kügelgen et al. 2021, section 5.1. Taught in: content_style, "The world".

    >>> pairs = ContentStyle(2, 3).sample(4, g)
    >>> pairs.first.shape, {name: tuple(value.shape) for name, value in pairs.truth.items()}
    (torch.Size([4, 5]), {'content': (4, 2), 'style': (4, 3)})
    """

    @checked
    def __init__(
        self,
        n_content: Count = 5,
        n_style: Count = 5,
        change_probability: Fraction = 1.0,
        statistical: bool = False,
        causal: bool = False,
        *,
        condition: Condition | None = 5.0,
        dependence: Dependence = 1.0,
        change: Literal["add", "resample", "negate"] = "add",
        change_scale: Scale = 1.0,
        untouched: Whole = 0,
        shared: Literal["content", "style"] = "content",
        generator: torch.Generator | None = None,
    ):
        if untouched > n_style:
            raise ArgumentError(f"untouched: wanted between 0 and n_style = {n_style}, got {untouched}")
        generator = generator or torch.Generator().manual_seed(0)
        self.n_content, self.n_style, self.device = n_content, n_style, generator.device
        self.change_probability, self.change = change_probability, change
        self.change_scale, self.untouched, self.shared = change_scale, untouched, shared

        def draw_covariance(n: int) -> Tensor:
            if not statistical:
                return torch.eye(n, device=self.device)
            return wishart(n, generator) if condition is None else _conditioned(n, condition, generator)

        self.content_covariance = draw_covariance(n_content)
        self.style_covariance = draw_covariance(n_style)  # of s given c
        self.change_covariance = draw_covariance(n_style)
        scale = dependence if causal else 0.0
        self.offset = scale * _normal((n_style,), generator)  # a
        self.effect = scale * _normal((n_style, n_content), generator)  # B
        self.layers = draw_layers(n_content + n_style, generator)

    @classmethod
    @explained
    def row(cls, name: str, **settings) -> "ContentStyle":
        """The world of one row of table 1; `settings` are further arguments of the class.

        Raises:
            ValueError: no row has that name.
        """
        one_of("name", name, ROWS)
        return cls(**{**ROWS[name], **settings})

    @checked
    def sample(self, n: Count, generator: torch.Generator) -> Pairs:
        """Draw n pairs: observations of either view, shape (n, n_content + n_style); content and style of the first.

        Raises:
            ArgumentError: n < 1, or the generator lives on another device than the world.
        """
        if generator.device.type != self.device.type:
            raise ArgumentError(f"generator: lives on {generator.device}, but the world on {self.device}")
        content = _correlated(n, self.content_covariance, generator)
        style = self._draw_style(content, generator)
        if self.shared == "style":
            other = self.observe(self._draw_content(style, generator), style)
        else:
            other = self.observe(content, self.augment(content, style, generator))
        return Pairs(self.observe(content, style), other, {"content": content, "style": style})

    @checked
    def augment(
        self, content: Float[Tensor, "n content"], style: Float[Tensor, "n style"], generator: torch.Generator
    ) -> Float[Tensor, "n style"]:
        """The style of the counterfactual view: same content, some of the style changed."""
        self._check_widths(content, style)
        if self.change == "add":
            new = style + self.change_scale * _correlated(len(style), self.change_covariance, generator)
        elif self.change == "resample":
            new = self._draw_style(content, generator)
        else:
            new = -style
        changes = torch.rand(style.shape, generator=generator, device=self.device) < self.change_probability
        changes[:, : self.untouched] = False
        return torch.where(changes, new, style)

    @checked
    def observe(self, content: Float[Tensor, "n content"], style: Float[Tensor, "n style"]) -> Float[Tensor, "n x"]:
        """f(c, s): observations, shape (n, n_content + n_style). Any c and s may be put together.

        Raises:
            ArgumentError: content or style has another shape than the world's, or they differ in length.
        """
        self._check_widths(content, style)
        return mix(torch.cat([content, style], dim=1), self.layers)

    @checked
    def invert(self, observations: Float[Tensor, "n x"]) -> tuple[Tensor, Tensor]:
        """f⁻¹: the content and the style behind observations of shape (n, n_content + n_style)."""
        latents = unmix(observations, self.layers)
        return latents[:, : self.n_content], latents[:, self.n_content :]

    @explained
    def style_ceiling(self, generator: torch.Generator | None = None, n: Count = 100_000) -> float:
        """R² of the best predictor of style from content, the mean over style coordinates.

        Without a generator, in closed form: (BΣ_cBᵀ)_ii / [(BΣ_cBᵀ)_ii + (Σ_s)_ii]. With one, measured
        on n samples with the best predictor a + Bc, as a check.
        """
        if generator is None:
            explained = (self.effect @ self.content_covariance @ self.effect.T).diagonal()
            return (explained / (explained + self.style_covariance.diagonal())).mean().item()
        content = _correlated(n, self.content_covariance, generator)
        style = self._draw_style(content, generator)
        residual = style - self.offset - content @ self.effect.T
        return (1 - residual.var(0) / style.var(0)).mean().item()

    @explained
    def content_ceiling(self) -> float:
        """R² of the best predictor of content from style, the mean over content coordinates; 0 without causal effect.

        Taught in: content_style, "Does what is shared have to be a cause?".
        """
        explained = (self._gain() @ self.effect @ self.content_covariance).diagonal()
        return (explained / self.content_covariance.diagonal()).mean().item()

    @explained
    def change_ratios(self) -> tuple[Tensor, Tensor]:
        """How much the augmentation changes each direction of style, relative to the style's own variance.

        The change m ⊙ ε has covariance p² Σ_a + p(1 − p) diag Σ_a. Its eigenvectors relative to the covariance
        of style are the directions in which changes are independent.

        Returns:
            ratios: shape (n_style,), variance of the change over variance of the style, in rising order.
            directions: shape (n_style, n_style); `style @ directions` are the coordinates that they belong to.
        Raises:
            ValueError: the change is not additive in every coordinate.
        Taught in: content_in_depth, "Which covariance makes style leak?".
        """
        if self.change != "add" or self.untouched:
            raise ValueError(f"change: wanted 'add' with nothing untouched, got {self.change!r}, {self.untouched}")
        p, change = self.change_probability, self.change_scale**2 * self.change_covariance
        change = p**2 * change + p * (1 - p) * torch.diag(change.diagonal())
        style = self.style_covariance + self.effect @ self.content_covariance @ self.effect.T
        variances, axes = torch.linalg.eigh(style.double())  # as a Wishart draw may be nearly singular
        whitening = axes / variances.clamp_min(1e-9 * variances[-1]).sqrt()
        ratios, rotation = torch.linalg.eigh(whitening.T @ change.double() @ whitening)
        return ratios.float(), (whitening @ rotation).float()

    def _check_widths(self, content: Tensor, style: Tensor) -> None:
        for name, value, width in (("content", content, self.n_content), ("style", style, self.n_style)):
            if value.shape[1] != width:
                raise ArgumentError(f"{name}: wanted shape ({len(value)}, {width}), got {tuple(value.shape)}")

    def _gain(self) -> Tensor:
        """Shape (n_content, n_style): the best predictor of c from s is this times s − a."""
        shared = self.content_covariance @ self.effect.T  # of c with s
        return torch.linalg.solve(self.style_covariance + self.effect @ shared, shared, left=False)

    def _draw_content(self, style: Tensor, generator: torch.Generator) -> Tensor:
        gain = self._gain()
        own = _correlated(len(style), self.content_covariance - gain @ self.effect @ self.content_covariance, generator)
        return (style - self.offset) @ gain.T + own

    def _draw_style(self, content: Tensor, generator: torch.Generator) -> Tensor:
        own = _correlated(len(content), self.style_covariance, generator)
        return self.offset + content @ self.effect.T + own


@checked
def draw_layers(n: Count, generator: torch.Generator) -> Float[Tensor, "layers n n"]:
    """Random square layers that are safe to invert, shape (3, n, n).

    Entries are uniform and columns have unit length; condition numbers are among the 25 lowest of 25,000.
    Source: von Kügelgen et al. 2021, section 5.1.

    >>> draw_layers(2, g).norm(dim=1).allclose(torch.ones(3, 2))
    True
    """
    draws = torch.rand(CANDIDATES, n, n, generator=generator, device=generator.device) * 2 - 1
    draws = draws / draws.norm(dim=1, keepdim=True)
    singular = torch.linalg.svdvals(draws)
    condition = singular[:, 0] / singular[:, -1]
    lowest = condition <= condition.kthvalue(BEST).values
    return draws[lowest][:LAYERS]  # in the order of drawing, hence a random three of the 25


@explained
def mix(latents: Float[Tensor, "batch n"], layers: Float[Tensor, "layers n n"]) -> Float[Tensor, "batch n"]:
    """Observations, shape (batch, n), of latents, shape (batch, n).

    >>> layers = draw_layers(3, g)
    >>> z = torch.randn(5, 3, generator=g)
    >>> torch.allclose(unmix(mix(z, layers), layers), z, atol=1e-4)
    True
    """
    x = latents
    for i, weight in enumerate(layers):
        x = (leaky_relu(x, SLOPE) if i else x) @ weight.T
    return x


@explained
def unmix(observations: Float[Tensor, "batch n"], layers: Float[Tensor, "layers n n"]) -> Float[Tensor, "batch n"]:
    """The latents, shape (batch, n), behind observations, shape (batch, n).

    Raises:
        ArgumentError: a layer that cannot be inverted.

    >>> unmix(torch.tensor([[2.0, 4.0]]), 2 * torch.eye(2)[None])
    tensor([[1., 2.]])
    """
    x = observations
    for i, weight in enumerate(layers.flip(0)):
        solved, failed = torch.linalg.solve_ex(weight, leaky_relu(x, 1 / SLOPE).T if i else x.T)
        if failed:
            raise ArgumentError("layers: wanted matrices that can be inverted, got one that is singular")
        x = solved.T
    return x


@explained
def wishart(n: Count, generator: torch.Generator) -> Float[Tensor, "{n} {n}"]:
    """A draw from Wishart(n, I), shape (n, n): as published, and often nearly singular.

    >>> (torch.linalg.eigvalsh(wishart(3, g)) > 0).all().item()
    True
    """
    root = _normal((n, n), generator)
    return root @ root.T


def _conditioned(n: int, condition: float, generator: torch.Generator) -> Tensor:
    """A covariance with geometric eigenvalues of that ratio, mean 1, in random directions; shape (n, n)."""
    if n == 1:
        return torch.ones(1, 1, device=generator.device)
    rotation, triangle = torch.linalg.qr(_normal((n, n), generator))
    rotation = rotation * triangle.diagonal().sign()  # uniform over rotations
    eigenvalues = torch.logspace(0, math.log10(condition), n, device=generator.device)
    return rotation @ torch.diag(eigenvalues / eigenvalues.mean()) @ rotation.T


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)


def _correlated(n: int, covariance: Tensor, generator: torch.Generator) -> Tensor:
    eigenvalues, vectors = torch.linalg.eigh(covariance)  # Cholesky's would fail where a Wishart draw is singular
    return _normal((n, len(covariance)), generator) @ (vectors * eigenvalues.clamp_min(0).sqrt()).T
