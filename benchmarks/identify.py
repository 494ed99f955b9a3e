"""Seconds until content is identified (R² ≥ 0.99): the book's recipe against the published setting.

    python benchmarks/identify.py --minutes 25

Both run one after the other, on one core each, in the same world (row p75 of table 1, seed 0). The published side is
written from the paper: its encoder (10-100-500-500-500-500-100-5, leaky ReLU 0.01, output free), its loss (squared
distance within the pair plus log-mean-exp over fresh negatives, temperature 1), Adam 1e-4, batch 6144, 300,000 steps.
It is stopped after --minutes. Two ratios are printed: to the content R² that the published side had reached by then,
and to 0.99 as a lower bound, as if it got there the moment it was stopped. With --record both go to the results page.
Source: von Kügelgen et al. 2021, section 5.1.
"""

import argparse
import math
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hssl import losses, probes
from hssl.encoders import MLP
from hssl.reporting import results
from hssl.worlds.latents import ContentStyle

TARGET = 0.99


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=25, help="when the published side is stopped")
    parser.add_argument("--batch", type=int, default=6144, help="of the published side; smaller is easier on it")
    parser.add_argument("--record", action="store_true", help="keep the result in book/results/benchmarks.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    fast = race("ours", ours(seed=0), every=50, seconds=600)
    slow = race("published", published(seed=0, batch=options.batch), every=10, seconds=60 * options.minutes)
    goal = min(max(score for _, score in slow), max(score for _, score in fast))
    reached, same = (next(seconds for seconds, score in side if score >= goal) for side in (slow, fast))
    ours_all, slow_all = fast[-1][0], slow[-1][0]
    print(f"ours: content R² {fast[-1][1]:.3f} after {ours_all:.0f} s")
    print(f"to R² {goal:.2f}: {same:.2f} s against {reached:.0f} s, {reached / same:.0f} times")
    if slow[-1][1] < TARGET <= fast[-1][1]:
        print(f"to {TARGET}: more than {slow_all / ours_all:.0f} times, for the published side was stopped there")
    if options.record:
        what = f"row p75 to content R² {goal:.2f}, one core: the published setting against the book's recipe"
        results.record_benchmark("identify.same", ours=same, other=reached, unit="s", what=what)
        what = f"row p75 to content R² {TARGET}, one core; the published setting, at {goal:.2f}, was stopped"
        results.record_benchmark("identify.target", ours=ours_all, other=slow_all, unit="s", what=what)


def race(name: str, run: tuple[Callable[[], None], Callable[[], float]], *, every: int, seconds: float):
    """(seconds of training, content R²) after every so many steps, until 0.99 or the time is up."""
    step, score = run
    spent, steps, seen = 0.0, 0, []
    while not seen or (seen[-1][1] < TARGET and spent < seconds):
        start = time.perf_counter()
        for _ in range(every):
            step()
        spent, steps = spent + time.perf_counter() - start, steps + every
        seen.append((spent, score()))
        print(f"{name}: step {steps}, {spent:.1f} s, content R² {seen[-1][1]:.3f}", flush=True)
    return seen


def ours(seed: int, steps: int = 3000):
    """The chapter's recipe, its loop written out because a race looks in after every few steps."""
    generator = torch.Generator().manual_seed(seed)
    world = ContentStyle.row("p75", generator=generator)
    encoder = MLP(10, 5, standardise=True, generator=generator).whiten(world.sample(8192, generator).anchors)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-2, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1e-2, total_steps=steps + 1, pct_start=0.02, cycle_momentum=False
    )

    def step() -> None:
        encoder.train()
        pairs = world.sample(512, generator)
        a, b = encoder(torch.cat([pairs.anchors, pairs.positives])).chunk(2)
        loss = losses.info_nce(a, b, temperature=0.2, similarity="euclidean", symmetric=True)
        descend(optimizer, loss)
        if schedule.last_epoch < steps:
            schedule.step()

    return step, lambda: content_r2(encoder, world)


def published(seed: int, batch: int):
    """The published setting: three fresh forward passes and a batch × batch table of distances in each step."""
    generator = torch.Generator().manual_seed(seed)
    world = ContentStyle.row("p75", generator=generator)
    encoder = MLP(10, 5, (100, 500, 500, 500, 500, 100), skip=False, generator=generator)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        pairs, negatives = world.sample(batch, generator), world.sample(batch, generator).anchors
        h, h_tilde, h_other = encoder(torch.cat([pairs.anchors, pairs.positives, negatives])).chunk(3)
        descend(optimizer, published_loss(h, h_tilde, h_other))

    return step, lambda: content_r2(encoder, world)


def published_loss(h: Tensor, h_tilde: Tensor, h_other: Tensor) -> Tensor:
    """Squared distance to the partner plus the log-mean-exp over the partner and all fresh negatives, shape ()."""
    own = ((h - h_tilde) ** 2).sum(1)
    logits = torch.cat([-own[:, None], losses.similarity_matrix(h, h_other, "euclidean")], dim=1)
    return (own + logits.logsumexp(1) - math.log(len(h) + 1)).mean()


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


@torch.no_grad()
def content_r2(encoder: nn.Module, world: ContentStyle) -> float:
    pairs = world.sample(4000, torch.Generator().manual_seed(999))
    return probes.r2(encoder.eval()(pairs.anchors), pairs.content)


if __name__ == "__main__":
    main()
