"""Levels upon levels, trained by `fit`, one phase of a schedule after the other.

Which levels learn when is left to `schedules`, what a level is to `encoders`.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from hssl.checks import ArgumentError, Count, Whole, checked, unbounded
from hssl.encoders import Levels, evaluating
from hssl.encoders.networks import check_widths
from hssl.losses import check_weights
from hssl.training.batches import Batch, Minibatches, Source
from hssl.training.loop import History, LearningRate, fit
from hssl.training.schedules import Phase, Schedule, phases

Loss = Callable[..., Tensor]


@checked
@unbounded
def fit_levels(
    stack: Levels,
    batches: Source,
    *,
    losses: Sequence[Loss],
    steps: Count | Sequence[int],
    schedule: str | Schedule = "joint",
    weights: Sequence[float] | None = None,
    batch: Count = 256,
    learning_rate: LearningRate = 1e-2,
    generator: torch.Generator | None = None,
    precompute: bool = False,
    watch: Callable[[nn.Module], object] | None = None,
    every: Count = 100,
    checkpoint: str | Path | None = None,
    label: str | None = None,
) -> History:
    """Train levels in place, by a loss each. Leaves them in evaluation mode.

    Args:
        stack: the levels, and a head for each. batches, batch, generator, watch, every, label: as in `fit`.
        losses: one a level: of its head's embeddings of each member, and the extras of the batch; gives a scalar.
        steps: for each phase alike, or a number a phase. learning_rate: its peak, in every phase.
        schedule: which levels learn when: a name of `SCHEDULES`, or a function from the number of levels to phases.
        weights: of the losses, w_k ≥ 0; None means 1 for each.
        precompute: compute what lies frozen once instead of in every step; needs `Minibatches` without augment.
        checkpoint: as in `fit`; a file for each phase, with its number at the end of the name.
    Returns:
        The history: the loss in every step, each level's part of it, and (step, what `watch` gave).
    Raises:
        ArgumentError, ValueError, FloatingPointError: as `fit`; or not one loss a level, not one number of steps a
            phase, weights that leave a phase without a loss, or nothing to precompute.
    Taught in: hierarchy, "Two schedules, one loop".

    >>> from hssl.losses import info_nce
    >>> stack = Levels([nn.Linear(4, 3), nn.Linear(3, 2)])
    >>> x = torch.randn(64, 4, generator=g)
    >>> world, losses = Pairs(x, x), [info_nce, info_nce]
    >>> history = fit_levels(stack, world, losses=losses, steps=5, schedule="incremental", batch=32, generator=g)
    >>> len(history.loss), {level: len(values) for level, values in history.levels.items()}
    (10, {1: 5, 2: 5})
    """
    plan = phases(schedule, len(stack.levels))
    losses, steps = list(losses), [steps] * len(plan) if isinstance(steps, int) else list(steps)
    if len(losses) != len(stack.levels) or len(steps) != len(plan):
        raise ArgumentError(
            f"losses, steps: wanted a loss for each of {len(stack.levels)} levels and steps for each of {len(plan)} "
            f"phases, got {len(losses)} and {len(steps)}"
        )
    check_widths(steps=steps)
    weights = check_weights([1.0] * len(losses) if weights is None else weights, len(losses))
    if not all(any(weights[phase.lowest : phase.highest + 1]) for phase in plan):
        raise ValueError(f"weights: in some phase all losses that are minimised weigh 0; got {weights}")
    store = _precomputable(plan, batches) if precompute else None
    history = History()
    shared = {"batch": batch, "learning_rate": learning_rate, "generator": generator, "every": every, "label": label}
    shared |= {"history": history}
    for number, phase in enumerate(plan):
        stack.eval()
        start = phase.lowest if store else 0  # what lies below it is computed once
        kept = store.precomputed(Levels(list(stack.levels[:start]))) if store and start else batches
        total = partial(_total, losses=losses, weights=weights, phase=phase, history=history)
        seen = evaluating(stack)(lambda _: watch(stack)) if watch else None
        file = None if checkpoint is None else f"{checkpoint}.{number + 1}"
        learning = _Learning(stack, phase, start)
        fit(learning, kept, loss=total, steps=steps[number], watch=seen, checkpoint=file, **shared)
    return history


@checked
def level_losses(
    stack: Levels, batch: Batch, losses: Sequence[Loss], phase: Phase, *, start: Whole = 0
) -> Iterator[tuple[int, Tensor]]:
    """Each level's loss as soon as it is known, with its number (0 the lowest): what every schedule is made of.

    Levels below the phase are frozen: nothing of them is kept for a backward pass. Levels above it are not computed.

    Args:
        stack, batch, losses: as in `fit_levels`. phase: which levels have a loss, and how far its gradient reaches.
        start: the level that the batch is given to; those below it have seen it already.
    Taught in: hierarchy, "Two schedules, one loop".

    >>> stack = Levels([nn.Linear(4, 3), nn.Linear(3, 2)])
    >>> [level for level, loss in level_losses(stack, Batch((torch.ones(5, 4),)), [torch.sum] * 2, Phase(0, 1))]
    [0, 1]
    """
    top = len(stack.levels) - 1
    if not 0 <= phase.lowest <= phase.highest <= top or start > phase.highest or not 0 <= phase.gradient_scale <= 1:
        raise ArgumentError(
            f"phase, start: wanted levels from 0 to {top} in order, and a scale from 0 to 1, got {phase}, {start}"
        )
    if len(losses) <= phase.highest:
        raise ArgumentError(f"losses: wanted one a level, {top + 1}, got {len(losses)}")
    if not batch.members or len({tuple(member.shape) for member in batch.members}) > 1:
        raise ArgumentError("batch: wanted members, all of one shape")
    outputs = _outputs(stack, torch.cat(batch.members), phase, start)
    return ((k, losses[k](*z.chunk(len(batch.members)), *batch.extras)) for k, z in outputs)


def _outputs(stack: Levels, h: Tensor, phase: Phase, start: int) -> Iterator[tuple[int, Tensor]]:
    """What the loss sees of each level of a phase, bottom up; each is computed when it is asked for."""
    for k in range(start, phase.highest + 1):
        with torch.set_grad_enabled(k >= phase.lowest):
            h = stack.levels[k](h)
        if k >= phase.lowest:
            yield k, stack.heads[k](h)
            if (scale := phase.gradient_scale) < 1:
                h = scale * h + (1 - scale) * h.detach() if scale else h.detach()


class _Learning(nn.Module):
    """What learns in a phase, as one encoder for `fit`: only that is trained, and only that is in training mode."""

    def __init__(self, stack: Levels, phase: Phase, start: int):
        super().__init__()
        span = slice(phase.lowest, phase.highest + 1)
        self.learning = nn.ModuleList([*stack.levels[span], *stack.heads[span]])
        self._embed, self._stack = partial(_outputs, stack, phase=phase, start=start), (stack,)

    def _apply(self, *how, **more):
        """To another device go all levels, those that do not learn, too."""
        self._stack[0]._apply(*how, **more)
        return self

    def forward(self, x: Tensor) -> SimpleNamespace:
        """What has `chunk`, as a tensor: the outputs by level and member, none computed before the loss asks for it."""
        return SimpleNamespace(chunk=lambda members: [((k, z.chunk(members)) for k, z in self._embed(x))])


def _total(outputs, *extras, losses, weights, phase: Phase, history: History) -> Tensor:
    """Σ w_k · CL_k over the levels of a phase; each level's part goes into the history."""
    value = torch.zeros(())
    for k, members in outputs:
        part = losses[k](*members, *extras)
        history.levels.setdefault(k + 1, []).append(part.item())
        if weights[k]:
            weighted = weights[k] * part
            if phase.local_backward:
                weighted.backward()
                weighted = weighted.detach()
            value = value.to(weighted) + weighted
    return value if value.requires_grad else value.requires_grad_()  # nothing is left to do for `backward`


def _precomputable(plan: list[Phase], batches: Source) -> Minibatches:
    if len(plan) == 1:
        raise ArgumentError("precompute: nothing is frozen when all levels learn at once; wanted a schedule of phases")
    if not isinstance(batches, Minibatches) or batches.augment is not None:
        raise ArgumentError("precompute: wanted Minibatches without augment, not what is augmented anew in every step")
    return batches
