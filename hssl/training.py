"""One loop that trains an encoder on a stream of pairs, and one way to run it for many settings at once.

It knows no world and no probe: it takes pairs, a loss, and what to look at on the way.
"""

import os
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from joblib import Parallel, cpu_count, delayed
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from tqdm.auto import tqdm


@dataclass
class History:
    """What a run leaves behind: the loss of every step, and what `watch` saw at some of them."""

    loss: list[float] = field(default_factory=list)
    watched: list[tuple[int, object]] = field(default_factory=list)


def progress(items: Iterable, *, total: int, label: str) -> Iterable:
    """`items`, with a progress bar for a person; none when HSSL_PROGRESS=0."""
    return tqdm(items, total=total, desc=label, leave=False, disable=os.environ.get("HSSL_PROGRESS") == "0")


def minibatches(anchors: Tensor, positives: Tensor, size: int, generator: torch.Generator) -> Callable:
    """A function for `fit`: each call gives `size` of the pairs, drawn without replacement.

    Raises:
        ValueError: lengths differ, or there are fewer pairs than `size`, or size < 2.
    """
    if len(anchors) != len(positives) or not 2 <= size <= len(anchors):
        raise ValueError(
            f"anchors, positives, size: wanted as many of both and 2 ≤ size ≤ that, got {len(anchors)}, "
            f"{len(positives)}, {size}"
        )

    def draw() -> tuple[Tensor, Tensor]:
        rows = torch.randperm(len(anchors), generator=generator, device=generator.device)[:size].to(anchors.device)
        return anchors[rows], positives[rows]

    return draw


@torch.enable_grad()  # whatever the caller measures in
def fit(
    model: nn.Module,
    batches: Callable[[], tuple[Tensor, Tensor]],
    *,
    loss: Callable[[Tensor, Tensor], Tensor],
    steps: int,
    learning_rate: float = 1e-2,
    watch: Callable[[nn.Module], object] | None = None,
    every: int = 100,
    label: str | None = None,
) -> History:
    """Train in place: Adam, 2 % of warm-up, then the cosine down to zero. Leaves the model in evaluation mode.

    Args:
        model: the encoder; both members of a pair go through it.
        batches: called once a step, gives (anchors, positives): observations, shape (batch, …) each.
        loss: of the embeddings of both, shape (batch, dim) each; gives a scalar.
        steps, learning_rate: how long, and the peak of the learning rate.
        watch: called with the model, in evaluation mode, after every `every` steps; what it gives is kept.
        label: shows a progress bar under that name.
    Returns:
        The history: the loss in every step, and (step, what `watch` gave).
    Raises:
        ValueError: steps or learning rate out of range.
        FloatingPointError: the loss is no longer finite; names the step. What the model or the loss raise
            goes through, with a note that names the step.
    Taught in: content_style, "One run from beginning to end".
    """
    if steps < 1 or every < 1:
        raise ValueError(f"steps, every: wanted at least 1 of each, got {steps} and {every}")
    if not 0 < learning_rate < float("inf"):
        raise ValueError(f"learning_rate: wanted a finite number > 0, got {learning_rate}")
    fused = next(model.parameters()).device.type in ("cpu", "cuda")
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=fused)
    schedule = OneCycleLR(optimizer, learning_rate, total_steps=steps + 1, pct_start=0.02, cycle_momentum=False)
    history = History()
    model.train()
    numbers = range(1, steps + 1)
    for step in progress(numbers, total=steps, label=label) if label else numbers:
        anchors, positives = batches()
        try:
            value = loss(*model(torch.cat([anchors, positives])).chunk(2))
        except (TypeError, ValueError, RuntimeError) as error:
            error.add_note(f"This was in step {step} of {steps} of the training.")
            raise
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        history.loss.append(value.item())
        if not abs(history.loss[-1]) < float("inf"):
            raise FloatingPointError(f"the loss became {history.loss[-1]} in step {step} of {steps}")
        if watch and (step % every == 0 or step == steps):
            history.watched.append((step, watch(model.eval())))
            model.train()
    model.eval()
    return history


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
