"""benchmarks/published_column.py: what it keeps, and that each kind of run works."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return tmp_path_factory.mktemp("pool")


@pytest.fixture
def bench(monkeypatch, pool):
    """The script as a module, tiny, with a pool of its own."""
    monkeypatch.setenv("HSSL_SMOKE", "1")
    monkeypatch.setenv("HSSL_POOL", str(pool))
    spec = importlib.util.spec_from_file_location("published_column", ROOT / "benchmarks" / "published_column.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "published_column", module)  # dataclasses look it up there
    spec.loader.exec_module(module)
    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    threads, allowed = torch.get_num_threads(), [backend.allow_tf32 for backend in backends]
    yield module
    torch.set_num_threads(threads)
    for backend, allow in zip(backends, allowed, strict=True):
        backend.allow_tf32 = allow


def test_a_run_made_again_replaces_its_row_and_the_others_stay(bench, tmp_path):
    path = tmp_path / "kept.csv"
    row = {"change": "64 pixels", "views": "hues", "sharing": "0.4", "seed": 0, "class": 0.5}
    bench.keep([row, row | {"seed": 1}], path)
    bench.keep([row | {"class": 0.7}], path)
    kept = pd.read_csv(path)
    assert kept["seed"].tolist() == [0, 1]
    assert kept["class"].tolist() == [0.7, 0.5]
    assert [p.name for p in tmp_path.iterdir()] == ["kept.csv"]  # nothing half-written


def test_the_kept_table_holds_runs_of_the_script_once_each(bench):
    kept = pd.read_csv(bench.KEPT)
    assert not kept.duplicated(bench.RUN).any()
    large, small = bench.tasks()
    possible = {(setting.name, *of.split(":"), seed) for setting, of, seed in large + small}
    assert set(kept[bench.RUN].itertuples(index=False, name=None)) <= possible
    scores = kept.drop(columns=[*bench.RUN, "seconds"])
    assert scores.drop(columns=["class_kernel", "class_independent_kernel"]).notna().all().all()
    assert scores.max().max() <= 1 and scores.filter(like="class").min().min() > 0


@pytest.mark.slow
@pytest.mark.parametrize("of", ["hues:0.4", "peeled:exact", "hues:released", "supervised:all"])
def test_each_kind_of_run_gives_a_row(bench, of):
    setting = replace(bench.BASE, steps=2, pairs=60, batch=16)
    row = bench.run(setting, of, 0, float("inf"))
    assert set(row) == set(pd.read_csv(bench.KEPT)) and all(value == value for value in row.values())
    assert (row["views"], row["sharing"]) == tuple(of.split(":"))
    assert bench.run(setting, of, 0, 0.0) is None  # too late to start


@pytest.mark.slow
def test_new_hues_in_every_step_and_the_large_network_run(bench):
    small = dict(steps=2, pairs=60, batch=16)
    for setting in (replace(bench.CHANGES[-1], **small), replace(bench.RESNET, **small)):
        assert set(bench.run(setting, "hues:0.4", 0, float("inf"))) == set(pd.read_csv(bench.KEPT))
