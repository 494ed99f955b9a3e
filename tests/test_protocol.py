"""One protocol: the same lines run on every world, and what a reader adds needs no change of the library."""

import re
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from hssl.encoders import MLP, ConvNet, Levels
from hssl.losses import info_nce, masked_info_nce, similarity_matrix
from hssl.pairing import Masks
from hssl.pairs import Pairs, World, derangement
from hssl.probes import read_off
from hssl.training import Phase, fit, fit_levels, sweep
from hssl.worlds.contours import BarGrids, Contours, ContourTriplets
from hssl.worlds.icons import OccludedIcons, SlashedIcons, held_out_pairs
from hssl.worlds.latents import ContentStyle
from hssl.worlds.pictures import ColouredDigits, Digits, Emoji, Images, Photographs
from hssl.worlds.scenes import Scenes
from hssl.worlds.textures import Boundaries, Textures


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


WORLDS = {
    "content and style": (lambda: ContentStyle(), lambda: MLP(10, 5)),
    "scenes": (lambda: Scenes(redraw="hues"), lambda: ConvNet(3, 32)),
    "textures": (lambda: Textures("blob", redraw="hue_blob"), lambda: ConvNet(3, 32)),
    "boundaries": (lambda: Boundaries(), lambda: ConvNet(3, 32, size=16)),
    "contours": (lambda: Contours(), lambda: MLP(5, 4)),
    "contour triplets": (lambda: ContourTriplets(0.8), lambda: MLP(6, 4)),
    "bar grids": (lambda: BarGrids(0.5), lambda: ConvNet(3, 32, size=8)),
    "icons": (lambda: OccludedIcons(["camera", "microphone", "bell", "home"]), lambda: ConvNet(1, 32, size=12)),
    "slashed icons": (lambda: SlashedIcons(held_out_pairs()[:20]), lambda: ConvNet(1, 32, size=12)),
    "digits": (lambda: Digits(), lambda: ConvNet(1, 32)),
    "coloured digits": (lambda: ColouredDigits("digit"), lambda: ConvNet(3, 32)),
    "emoji": (lambda: Emoji(), lambda: ConvNet(3, 32)),
    "photographs": (lambda: Photographs(["china", "flower"]), lambda: ConvNet(3, 32, size=16)),
}


@pytest.mark.parametrize("name", WORLDS)
def test_the_five_lines_run_on_every_world(name):
    make, encoder = (build for build in WORLDS[name])
    world, encoder, g = make(), encoder(), seeded()
    history = fit(encoder, world, loss=partial(info_nce, temperature=0.5), steps=2, batch=16, generator=g)
    n = min(150, len(world)) if hasattr(world, "__len__") else 150
    scores = read_off(encoder, world.sample(n, g))
    assert len(history.loss) == 2
    assert scores and all(score <= 1 for score in scores.values())


@pytest.mark.parametrize("name", WORLDS)
def test_every_world_gives_as_many_pairs_as_asked_for_from_its_generator_alone(name):
    world, state = WORLDS[name][0](), torch.random.get_rng_state()
    first, again, other = (world.sample(7, seeded(seed)) for seed in (0, 0, 1))
    assert isinstance(world, World) and len(first) == 7
    assert torch.equal(first.first, again.first) and torch.equal(first.second, again.second)
    assert not torch.equal(first.first, other.first)
    assert first.first.dtype == torch.float32 and first.first.isfinite().all()
    assert torch.equal(state, torch.random.get_rng_state())
    for bad in (0, -1, 2.5):
        with pytest.raises(ValueError, match="n: wanted"):
            world.sample(bad, seeded())
    with pytest.raises(ValueError, match="generator: wanted"):
        world.sample(3, 0)


def test_the_lines_in_the_readme_run():
    text = (Path(__file__).parents[1] / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    assert "steps=400" in code and "sample(2000, g)" in code
    found = {}
    exec(code.replace("steps=400", "steps=2, batch=8").replace("sample(2000, g)", "sample(60, g)"), found)
    assert list(found["scores"])[:2] == ["class", "position"]


# --- what a reader adds ------------------------------------------------------------------------------------

PHOTOS = torch.rand(40, 1, 16, 16, generator=seeded())


def darker(images, generator):  # a reader's own augmentation
    return images * torch.rand(len(images), 1, 1, 1, generator=generator)


@pytest.mark.slow
def test_a_readers_own_augmentation():
    flipped = lambda images, generator: images.flip(-1)  # noqa: E731

    def run(view, seed):
        encoder, world = ConvNet(1, 8, size=16, generator=seeded(seed)), Images(PHOTOS, view)
        fit(encoder, world, loss=info_nce, steps=2, batch=16, generator=seeded(seed))
        return {"dark": read_off(encoder, Pairs(PHOTOS, PHOTOS, {"mean": PHOTOS.mean((1, 2, 3))}))["mean"]}

    frame = sweep(run, view={"function": darker, "lambda": flipped}, seed=range(2), workers=2)
    assert frame["dark"].notna().all() and len(frame) == 4


def test_a_readers_own_pairing_rule():
    whose = torch.arange(4).repeat_interleave(5)

    def same_image(h, x):  # a reader's own rule: windows of one image
        same = whose[:, None] == whose
        return Masks(same & ~torch.eye(20, dtype=torch.bool), ~same)

    def loss(h, positive, negative):
        return masked_info_nce(similarity_matrix(h, h), positive, negative, temperature=0.2)

    x = torch.randn(4, 1, 6, generator=seeded()).expand(4, 5, 6).flatten(0, 1) + torch.randn(20, 6, generator=seeded(1))
    history = fit(MLP(6, 3), lambda: (x,), loss=loss, pairing=same_image, steps=30)
    assert history.loss[-1] < history.loss[0]


def test_a_readers_own_schedule():
    def bottom_first(levels):  # a reader's own schedule: the lowest level alone, then all with half of each gradient
        return [Phase(0, 0), Phase(0, levels - 1, gradient_scale=0.5)]

    stack, x = Levels([nn.Linear(4, 3), nn.Linear(3, 2)]), torch.randn(32, 4, generator=seeded())
    pairs = Pairs(x, x + 0.1 * torch.randn(32, 4, generator=seeded(1)))
    history = fit_levels(
        stack, pairs, losses=[info_nce] * 2, steps=5, schedule=bottom_first, batch=16, generator=seeded()
    )
    assert {level: len(values) for level, values in history.levels.items()} == {1: 10, 2: 5}


# --- pairs themselves --------------------------------------------------------------------------------------

X = torch.arange(12.0).view(6, 2)
PAIRS = Pairs(X, -X, {"number": torch.arange(6), "sum": X.sum(1)})


def test_pairs_keep_their_rows_together():
    drawn = PAIRS.sample(4, seeded())
    assert len(drawn) == 4 and len(drawn.truth["number"].unique()) == 4
    assert torch.equal(drawn.first, X[drawn.truth["number"]]) and torch.equal(drawn.second, -drawn.first)
    mask = torch.tensor([False, True, True, False, False, False])
    for rows in (slice(1, 3), torch.tensor([1, 2]), mask):
        assert torch.equal(PAIRS[rows].first, X[1:3]) and PAIRS[rows].truth["number"].tolist() == [1, 2]


def test_shuffled_pairs_are_of_two_rows_each_and_use_every_second_once():
    shuffled = PAIRS.shuffled(seeded())
    assert torch.equal(shuffled.first, X)
    assert sorted(shuffled.second[:, 0].tolist()) == sorted((-X)[:, 0].tolist())
    assert (shuffled.second != -X).any(1).all()
    counts = torch.zeros(3, 3)
    for seed in range(300):
        counts[torch.arange(3), derangement(3, seeded(seed))] += 1
    assert counts.diagonal().sum() == 0 and (counts[0, 1:] / 300 - 0.5).abs().max() < 0.1
    with pytest.raises(ValueError, match="at least 2"):
        PAIRS[:1].shuffled(seeded())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Pairs(X, X[:4]), "second: wanted 6 rows, at least one, got 4"),
        (lambda: Pairs(X, X[:, :1]), r"second: wanted the shape of first, \(6, 2\), got \(6, 1\)"),
        (lambda: Pairs(X[:0], X[:0]), "first: wanted 0 rows, at least one"),
        (lambda: Pairs(X, X.numpy()), "second: wanted a tensor"),
        (lambda: Pairs(X, X, {"class": torch.arange(5)}), "class: wanted 6 rows"),
        (lambda: PAIRS.sample(7, seeded()), "n: wanted at most 6"),
    ],
)
def test_what_is_no_pair_is_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
