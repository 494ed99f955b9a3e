"""Rendered scenes after Causal3DIdent: one of seven shapes under a coloured spotlight, every latent known."""

from hssl.worlds.scenes.distribution import (
    CLASSES,
    HUE_FOLLOWS,
    HUE_MEAN,
    LATENTS,
    POSITION_SIGN,
    ROTATION_SIGN,
    Latents,
    causal_means,
    render,
    sample_latents,
    targets,
    truncated_normal,
)

__all__ = [
    "CLASSES",
    "HUE_FOLLOWS",
    "HUE_MEAN",
    "LATENTS",
    "POSITION_SIGN",
    "ROTATION_SIGN",
    "Latents",
    "causal_means",
    "render",
    "sample_latents",
    "targets",
    "truncated_normal",
]
