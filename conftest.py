"""What every test and every docstring example may use."""

import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn

from hssl.pairs import Pairs


@pytest.fixture(autouse=True)
def _names_in_examples(doctest_namespace):
    doctest_namespace.update(
        torch=torch, Tensor=Tensor, Float=Float, nn=nn, Pairs=Pairs, g=torch.Generator().manual_seed(0)
    )
