"""Real images: photographs, handwritten digits, emoji, and the reader's own; a pair is two views, or two windows.

Who made what ships with the book, and under which licence, stands beside it in data/.
"""

from hssl.worlds.pictures.images import Images, affine, inked
from hssl.worlds.pictures.labelled import VENDORS, ColouredDigits, Digits, Emoji, coloured
from hssl.worlds.pictures.photographs import Photographs

__all__ = ["VENDORS", "ColouredDigits", "Digits", "Emoji", "Images", "Photographs", "affine", "coloured", "inked"]
