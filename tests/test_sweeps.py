"""hssl.training.sweeps: the product of settings as a tidy frame, in processes that leave the caller as it was."""

import os
import signal
import threading
import time

import numpy as np
import pandas as pd
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from hssl.training import side_by_side, sweep, sweeps


def test_a_row_a_run_and_a_column_a_setting_or_measure():
    frame = sweep(lambda rule, seed, n: {"sum": rule(seed) + n}, rule={"plain": abs, "twice": lambda x: 2 * x},
                  seed=range(2), n=10)  # fmt: skip
    wanted = {"rule": ["plain", "plain", "twice", "twice"], "seed": [0, 1, 0, 1], "n": 10, "sum": [10, 11, 10, 12]}
    pd.testing.assert_frame_equal(frame, pd.DataFrame(wanted))


def test_a_single_measure_is_called_value():
    assert sweep(lambda seed: seed**2, seed=[1, 3], workers=1)["value"].tolist() == [1, 9]
    assert sweep(lambda kind: kind * 2, kind="ab", workers=1)["value"].tolist() == ["abab"]


def test_measures_may_be_objects():
    frame = sweep(lambda seed: {"encoder": torch.nn.Linear(2, seed)}, seed=[1, 2], workers=2)
    assert [encoder.out_features for encoder in frame["encoder"]] == [1, 2]


def test_each_run_has_one_thread_and_the_order_is_kept():
    runs = side_by_side(lambda number: (number, torch.get_num_threads()), [{"number": n} for n in range(5)], workers=2)
    assert runs == [(n, 1) for n in range(5)]


@pytest.mark.parametrize("workers", [1, 2])
def test_linear_algebra_of_a_run_has_one_thread_too_and_the_caller_keeps_its_own(workers):
    def threads_of_blas(of=None):
        np.linalg.inv(np.eye(2))  # so that it is loaded
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    with threadpool_limits(2, user_api="blas"):
        assert sweep(threads_of_blas, of=[1], workers=workers)["value"][0] == {1}
        assert threads_of_blas() == {2}


@pytest.mark.parametrize("workers", [1, 2])
def test_the_caller_keeps_its_threads_and_its_small_numbers(workers):
    tiny, threads = torch.tensor(1e-310, dtype=torch.float64), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert sweep(lambda x: (torch.get_num_threads(), float(tiny * 1)), x=[1], workers=workers)["value"][0] == (1, 0)
        assert torch.get_num_threads() == 2
        assert (tiny * 1).item() > 0
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("workers", [1, 2])
def test_seconds_of_each_run_are_noted_where_the_environment_says(tmp_path, monkeypatch, workers):
    monkeypatch.setenv("HSSL_RUN_SECONDS", str(tmp_path / "seconds"))

    def run(x):
        sweep(abs_of, y=[x], workers=1, label=None)  # a sweep within a run is part of it
        time.sleep(x)

    def abs_of(y):
        return abs(y)

    sweep(run, x=[0.05, 0.2], workers=workers)
    short, long = map(float, (tmp_path / "seconds").read_text().split())
    assert short >= 0.05 and long >= 0.2


def test_large_arrays_arrive_writable():
    array, tensor = np.zeros(300_000), torch.zeros(300_000)  # over 1 MB each

    def write(x, seed):
        x += seed
        return float(x.sum())

    frame = sweep(write, x={"array": array, "tensor": tensor}, seed=[1, 2], workers=2)
    assert frame["value"].tolist() == [3e5, 6e5, 3e5, 6e5]
    assert not array.any()


@pytest.fixture
def received(tmp_path, monkeypatch):
    """A folder with a file for each run whose result has come back."""
    (folder := tmp_path / "received").mkdir()

    def noted(done, *_, **__):
        for number, result in done:
            (folder / str(number)).touch()
            yield number, result

    monkeypatch.setattr(sweeps, "progress", noted)
    return folder


@pytest.mark.slow
def test_a_run_whose_process_is_killed_from_outside_runs_again_and_no_other(tmp_path, received):
    def run(seed):
        with (tmp_path / f"run {seed}").open("a") as file:
            file.write(f"{os.getpid()}\n")
        while seed == 3 and not (tmp_path / "killed").exists():
            time.sleep(0.01)
        return seed**2

    def kill():
        begun, patience = tmp_path / "run 3", 2000
        while not (begun.exists() and begun.read_text()):
            time.sleep(0.01)
        while len(list(received.iterdir())) < 5 and (patience := patience - 1):  # others may wait behind it: no error
            time.sleep(0.01)
        os.kill(int(begun.read_text()), signal.SIGKILL)
        (tmp_path / "killed").touch()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.warns(UserWarning, match=r"killed, and run again, each alone: the runs with .*{'seed': 3}"):
        found = sweep(run, seed=range(6), workers=2)
    killer.join()
    assert found["value"].tolist() == [seed**2 for seed in range(6)]
    times = [len((tmp_path / f"run {seed}").read_text().split()) for seed in range(6)]
    assert times == [1, 1, 1, 2, 1, 1]


@pytest.mark.slow
def test_a_run_that_is_killed_again_is_named():
    def run(seed):
        if seed == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return seed

    with pytest.warns(UserWarning, match="killed, and run again"):
        with pytest.raises(RuntimeError, match=r"run: was killed twice with {'seed': 1}; was there enough memory"):
            sweep(run, seed=range(2), workers=2)
        assert sweep(run, seed=[2, 3], workers=2)["value"].tolist() == [2, 3]  # and the next sweep runs


def test_errors_name_the_setting():
    with pytest.raises(ValueError, match="seed: wanted at least one value"):
        sweep(print, rule=["a"], seed=[])
    with pytest.raises(ValueError, match="settings"):
        side_by_side(print, [])
    with pytest.raises(ValueError, match="workers: wanted at least 1"):
        sweep(print, seed=[1], workers=0)
    with pytest.raises(ValueError, match="measure 'seed', which is the name of a setting"):
        sweep(lambda seed: {"seed": 1}, seed=[1], workers=1)
    for workers in (1, 2):
        with pytest.raises(ZeroDivisionError) as caught:
            sweep(lambda number: 1 / number, number=[1, 0], workers=workers)
        assert "{'number': 0}" in caught.value.__notes__[0]
