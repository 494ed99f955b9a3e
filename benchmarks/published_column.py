"""What a larger budget adds to *How exactly must a pair share?*: one change at a time, and a ResNet-18 at 64 pixels.

    python benchmarks/published_column.py --seconds 560 --record     # one GPU, 16 cores

Every run trains an encoder on pairs of rendered scenes and is scored as on the page; the row says what it found. With
--record the rows go to book/results/published_column.csv, which the page shows: a run made again replaces its row, all
other rows stay, so several calls add up. Runs that would start after the time is up are left out, the most important
come first. `--smoke` makes each of them tiny, to see on any machine that it works.
"""

import argparse
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchvision.models import resnet18

from hssl import losses, probes
from hssl.augment import channel_mix
from hssl.encoders import ConvNet, drawn_from, embed
from hssl.files import alone, write_whole
from hssl.training import Batch, fit
from hssl.worlds import scenes
from hssl.worlds.scenes import FACTORS, Scenes, light_maps, relight
from hssl.worlds.scenes.nearest import NearestScenes

KEPT = Path(__file__).resolve().parents[1] / "book" / "results" / "published_column.csv"
POOL = Path(os.environ.get("HSSL_POOL", "/dev/shm/hssl"))  # rendered once for all processes
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SMOKE = bool(os.environ.get("HSSL_SMOKE"))
MOST, PROBED = (60, 100) if SMOKE else (36000, 3000)  # pairs that are rendered; scenes that are probed
MARGIN = 70  # seconds before the end in which no run starts


@dataclass(frozen=True)
class Setting:
    """One way to train: the network of the page, unless something is changed."""

    name: str = "as on the page"
    size: int = 32
    batch: int = 256
    pairs: int = 12000
    steps: int = 1500
    channels: tuple[int, ...] = (16, 32, 64)  # () is a ResNet-18
    coordinates: bool = False
    relit: bool = False


BASE = Setting()
CHANGES = [
    BASE,
    replace(BASE, name="64 pixels", size=64),
    replace(BASE, name="1,024 pairs a batch", batch=1024),
    replace(BASE, name="a network twice as wide", channels=(32, 64, 128)),
    replace(BASE, name="channels of coordinates", coordinates=True),
    replace(BASE, name="four times the steps", steps=6000),
    replace(BASE, name="three times the pairs", pairs=36000),
    replace(BASE, name="new hues in every step", relit=True),
]
RESNET = Setting("ResNet-18, 64 pixels", 64, 512, 36000, 1500, ())
LONG = replace(RESNET, name="ResNet-18, four times the steps", steps=6000)
SUPERVISED = ("supervised:all", "supervised:class and rotation")
NEARLY = ("hues:0.4", "rotations:0.4", "positions:0.4", "peeled:exact", *SUPERVISED)
RUN = ["change", "views", "sharing", "seed"]  # what names a run
RELIT = ("hues:0.4", "peeled:exact")
OTHERS = [f"{views}:{how}" for how in ("exact", "released") for views in ("hues", "rotations", "positions")]


def tasks() -> tuple[list, list]:
    """The runs as (setting, pairs, seed), large networks and small ones apart, the most important first."""
    large = [(RESNET, of, seed) for of in NEARLY for seed in range(3)]
    large += [(RESNET, of, seed) for of in OTHERS for seed in range(3)]
    large += [(LONG, of, seed) for seed in range(3) for of in NEARLY[:4]]
    small = [(c, of, seed) for c in CHANGES for of in NEARLY for seed in range(3) if not c.relit or of in RELIT]
    return large, small


def cached(name: str, make):
    """What `make` gives, made by the first process that asks."""
    POOL.mkdir(parents=True, exist_ok=True)
    path = POOL / f"{name}.pt"
    with alone(POOL / f"{name}.lock"):
        if not path.exists():
            write_whole(path, lambda file: torch.save(make(), file))
    return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


def on_device(latents):
    return scenes.Latents(latents.labels.to(DEVICE), latents.values.to(DEVICE))


def drawn(latents, size: int) -> Tensor:
    """Images as bytes, on the processor."""
    parts = [on_device(latents.rows(slice(k, k + 4096))) for k in range(0, len(latents.labels), 4096)]
    return torch.cat([(scenes.render(part, size) * 255).round().byte().cpu() for part in parts])


def pool(of: str, setting: Setting, seed: int, count: int) -> dict[str, Tensor]:
    """Rendered pairs, and the true factors of the first members."""
    views, how = of.split(":")
    views = {"peeled": "positions+hues", "supervised": "hues"}.get(views, views)
    generator = torch.Generator().manual_seed(seed)
    if how == "released":
        bank = NearestScenes(views, max(2 * count, 200), generator=generator).bank
        rows = bank.pairs(count, views, 1.0, generator)
        first, second = (bank.latents.rows(items) for items in rows)
    else:
        sigma = float(how) if how.startswith("0") else 0.0
        first, second = Scenes(views, sigma=sigma).sample_latents(count, generator)
    made = {"first": drawn(first, setting.size), "labels": first.labels}
    targets = scenes.truth(first)
    made["targets"] = torch.cat([targets[name] for name in FACTORS], 1)
    made["rotation"] = targets["rotation"]
    if not of.startswith("supervised"):
        made["second"] = drawn(second, setting.size)
    return made


def maps_of(of: str, seed: int, count: int) -> dict[str, Tensor]:
    """Maps of light of both members, for hues that are new in every step."""
    views, how = ("positions+hues", "exact") if of.startswith("peeled") else of.split(":")
    world = Scenes(views, sigma=0.0 if how == "exact" else float(how))
    pairs = world.sample_latents(count, torch.Generator().manual_seed(seed))
    return {
        name: torch.cat(
            [light_maps(on_device(z.rows(slice(k, k + 2048))), 32).half().cpu() for k in range(0, count, 2048)]
        )
        for name, z in zip(("first", "second"), pairs, strict=True)
    }


def held_out(size: int, count: int) -> dict:
    """Scenes of the causal model and independent ones, as on the page."""
    made = {}
    for causal in (True, False):
        latents = scenes.sample_latents(count, torch.Generator().manual_seed(1000), causal=causal)
        made[str(causal)] = drawn(latents, size), scenes.truth(latents)
    return made


class Network(nn.Module):
    """The network of the page or a ResNet-18; gives also the layer before its head."""

    def __init__(self, setting: Setting, n_out: int, generator: torch.Generator):
        super().__init__()
        extra = 2 if setting.coordinates else 0
        if setting.channels:
            net = ConvNet(3 + extra, n_out, setting.size, setting.channels, generator=generator)
            self.trunk, self.head = nn.Sequential(*net.layers[:-1]), net.layers[-1]
        else:
            net = drawn_from(generator, lambda: resnet18(num_classes=n_out))
            net.conv1 = drawn_from(generator, lambda: nn.Conv2d(3 + extra, 64, 3, 2, 1, bias=False))
            self.head, net.fc = net.fc, nn.Identity()
            self.trunk = net
        at = torch.linspace(-0.5, 0.5, setting.size)
        grid = torch.stack(torch.meshgrid(at, at, indexing="ij")) if extra else torch.zeros(0, 1, 1)
        self.register_buffer("grid", grid)
        self.to(DEVICE, memory_format=torch.channels_last)
        self.half = not setting.channels and DEVICE.type == "cuda"

    def before(self, images: Tensor) -> Tensor:
        x = images - 0.5
        if len(self.grid):
            x = torch.cat([x, self.grid.expand(len(x), -1, -1, -1)], 1)
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=self.half):
            return self.trunk(x.to(memory_format=torch.channels_last)).float()

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.before(images))


def stored(setting: Setting, of: str, seed: int) -> dict[str, Tensor]:
    """What this run learns from, on the device: rendered pairs, or maps of light."""
    key = of.replace(":", "_").replace(" ", "_")
    if setting.relit:
        store = cached(f"maps_{key}_{seed}_{setting.pairs}", lambda: maps_of(of, seed, setting.pairs))
    else:
        store = cached(f"pairs_{key}_{setting.size}_{seed}_{MOST}", lambda: pool(of, setting, seed, MOST))
    return {name: rows[: setting.pairs].to(DEVICE) for name, rows in store.items()}


def train(setting: Setting, of: str, seed: int) -> Network:
    """One encoder, trained on its pairs or, if supervised, on the true factors of the first members."""
    store, generator = stored(setting, of, seed), torch.Generator(DEVICE).manual_seed(seed)
    weights = torch.Generator().manual_seed(seed)
    fitted = partial(fit, steps=setting.steps, learning_rate=3e-3 if setting.channels else 1e-3)

    def drawn_rows() -> Tensor:
        return torch.randint(len(store["first"]), (setting.batch,), generator=generator, device=DEVICE)

    def pairs():
        rows = drawn_rows()
        members = [store[name][rows].float() for name in ("first", "second")]
        if setting.relit:  # all hues uniform: in the first member, too, the object's no longer follows the class
            hues = torch.rand(2, setting.batch, 3, generator=generator, device=DEVICE) * 2 - 1
            members = [relight(maps, of_one) for maps, of_one in zip(members, hues, strict=True)]
        else:
            members = [x / 255 for x in members]
        return tuple(channel_mix(x, generator) for x in members) if of == "peeled:exact" else tuple(members)

    def labelled():
        rows = drawn_rows()
        return Batch((store["first"][rows].float() / 255,), (store["labels"][rows], truth[rows]))

    def by_labels(h, labels, wanted):
        return cross_entropy(h[:, :7], labels) + ((h[:, 7:] - wanted) ** 2).mean()

    if of.startswith("supervised"):
        truth = store["targets" if of == "supervised:all" else "rotation"]
        truth = (truth - truth.mean(0)) / truth.std(0)
        encoder = Network(setting, 7 + truth.shape[1], weights)
        fitted(encoder, labelled, loss=by_labels)
    else:
        encoder = Network(setting, 32, weights)
        fitted(encoder, pairs, loss=partial(losses.info_nce, temperature=0.2, symmetric=True))
    return encoder


def by_kernel(h: Tensor, labels: Tensor) -> float:
    """Accuracy of a support vector machine with a Gaussian kernel, fitted on the first half."""
    half = len(h) // 2
    machine = make_pipeline(StandardScaler(), SVC(C=10.0)).fit(h[:half], labels[:half])
    return float(machine.score(h[half:], labels[half:]))


def score(encoder: Network, size: int) -> dict[str, float]:
    """As on the page; then takes the head off, and asks the layer before it for class and rotation."""
    test = cached(f"held_out_{size}_{PROBED}", lambda: held_out(size, PROBED))
    (causal, truth), (independent, alone) = test["True"], test["False"]

    def embedded(images):
        return torch.cat([embed(encoder, part.to(DEVICE).float() / 255).cpu() for part in images.split(500)])

    h, h_alone = embedded(causal), embedded(independent)
    found = probes.decode(h, truth) | {"class_independent": probes.accuracy(h_alone, alone["class"])}
    for name, vectors, of in (("class", h, truth), ("class_independent", h_alone, alone)):
        found[f"{name}_kernel"] = by_kernel(vectors, of["class"])
    encoder.head = nn.Identity()
    before = embedded(causal)
    found["class_before"] = probes.accuracy(before, truth["class"])
    found["class_independent_before"] = probes.accuracy(embedded(independent), alone["class"])
    found["rotation_before"] = probes.r2(before, truth["rotation"])
    return found


def run(setting: Setting, of: str, seed: int, until: float) -> dict | None:
    """A row of the table, or None if it is too late to start."""
    if time.time() > until:
        return None
    torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    start = time.time()
    encoder = train(setting, of, seed)
    seconds = time.time() - start
    views, how = of.split(":")
    row = {"change": setting.name, "views": views, "sharing": how, "seed": seed, "seconds": round(seconds, 1)}
    return row | {name: round(value, 4) for name, value in score(encoder, setting.size).items()}


def keep(rows: list[dict], path: Path = KEPT) -> None:
    """Add rows to the table; one of the same setting, pairs and seed is replaced. The file is replaced as a whole."""

    def write(file) -> None:
        frame = pd.DataFrame(rows)
        if path.exists():
            frame = pd.concat([pd.read_csv(path, dtype={"sharing": str}), frame])
        frame.drop_duplicates(RUN, keep="last").sort_values(RUN).to_csv(file, index=False)

    write_whole(path, write)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=560, help="how long all of it may take")
    parser.add_argument(
        "--workers", type=int, nargs=2, default=(3, 10), help="runs at a time, large and small networks"
    )
    parser.add_argument("--smoke", action="store_true", help="a few steps on a few images, nothing kept")
    parser.add_argument("--record", action="store_true", help=f"keep the rows in {KEPT.name}")
    options = parser.parse_args()
    until, groups = time.time() + options.seconds - MARGIN, tasks()
    if options.smoke:
        until, groups = time.time() + 1e6, [[t for t in group if t[2] == 0] for group in groups]
        groups = [[(replace(c, steps=4, pairs=60, batch=16), of, seed) for c, of, seed in g] for g in groups]
        os.environ["HSSL_SMOKE"] = "1"
    context, rows = multiprocessing.get_context("spawn"), []
    pools = [ProcessPoolExecutor(n, context) for n in options.workers]
    waiting = [p.submit(run, *task, until) for p, group in zip(pools, groups, strict=True) for task in group]
    for done in as_completed(waiting):
        if (row := done.result()) is not None:
            rows.append(row)
            print(" ".join(f"{k}={v}" for k, v in row.items() if k not in FACTORS or k == "rotation"), flush=True)
            if options.record and not options.smoke:
                keep(rows)
    print(f"{len(rows)} of {len(waiting)} runs")


if __name__ == "__main__":
    main()
