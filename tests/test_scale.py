"""hssl.scale: the command on a small folder of our renderer, stopped, gone on with, and in two processes."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from test_processes import started
from torch.nn.functional import cosine_similarity

from hssl import scale
from hssl.training import checkpoints
from hssl.worlds.scenes import VARIABLES
from hssl.worlds.scenes.causal3dident import Causal3DIdent
from hssl.worlds.scenes.release import PUBLISHED, write_rendered

SMALL = [
    "--backbone",
    "convnet",
    "--size",
    "16",
    "--batch",
    "16",
    "--steps",
    "6",
    "--workers",
    "0",
    "--probed",
    "70",
    "--precision",
    "fp32",
    "--device",
    "cpu",
]


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    root = tmp_path_factory.mktemp("released")
    write_rendered(root, 100, size=16)
    return root


@pytest.fixture
def command(released, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *more, folder=released: scale.main(["causal3dident", str(folder), *SMALL, *map(str, more)])


def scores(folder):
    return json.loads((folder / "scores.json").read_text())


def weights(folder):
    return checkpoints._read(folder / "checkpoint.pt")["parts"]["encoder"]


def test_the_published_loss():
    g = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 5, 3, generator=g)
    z, total = torch.cat([first, second]), 0.0
    for i in range(10):  # by the definition: one term a member
        s = cosine_similarity(z[i], z) / 0.5
        others = torch.tensor([j for j in range(10) if j != i])
        total -= (s[(i + 5) % 10] - s[others].logsumexp(0)).item() / 10
    assert scale.nt_xent(first, second, temperature=0.5).item() == pytest.approx(total, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("views", ["hues", "positions+hues", "crop_small+colour", "hue_spotlight"])
def test_the_command(command, tmp_path, capsys, views):
    assert command("--views", views) == 0
    output = tmp_path / f"causal3dident-{views}-convnet-0"
    found, table = scores(output), capsys.readouterr().out
    rows = ["before the projection", "embedding", *(["published"] if views in PUBLISHED else [])]
    assert list(found) == rows and all(list(row) == list(VARIABLES) for row in found.values())
    assert all(row in table for row in rows)
    assert found.get("published", PUBLISHED.get(views)) == PUBLISHED.get(views)
    assert sorted(file.name for file in output.iterdir()) == ["checkpoint.pt", "scores.json", "setting.json"]


@pytest.mark.slow
def test_stopped_and_gone_on_with(command, tmp_path, monkeypatch):
    assert command("--output", "whole") == 0
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "SAVED_EVERY", 0)
        calls = iter(range(4))

        def stopped(*members, temperature):
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return nt_xent(*members, temperature=temperature)

        nt_xent = scale.nt_xent
        patch.setattr(scale, "nt_xent", stopped)
        patch.setattr(checkpoints.time, "monotonic", iter(range(10**6)).__next__)
        assert command("--output", "parts") == 130
    assert 0 < checkpoints._read(tmp_path / "parts" / "checkpoint.pt")["step"] < 6
    assert command("--output", "parts") == 0
    assert scores(tmp_path / "parts") == scores(tmp_path / "whole")
    one, other = weights(tmp_path / "parts"), weights(tmp_path / "whole")
    assert all(torch.equal(one[name], other[name]) for name in other)


@pytest.mark.slow
def test_two_processes_and_two_workers(command, released, tmp_path):
    assert command("--output", "one") == 0
    wanted = ["causal3dident", str(released), *SMALL, "--workers", "2", "--output", str(tmp_path / "two")]
    started("-m", "hssl.scale", *wanted, number=2)
    one, other = weights(tmp_path / "one"), weights(tmp_path / "two")
    moved = [(one[name] - other[name]).abs().max().item() for name in one if one[name].is_floating_point()]
    assert max(moved) < 1e-3  # float32; equality in float64 is tested in test_processes
    assert list(scores(tmp_path / "two")) == ["before the projection", "embedding", "published"]


def test_rendered_folder_is_made_once_and_finished(tmp_path):
    write_rendered(tmp_path, 3, size=16)
    files = sorted((tmp_path / "trainset").glob("images_*/*.png"))
    kept = [(file.read_bytes(), file.stat().st_mtime_ns) for file in files]
    assert len(files) == 21 and len(list((tmp_path / "testset").glob("images_*/*.png"))) == 14
    files[4].unlink()
    for part in range(2):
        write_rendered(tmp_path, 3, size=16, part=(part, 2))
    again = [(file.read_bytes(), file.stat().st_mtime_ns) for file in files]
    assert again[4][0] == kept[4][0] and [x for i, x in enumerate(again) if i != 4] == kept[:4] + kept[5:]
    with pytest.raises(ValueError, match=r"raw_latents_0\.npy: holds other latents than those to be rendered"):
        write_rendered(tmp_path, 4, size=16)
    assert len(Causal3DIdent(tmp_path)) == 21


def test_an_item_depends_on_epoch_and_number_alone(released):
    for views in ("hues", "crop_large+colour"):
        setting = scale.Setting(str(released), views=views, size=16)
        data = Causal3DIdent(released, redraw="hues" if views == "hues" else "")
        one, other = scale.Scenes(data, setting), scale.Scenes(data, setting)
        other[0, 3], other[5, 1]  # drawn in between
        assert all(torch.equal(a, b) for a, b in zip(one[2, 7], other[2, 7], strict=True))
        drawn = [torch.cat([one[epoch, item][1] for item in range(20)]) for epoch in (2, 3)]
        assert not torch.equal(*drawn)
        assert one[2, 7][0].dtype == torch.uint8 and one[2, 7][1].shape == (3, 16, 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--views", "hue"], "unknown 'hue'"),
        (["--views", "hues+crop_small"], "unknown 'hues'"),
        (["--batch", "1"], "batch: wanted 2 or more, got 1"),
        (["--batch", "701"], "size: wanted 1 to 700, the number of items, got 701"),
        (["--steps", "0"], "steps: wanted 1 or more, got 0"),
        (["--size", "4"], "size: wanted 8 to 1024 pixels, got 4"),
        (["--learning-rate", "0"], "learning_rate: wanted a number above 0"),
        (["--temperature", "-1", "--steps", "1"], "temperature"),
        (["--sigma", "0"], "sigma"),
        (["--rendered", "7"], "holds other latents than those to be rendered; name another folder"),
    ],
)
def test_what_cannot_be_done_is_named(command, tmp_path, capsys, options, message):
    assert command(*options) == 2
    shown = capsys.readouterr().err
    assert message in shown and shown.startswith("hssl.scale: ") and shown.count("\n") == 1


def test_too_few_test_scenes_are_named_before_anything_is_trained(command, tmp_path, capsys):
    assert command("--rendered", "20", "--batch", "8", folder=tmp_path / "few") == 2
    assert "folder: wanted 20 test scenes or more (--rendered 30 makes them), got 14" in capsys.readouterr().err
    assert not list(tmp_path.glob("causal3dident-*"))


def test_another_setting_in_the_same_output(command, tmp_path, capsys):
    assert command("--output", "mine") == 0
    assert command("--output", "mine", "--temperature", "0.5") == 2
    assert "a training with another temperature was begun here; name another --output" in capsys.readouterr().err
    (tmp_path / "mine" / "setting.json").write_text("{")
    assert command("--output", "mine") == 2
    assert "setting.json: damaged" in capsys.readouterr().err


def test_a_folder_that_is_missing_or_damaged(command, released, tmp_path, capsys):
    assert command(folder=tmp_path / "nowhere") == 2
    assert "nowhere" in capsys.readouterr().err
    copy = shutil.copytree(released, tmp_path / "copy")
    for file in (copy / "trainset").glob("images_?/*.png"):
        file.write_bytes(b"no image")
    assert command(folder=copy) == 2
    assert ".png: " in capsys.readouterr().err
    np.save(copy / "trainset" / "raw_latents_0.npy", np.zeros((100, 9)))
    assert command(folder=copy) == 2
    said = capsys.readouterr().err
    assert "raw_latents_0.npy: damaged; unpack it again (wanted finite numbers of shape (N, 10)" in said


def test_images_of_another_size_are_resized(released):
    data = scale.Scenes(Causal3DIdent(released), scale.Setting(str(released), size=8))
    image = Image.open(released / "trainset" / "images_0" / "00.png").resize((8, 8), Image.Resampling.BILINEAR)
    assert torch.equal(data.pixels(0), torch.from_numpy(np.array(image)).permute(2, 0, 1))
