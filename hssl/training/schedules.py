"""Which levels learn when, and how far a level's gradient reaches: joint, incremental, and what lies between.

A schedule is a function from the number of levels to phases, so that a reader's own is one too.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, NamedTuple

from beartype.vale import Is

from hssl.checks import WORDS, ArgumentError, Fraction, Whole, checked

Several = Annotated[int, Is[lambda value: 1 <= value <= 1000]]
WORDS[Several] = "a whole number from 1 to 1,000"


class Phase(NamedTuple):
    """A stretch of training in which the levels from `lowest` to `highest` learn, each with a loss of its own.

    >>> Phase(0, 2).gradient_scale, Phase(1, 2, 0.5).lowest
    (1.0, 1)
    """

    lowest: int  #: 0 is the first level; those below are frozen
    highest: int
    gradient_scale: float = 1.0  #: fraction of a level's gradient that goes on into the level below; 0 is detached
    local_backward: bool = False  #: a backward pass of each level's loss as soon as it is known; needs scale 0


Schedule = Callable[[int], Sequence[Phase]]


@checked
def joint(levels: Several, gradient_scale: Fraction = 1.0) -> list[Phase]:
    """All levels at once, by the sum of their losses.

    >>> joint(3)
    [Phase(lowest=0, highest=2, gradient_scale=1.0, local_backward=False)]
    """
    return [Phase(0, levels - 1, gradient_scale)]


@checked
def detached(levels: Several, local_backward: bool = False) -> list[Phase]:
    """All levels at once, each by its own loss alone. Source: Löwe et al. 2019.

    >>> detached(2)
    [Phase(lowest=0, highest=1, gradient_scale=0.0, local_backward=False)]
    """
    return [Phase(0, levels - 1, 0.0, local_backward)]


@checked
def overlapping(levels: Several, overlap: Whole = 1) -> list[Phase]:
    """A phase per level, bottom up; so many levels below the newest go on learning. Source: Xiong et al. 2020.

    >>> [(phase.lowest, phase.highest) for phase in overlapping(3)]
    [(0, 0), (0, 1), (1, 2)]
    """
    return [Phase(max(0, k - overlap), k) for k in range(levels)]


@checked
def incremental(levels: Several) -> list[Phase]:
    """A phase per level, bottom up, with everything below frozen.

    >>> [(phase.lowest, phase.highest) for phase in incremental(3)]
    [(0, 0), (1, 1), (2, 2)]
    """
    return [Phase(k, k, 0.0) for k in range(levels)]


@checked
def random_frozen(levels: Several) -> list[Phase]:
    """Only the last level learns, on levels that keep their initial weights: the control for what those learn.

    >>> random_frozen(3)
    [Phase(lowest=2, highest=2, gradient_scale=0.0, local_backward=False)]
    """
    return [Phase(levels - 1, levels - 1, 0.0)]


#: The schedules that have a name.
SCHEDULES: dict[str, Schedule] = {
    "joint": joint,
    "detached": detached,
    "backward_per_level": partial(detached, local_backward=True),  # keeps one level's activations at a time
    "overlapping": overlapping,
    "incremental": incremental,
    "random_frozen": random_frozen,
}


@checked
def phases(schedule: str | Schedule, levels: Several) -> list[Phase]:
    """The phases of a schedule, by name or as a function, for so many levels.

    Raises:
        ArgumentError: no such name, no phase, levels that are not there, a gradient scale outside [0, 1], or a
            local backward pass where gradients go on into the level below.

    >>> phases(lambda levels: [Phase(0, 0), Phase(0, levels - 1)], 3)[1].highest
    2
    """
    if isinstance(schedule, str):
        if schedule not in SCHEDULES:
            raise ArgumentError(f"schedule: wanted a function or one of {', '.join(SCHEDULES)}; got {schedule!r}")
        schedule = SCHEDULES[schedule]
    found = [Phase(*phase) for phase in schedule(levels)]
    if not found or not all(0 <= phase.lowest <= phase.highest < levels for phase in found):
        raise ArgumentError(f"schedule: wanted phases of levels from 0 to {levels - 1}, got {found}")
    for phase in found:
        if not 0 <= phase.gradient_scale <= 1:
            raise ArgumentError(f"schedule: wanted a gradient_scale from 0 to 1, got {phase.gradient_scale}")
        if phase.local_backward and phase.gradient_scale and phase.lowest < phase.highest:
            raise ArgumentError("schedule: local_backward only where no gradient passes; wanted gradient_scale=0")
    return found
