"""hssl.training.backends: a cluster gives what the processes of this machine give, and loses no run."""

import os
import signal
import socket
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch

from hssl.training import backends, side_by_side, sweep, sweeps

PATIENCE = 3600
QUIET = {"dashboard_address": "127.0.0.1:0", "memory_limit": 0}
PROBLEMS = [
    ({"HSSL_BACKEND": "spark"}, "HSSL_BACKEND: wanted loky .*, dask or ray, got 'spark'"),
    ({"HSSL_BACKEND_ADDRESS": "tcp://a:1"}, "HSSL_BACKEND: HSSL_BACKEND_ADDRESS=tcp://a:1 needs dask or ray"),
]


@pytest.fixture(scope="module", autouse=True)
def patience():
    """However busy the machine is, nobody gives up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backends, "SECONDS", PATIENCE)
        try:
            import dask
        except ImportError:
            yield
            return
        limits = dict.fromkeys(("distributed.comm.timeouts.connect", "distributed.comm.timeouts.tcp"), PATIENCE)
        with dask.config.set(limits | {"distributed.scheduler.worker-ttl": None}):
            yield


@pytest.fixture(scope="module")
def dask(patience):
    """Two processes, and where their scheduler listens."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, **QUIET) as local:
        yield local.scheduler_address
        backends._dask.cache_clear()


@pytest.fixture(scope="module")
def ray():
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="warning")
    yield ""
    ray.shutdown()


@pytest.fixture(params=["dask", "ray"])
def on_cluster(request, monkeypatch):
    """Sweeps go to two processes of Dask, or of Ray."""
    address = request.getfixturevalue(request.param)
    monkeypatch.setenv("HSSL_BACKEND", request.param)
    monkeypatch.setenv("HSSL_BACKEND_ADDRESS", address)


@pytest.mark.slow
def test_a_cluster_gives_the_frame_of_the_plain_run(on_cluster, tmp_path):
    power = 2

    def run(rule, seed):  # which depends on the generator, on threads and on what it closes over
        (tmp_path / str(os.getpid())).touch()
        while together and len(list(tmp_path.iterdir())) < 2:  # until both processes have a run
            time.sleep(0.01)
        torch.manual_seed(seed)
        mean = float((rule(torch.randn(1000)) ** power).mean())
        return {"mean": mean, "threads": torch.get_num_threads(), "pid": os.getpid()}

    grid = {"rule": {"plain": torch.abs, "shifted": lambda x: x + 1}, "seed": range(4)}
    together = True
    found = sweep(run, **grid)
    together = False
    plain = sweep(run, **grid, workers=1)
    pd.testing.assert_frame_equal(found.drop(columns="pid"), plain.drop(columns="pid"), check_exact=True)
    assert found["pid"].nunique() > 1 and os.getpid() not in set(found["pid"])


@pytest.mark.slow
def test_a_run_whose_process_dies_runs_again_and_no_other(on_cluster, tmp_path, monkeypatch):
    (received := tmp_path / "received").mkdir()

    def noted(done, *_, **__):
        for number, result in done:
            (received / str(number)).touch()
            yield number, result

    def run(seed):
        with (tmp_path / f"{seed}").open("a") as file:
            file.write("run\n")
        if seed == 3 and len((tmp_path / "3").read_text().split()) == 1:
            begun = -1  # a result that has not arrived would be computed again
            while begun != len(list(received.iterdir())):
                time.sleep(0.01)
                begun = len(list(tmp_path.glob("[0-9]"))) - 1
            os.kill(os.getpid(), signal.SIGKILL)
        return seed**2

    monkeypatch.setattr(sweeps, "progress", noted)

    assert sweep(run, seed=range(8))["value"].tolist() == [seed**2 for seed in range(8)]
    times = [len((tmp_path / f"{seed}").read_text().split()) for seed in range(8)]
    assert times == [1, 1, 1, 2, 1, 1, 1, 1]


@pytest.mark.slow
def test_what_a_run_raises_goes_through_with_its_setting(on_cluster):
    with pytest.raises(ZeroDivisionError) as caught:
        sweep(lambda number: 1 / number, number=[1, 2, 0])
    assert caught.value.__notes__ == ["This was in the run with {'number': 0}."]
    assert sweep(lambda number: 1 / number, number=[1, 2])["value"].tolist() == [1, 0.5]  # and it goes on


@pytest.mark.slow
def test_arrays_arrive_writable_and_objects_come_back(on_cluster):
    array = np.zeros(300_000)

    def write(x, seed):
        x += seed
        return {"sum": float(x.sum()), "back": x, "encoder": torch.nn.Linear(2, seed)}

    frame = sweep(write, x={"array": array, "tensor": torch.zeros(300_000)}, seed=[1, 2])
    assert frame["sum"].tolist() == [3e5, 6e5, 3e5, 6e5] and not array.any()
    for x in frame["back"]:
        x += 1  # and what comes back is writable, too
    assert [encoder.out_features for encoder in frame["encoder"]] == [1, 2, 1, 2]


@pytest.mark.slow
def test_sweeps_within_a_run_stay_there_and_one_worker_stays_here(on_cluster):
    def outer(number):
        inner = sweep(lambda x: os.getpid(), x=[1, 2], workers=1, label=None)["value"]
        return {*inner, *side_by_side(lambda x: x, [{"x": 1}])} == {os.getpid(), 1}

    assert sweep(outer, number=[1, 2])["value"].all()
    assert sweep(lambda x: os.getpid(), x=[1, 2], workers=1)["value"].tolist() == [os.getpid()] * 2


@pytest.mark.slow
def test_a_local_cluster_ends_with_a_run_that_raises(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setenv("HSSL_BACKEND", "dask")
    monkeypatch.setattr(backends, "cpu_count", lambda: 1)
    assert sweep(lambda x: x + 1, x=[1, 2])["value"].tolist() == [2, 3]
    [pid] = set(sweep(lambda x: os.getpid(), x=[1, 2])["value"])  # the same process again
    with pytest.raises(ZeroDivisionError):
        sweep(lambda x: 1 / x, x=[0, 1])
    assert backends._dask.cache_info().currsize == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(("variables", "says"), PROBLEMS)
def test_what_the_environment_asks_for_is_refused_by_name(monkeypatch, variables, says):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=says):
        sweep(abs, x=[1, 2])


@pytest.mark.parametrize(("name", "package", "command"), [("dask", "distributed", r"hssl\[cluster\]"), ("ray",) * 3])
def test_a_package_that_is_missing_is_named(monkeypatch, name, package, command):
    monkeypatch.setenv("HSSL_BACKEND", name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=f"HSSL_BACKEND: {name} cannot be imported .*; install it: pip .*{command}"):
        sweep(abs, x=[1, 2])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "package"), [("dask", "distributed"), ("ray", "ray")])
def test_an_address_where_nobody_answers_is_named(monkeypatch, name, package):
    pytest.importorskip(package)
    monkeypatch.setattr(backends, "SECONDS", 1)
    monkeypatch.setenv("HSSL_BACKEND", name)
    with socket.socket() as taken:  # bound, but it does not listen
        taken.bind(("127.0.0.1", 0))
        for address in (f"tcp://127.0.0.1:{taken.getsockname()[1]}", "tcp://nowhere"):
            monkeypatch.setenv("HSSL_BACKEND_ADDRESS", address)
            with pytest.raises(ValueError, match=f"HSSL_BACKEND_ADDRESS: no {name} cluster answers at {address}"):
                sweep(abs, x=[1, 2])


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "says"), [(0, "has no worker yet"), (1, "workers of one thread each, got one of")])
def test_a_cluster_that_is_not_fit_is_refused(monkeypatch, workers, says):
    distributed = pytest.importorskip("distributed")
    wait, soon = distributed.Client.wait_for_workers, PATIENCE if workers else 0.1
    monkeypatch.setattr(distributed.Client, "wait_for_workers", lambda client, n, timeout: wait(client, n, soon))
    settings = {"n_workers": workers, "threads_per_worker": 2, "processes": False}
    with distributed.LocalCluster(**settings, **QUIET) as local:
        monkeypatch.setenv("HSSL_BACKEND", "dask")
        monkeypatch.setenv("HSSL_BACKEND_ADDRESS", local.scheduler_address)
        with pytest.raises(ValueError, match=f"HSSL_BACKEND_ADDRESS: .*{says}"):
            sweep(abs, x=[1, 2])


NOTEBOOK = """
class Found:
    def __init__(self, seed):
        self.seed = seed

def found(seed):
    return {"found": Found(seed)}
"""


@pytest.mark.slow
def test_functions_and_classes_of_a_notebook_are_carried_along(on_cluster, monkeypatch):
    main = vars(sys.modules["__main__"])
    for name in ("Found", "found"):
        monkeypatch.setitem(main, name, None)
    exec(NOTEBOOK, main)
    frame = sweep(main["found"], seed=range(3))
    assert [(type(value), value.seed) for value in frame["found"]] == [(main["Found"], seed) for seed in range(3)]
