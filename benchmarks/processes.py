"""Steps a second of one training, in two processes of one thread each against one process of one thread.

    python benchmarks/processes.py --record

Both see the same whole batches, and find the same numbers (tests/test_processes.py). It wants two idle cores.
"""

import argparse
import os
import subprocess
import sys
import time

import torch
from torchvision.models import resnet18

from hssl.encoders import drawn_from
from hssl.losses import info_nce
from hssl.reporting import results
from hssl.training import Minibatches, fit
from hssl.training.processes import count, gathered, joined, parallel, rank


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=64, help="side length of an image in pixels")
    parser.add_argument("--batch", type=int, default=512, help="pairs in a step, over all processes")
    parser.add_argument("--steps", type=int, default=3, help="steps that are timed")
    parser.add_argument("--rounds", type=int, default=2, help="how often each side runs, one after the other")
    parser.add_argument("--record", action="store_true", help="keep the result in book/results/benchmarks.json")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        timed(options)
        return
    found: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(options.rounds):
        for number, rates in found.items():
            rates.append(started(number))
    alone, both = (max(found[number]) for number in (1, 2))
    print(f"steps a second: {alone:.2f} in one process, {both:.2f} in two; ratio {both / alone:.2f}")
    print({number: [round(rate, 2) for rate in rates] for number, rates in found.items()})
    if options.record:
        what = f"ResNet-18, {options.batch} pairs of {options.size} px a step: two processes against one, a thread each"
        results.record_benchmark("processes", ours=both, other=alone, unit="steps/s", what=what)


def started(number: int) -> float:
    """Steps a second in so many processes."""
    run = [sys.executable]
    if number > 1:
        run += ["-m", "torch.distributed.run", f"--nproc_per_node={number}"]
        run += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    command = [*run, __file__, "--one", *(word for word in sys.argv[1:] if word != "--record")]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **ONE_THREAD})
    return float(shown.stdout.split()[-1])


ONE_THREAD = {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "8000000000"}


def timed(options: argparse.Namespace) -> None:
    """Train in this process, as one of however many there are, and print the steps a second."""
    torch.set_num_threads(1)
    with joined("cpu"):
        g = torch.Generator().manual_seed(rank())
        shape = (options.batch // count(), 3, options.size, options.size)
        images = torch.rand(shape, generator=g).to(memory_format=torch.channels_last)
        net = drawn_from(torch.Generator().manual_seed(0), lambda: resnet18(num_classes=32))
        net = parallel(net.to(memory_format=torch.channels_last))
        batches, loss = Minibatches([images, images], len(images), g), gathered(info_nce)
        fit(net, batches, loss=loss, steps=1)
        start = time.perf_counter()
        fit(net, batches, loss=loss, steps=options.steps)
        if not rank():
            print(options.steps / (time.perf_counter() - start))


if __name__ == "__main__":
    main()
