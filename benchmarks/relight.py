"""Images a second on one core: the same scenes under new hues, relit in closed form against rendered anew.

    python benchmarks/relight.py --record

The maps of light are computed once for each scene and are not counted; they take as long as three renderings.
"""

import argparse
import time
from collections.abc import Callable

import torch

from hssl.reporting import results
from hssl.worlds import scenes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=32, help="side length of an image in pixels")
    parser.add_argument("--record", action="store_true", help="keep the result in book/results/benchmarks.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    latents = scenes.sample_latents(500, torch.Generator().manual_seed(0))
    maps, hues = scenes.light_maps(latents, options.size), latents.values[:, 7:]
    fast = rate(lambda: scenes.relight(maps, hues))
    slow = rate(lambda: scenes.render(latents, options.size))
    print(f"relit: {fast:.0f} images a second; rendered: {slow:.0f}; ratio {fast / slow:.0f}")
    if options.record:
        what = f"scenes at {options.size} px under new hues, on one core: relit in closed form against rendered"
        results.record_benchmark("relight", ours=fast, other=slow, unit="images/s", what=what)


def rate(draw: Callable[[], torch.Tensor]) -> float:
    """Images a second, the best of five rounds."""
    rounds = []
    for _ in range(5):
        start = time.perf_counter()
        images = draw()
        rounds.append(len(images) / (time.perf_counter() - start))
    return max(rounds)


if __name__ == "__main__":
    main()
