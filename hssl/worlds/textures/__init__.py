"""Images with no object in them: every factor of variation is known, and none is the position or kind of a thing.

Windows on the boundary between two regions are pairs too; transforms of the images are left to `augment`.
"""

from hssl.worlds.textures.boundaries import Boundaries, Boundary, BoundaryWindows
from hssl.worlds.textures.textures import (
    TEXTURES,
    Factor,
    Texture,
    TextureLatents,
    Textures,
    blob,
    dead_leaves,
    draw_gradient_edge,
    gradient_edge,
    noise,
)

__all__ = [
    "TEXTURES",
    "Boundaries",
    "Boundary",
    "BoundaryWindows",
    "Factor",
    "Texture",
    "TextureLatents",
    "Textures",
    "blob",
    "dead_leaves",
    "draw_gradient_edge",
    "gradient_edge",
    "noise",
]
