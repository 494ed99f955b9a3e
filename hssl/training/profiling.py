"""What a training step costs: bytes kept alive for the backward pass, floating-point operations, seconds.

Bytes and operations are exact and the same on every machine; seconds are not, and belong in no test.
"""

import statistics
import time
import timeit
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hssl.checks import checked, explained
from hssl.encoders import Levels
from hssl.losses import level_sum
from hssl.training.batches import Batch
from hssl.training.levels import level_losses
from hssl.training.schedules import Schedule, phases


class Cost(NamedTuple):
    """Of one step, forward and backward.

    >>> Cost(bytes=2048, flops=1000, seconds=0.5).bytes
    2048
    """

    bytes: int  #: the most that was kept alive at one time for the backward pass, without weights and inputs
    flops: int  #: floating-point operations of matrix products and convolutions, two a multiplication and addition
    seconds: float  #: process time, the median of several steps; over all threads


@checked
def cost(step: Callable[[], object], model: nn.Module, inputs: Sequence[Tensor] = (), *, repeats: int = 5) -> Cost:
    """Measure a step: a function that computes losses and calls `backward` on them.

    Gradients of the model are cleared before every call, and left cleared.

    Args:
        step: called 2 + `repeats` times. model: whose weights are not counted. inputs: tensors not counted either.
        repeats: how many steps are timed, at least 1.
    Raises:
        ValueError: repeats < 1.
    Taught in: stacking_in_depth, "The cost profile".

    >>> model, x = nn.Linear(4, 3, bias=False), torch.ones(2, 4)
    >>> cost(lambda: model(x).sum().backward(), model, [x]).flops  # 2 · 2 · 4 · 3 forward, as many for the weights
    96
    """
    if not 1 <= repeats <= 10_000:
        raise ValueError(f"repeats: wanted at least 1 and at most 10,000, got {repeats}")
    model.zero_grad()
    live = _Live([*model.parameters(), *model.buffers(), *inputs])
    with torch.autograd.graph.saved_tensors_hooks(live.pack, lambda saved: saved()):
        step()
    model.zero_grad()
    with FlopCounterMode(display=False) as counter:
        step()
    seconds = timeit.repeat(step, model.zero_grad, time.process_time, repeats, number=1)
    model.zero_grad()
    return Cost(live.peak, counter.get_total_flops(), statistics.median(seconds))


@explained
def schedule_flops(
    stack: Levels, members: Tensor, loss: Callable[..., Tensor], schedule: str | Schedule = "joint"
) -> int:
    """Floating-point operations of one step in each phase of a schedule: what levels cost at equal steps per level.

    Nothing is kept from one phase to the next: levels that are frozen are computed again in every step.

    Args:
        stack: the levels. members: of one batch, shape (members, batch, …). loss: of every level.
        schedule: as in `fit_levels`.
    Taught in: levels, "Pairs: the same window of two views".

    >>> stack = Levels([nn.Linear(4, 3), nn.Linear(3, 2)])
    >>> x, loss = torch.ones(1, 8, 4), lambda z: z.sum()
    >>> schedule_flops(stack, x, loss, "incremental") - schedule_flops(stack, x, loss, "detached")  # level 1 once more
    192
    """
    total, losses = 0, [loss] * len(stack.levels)
    for phase in phases(schedule, len(stack.levels)):
        with FlopCounterMode(display=False) as counter:
            level_sum([value for _, value in level_losses(stack, Batch(tuple(members)), losses, phase)]).backward()
        total += counter.get_total_flops()
        stack.zero_grad()
    return total


class _Live:
    """Counts the bytes of distinct storages that graphs keep, now and at most."""

    def __init__(self, uncounted: Sequence[Tensor]):
        self.uncounted = {tensor.untyped_storage().data_ptr() for tensor in uncounted}
        self.holders = Counter()
        self.now = self.peak = 0

    def pack(self, tensor: Tensor) -> Callable[[], Tensor]:
        """What a graph keeps in the tensor's place; it is gone when the graph lets go of it."""
        saved, storage = (lambda: tensor), tensor.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        if place not in self.uncounted:
            self.now += 0 if self.holders[place] else size
            self.peak = max(self.peak, self.now)
            self.holders[place] += 1
            weakref.finalize(saved, self._let_go, place, size)
        return saved

    def _let_go(self, place: int, size: int) -> None:
        self.holders[place] -= 1
        self.now -= 0 if self.holders[place] else size
