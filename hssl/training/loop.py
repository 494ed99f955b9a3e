"""One loop that trains an encoder on pairs. Levels upon levels are left to `levels`, many runs to `sweeps`.

It knows no world and no probe: it takes what gives pairs, a loss, and what to look at on the way.
"""

import os
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, cast

import torch
from beartype.vale import Is
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from tqdm.auto import tqdm

from hssl.checks import WORDS, ArgumentError, Count, Whole, checked, explained, unbounded
from hssl.training.batches import Source, start_at, stream
from hssl.training.checkpoints import Checkpoint
from hssl.training.processes import rank

LearningRate = Annotated[float, Is[lambda value: 0 < value <= 1]]
WORDS[LearningRate] = "a number above 0 and at most 1"
WARM_UP = 0.02  #: fraction of the steps in which the learning rate rises to its peak


@dataclass
class History:
    """What a run leaves behind: the loss of every step, each level's part of it, and what `watch` saw at some steps.

    >>> History(loss=[2.0, 1.0], watched=[(2, "half way")]).loss[-1]
    1.0
    """

    loss: list[float] = field(default_factory=list)
    levels: dict[int, list[float]] = field(default_factory=dict)  #: by level, 1 the lowest; before it is weighted
    watched: list[tuple[int, object]] = field(default_factory=list)


@checked
@unbounded
@torch.enable_grad()  # whatever the caller measures in
def fit(
    encoder: nn.Module,
    batches: Source,
    *,
    loss: Callable[..., Tensor],
    steps: Count,
    batch: Count = 256,
    learning_rate: LearningRate = 1e-2,
    generator: torch.Generator | None = None,
    pairing: Callable[..., tuple] | None = None,
    watch: Callable[[nn.Module], object] | None = None,
    every: Count = 100,
    history: History | None = None,
    checkpoint: str | Path | None = None,
    label: str | None = None,
) -> History:
    """Train in place: Adam, 2 % of warm-up, then the cosine down to zero. Leaves the encoder in evaluation mode.

    It trains where the encoder is; an encoder on the processor is taken to HSSL_DEVICE, such as cuda, and comes back.

    Args:
        encoder: all members of a batch go through it together.
        batches: a world or `Pairs`; a callable that gives the next pairs; or a DataLoader. See `batches.stream`.
        loss: of the embeddings of the firsts and of the seconds, shape (batch, dim) each; gives a scalar.
        steps: how long. batch: pairs a step, where a world gives them. learning_rate: its peak, in (0, 1].
        generator: draws the pairs of a world. With a checkpoint: the one that all random numbers come from.
        pairing: a rule that decides which members are a pair: called with the embeddings of all members, shape
            (m, dim), without gradient, and their observations, shape (m, …), it gives masks, say
            `pairing.Masks`; the loss is then called with the embeddings and these.
        watch: called with the encoder, in evaluation mode, after every `every` steps; what it gives is kept.
        history: go on with this one. label: shows a progress bar under that name.
        checkpoint: a file that keeps the state, about every 15 seconds and at the end. The same call after an
            interruption goes on from there, to the same numbers; after the end it gives back what was found.
    Returns:
        The history: the loss in every step, and (step, what `watch` gave).
    Raises:
        ArgumentError: an argument out of range, or members of a batch that are no pairs; names it.
        ValueError: the checkpoint is damaged, or of a training with other settings; names the file.
        FloatingPointError: the loss is no longer finite; names the step. What the encoder or the loss raise goes
            through, with a note that names the step.
    Taught in: content_style, "One run from beginning to end".

    >>> from hssl.losses import info_nce
    >>> from hssl.encoders import MLP
    >>> x = torch.randn(300, 4, generator=g)
    >>> history = fit(MLP(4, 2, generator=g), Pairs(x, x), loss=info_nce, steps=20, batch=64, generator=g)
    >>> len(history.loss), history.loss[-1] < history.loss[0]
    (20, True)
    """
    history, home = history or History(), next(encoder.parameters()).device
    device = _device(home)
    draw = stream(batches, batch, generator, device)
    kept, done = None, 0
    try:
        encoder.to(device).train()
        optimizer = torch.optim.Adam(encoder.parameters(), lr=learning_rate, fused=device.type in ("cpu", "cuda"))
        rates = OneCycleLR(optimizer, learning_rate, total_steps=steps + 1, pct_start=WARM_UP, cycle_momentum=False)
        if checkpoint is not None:
            parts = {"encoder": encoder, "optimizer": optimizer, "rates": rates}
            settings = {"steps": steps, "batch": batch, "learning_rate": learning_rate}
            kept = Checkpoint(checkpoint, parts, generator, history, settings)
            start_at(batches, done := kept.resume())
        for step in progress(range(done + 1, steps + 1), None if rank() else label, total=steps, done=done):
            with named(f"This was in step {step} of {steps} of the training."):
                members, extras = draw()
                x = torch.cat(members)
                optimizer.zero_grad()
                h = encoder(x)
                given = _paired(pairing, home, h.detach(), x, *extras) if pairing else extras
                value = loss(h, *given) if pairing else loss(*h.chunk(len(members)), *given)
                if not value.isfinite():
                    raise FloatingPointError(f"the loss became {value.item()} in step {step} of {steps}")
                history.loss.append(value.item())
                value.backward()
            optimizer.step()
            rates.step()
            if watch and (step % every == 0 or step == steps):
                history.watched.append((len(history.loss), watch(encoder.eval().to(home))))
                encoder.to(device).train()
            if kept:
                kept.now_and_then(step)
        if kept and done < steps:
            kept.save(steps)
    finally:
        encoder.eval().to(home)
    return history


def _paired(pairing: Callable[..., tuple], home: torch.device, *given: object) -> list:
    """What a rule says; it works where the encoder lives, as does what the rule may bring along."""
    at = cast(Tensor, given[0]).device
    said = pairing(*(of.to(home) if isinstance(of, Tensor) else of for of in given))
    return [of.to(at) if isinstance(of, Tensor) else of for of in said]


def _device(home: torch.device) -> torch.device:
    """Where an encoder trains that lives there.

    Raises:
        ArgumentError: HSSL_DEVICE names no device that is here.
    """
    wanted = os.environ.get("HSSL_DEVICE")
    if not wanted or home.type != "cpu":
        return home
    try:
        return torch.empty(0, device=wanted).device
    except (RuntimeError, AssertionError) as error:  # torch says the latter where it was built without
        raise ArgumentError(
            f"HSSL_DEVICE: wanted a device of this machine, such as cpu or cuda; got {wanted!r}"
        ) from error


@explained
def progress(items: Iterable, label: str | None, *, total: Whole | None = None, done: Whole = 0) -> Iterable:
    """`items`, with a progress bar under that label for a person; none without a label, or when HSSL_PROGRESS=0.

    Args:
        total: how many there are, with those that were `done` before.

    >>> list(progress(range(3), None))
    [0, 1, 2]
    """
    hidden = label is None or os.environ.get("HSSL_PROGRESS") == "0"
    return tqdm(items, total=total, initial=done, desc=label, leave=False, disable=hidden)


@contextmanager
@checked
def named(where: str):
    """Errors of what is called inside get a note that says where it was.

    >>> try:
    ...     with named("This was in step 3."):
    ...         int("three")
    ... except ValueError as error:
    ...     print(error.__notes__)
    ['This was in step 3.']
    """
    try:
        yield
    except Exception as error:
        error.add_note(where)
        raise
