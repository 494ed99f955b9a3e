"""Causal3DIdent at its full size, as a command: the published setting, on as many devices as there are.

    python -m hssl.scale causal3dident FOLDER --views hues
    torchrun --nproc_per_node=8 -m hssl.scale causal3dident FOLDER --views hues

The folder is the unpacked release (Zenodo 4784282); with --rendered N it is made here, with N scenes of each class.
The training itself is left to `training`, the scores to `probes`.
"""

import argparse
import json
import math
import sys
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Real
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from hssl import augment, probes
from hssl.checks import MOST, ArgumentError, Positive, checked, explained, one_of
from hssl.encoders import ConvNet, drawn_from, evaluating
from hssl.files import read_file, write_whole
from hssl.losses import masked_info_nce, similarity_matrix
from hssl.training import NumberedBatches, fit
from hssl.training.loop import progress
from hssl.training.processes import count, gathered, joined, parallel, rank, wait
from hssl.worlds.scenes import FACTORS, GROUPS, LATENTS, VARIABLES
from hssl.worlds.scenes.causal3dident import Causal3DIdent
from hssl.worlds.scenes.release import PUBLISHED, write_rendered

MEAN, SD = (0.4327, 0.2689, 0.2839), (0.1201, 0.1457, 0.1082)  # of the released images, by channel
BACKBONES = ("resnet18", "resnet50", "resnet101", "resnet152", "convnet")
WIDTH = 100  # of the layer before the projection
LEAST = 20  # test scenes that can be scored


def _option(default: Any, words: str, choices: tuple | None = None) -> Any:
    return field(default=default, metadata={"help": words, "choices": choices})


@checked
@dataclass(frozen=True)
class Setting:
    """What is trained, and how; the defaults are those of the released code.

    >>> Setting("unpacked").steps
    100000
    """

    folder: str
    views: str = _option("hues", "latents to redraw, or views of images, joined by +: hues, crop_small+colour, …")
    backbone: str = _option("resnet18", "the network", BACKBONES)
    size: int = _option(224, "side length of the images, in pixels")
    batch: int = _option(512, "pairs in a step, over all processes")
    steps: int = _option(100_000, "how many steps")
    learning_rate: float = _option(1e-4, "of Adam, its peak")
    temperature: float = _option(1.0, "of the loss")
    dimensions: int = _option(9, "numbers in an embedding, after the projection")
    sigma: float = _option(1.0, "standard deviation of what is drawn anew, before it is truncated")
    seed: int = _option(0, "of weights, order and views")
    probed: int = _option(4096, "test scenes that are scored; half of them are fitted")
    precision: str = _option("", "of the network; bf16 on a GPU that has it, fp32 elsewhere", ("bf16", "fp32"))
    workers: int = _option(4, "processes that read images, for each that trains")
    rendered: int = _option(0, "make the folder with our renderer: so many scenes of each class")
    output: str = _option("", "folder of what is found; named after the setting by default")
    device: str = _option("", "where to train; a GPU where there is one", ("cpu", "cuda"))

    def __post_init__(self):
        _check(self)


class Scenes(Dataset):
    """Pairs of a split as bytes, shape (3, size, size): item (epoch, i) is the same in every process and worker."""

    @checked
    def __init__(self, data: Causal3DIdent, setting: Setting):
        self.data, self.setting = data, setting
        self.image_views = "" if data.redraw else setting.views

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, which: tuple[int, int]) -> tuple[Tensor, Tensor]:
        epoch, item = which
        generator = torch.Generator().manual_seed(hash((self.setting.seed, epoch, item)) % 2**63)
        data, first = self.data, self.pixels(item)
        if not self.image_views:
            partner = data.bank.partners(torch.tensor([item]), data.redraw, data.sigma, generator)
            return first, self.pixels(int(partner))
        pair = augment.two_views(first[None] / 255, self.image_views, generator)
        seen = [(member[0] * 255).round().byte() for member in (pair.first, pair.second)]
        return seen[0], seen[1]

    @explained
    def pixels(self, item: int) -> Tensor:
        image, size = self.data.image(item), (self.setting.size, self.setting.size)
        image = image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)


class Network(nn.Module):
    """Images as bytes, standardised by channel, to the layer before the projection, and on to the embedding."""

    mean: Tensor
    sd: Tensor

    @checked
    def __init__(self, setting: Setting, generator: torch.Generator, mixed: bool):
        super().__init__()
        from torchvision import models  # only here: it takes a second

        if setting.backbone == "convnet":
            self.body: nn.Module = ConvNet(3, WIDTH, setting.size, generator=generator)
        else:
            build = getattr(models, setting.backbone)
            self.body = drawn_from(generator, lambda: build(num_classes=WIDTH))
        head = drawn_from(generator, lambda: nn.Linear(WIDTH, setting.dimensions))
        self.projection, self.mixed = nn.Sequential(nn.LeakyReLU(), head), mixed
        for name, value in (("mean", MEAN), ("sd", SD)):
            self.register_buffer(name, torch.tensor(value).view(3, 1, 1), persistent=False)
        self.to(memory_format=torch.channels_last)

    @explained
    def before(self, images: Real[Tensor, "n 3 size size"]) -> Float[Tensor, "n width"]:
        """The layer before the projection, shape (n, 100), float32."""
        x = ((images.float() / 255 - self.mean) / self.sd).to(memory_format=torch.channels_last)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.mixed):
            return self.body(x).float()

    @explained
    def forward(self, images: Real[Tensor, "n 3 size size"]) -> Float[Tensor, "n dim"]:
        return self.projection(self.before(images))


@explained
def nt_xent(
    first: Float[Tensor, "n dim"], second: Float[Tensor, "n dim"], *, temperature: Positive
) -> Float[Tensor, ""]:
    """The published loss: the positive among the 2n − 1 other members of the batch, by cosine.

    >>> round(nt_xent(torch.ones(3, 2), torch.ones(3, 2), temperature=1.0).item(), 4)  # guessing: log 5
    1.6094
    """
    z, n = torch.cat([first, second]), len(first)
    own = torch.eye(2 * n, dtype=torch.bool, device=z.device)
    positive = own.roll(n, 0)
    return masked_info_nce(similarity_matrix(z, z), positive, ~(own | positive), temperature=temperature)


@explained
def train(setting: Setting, device: torch.device, file: Path) -> Network:
    """The network of a setting, trained; it goes on from the file, if there is one."""
    data = Causal3DIdent(setting.folder, redraw=_redraw(setting.views), sigma=setting.sigma)
    generator = torch.Generator().manual_seed(setting.seed)
    mixed = setting.precision == "bf16" or (
        not setting.precision and device.type == "cuda" and torch.cuda.is_bf16_supported()
    )
    network = Network(setting, generator, mixed).to(device)
    numbers = NumberedBatches(len(data), setting.batch, setting.steps, seed=setting.seed)
    fast = {"num_workers": setting.workers, "pin_memory": device.type == "cuda"}
    fit(
        parallel(network),
        DataLoader(Scenes(data, setting), batch_sampler=numbers, **fast),
        loss=gathered(partial(nt_xent, temperature=setting.temperature)),
        steps=setting.steps,
        learning_rate=setting.learning_rate,
        generator=generator,
        checkpoint=file,
        label=setting.views,
    )
    return network


@explained
def score(network: Network, setting: Setting) -> pd.DataFrame:
    """Accuracy of the class and R² of the rest, as plain numbers, on the test split: rows are layers, and published."""
    data = Causal3DIdent(setting.folder, "test")
    chosen = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))[: setting.probed]
    device, scenes = network.mean.device, Scenes(data, setting)
    parts = []
    with evaluating(network), torch.no_grad():
        for part in progress(chosen.split(256), "test"):
            images = torch.stack([scenes.pixels(i) for i in part.tolist()])
            parts.append(network.before(images.to(device)).cpu())
    before = torch.cat(parts)
    with torch.no_grad():
        layers = {"before the projection": before, "embedding": network.cpu().projection(before)}
    values, truth = data.values[chosen], {"class": data.labels[chosen]}
    truth |= {name: values[:, [LATENTS.index(latent) for latent in of]] for name, of in FACTORS.items()}
    rows = {name: probes.decode(h, truth) for name, h in layers.items()}
    if setting.views in PUBLISHED:
        rows["published"] = PUBLISHED[setting.views]
    return pd.DataFrame(rows).T[list(VARIABLES)]


def run(setting: Setting) -> pd.DataFrame | None:
    """Make the folder if that is asked for, train, score, and keep what was found; the first process gives the scores.

    Raises:
        ValueError, FileNotFoundError: a setting out of range, or a folder that is not as released; names it.
    """
    with joined(setting.device or None) as device:
        if setting.rendered:
            how = {"size": setting.size, "part": (rank(), count())}
            shown = partial(progress, label=None if rank() else "rendering")
            write_rendered(setting.folder, setting.rendered, progress=shown, **how)
            wait()
        if (there := len(Causal3DIdent(setting.folder, "test"))) < LEAST:  # said before anything is trained
            more = f"wanted {LEAST} test scenes or more (--rendered 30 makes them), got {there}"
            raise ArgumentError(f"folder: {more} in {setting.folder}")
        name = f"causal3dident-{setting.views}-{setting.backbone}-{setting.seed}"
        output = Path(setting.output or name)
        output.mkdir(parents=True, exist_ok=True)
        if not rank():
            _begin(output, setting)
        wait()
        network = train(setting, device, output / "checkpoint.pt")
        if rank():
            return None
        found = score(network, setting)
    _write(output / "scores.json", json.loads(found.to_json(orient="index")))
    return found


def _begin(output: Path, setting: Setting) -> None:
    """Keep the setting beside what is found; refuse a folder in which another training was begun."""
    file, free = output / "setting.json", ("folder", "output", "workers", "device", "rendered", "probed")
    wanted = {name: value for name, value in asdict(setting).items() if name not in free}
    if not file.exists():
        _write(file, wanted)
        return
    if other := read_file(file, lambda of: _differ(json.load(of), wanted), "delete the folder to begin anew"):
        raise ValueError(f"{file}: a training with another {', '.join(other)} was begun here; name another --output")


def _differ(came: dict, wanted: dict) -> list[str]:
    return [name for name, value in wanted.items() if came[name] != value]


def _write(file: Path, content: dict) -> None:
    write_whole(file, lambda beside: beside.write((json.dumps(content, indent=1) + "\n").encode()))


def _redraw(views: str) -> str:
    """The views, if all of them are latents; "" where they are views of images. Raises where one is neither."""
    if {*views.split("+")} <= {*LATENTS, *GROUPS}:
        return views
    try:
        augment.compose(views)
    except ArgumentError as error:
        raise ArgumentError(f"views: {error}") from error
    return ""


def _check(setting: Setting) -> None:
    _redraw(setting.views)
    for one in fields(setting):
        if one.metadata.get("choices"):
            one_of(one.name, getattr(setting, one.name), (*one.metadata["choices"], *([] if one.default else [""])))
    _check_numbers(setting)


def _check_numbers(setting: Setting) -> None:
    for name, least in (("batch", 2), ("steps", 1), ("dimensions", 1)):
        if not least <= getattr(setting, name) <= MOST:
            raise ArgumentError(f"{name}: wanted {least} or more, got {getattr(setting, name)}")
    for name in ("learning_rate", "temperature", "sigma"):
        if not 0 < getattr(setting, name) < math.inf:
            raise ArgumentError(f"{name}: wanted a number above 0, got {getattr(setting, name)}")
    if not 0 <= setting.seed < 2**62:
        raise ArgumentError(f"seed: wanted a whole number ≥ 0, got {setting.seed}")
    if not 8 <= setting.size <= 1024:
        raise ArgumentError(f"size: wanted 8 to 1024 pixels, got {setting.size}")
    if not 0 <= setting.workers <= 1024 or not 0 <= setting.rendered <= MOST or setting.rendered == 1:
        raise ArgumentError(f"workers, rendered: wanted 0 or more, got {setting.workers}, {setting.rendered}")
    if setting.probed < LEAST:
        raise ArgumentError(f"probed: wanted {LEAST} scenes or more, got {setting.probed}")


def main(arguments: list[str] | None = None) -> int:
    """The command; gives its exit status: 0, 2 for what cannot be done, 130 when it was interrupted."""
    parser = argparse.ArgumentParser("python -m hssl.scale", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", choices=["causal3dident"], help="which data")
    parser.add_argument("folder", help="the unpacked release: trainset/ and testset/")
    for one in fields(Setting)[1:]:
        words = one.metadata["help"] + ("" if one.default in ("", 0) else f" (default: {one.default})")
        option = f"--{one.name.replace('_', '-')}"
        parser.add_argument(option, type=type(one.default), default=one.default, help=words, **_among(one))
    given = vars(parser.parse_args(arguments))
    try:
        found = run(Setting(**{name: value for name, value in given.items() if name != "data"}))
    except (ValueError, FileNotFoundError, FloatingPointError) as error:
        print(f"hssl.scale: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from where it was.", file=sys.stderr)
        return 130
    if found is not None:
        print(found.round(2).rename_axis(given["views"]).to_string())
    return 0


def _among(one: Any) -> dict:
    return {"choices": one.metadata["choices"]} if one.metadata["choices"] else {}


if __name__ == "__main__":
    sys.exit(main())
