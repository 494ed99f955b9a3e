"""What every test, docstring example and notebook may count on, from whichever folder pytest is called."""

import os
from contextlib import suppress
from queue import Empty

import pytest
import torch
from jaxtyping import Float
from nbval.kernel import RunningKernel
from torch import Tensor, nn

from hssl.pairs import Pairs
from hssl.reporting.records import read_times

# Kernels inherit these: numbers are compared with the recorded ones, and no progress bars are printed.
os.environ.setdefault("HSSL_RESULTS", "verify")
os.environ.setdefault("HSSL_PROGRESS", "0")


PATIENCE = 3600  # seconds for what a kernel has to say: a busy machine is no error


def pytest_configure(config):
    RunningKernel._ensure_iopub_up = _until_it_speaks
    if (seeds := os.environ.get("HSSL_SEEDS") or "first") not in ("first", "all"):
        raise pytest.UsageError(f"HSSL_SEEDS: wanted first or all, got {seeds!r}")
    if not config.option.nbval_sanitize_with:
        config.option.nbval_sanitize_with = str(config.rootpath / "tests" / "nbval.cfg")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Notebooks first, the longest of them foremost, so that no core is left with one at the end while others idle."""
    try:
        times = read_times(config.rootpath / "book" / "results" / "run_times.json")
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error

    def seconds(item):
        return times.get(item.path.stem, {}).get("quick", {}).get("seconds", 0) if item.path.suffix == ".ipynb" else -1

    items.sort(key=seconds, reverse=True)  # stable: the cells of a notebook, and the tests of a file, keep their order


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """A notebook's kernel, which starts after this, runs one seed of each sweep; HSSL_SEEDS=all makes it run all."""
    os.environ.pop("HSSL_RUNS_FROM", None)
    item.output_timeout = PATIENCE  # of nbval's cells, which otherwise wait for 5 seconds
    if item.path.suffix == ".ipynb" and os.environ.get("HSSL_SEEDS") != "all":
        budget = os.environ.get("HSSL_BUDGET") or "quick"
        os.environ["HSSL_RUNS_FROM"] = str(item.path.parent / "results" / "runs" / budget / f"{item.path.stem}.json")


def _until_it_speaks(kernel):
    """As nbval has it, without its limits of 10 and 30 seconds: ask until a message comes that way, too."""
    while True:
        asked = kernel.kc.kernel_info()
        kernel.await_reply(asked, timeout=PATIENCE)
        with suppress(Empty):
            return kernel.await_idle(asked, 1)


@pytest.fixture(autouse=True)
def _names_in_examples(doctest_namespace):
    doctest_namespace.update(
        torch=torch, Tensor=Tensor, Float=Float, nn=nn, Pairs=Pairs, g=torch.Generator().manual_seed(0)
    )
