"""Training: one loop, levels upon it, and many runs side by side. It knows no world and no probe."""

from hssl.training.batches import Batch, Minibatches, Source
from hssl.training.checkpoints import Checkpoint
from hssl.training.levels import fit_levels, level_losses
from hssl.training.loop import History, fit
from hssl.training.schedules import SCHEDULES, Phase, Schedule
from hssl.training.sweeps import side_by_side, sweep

__all__ = [
    "SCHEDULES",
    "Batch",
    "Checkpoint",
    "History",
    "Minibatches",
    "Phase",
    "Schedule",
    "Source",
    "fit",
    "fit_levels",
    "level_losses",
    "side_by_side",
    "sweep",
]
