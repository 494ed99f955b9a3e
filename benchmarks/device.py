"""Whether every chapter's networks train on another device, how far the losses differ, and how fast it is.

    python benchmarks/device.py cuda                  # all chapters, one a core; some minutes
    python benchmarks/device.py cuda content_style    # or some

Each chapter is executed with its trainings cut to a few steps, and each training is done twice, from the same weights
on the same batches: on the processor, with one thread, and on the device. What fails because trainings are so short
does not count; the times are medians, and chapters run side by side. "at start" is by what share the losses of the
first step differ, "at end" those of the last.
"""

import argparse
import copy
import io
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STEPS, WARM = 15, 3
NEITHER = ("intro", "answers", "results", "full_size")  # pages that train nothing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("device", help="such as cuda")
    parser.add_argument("chapters", nargs="*", help="none: all")
    parser.add_argument("--inside", action="store_true", help="in this process")
    options = parser.parse_args()
    if options.inside:
        return one_chapter(options.chapters[0], options.device)
    names = options.chapters or [p.stem for p in sorted((ROOT / "text").glob("*.md")) if p.stem not in NEITHER]
    print(
        f"{'':20}{'trainings':>10}{'failed':>8}{'at start':>10}{'at end':>10}{'CPU ms':>9}{'device ms':>11}{'ratio':>8}"
    )
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for done in as_completed([pool.submit(run, name, options.device) for name in names]):
            print(done.result(), flush=True)


def run(name: str, device: str) -> str:
    modes = {"OMP_NUM_THREADS": "1", "LOKY_MAX_CPU_COUNT": "1", "HSSL_PROGRESS": "0", "HSSL_RESULTS": "show"}
    runs = ROOT / "book" / "results" / "runs" / "quick" / f"{name}.json"
    modes |= {"MPLBACKEND": "agg", "HSSL_RUNS_FROM": str(runs), "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = [sys.executable, __file__, device, name, "--inside"]
    done = subprocess.run(command, env={**os.environ, **modes}, cwd=ROOT / "book", capture_output=True, text=True)
    return done.stdout.strip() or f"{name}: {done.stderr.strip().splitlines()[-1]}"


def one_chapter(name: str, device: str) -> None:
    """Print the line of one chapter, and the errors of its trainings."""
    import jupytext
    import torch

    import hssl.training
    from hssl.training import levels, loop

    torch.set_num_threads(1)
    twice = Twice(loop.fit, device)
    for module in (hssl.training, loop, levels):
        module.fit = twice
    scope = {"__name__": "__main__", "display": lambda *_: None}
    for cell in jupytext.read(ROOT / "text" / f"{name}.md").cells:
        if cell.cell_type != "code":
            continue
        try:
            with redirect_stdout(io.StringIO()):
                exec(compile(cell.source, name, "exec"), scope)
        except Exception as error:
            if device in str(error):
                twice.failed.append(f"{type(error).__name__}: {error}")
    print(twice.line(name))


class Twice:
    """Takes the place of `fit`: a short training on both devices; the encoder is left as the processor trained it."""

    def __init__(self, fit: Callable, device: str):
        self.fit, self.device, self.found, self.failed = fit, device, [], []

    def __call__(
        self, encoder, batches, *, steps, batch=256, generator=None, watch=None, every=100, history=None, **how
    ):
        from hssl.training.batches import stream
        from hssl.training.loop import History

        how = {key: value for key, value in how.items() if key not in ("checkpoint", "label")}
        history, losses = history or History(), [0.0]
        draw = stream(batches, batch, generator, next(encoder.parameters()).device)
        drawn = [draw() for _ in range(STEPS)]
        try:
            seconds, losses, trained = self.timed("cpu", encoder, drawn, how)
            seconds_there, losses_there, _ = self.timed(self.device, encoder, drawn, how)
            ends = [abs(there / here - 1) for there, here in zip(losses_there, losses, strict=True)]
            self.found.append((1000 * seconds, 1000 * seconds_there, ends[0], ends[-1]))
            encoder.load_state_dict(trained.state_dict())
        except Exception as error:
            self.failed.append(f"{type(error).__name__}: {error}")
        history.loss += (losses + [losses[-1]] * steps)[:steps]
        if watch:
            seen = watch(encoder.eval())
            history.watched += [(step, seen) for step in range(every, steps + 1, every)]
        encoder.eval()
        return history

    def timed(self, device: str, encoder, drawn: list, how: dict) -> tuple:
        """Seconds a step, the losses, and the trained encoder."""
        os.environ["HSSL_DEVICE"] = device
        for part in (drawn[:WARM], drawn):
            trained, left = copy.deepcopy(encoder), iter(part)
            start = time.perf_counter()
            losses = self.fit(trained, partial(next, left), steps=len(part), **how).loss
        return (time.perf_counter() - start) / STEPS, losses, trained

    def line(self, name: str) -> str:
        means = [statistics.median(column) for column in zip(*self.found, strict=True)]
        line = f"{name:20}{len(self.found):>10}{len(self.failed):>8}"
        if means:
            cpu, there, start, end = means
            line += f"{start:>10.1e}{end:>10.1e}{cpu:>9.1f}{there:>11.1f}{cpu / there:>8.2f}"
        return "\n".join([line, *(f"    {message.splitlines()[0]}" for message in sorted(set(self.failed)))])


if __name__ == "__main__":
    main()
