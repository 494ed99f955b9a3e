"""Real icons: what belongs to what in them, and pairs of patches on either side of an occluder that hides a stroke.

How similar or how probable a pair is, is left to `encoders` and `calibration`.
"""

from hssl.worlds.icons.icons import (
    GOOGLE,
    Layers,
    Slash,
    draw,
    elements,
    held_out_pairs,
    is_for_training,
    layers,
    names,
    pairs,
    slash,
    strokes,
    train_names,
    unslashed,
)
from hssl.worlds.icons.occluders import Occluded, OccludedIcons, PatchPairs, joined, occlude
from hssl.worlds.icons.relatability import ANOTHER_STROKE, CONTROLS, SlashedIcons, SlashedPairs, connected

__all__ = [
    "ANOTHER_STROKE",
    "CONTROLS",
    "GOOGLE",
    "Layers",
    "Occluded",
    "OccludedIcons",
    "PatchPairs",
    "Slash",
    "SlashedIcons",
    "SlashedPairs",
    "connected",
    "draw",
    "elements",
    "held_out_pairs",
    "is_for_training",
    "joined",
    "layers",
    "names",
    "occlude",
    "pairs",
    "slash",
    "strokes",
    "train_names",
    "unslashed",
]
