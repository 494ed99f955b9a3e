"""The repository's address stands once; while it is not set, nothing leads or installs from there."""

import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import address
import nbformat
import pytest
import yaml

ROOT = Path(__file__).parents[1]
MINE, OTHER = "https://github.com/Mine/book", "https://github.com/other/book"
NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))
CODE = f"import torch\n\n{address.SETUP}\nfrom hssl import losses"


@pytest.fixture
def house(tmp_path, monkeypatch):
    monkeypatch.setattr(address, "ROOT", tmp_path)
    monkeypatch.delenv("HSSL_ADDRESS", raising=False)
    for name in ("_config.yml", "CITATION.cff", "README.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    config = tmp_path / "_config.yml"
    config.write_text(config.read_text().replace(address.configured(), "https://github.com/example/hssl"))
    for name in ("text", "book"):
        (tmp_path / name).mkdir()
    (tmp_path / "text" / "demo.md").write_text(f"# Demo\n\n```{{code-cell}} ipython3\n{CODE}\n```\n")
    cell = nbformat.v4.new_code_cell(CODE, outputs=[nbformat.v4.new_output("stream", text="kept\n")])
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "book" / "demo.ipynb")
    return tmp_path


def built_with(house):
    """What the pages are built with, after the address had its say."""
    given = yaml.safe_load((house / "_config.yml").read_text())
    options = {"repository_url": given["repository"]["url"], "launch_buttons": given["launch_buttons"]}
    options |= {"use_repository_button": True, "use_issues_button": True}
    config = SimpleNamespace(html_theme_options=options, html_baseurl="https://example.github.io/hssl/")
    address._use_address(None, config)
    return config


def test_without_an_address_no_page_has_a_link_to_it(house):
    config = built_with(house)
    assert config.html_baseurl == ""
    assert config.html_theme_options == {}


def test_a_build_on_github_knows_where_it_runs(house, monkeypatch):
    monkeypatch.setenv("HSSL_ADDRESS", MINE)
    config = built_with(house)
    assert config.html_baseurl == "https://mine.github.io/book/"
    assert config.html_theme_options["repository_url"] == MINE
    assert "colab_url" not in config.html_theme_options["launch_buttons"]  # the notebooks cannot install hssl yet
    assert "binderhub_url" in config.html_theme_options["launch_buttons"]


@pytest.mark.parametrize("before", [[], [OTHER]], ids=["first", "moved"])
def test_written_once_it_stands_everywhere(house, before):
    for url in [*before, MINE]:
        address.write(url)
    assert address.configured() == MINE
    config = built_with(house)
    assert config.html_baseurl == yaml.safe_load((house / "_config.yml").read_text())["html"]["baseurl"]
    assert "colab_url" in config.html_theme_options["launch_buttons"]
    assert yaml.safe_load((house / "CITATION.cff").read_text())["repository-code"] == MINE
    cell = nbformat.read(house / "book" / "demo.ipynb", 4).cells[0]
    assert cell.source == CODE.replace(address.SETUP, address.INSTALL.format(url=MINE))
    assert cell.outputs[0].text == "kept\n"
    assert cell.source in (house / "text" / "demo.md").read_text()
    assert not [path for path in house.rglob("*") if path.is_file() and "other/book" in path.read_text()]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_do_as_the_address_says(path):
    code = "\n\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code")
    url = address.configured()
    wanted = address.SETUP if address.unset(url) else address.INSTALL.format(url=url)
    if first := re.search(r"^from hssl", code, re.MULTILINE):
        assert code[: first.start()].endswith(wanted + "\n")
    assert not address.unset(url) or "github.com/example" not in path.read_text()


def test_what_is_cited_is_where_it_is():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text()).get("repository-code")
    assert cited == (None if address.unset(address.configured()) else address.configured())
