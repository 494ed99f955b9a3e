"""hssl.training.kept: a recording keeps what each run gave, and a test runs the first seed alone."""

import pytest
import torch

from hssl.training import kept, side_by_side, sweep


@pytest.fixture
def process(monkeypatch, tmp_path):
    """Begins as a fresh process would: with the file to write, to read, or neither."""
    file = tmp_path / "runs" / "page.json"

    def begin(variable=None):
        for name in (kept.READ, kept.WRITE):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(kept, "_sweeps", [])
        monkeypatch.setattr(kept, "_read", 0)
        if variable:
            monkeypatch.setenv(variable, str(file))
        return file

    return begin


def scored(done):
    def run(rule, seed):
        done.append((rule, seed))
        return {"auc": 0.1 * seed, "each": [seed, None, (rule, float("nan"))], 3: True}

    return lambda rules=("a", "b"): sweep(run, rule=list(rules), seed=range(3), workers=1, label=None)


def test_a_test_runs_the_first_seed_and_gets_the_frame_of_all(process):
    done = []
    run = scored(done)
    process(kept.WRITE)
    whole = run()
    assert len(done) == 6
    done.clear()
    process(kept.READ)
    assert str(run()) == str(whole)  # nan is unlike itself
    assert done == [("a", 0), ("b", 0)]
    done.clear()
    process()
    assert str(run()) == str(whole) and len(done) == 6


def test_sweeps_are_told_apart_by_their_order_and_settings(process):
    done = []
    run = scored(done)
    process(kept.WRITE)
    run(["a"]), run(["a", "b"])
    process(kept.READ)
    assert len(run(["a"])) == 3 and len(run(["a", "b"])) == 6
    with pytest.raises(ValueError, match="no results of sweep 3 as it is now; record the page with `make run CHAPTER="):
        run(["a"])
    process(kept.READ)
    with pytest.raises(ValueError, match="no results of sweep 1 as it is now"):
        run(["a", "b"])


def test_networks_are_not_kept_and_those_that_only_sweeps_need_are_left_out(process):
    jobs = [{"seed": seed} for seed in range(2)]

    def learn(seed):
        return torch.nn.Linear(2, 1 + seed)

    process(kept.WRITE)
    side_by_side(learn, jobs, workers=1)
    process(kept.READ)
    assert [net.out_features for net in side_by_side(learn, jobs, workers=1)] == [1, 2]  # the page may need them all
    process(kept.READ)
    first, second = side_by_side(learn, jobs, workers=1, only_for_sweeps=True)
    assert first.out_features == 1
    for use in (lambda: second.weight, lambda: second(torch.zeros(2)), lambda: list(second.parameters())):
        with pytest.raises(RuntimeError, match=r"the run with {'seed': 1} was left out.*HSSL_SEEDS=all"):
            use()


def test_the_measures_of_a_run_are_kept_beside_its_network(process):
    def run(seed):
        return {"encoder": torch.nn.Linear(2, 1), "auc": 0.25 + seed}

    for variable, only_for_sweeps in ((kept.WRITE, True), (kept.READ, True), (kept.READ, False)):
        process(variable)
        frame = sweep(run, seed=range(2), workers=1, only_for_sweeps=only_for_sweeps)
        assert frame["auc"].tolist() == [0.25, 1.25]
        left_out = variable == kept.READ and only_for_sweeps
        assert isinstance(frame["encoder"][1], kept.NotRun) == left_out


@pytest.mark.parametrize("setting", [{}, {"seed": 7}])
def test_sweeps_over_no_seeds_or_one_run_whole(process, setting):
    done = []

    def run(x, seed=0):
        done.append(x)

    for variable in (kept.WRITE, kept.READ):
        process(variable)
        side_by_side(run, [setting | {"x": x} for x in range(3)], workers=1)
    assert done == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("value", [torch.arange(3.0), torch.tensor([[True]]), torch.arange(4).double().numpy()])
def test_arrays_keep_their_type(value):
    again = kept.restored(kept.kept({"of": value}), {})["of"]
    assert type(again) is type(value) and again.dtype == value.dtype and again.tolist() == value.tolist()


def test_what_is_long_is_not_kept():
    assert kept.kept(list(range(kept.MOST))) is None


@pytest.mark.parametrize("damage", ["", "[", "{}", "[3]", '[{"settings": {}}]'])
def test_a_damaged_file_is_named(process, damage):
    run = scored([])
    process(kept.WRITE)
    run()
    file = process(kept.READ)
    file.write_text(damage)
    with pytest.raises(ValueError, match=r"page\.json.*record the page with `make run CHAPTER=page`"):
        run()


def test_without_a_file_every_run_is_done(process):
    done = []
    process(kept.READ)
    scored(done)()
    assert len(done) == 6
