"""Networks that turn observations into embeddings, and levels of them. How they are trained is left to `training`."""

from hssl.encoders.levels import Hierarchy, Levels, Merge, WindowEncoder
from hssl.encoders.networks import MLP, ConvNet, drawn_from, embed, evaluating, perceptron

__all__ = ["MLP", "ConvNet", "Hierarchy", "Levels", "Merge", "WindowEncoder"]
__all__ += ["drawn_from", "embed", "evaluating", "perceptron"]
