"""Training: one loop, levels upon it, and many runs side by side. It knows no world and no probe."""

from hssl.training.batches import Batch, Minibatches, NumberedBatches
from hssl.training.levels import fit_levels
from hssl.training.loop import fit
from hssl.training.schedules import SCHEDULES, Phase
from hssl.training.sweeps import side_by_side, sweep

__all__ = ["SCHEDULES", "Batch", "Minibatches", "NumberedBatches", "Phase"]
__all__ += ["fit", "fit_levels", "side_by_side", "sweep"]
