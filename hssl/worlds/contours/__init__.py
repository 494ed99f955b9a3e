"""Edge elements and bars, and exactly how likely they are to belong together: pairs, triplets, grids and figures.

Which network estimates that probability, and how well, is left to `losses` and `calibration`.
"""

from hssl.worlds.contours.bar_grids import BarGrids, BarImages
from hssl.worlds.contours.contours import Contours, Relations, features, swapped
from hssl.worlds.contours.triplets import Ceiling, ContourTriplets

__all__ = [
    "BarGrids",
    "BarImages",
    "Ceiling",
    "ContourTriplets",
    "Contours",
    "Relations",
    "features",
    "swapped",
]
