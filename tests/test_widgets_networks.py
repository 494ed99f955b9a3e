"""hssl.widgets.networks: Python, the page and torch agree on what a network makes of its inputs."""

import base64
import json

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import ops

from hssl.encoders import MLP, ConvNet, embed
from hssl.widgets.mounting import module
from hssl.widgets.networks import pack, run

IMPORT = "import('data:text/javascript;base64,{}')"


def stir(network):
    """Statistics and weights away from where they begin, as training leaves them."""
    generator = torch.Generator().manual_seed(1)
    for part in network.modules():
        for buffer in (getattr(part, name, None) for name in ("running_mean", "running_var", "weight", "bias")):
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) and buffer is not None:
                buffer.data.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
    return network


def whitened():
    generator = torch.Generator().manual_seed(0)
    return stir(MLP(6, 3, (8, 8), standardise=True)).whiten(torch.randn(50, 6, generator=generator) + 1)


NETWORKS = {
    "ConvNet": (lambda: stir(ConvNet(3, 5, 16, (8, 16), 12)), (3, 16, 16)),
    "ConvNet of an odd size": (lambda: stir(ConvNet(1, 4, 11, (4, 8, 8), 6)), (1, 11, 11)),
    "MLP": (whitened, (6,)),
    "MLP without a skip": (lambda: MLP(6, 2, (4,), skip=False), (6,)),
    "MLP of torchvision": (lambda: ops.MLP(6, [8, 4, 2], activation_layer=nn.GELU), (6,)),
    "Sequential": (lambda: nn.Sequential(nn.Linear(6, 9), nn.Tanh(), stir(nn.BatchNorm1d(9)), MLP(9, 2, (4,))), (6,)),
    "wide convolutions": (lambda: nn.Sequential(nn.Conv2d(2, 3, 5, padding=1), nn.ReLU(), nn.Flatten()), (2, 7, 7)),
}


def inputs(shape, n=4):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_packed_network_is_that_of_torch(name):
    make, shape = NETWORKS[name]
    network = make()
    wanted = embed(network, inputs(shape)).flatten(1)
    np.testing.assert_allclose(run(pack(network), inputs(shape)), wanted, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["<f4", "<f2"])
def test_the_page_and_torch_agree(browser, dtype):
    source = module("page.js", "network.js") + "\nexport { forward, unpackNetwork };"
    source = IMPORT.format(base64.b64encode(source.encode()).decode())
    page = browser.new_page()
    for make, shape in NETWORKS.values():
        network, x = make(), inputs(shape)
        packed = pack(network, dtype=dtype)
        call = f"""async ([packed, x, n]) => {{ const page = await {source};
            return [...page.forward(page.unpackNetwork(packed), Float64Array.from(x), n)]; }}"""
        seen = np.reshape(page.evaluate(call, [packed, x.double().flatten().tolist(), len(x)]), (len(x), -1))
        np.testing.assert_allclose(seen, run(packed, x), atol=1e-9)
        wanted = embed(network, x).flatten(1)
        np.testing.assert_allclose(seen, wanted, atol=1e-5 if dtype == "<f4" else 0.02)
    page.close()


def test_half_of_the_digits_take_half_of_the_bytes():
    sizes = [len(json.dumps(pack(ConvNet(3, 8), dtype=dtype))) for dtype in ("<f2", "<f4")]
    assert sizes[0] < 0.51 * sizes[1]


@pytest.mark.parametrize(
    "network",
    [
        nn.Sigmoid(),
        nn.GELU(approximate="tanh"),
        nn.Sequential(nn.Linear(2, 2), nn.Softmax(1)),
        nn.Conv2d(2, 2, 3, groups=2),
        nn.Conv2d(1, 1, (3, 5)),
        nn.Conv2d(1, 1, 3, padding_mode="circular"),
        nn.BatchNorm1d(3, track_running_stats=False),
    ],
)
def test_layers_that_the_page_cannot_run_are_named(network):
    with pytest.raises(ValueError, match="critic: wanted layers that the page can run"):
        pack(network, name="critic")


def test_weights_must_be_finite():
    network = nn.Linear(2, 2)
    network.weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match="encoder: there are values that are not finite"):
        pack(network, name="encoder")
    with pytest.raises(ValueError, match="dtype: wanted"):
        pack(nn.Linear(2, 2), dtype="<f8")
