"""Rendered scenes after Causal3DIdent: one of seven shapes under a coloured spotlight, every latent known."""

from hssl.worlds.scenes.distribution import (
    CLASSES,
    FACTORS,
    GROUPS,
    LATENTS,
    Latents,
    render,
    resample,
    sample_latents,
    targets,
    truth,
    untouched,
)
from hssl.worlds.scenes.world import Scenes

__all__ = [
    "CLASSES",
    "FACTORS",
    "GROUPS",
    "LATENTS",
    "Latents",
    "Scenes",
    "render",
    "resample",
    "sample_latents",
    "targets",
    "truth",
    "untouched",
]
