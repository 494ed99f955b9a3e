"""One loop that trains an encoder, or levels of them, on a stream of batches; and a way to run many settings at once.

It knows no world and no probe: it takes batches, a loss a level, and what to look at on the way. Which levels learn
when is left to `schedules`, how an interrupted run goes on to `checkpoints`.
"""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from joblib import Parallel, cpu_count, delayed
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from tqdm.auto import tqdm

from hssl.encoders import Levels, embed
from hssl.losses import check_weights, level_sum
from hssl.training.checkpoints import Checkpoint
from hssl.training.schedules import Phase, Schedule, named


@dataclass
class History:
    """What a run leaves behind: the loss of every step, each level's part of it, and what `watch` saw at some steps."""

    loss: list[float] = field(default_factory=list)
    levels: dict[int, list[float]] = field(default_factory=dict)  #: by level, 1 the lowest; before it is weighted
    watched: list[tuple[int, object]] = field(default_factory=list)


class Batch(NamedTuple):
    """What one step is made of."""

    members: tuple[Tensor, ...]  #: observations, as many of each: anchors and positives, say, or pictures alone
    extras: tuple = ()  #: what the losses are given besides


def progress(items: Iterable, *, total: int, label: str) -> Iterable:
    """`items`, with a progress bar for a person; none when HSSL_PROGRESS=0."""
    return tqdm(items, total=total, desc=label, leave=False, disable=os.environ.get("HSSL_PROGRESS") == "0")


class Minibatches:
    """Batches for `fit` from a fixed store: each call gives `size` rows of it, drawn without replacement.

    Args:
        members: observations, as many in each. size: rows a batch.
        generator: draws the rows. extras: tensors of as many rows, which the losses are given besides.
        augment: changes the members of every batch anew; then nothing can be kept from one step to the next.
    Raises:
        ValueError: lengths differ, or there are fewer rows than `size`, or size < 2.
    """

    def __init__(
        self,
        members: Sequence[Tensor],
        size: int,
        generator: torch.Generator,
        *,
        extras: Sequence[Tensor] = (),
        augment: Callable[[Tensor], Tensor] | None = None,
    ):
        lengths = [len(tensor) for tensor in (*members, *extras)]
        if not members or len(set(lengths)) > 1 or not 2 <= size <= lengths[0]:
            raise ValueError(
                f"members, extras, size: wanted as many of each and 2 ≤ size ≤ that, got {lengths}, {size}"
            )
        self.members, self.extras, self.size = tuple(members), tuple(extras), size
        self.generator, self.augment = generator, augment

    def __call__(self) -> Batch | tuple[Tensor, ...]:
        rows = torch.randperm(len(self.members[0]), generator=self.generator, device=self.generator.device)
        rows = rows[: self.size].to(self.members[0].device)
        members = tuple(tensor[rows] for tensor in self.members)
        members = members if self.augment is None else tuple(map(self.augment, members))
        return Batch(members, tuple(tensor[rows] for tensor in self.extras)) if self.extras else members

    def through(self, frozen: nn.Module) -> "Minibatches":
        """The same batches, of what the last of some frozen levels makes of the members: computed once, kept."""
        kept = [embed(frozen, tensor)[-1] for tensor in self.members]
        return Minibatches(kept, self.size, self.generator, extras=self.extras)


def minibatches(anchors: Tensor, positives: Tensor, size: int, generator: torch.Generator) -> Minibatches:
    """`Minibatches` of pairs: each call gives `size` of them, drawn without replacement. Errors are those of it."""
    return Minibatches((anchors, positives), size, generator)


@torch.enable_grad()  # whatever the caller measures in
def fit(
    model: nn.Module,
    batches: Callable[[], Batch | tuple[Tensor, ...]],
    *,
    loss: Callable[..., Tensor] | Sequence[Callable[..., Tensor]],
    steps: int | Sequence[int],
    learning_rate: float = 1e-2,
    schedule: str | Schedule = "joint",
    weights: Sequence[float] | None = None,
    cache: bool = False,
    checkpoint: Checkpoint | None = None,
    watch: Callable[[nn.Module], object] | None = None,
    every: int = 100,
    label: str | None = None,
) -> History:
    """Train in place: Adam, 2 % of warm-up, then the cosine down to zero. Leaves the model in evaluation mode.

    Args:
        model: an encoder, or `Levels` of them; all members of a batch go through it.
        batches: called once a step, gives the members, shape (batch, …) each: (anchors, positives), say; or a `Batch`.
        loss: of the embeddings of each member, and the extras of the batch; gives a scalar. For levels one a level.
        steps: how long; of a stepwise schedule for each phase alike, or a number a phase.
        learning_rate: its peak, in every phase.
        schedule: which levels learn when, by name or as a `Schedule`; of a single encoder all are the same.
        weights: of the levels' losses, w_k ≥ 0; None means 1 for each.
        cache: stepwise only: compute what lies frozen once instead of in every step.
        checkpoint: go on from there if it exists, and keep it on the way.
        watch: called with the model, in evaluation mode, after every `every` steps; what it gives is kept.
        label: shows a progress bar under that name.
    Returns:
        The history: the loss in every step, and (step, what `watch` gave).
    Raises:
        ValueError: a setting out of range; a cache where nothing is frozen, or of batches that are new in every
            step; a checkpoint of another training.
        FloatingPointError: the loss is no longer finite; names the step. What the model or the loss raise
            goes through, with a note that names the step.
    Taught in: content_style, "One run from beginning to end".
    """
    stack, plan = model if isinstance(model, Levels) else Levels([model]), named(schedule)
    phases = plan.phases(len(stack.levels))
    losses = [loss] if callable(loss) else list(loss)
    steps = [steps] * len(phases) if isinstance(steps, int) else list(steps)
    weights = check_weights([1.0] * len(losses) if weights is None else weights, len(stack.levels))
    _check(stack, phases, losses, steps, learning_rate, every, weights, batches if cache else None)
    history, settings = History(), {"steps": steps, "learning_rate": learning_rate, "schedule": repr(plan)}
    settings |= {"weights": weights, "parameters": [list(p.shape) for p in stack.parameters()]}
    kept = checkpoint.load(settings, next(stack.parameters()).device) if checkpoint else None
    if kept:
        stack.load_state_dict(kept["model"])
        history = History(kept["loss"], kept["levels"], kept["watched"])
    for number, phase in enumerate(phases):
        if kept and number < kept["phase"]:
            continue
        optimizer, rates = _optimizer(stack, phase, steps[number], learning_rate)
        if kept:
            optimizer.load_state_dict(kept["optimizer"])
            rates.load_state_dict(kept["rates"])
        first, kept = kept["step"] + 1 if kept else 1, None
        start = phase.lowest if cache else 0  # what lies below it is kept
        _learning(stack, phase)
        draw = batches.through(Levels(stack.levels[:start])) if start else batches
        numbers = range(first, steps[number] + 1)
        for step in progress(numbers, total=len(numbers), label=label) if label else numbers:
            with _named(f"This was in step {step} of {steps[number]} of the training."):
                parts = _backward(stack, draw(), losses, weights, phase, plan, start, optimizer)
            optimizer.step()
            rates.step()
            _note(history, parts, weights, f"step {step} of {steps[number]}")
            done = step == steps[number]
            if watch and (step % every == 0 or done):
                history.watched.append((len(history.loss), watch(model.eval())))
                _learning(stack, phase)
            if checkpoint and (step % checkpoint.every == 0 or done):
                state = {"model": stack.state_dict(), "optimizer": optimizer.state_dict(), "rates": rates.state_dict()}
                checkpoint.save(settings=settings, phase=number, step=step, **state, **vars(history))
    model.eval()
    return history


def climb(
    stack: Levels,
    batch: Batch,
    losses: Sequence[Callable[..., Tensor]],
    phase: Phase,
    *,
    passes: float = 1.0,
    start: int = 0,
) -> Iterator[tuple[int, Tensor]]:
    """Each level's loss as soon as it is known, with its number (0 the lowest): what every schedule is made of.

    Levels below the phase are frozen: nothing of them is kept for a backward pass. Levels above it are not computed.

    Args:
        stack, batch, losses: as in `fit`. phase: which levels have a loss.
        passes: share of a level's gradient that goes on into the level below.
        start: the level that the batch is given to; those below it have seen it already.
    Taught in: hierarchy, "Two schedules, one loop".
    """
    h = torch.cat(batch.members)
    for k in range(start, phase.highest + 1):
        with torch.set_grad_enabled(k >= phase.lowest):
            h = stack.levels[k](h)
        if k >= phase.lowest:
            yield k, losses[k](*stack.heads[k](h).chunk(len(batch.members)), *batch.extras)
            h = h if passes == 1 else passes * h + (1 - passes) * h.detach() if passes else h.detach()


def _backward(stack, batch, losses, weights, phase, plan, start, optimizer) -> dict[int, Tensor]:
    """Fresh gradients of all that learns; gives each level's loss, before it is weighted."""
    batch = batch if isinstance(batch, Batch) else Batch(batch)
    optimizer.zero_grad()
    parts = {}
    for k, parts[k] in climb(stack, batch, losses, phase, passes=plan.passes, start=start):
        if plan.apart and weights[k]:
            (weights[k] * parts[k]).backward()
    if not plan.apart:
        level_sum(list(parts.values()), [weights[k] for k in parts]).backward()
    return parts


def _optimizer(stack: Levels, phase: Phase, steps: int, learning_rate: float):
    learn = range(phase.lowest, phase.highest + 1)
    parameters = [p for k in learn for p in (*stack.levels[k].parameters(), *stack.heads[k].parameters())]
    fused = parameters[0].device.type in ("cpu", "cuda")
    optimizer = torch.optim.Adam(parameters, lr=learning_rate, fused=fused)
    return optimizer, OneCycleLR(optimizer, learning_rate, total_steps=steps + 1, pct_start=0.02, cycle_momentum=False)


def _learning(stack: Levels, phase: Phase) -> None:
    """In training mode what learns; what is frozen or not used in evaluation mode."""
    stack.eval()
    for k in range(phase.lowest, phase.highest + 1):
        stack.levels[k].train()
        stack.heads[k].train()


def _note(history: History, parts: dict[int, Tensor], weights: list[float], where: str) -> None:
    values = {k: part.item() for k, part in parts.items()}
    history.loss.append(sum(weights[k] * value for k, value in values.items()))
    for k, value in values.items():
        history.levels.setdefault(k + 1, []).append(value)
    if not abs(history.loss[-1]) < float("inf"):
        raise FloatingPointError(f"the loss became {history.loss[-1]} in {where}")


@contextmanager
def _named(note: str):
    try:
        yield
    except (TypeError, ValueError, RuntimeError) as error:
        error.add_note(note)
        raise


def _check(stack, phases, losses, steps, learning_rate, every, weights, cached) -> None:
    if min(*steps, every) < 1:
        raise ValueError(f"steps, every: wanted at least 1 of each, got {steps} and {every}")
    if len(losses) != len(stack.levels) or len(steps) != len(phases):
        raise ValueError(
            f"loss, steps: wanted a loss for each of {len(stack.levels)} levels and steps for each of {len(phases)} "
            f"phases, got {len(losses)} and {len(steps)}"
        )
    if not 0 < learning_rate < float("inf"):
        raise ValueError(f"learning_rate: wanted a finite number > 0, got {learning_rate}")
    if not all(any(weights[phase.lowest : phase.highest + 1]) for phase in phases):
        raise ValueError(f"weights: in some phase all losses that are minimised weigh 0; got {weights}")
    if cached is not None:
        if len(phases) == 1:
            raise ValueError("cache: nothing is frozen when all levels learn at once; wanted a stepwise schedule")
        if not isinstance(cached, Minibatches) or cached.augment is not None:
            raise ValueError(
                "cache: these batches are drawn or augmented anew in every step, so that nothing can be kept; wanted "
                "Minibatches without augment, or cache=False"
            )


def sweep(function: Callable, settings: list[dict], *, label: str, workers: int | None = None) -> list:
    """`[function(**s) for s in settings]`, each in a process with one core of its own, with a progress bar.

    Seeds are independent and small networks gain little from a second core, so this is the way to use both.
    The results come in the order of the settings. An interruption stops the processes and leaves nothing behind.
    """
    if not settings:
        raise ValueError("settings: wanted at least one, got an empty list")
    run = Parallel(n_jobs=min(workers or cpu_count(), len(settings)), return_as="generator", batch_size=1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A worker stopped while")  # one that grew too large was replaced: no harm
        done = run(delayed(_on_one_core)(function, s) for s in settings)
        return list(progress(done, total=len(settings), label=label))


def _on_one_core(function: Callable, setting: dict):
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    return function(**setting)
