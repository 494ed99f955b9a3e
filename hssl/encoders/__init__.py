"""Networks that turn observations into embeddings, and levels of them. How they are trained is left to `training`."""

from hssl.encoders.levels import Hierarchy, Levels, Merge, Windows
from hssl.encoders.networks import MLP, ConvNet, drawn_from, embed, linear

__all__ = ["MLP", "ConvNet", "Hierarchy", "Levels", "Merge", "Windows", "drawn_from", "embed", "linear"]
