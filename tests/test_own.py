"""hssl.own: from a folder of images to a page, whole or not at all; what is wrong is said before the training."""

import base64
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from playwright.sync_api import expect
from scipy.ndimage import maximum_filter

from hssl import own
from hssl.training import checkpoints

EVIL = '<img src=x onerror="document.title = 1">.png'


def store(path, width=96, height=64, seed=0):
    """An image of soft colours."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(path)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for k, (name, size) in enumerate({"a.png": (96, 64), "b.png": (70, 100), EVIL: (64, 64)}.items()):
        store(folder / name, *size, seed=k)
    return folder


@pytest.fixture
def images(folder):
    return own.read(folder)


def make(folder, output, *more):
    return own.main([str(folder), "-o", str(output), "--steps", "4", *more])


def left(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


# What is wrong is said in one line, before anything is learned


@pytest.fixture
def refuses(monkeypatch, capsys, tmp_path):
    def check(folder, *settings, says, output="page.html"):
        monkeypatch.setattr(own, "fit_levels", lambda *_, **__: pytest.fail("it began to learn"))
        assert own.main([str(folder), "-o", str(tmp_path / output), *map(str, settings)]) == 2
        said = capsys.readouterr()
        assert re.fullmatch(rf"hssl\.own: [^\n]*{says}[^\n]*\n", said.err), said.err
        assert not said.out and not list(tmp_path.rglob("*.partial*")) and not list(tmp_path.glob("*.html"))

    return check


def test_a_folder_that_is_missing_empty_or_holds_one_image(refuses, tmp_path):
    refuses(tmp_path / "none", says="none: there is no such folder")
    (tmp_path / "few").mkdir()
    refuses(tmp_path / "few", says="few: wanted at least 2 images, got 0")
    store(tmp_path / "few" / "a.png")
    refuses(tmp_path / "few", says="few: wanted at least 2 images, got 1")


def test_an_image_that_cannot_be_read_is_named(refuses, folder):
    (folder / "broken.jpg").write_bytes(b"no image")
    refuses(folder, says=r"broken\.jpg: this is no image")


@pytest.mark.skipif(sys.platform == "win32", reason="no file may be named so")
def test_a_file_whose_name_a_page_cannot_show_is_named_before_anything_is_learned(refuses, folder):
    store(folder / "line\n.png")
    refuses(folder, says=r"images: wanted visible text without control characters, got 'line\\n.png'")


def test_images_that_are_too_small_are_named(refuses, folder):
    store(folder / "low.png", 300, 63)
    refuses(folder, says=r"low\.png: wanted 64 pixels or more on the shorter side, once reduced to 480, got 300 × 63")
    refuses(folder, "--levels", 4, says="png: wanted 128 pixels .* got 64 × 64; 3 more are too small")
    (folder / "low.png").unlink()
    refuses(folder, "--size", 80, says=r"a\.png: .* once reduced to 80, got 80 × 53; 1 more are too small")


@pytest.mark.parametrize("output", ["page.txt", "none/page.html", "images/page.html/page.html", "a-folder.html"])
def test_a_page_that_cannot_be_written(refuses, folder, tmp_path, output):
    (folder / "page.html").write_text("a file")
    if output == "a-folder.html":
        (folder / output).mkdir()
        output = f"images/{output}"
    refuses(folder, output=output, says=re.escape(f"{tmp_path / output}: "))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to(refuses, folder, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    refuses(folder, output="locked/page.html", says=r"locked/page\.html: cannot be written")


def test_a_folder_that_may_not_be_written_to_by_anybody(refuses, folder, monkeypatch):
    monkeypatch.setattr(own.os, "access", lambda path, mode: False)
    refuses(folder, says=r"page\.html: cannot be written")


def test_an_export_that_cannot_be_written(refuses, folder, tmp_path, monkeypatch):
    refuses(folder, "--export", tmp_path / "e.csv", says=r"e\.csv: wanted a file that ends with \.npz or \.parquet")
    refuses(folder, "--export", tmp_path / "none" / "e.npz", says="there is no folder")
    monkeypatch.setattr(own, "find_spec", lambda name: None)
    refuses(folder, "--export", tmp_path / "e.parquet", says="this needs pyarrow")


def test_settings_out_of_range(refuses, folder, capsys):
    refuses(folder, "--show", 1, says="--show: wanted at least 2 images, got 1")
    refuses(folder, "--seed", -1, says="seed: wanted a whole number ≥ 0, got -1")
    for setting in ("--steps 0", "--size 4.5", "--levels 0", "--schedule none"):
        with pytest.raises(SystemExit) as stopped:
            own.main([str(folder), *setting.split()])
        assert stopped.value.code == 2 and setting.split()[0] in capsys.readouterr().err


# What is computed


def test_windows_are_those_of_the_squares_that_are_trained_on(images):
    model = own.learn(images, steps=2)
    found = own.windows(model, images)["b.png"]
    with torch.no_grad():
        square = model(images["b.png"][None, :, 32:96, :64])
    assert list(found) == ["8 px", "16 px", "32 px"]
    for side, z, part in zip((8, 16, 32), found.values(), square, strict=True):
        assert z.shape == (96 // side, 64 // side, 32)
        torch.testing.assert_close(z[32 // side :], part[0], atol=1e-5, rtol=1e-5)


def test_training_is_the_same_for_the_same_seed(images):
    def weights(seed):
        return torch.cat([p.flatten() for p in own.learn(images, steps=2, seed=seed).parameters()])

    assert torch.equal(weights(0), weights(0)) and not torch.equal(weights(0), weights(1))


def test_training_lowers_the_loss(images):
    g = torch.Generator()
    before, after = (own.learn(images, steps=steps) for steps in (1, 60))
    x = own._squares(list(images.values()), 64, 64, g.manual_seed(1))
    with torch.no_grad():
        losses = [own._loss(of.grids, 2, g.manual_seed(2), of.heads[2](of(x)[2])).item() for of in (before, after)]
    assert losses[1] < losses[0] - 0.1


def test_what_is_too_small_to_learn_from_is_refused():
    with pytest.raises(ValueError, match="b: wanted 64 pixels or more on the shorter side, got 40 × 70"):
        own.learn({"a": torch.zeros(3, 64, 64), "b": torch.zeros(3, 70, 40)})


def test_the_same_image_is_found_or_not():
    g = torch.Generator().manual_seed(0)
    palette = {name: {"8 px": torch.eye(3)[k].expand(20, 20, 3)} for k, name in enumerate("abc")}
    assert own.same_image(palette, "8 px") == 1.0
    pairs = {name: {"8 px": torch.randn(1, 4, 5, generator=torch.Generator().manual_seed(7))} for name in "ab"}
    assert own.same_image(pairs, "8 px", apart=8 * 4) == 0.0  # all windows of one image are too near
    chance = {name: {"8 px": torch.randn(30, 30, 40, generator=g)} for name in "abcd"}
    assert own.same_image(chance, "8 px") == pytest.approx(0.22, abs=0.03)
    with pytest.raises(ValueError, match="wanted those of two images or more, got 1"):
        own.same_image({"a": palette["a"]}, "8 px")
    with pytest.raises(ValueError, match="size: wanted one of 8 px; got '16 px'"):
        own.same_image(palette, "16 px")


def test_the_control_finds_what_the_vectors_say(images):
    g = torch.Generator().manual_seed(0)
    vectors = {
        name: {"32 px": torch.randn(x.shape[1] // 32, x.shape[2] // 32, 8, generator=g)} for name, x in images.items()
    }
    vectors["b.png"]["32 px"][2, 1] = 3 * vectors["a.png"]["32 px"][1, 1]
    widget = own.control(images, vectors, across=3)
    assert widget.selection == {"image": EVIL, "level": "32 px", "row": 1, "column": 1}
    widget.selection = {"image": "a.png", "level": "32 px", "row": 1, "column": 1}
    hits = widget.elsewhere()
    assert hits[0] == ("b.png", 2, 1, pytest.approx(1))
    assert all(name != "a.png" and value <= 1 for name, _, _, value in hits)
    assert [value for *_, value in hits] == sorted((value for *_, value in hits), reverse=True)


# What is written


def test_a_run_writes_the_page_and_nothing_else(folder, tmp_path, capsys):
    assert make(folder, tmp_path / "page.html", "--export", str(tmp_path / "e.npz")) == 0
    assert left(tmp_path) == ["e.npz", "page.html"]
    assert re.fullmatch(r".*page\.html: 3 images, 0\.\d MB\. Open it in a browser\.\n", capsys.readouterr().out)
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!doctype html>") and "<title>Windows of images</title>" in page
    assert 'lang="en"' in page and 'name="viewport"' in page and EVIL not in page and "&lt;img src=x" in page
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", page.replace("src=x", ""))
    assert "steps 4, schedule joint, seed 0" in page


def test_only_so_many_images_are_shown(folder, tmp_path, capsys):
    assert make(folder, tmp_path / "page.html", "--show", "2") == 0
    assert "first 2 of 3 images" in capsys.readouterr().out
    assert "b.png" not in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("schedule", ["joint", "incremental"])
def test_an_interrupted_run_goes_on_to_the_same_page(folder, tmp_path, monkeypatch, capsys, schedule):
    more = ("--schedule", schedule, "--levels", "2")
    assert make(folder, tmp_path / "page.html", *more) == 0
    wanted = (tmp_path / "page.html").read_bytes()
    (tmp_path / "page.html").unlink()
    monkeypatch.setattr(checkpoints, "SAVED_EVERY", 0.0)
    real, count = own.losses.neighbour_info_nce, itertools.count(1)

    def interrupted(*args, **settings):
        if next(count) == 7:
            raise KeyboardInterrupt
        return real(*args, **settings)

    monkeypatch.setattr(own.losses, "neighbour_info_nce", interrupted)
    assert make(folder, tmp_path / "page.html", *more) == 130
    assert "the same command goes on" in capsys.readouterr().err
    kept = left(tmp_path)
    assert kept and all(name.startswith("page.html.partial.") for name in kept)
    done = next(count)
    assert make(folder, tmp_path / "page.html", *more) == 0
    assert next(count) - done - 1 < 8  # not all losses were computed again
    assert left(tmp_path) == ["page.html"] and (tmp_path / "page.html").read_bytes() == wanted


def test_what_is_kept_of_other_images_or_settings_is_not_gone_on_from(images):
    names = [own._kept("page", images, *settings) for settings in ((3, 4), (3, 5))]
    other = {name: image + 1e-3 for name, image in images.items()}
    assert len({*names, own._kept("page", other, 3, 4)}) == 3
    assert names[0] == own._kept("page", images, 3, 4)


def test_a_damaged_file_of_a_stopped_run_is_named_and_given_up_when_asked(folder, tmp_path, capsys):
    kept = own._kept(tmp_path / "page.html.partial", own.read(folder), 3, 4, "joint", 0)
    Path(f"{kept}.1").write_bytes(b"cut off")
    assert make(folder, tmp_path / "page.html") == 2
    said = capsys.readouterr().err
    assert f"{kept}.1: damaged" in said and said.count("\n") == 1
    assert make(folder, tmp_path / "page.html", "--fresh") == 0
    assert left(tmp_path) == ["page.html"]


def test_a_page_that_was_there_stays_when_the_new_one_fails(folder, tmp_path, monkeypatch):
    (tmp_path / "page.html").write_text("old")

    def full(*_, **__):
        raise OSError("no space left on the device")

    with monkeypatch.context() as patch:
        patch.setattr(own, "write_whole", full)
        assert make(folder, tmp_path / "page.html") == 2
    assert (tmp_path / "page.html").read_text() == "old"
    assert all(re.search(r"\.[0-9a-f]{12}\.1$", name) for name in left(tmp_path) if name != "page.html")


@pytest.mark.parametrize("ending", [".npz", ".parquet"])
def test_what_is_exported_can_be_read_back(images, tmp_path, ending):
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
    vectors = own.windows(own.hierarchy(), images)
    path = tmp_path / f"e{ending}"
    own.export(vectors, path)
    assert left(tmp_path) == [path.name]
    if ending == ".npz":
        with np.load(path) as stored:
            frame = pd.DataFrame({name: stored[name] for name in stored.files if name != "embedding"})
            numbers = stored["embedding"]
    else:
        frame = pd.read_parquet(path)
        numbers = frame[[f"e{k}" for k in range(32)]].to_numpy()
    assert len(frame) == sum(z.shape[0] * z.shape[1] for of in vectors.values() for z in of.values())
    where = (frame["image"] == "b.png") & (frame["level"] == 2) & (frame["row"] == 3) & (frame["col"] == 1)
    (row,) = where.to_numpy().nonzero()[0]
    np.testing.assert_array_equal(numbers[row], vectors["b.png"]["16 px"][3, 1])
    assert frame["side"][row] == 16 and numbers.dtype == np.float32


def test_the_command_starts_and_says_what_it_takes():
    done = subprocess.run([sys.executable, "-m", "hssl.own", "--help"], capture_output=True, text=True, check=True)
    assert all(f"--{name}" in done.stdout for name in ("size", "steps", "seed", "export", "levels", "fresh"))


# In a browser, from a file


@pytest.fixture(params=["light", "dark"])
def shown(browser, images, tmp_path, request):
    """The page, opened from a file; at the end it has neither said nor asked for anything."""
    path = tmp_path / "page.html"
    g = torch.Generator().manual_seed(0)
    vectors = own.windows(own.hierarchy(), images)
    vectors = {
        name: {size: torch.randn(z.shape, generator=g) for size, z in of.items()} for name, of in vectors.items()
    }
    path.write_text(own.page(images, vectors), "utf-8")
    page = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme=request.param)
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("[data-mounted]")
    yield page
    page.wait_for_timeout(700)
    assert not said and page.title() == "Your own images"
    assert all(url == path.as_uri() or url.startswith("data:") for url in asked)
    page.close()


def by_numpy(page):
    """The most similar windows of the other images, from what the page holds: name, row, column and cosine."""
    data, chosen = (
        page.evaluate(f"document.querySelector('.hssl-widget').model.get('{of}')") for of in ("data", "selection")
    )
    level, found, units = data["levels"].index(chosen["level"]), [], {}
    for picture, grids in zip(data["pictures"], data["maps"], strict=True):
        grid = grids[level]
        z = np.frombuffer(base64.b64decode(grid["vectors"]), np.int8).astype(float)
        z = z.reshape(grid["rows"], grid["columns"], -1)
        units[picture["name"]] = z / np.linalg.norm(z, axis=2, keepdims=True)
    one = units.pop(chosen["image"])[chosen["row"], chosen["column"]]
    for name, unit in units.items():
        cosine = unit @ one
        peaks = np.argwhere(cosine == maximum_filter(cosine, 3))
        found += [(name, *map(int, at), float(cosine[*at])) for at in peaks]
    return sorted(found, key=lambda hit: -hit[3])[: data["across"]]


def hits(page):
    return page.locator(".hssl-across li:visible button")


def seen(page):
    return [
        float(value)
        for value in page.eval_on_selector_all(
            ".hssl-across li:not([hidden]) data", "all => all.map((one) => one.value)"
        )
    ]


def test_windows_are_searched_for_by_mouse_and_keys(shown, sideways):
    assert seen(shown) == pytest.approx([hit[3] for hit in by_numpy(shown)], abs=1e-6)
    frame = shown.locator(".hssl-frame").nth(1)  # 8 px
    box = frame.bounding_box()
    frame.click(position={"x": 0.9 * box["width"], "y": 0.1 * box["height"]})
    wanted = by_numpy(shown)
    assert len(wanted) == 6 and seen(shown) == pytest.approx([hit[3] for hit in wanted], abs=1e-6)
    shown.keyboard.press("ArrowLeft")
    assert by_numpy(shown) != wanted
    wanted = by_numpy(shown)
    assert seen(shown) == pytest.approx([hit[3] for hit in wanted], abs=1e-6)
    name, row, column, value = wanted[2]
    said = f"{name}, row {row + 1}, column {column + 1}, similarity {value:.2f}".replace("-", "−")
    assert hits(shown).nth(2).get_attribute("aria-label") == said
    hits(shown).nth(2).focus()
    shown.keyboard.press("Enter")
    chosen = shown.evaluate("document.querySelector('.hssl-widget').model.get('selection')")
    assert chosen == {"image": name, "level": "8 px", "row": row, "column": column}
    expect(hits(shown).nth(2)).to_be_focused()
    expect(shown.get_by_role("status")).to_contain_text("Most similar elsewhere:")
    assert shown.evaluate(sideways) <= 0


def test_the_size_of_the_windows_is_chosen(shown):
    shown.locator(".hssl-across select").select_option("16 px")
    chosen = shown.evaluate("document.querySelector('.hssl-widget').model.get('selection')")
    assert chosen["level"] == "16 px" and seen(shown) == pytest.approx([hit[3] for hit in by_numpy(shown)], abs=1e-6)


def test_axe_finds_nothing(shown):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(shown).response["violations"]
    assert not found, [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in found]


def test_without_a_script_there_is_a_picture_with_words(browser, images, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(own.page(images, own.windows(own.hierarchy(), images)), "utf-8")
    page = browser.new_page(java_script_enabled=False)
    page.goto(path.as_uri())
    picture = page.locator(".hssl-still img")
    assert picture.is_visible() and "most similar patches of the other images: " in picture.get_attribute("alt")
    page.close()


def test_ten_photographs_make_a_page_of_three_megabytes_at_most():
    from hssl.worlds.pictures import photographs

    images = {name: photographs.load(name, 480) for name in photographs.names()[:10]}
    assert len(own.page(images, own.windows(own.hierarchy(), images)).encode()) < 3e6
