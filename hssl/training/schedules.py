"""Which levels learn when, and how far a level's gradient reaches: joint, incremental, and what lies between.

They are settings of the one loop in `training`, which knows nothing of them but their phases.
"""

from dataclasses import dataclass
from typing import NamedTuple


class Phase(NamedTuple):
    """A stretch of training: levels from `lowest` to `highest` learn, each with a loss of its own; 0 is the first."""

    lowest: int
    highest: int


@dataclass(frozen=True)
class Schedule:
    """How levels are learned.

    Args:
        stepwise: one phase a level, bottom up, with everything below frozen; otherwise all levels in one phase.
        passes: share of a level's gradient that goes on into the level below, from 0 (none: detached) to 1.
        apart: a backward pass of every level's loss as soon as it is known, so that nothing of it need be kept;
            otherwise one of their sum. Only where nothing passes.
        overlap: stepwise only: so many levels below the newest go on learning, each with its own loss too.
    Raises:
        ValueError: a setting out of range, `apart` where gradients pass, or an overlap where no phase follows another.
    Source: joint and incremental as in the deck; detached after Löwe et al. 2019, overlapping after Xiong et al. 2020.
    Taught in: hierarchy, "Two schedules, one loop".
    """

    stepwise: bool = False
    passes: float = 1.0
    apart: bool = False
    overlap: int = 0

    def __post_init__(self):
        if not 0 <= self.passes <= 1:
            raise ValueError(f"passes: wanted a share from 0 to 1, got {self.passes}")
        if self.apart and self.passes:
            raise ValueError(f"apart: only where no gradient passes; wanted passes=0, got {self.passes}")
        if self.overlap < 0 or (self.overlap and not self.stepwise):
            raise ValueError(f"overlap: wanted 0, or levels ≥ 1 of a stepwise schedule; got {self.overlap}")

    def phases(self, levels: int) -> list[Phase]:
        """What is trained one after the other, in a hierarchy of so many levels."""
        if not self.stepwise:
            return [Phase(0, levels - 1)]
        return [Phase(max(0, k - self.overlap), k) for k in range(levels)]


#: The schedules that have a name.
SCHEDULES = {
    "joint": Schedule(),
    "detached": Schedule(passes=0.0),
    "backward a level": Schedule(passes=0.0, apart=True),
    "overlapping": Schedule(stepwise=True, overlap=1),
    "incremental": Schedule(stepwise=True, passes=0.0),
}


def named(schedule: str | Schedule) -> Schedule:
    """The schedule of that name; a schedule is given back as it is."""
    if isinstance(schedule, Schedule):
        return schedule
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule: wanted a Schedule or one of {', '.join(SCHEDULES)}; got {schedule!r}")
    return SCHEDULES[schedule]
