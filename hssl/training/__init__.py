"""Training: one loop, levels upon it, and many runs side by side. It knows no world and no probe."""

from hssl.training.loop import Batch, History, Minibatches, climb, fit, minibatches, progress, sweep

__all__ = ["Batch", "History", "Minibatches", "climb", "fit", "minibatches", "progress", "sweep"]
