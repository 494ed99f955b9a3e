"""The numerical world: content, style that may depend on it, an invertible mixing, and augmentation.

What a network makes of the observations is left to `encoders`, `training` and `probes`.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu

SLOPE = 0.2  # of the leaky ReLU for negative values
CANDIDATES = 25_000  # random matrices, of which a layer is one of the best-conditioned
CHANGES = ("add", "resample", "negate")

#: The rows of table 1, as arguments of `ContentStyle`.
ROWS = {
    "p100": {"change_probability": 1.0},
    "p75": {"change_probability": 0.75},
    "p75_stat": {"change_probability": 0.75, "statistical": True},
    "p75_cau": {"change_probability": 0.75, "causal": True},
    "p75_stat_cau": {"change_probability": 0.75, "statistical": True, "causal": True},
}


class Pairs(NamedTuple):
    """A batch of pairs with its truth: rows of all five belong together."""

    content: Tensor  #: shape (n, n_content); both views have it
    style: Tensor  #: shape (n, n_style); of the anchor
    augmented_style: Tensor  #: shape (n, n_style); of the positive
    anchors: Tensor  #: observations, shape (n, n_content + n_style)
    positives: Tensor  #: observations after the augmentation, same shape


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
        condition: condition number of the three covariances if `statistical`; None draws them from a
            Wishart distribution with as many degrees of freedom as dimensions, as published.
        dependence: standard deviation of the entries of B.
        change: "add" noise N(0, change_scale² Σ_a), "resample" from p(s | c), or "negate" the sign.
        change_scale: factor of the added noise, > 0, dimensionless: at 1 its covariance is Σ_a.
        untouched: the first so many style coordinates never change.
        generator: draws the parameters; None means a fresh generator with seed 0. The world lives on its device.
    Raises:
        ValueError: a setting is out of range.
    Source: von Kügelgen et al. 2021, section 5.1. Taught in: content_style, "The world".
    """

    def __init__(
        self,
        n_content: int = 5,
        n_style: int = 5,
        change_probability: float = 1.0,
        statistical: bool = False,
        causal: bool = False,
        *,
        condition: float | None = 5.0,
        dependence: float = 1.0,
        change: str = "add",
        change_scale: float = 1.0,
        untouched: int = 0,
        generator: torch.Generator | None = None,
    ):
        _check_settings(n_content, n_style, change_probability, condition, dependence, change, change_scale, untouched)
        generator = generator or torch.Generator().manual_seed(0)
        self.n_content, self.n_style = n_content, n_style
        self.change_probability, self.change = change_probability, change
        self.change_scale, self.untouched = change_scale, untouched
        self.device = generator.device

        def draw_covariance(n: int) -> Tensor:
            if not statistical:
                return torch.eye(n, device=self.device)
            return wishart(n, generator) if condition is None else conditioned(n, condition, generator)

        self.content_covariance = draw_covariance(n_content)
        self.style_covariance = draw_covariance(n_style)  # of s given c
        self.change_covariance = draw_covariance(n_style)
        scale = dependence if causal else 0.0
        self.offset = scale * _normal((n_style,), generator)  # a
        self.effect = scale * _normal((n_style, n_content), generator)  # B
        self.layers = draw_layers(n_content + n_style, generator)

    @classmethod
    def row(cls, name: str, **settings) -> "ContentStyle":
        """The world of one row of table 1; `settings` are further arguments of the class.

        Raises:
            ValueError: no row has that name.
        """
        if name not in ROWS:
            raise ValueError(f"row: no row of table 1 is named {name!r}; the rows are {', '.join(ROWS)}")
        return cls(**{**ROWS[name], **settings})

    def sample(self, n: int, generator: torch.Generator) -> Pairs:
        """Draw n pairs of views with their latents.

        Raises:
            ValueError: n < 1, or the generator lives on another device than the world.
        """
        if n < 1:
            raise ValueError(f"n: wanted at least one pair, got {n}")
        if generator.device.type != self.device.type:
            raise ValueError(f"generator: lives on {generator.device}, but the world on {self.device}")
        content = _correlated(n, self.content_covariance, generator)
        style = self._draw_style(content, generator)
        changed = self.augment(content, style, generator)
        return Pairs(content, style, changed, self.observe(content, style), self.observe(content, changed))

    def augment(self, content: Tensor, style: Tensor, generator: torch.Generator) -> Tensor:
        """The style of the counterfactual view, shape (n, n_style): same content, some of the style changed."""
        if self.change == "add":
            new = style + self.change_scale * _correlated(len(style), self.change_covariance, generator)
        elif self.change == "resample":
            new = self._draw_style(content, generator)
        else:
            new = -style
        changes = torch.rand(style.shape, generator=generator, device=self.device) < self.change_probability
        changes[:, : self.untouched] = False
        return torch.where(changes, new, style)

    def observe(self, content: Tensor, style: Tensor) -> Tensor:
        """f(c, s): observations, shape (n, n_content + n_style). Any c and s may be put together.

        Raises:
            ValueError: content or style has another shape than the world's, or they differ in length.
        """
        for name, value, width in (("content", content, self.n_content), ("style", style, self.n_style)):
            if value.ndim != 2 or value.shape[1] != width or len(value) != len(content):
                raise ValueError(f"{name}: wanted shape ({len(content)}, {width}), got {tuple(value.shape)}")
        return mix(torch.cat([content, style], dim=1), self.layers)

    def invert(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """f⁻¹: the content and the style behind observations of shape (n, n_content + n_style)."""
        latents = unmix(observations, self.layers)
        return latents[:, : self.n_content], latents[:, self.n_content :]

    def style_ceiling(self, generator: torch.Generator | None = None, n: int = 100_000) -> float:
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

    def change_ratios(self) -> tuple[Tensor, Tensor]:
        """How much the augmentation changes each direction of style, relative to the style's own variance.

        The change m ⊙ ε has covariance p² Σ_a + p(1 − p) diag Σ_a. Its eigenvectors relative to the covariance
        of style are the directions in which changes are independent.

        Returns:
            ratios: shape (n_style,), variance of the change over variance of the style, in rising order.
            directions: shape (n_style, n_style); `style @ directions` are the coordinates that they belong to.
        Raises:
            ValueError: the change is not additive in every coordinate.
        Taught in: content_style, "Why the published rows leak".
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

    def _draw_style(self, content: Tensor, generator: torch.Generator) -> Tensor:
        own = _correlated(len(content), self.style_covariance, generator)
        return self.offset + content @ self.effect.T + own


def draw_layers(n: int, generator: torch.Generator, layers: int = 3) -> Tensor:
    """Random square layers that are safe to invert, shape (layers, n, n).

    Entries are uniform and columns have unit length; condition numbers are among the 25 lowest of 25,000.
    Source: von Kügelgen et al. 2021, section 5.1.
    """
    draws = torch.rand(CANDIDATES, n, n, generator=generator, device=generator.device) * 2 - 1
    draws = draws / draws.norm(dim=1, keepdim=True)
    singular = torch.linalg.svdvals(draws)
    condition = singular[:, 0] / singular[:, -1]
    lowest = condition <= condition.kthvalue(25).values
    return draws[lowest][:layers]  # in the order of drawing, hence a random three of the 25


def mix(latents: Tensor, layers: Tensor) -> Tensor:
    """Observations, shape (batch, n), of latents, shape (batch, n)."""
    x = latents
    for i, weight in enumerate(layers):
        x = (leaky_relu(x, SLOPE) if i else x) @ weight.T
    return x


def unmix(observations: Tensor, layers: Tensor) -> Tensor:
    """The latents, shape (batch, n), behind observations, shape (batch, n)."""
    x = observations
    for i, weight in enumerate(layers.flip(0)):
        x = torch.linalg.solve(weight, leaky_relu(x, 1 / SLOPE).T if i else x.T).T
    return x


def wishart(n: int, generator: torch.Generator) -> Tensor:
    """A draw from Wishart(n, I), shape (n, n): as published, and often nearly singular."""
    root = _normal((n, n), generator)
    return root @ root.T


def conditioned(n: int, condition: float, generator: torch.Generator) -> Tensor:
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


def _check_settings(n_content, n_style, change_probability, condition, dependence, change, change_scale, untouched):
    wanted = {
        "n_content": (n_content, n_content >= 1, "at least 1"),
        "n_style": (n_style, n_style >= 1, "at least 1"),
        "change_probability": (change_probability, 0 <= change_probability <= 1, "a probability in [0, 1]"),
        "condition": (condition, condition is None or condition >= 1, "a number ≥ 1, or None for Wishart"),
        "dependence": (dependence, 0 <= dependence < math.inf, "a standard deviation ≥ 0"),
        "change": (change, change in CHANGES, f"one of {', '.join(CHANGES)}"),
        "change_scale": (change_scale, 0 < change_scale < math.inf, "a standard deviation > 0"),
        "untouched": (untouched, 0 <= untouched <= n_style, f"between 0 and n_style = {n_style}"),
    }
    for name, (value, good, want) in wanted.items():
        if not good:
            raise ValueError(f"{name}: wanted {want}, got {value!r}")
