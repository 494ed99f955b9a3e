"""What every test, docstring example and notebook may count on, from whichever folder pytest is called."""

import os

import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn

from hssl.pairs import Pairs

# Kernels inherit these: numbers are compared with the recorded ones, and no progress bars are printed.
os.environ.setdefault("HSSL_RESULTS", "verify")
os.environ.setdefault("HSSL_PROGRESS", "0")


def pytest_configure(config):
    if not config.option.nbval_sanitize_with:
        config.option.nbval_sanitize_with = str(config.rootpath / "tests" / "nbval.cfg")


@pytest.fixture(autouse=True)
def _names_in_examples(doctest_namespace):
    doctest_namespace.update(
        torch=torch, Tensor=Tensor, Float=Float, nn=nn, Pairs=Pairs, g=torch.Generator().manual_seed(0)
    )
