"""A small network as the page takes it: its layers with their weights as text; network.js runs them.

What its outputs mean is left to the widgets.
"""

from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Real
from torch import Tensor, nn
from torch.nn import functional as F

from hssl.checks import checked, explained
from hssl.encoders import MLP, ConvNet
from hssl.widgets.mounting import Stored, as_numbers, decode, encode

ACTIVATIONS = {nn.GELU: "gelu", nn.LeakyReLU: "leaky", nn.ReLU: "leaky", nn.Tanh: "tanh"}
NOTHING = (nn.Identity, nn.Dropout, nn.Flatten)  # as the network is used, and as the page lays out its numbers


@checked
def pack(network: nn.Module, *, dtype: Literal["<f4", "<f2"] = "<f4", name: str = "network") -> dict:
    """Layers and weights of a network in evaluation mode, for `run` and for the page.

    Args:
        network: `hssl.encoders.ConvNet` or `MLP`, or `nn.Sequential` of them, of `Linear`, `Conv2d`, `BatchNorm1d`
            and `BatchNorm2d`, `GELU` (exact), `LeakyReLU`, `ReLU`, `Tanh`, `Flatten`, `Dropout` and `Identity`.
        dtype: of the weights in the page; "<f2" takes half of the bytes of "<f4", and rounds to three digits.
        name: what errors call it.
    Raises:
        ValueError: another layer, or weights that are not finite.

    >>> packed = pack(ConvNet(3, 5, 8, (4,), 6), dtype="<f2")
    >>> [layer["kind"] for layer in packed["layers"]]
    ['scale', 'convolution', 'scale', 'leaky', 'linear', 'leaky', 'linear']
    >>> run(packed, np.ones((2, 3, 8, 8))).shape
    (2, 5)
    """

    def text(layer: dict) -> dict:
        if "ways" in layer:
            return layer | {"ways": [[text(inner) for inner in way] for way in layer["ways"]]}
        weights = {
            key: as_numbers(name, layer[key].reshape(-1), 1, "(n,)") for key in ("weight", "bias") if key in layer
        }
        return layer | {key: encode(value, dtype) for key, value in weights.items()}

    return {"dtype": dtype, "layers": [text(layer) for layer in _layers(network, name)]}


@explained
def run(packed: dict, inputs: Real[np.ndarray, "n ..."]) -> np.ndarray:
    """What a packed network makes of its inputs, as the page computes it, shape (n, dim), in double precision.

    Args:
        inputs: shape (n, dim), or (n, channels, size, size) for a network that begins with a convolution.

    >>> run(pack(nn.Linear(2, 1)), np.ones((3, 2))).shape
    (3, 1)
    """
    return _run(packed["layers"], packed["dtype"], torch.from_numpy(np.asarray(inputs, np.float64))).numpy()


def _layers(module: nn.Module, name: str) -> list[dict[str, Any]]:
    match module:
        case ConvNet():
            half = torch.full((module.n_in,), 0.5)
            return [{"kind": "scale", "weight": 2 * half, "bias": -half}, *_layers(module.layers, name)]
        case MLP():
            whitened = {"kind": "linear", "weight": module.whitening.T, "bias": -module.mean @ module.whitening}
            ways = [_layers(way, name) for way in (module.layers, module.skip) if way is not None]
            joined = ways[0] if len(ways) == 1 else [{"kind": "sum", "ways": ways}]
            return [whitened, *joined, *_layers(module.output, name)]
        case nn.Sequential():
            return [layer for inner in module for layer in _layers(inner, name)]
        case nn.Linear():
            return [{"kind": "linear", "weight": module.weight, "bias": _bias(module, module.out_features)}]
        case nn.Conv2d() if _is_plain(module):
            settings = {"size": module.kernel_size[0], "stride": module.stride[0], "padding": module.padding[0]}
            bias = _bias(module, module.out_channels)
            return [{"kind": "convolution", **settings, "weight": module.weight, "bias": bias}]
        case nn.BatchNorm1d() | nn.BatchNorm2d() if module.running_mean is not None and module.running_var is not None:
            weight = torch.rsqrt(module.running_var.double() + module.eps)
            weight = weight if module.weight is None else weight * module.weight
            return [{"kind": "scale", "weight": weight, "bias": _bias(module, 1) - module.running_mean * weight}]
        case _ if isinstance(module, NOTHING):
            return []
        case _ if type(module) in ACTIVATIONS and getattr(module, "approximate", "none") == "none":
            slope = {"slope": getattr(module, "negative_slope", 0)} if ACTIVATIONS[type(module)] == "leaky" else {}
            return [{"kind": ACTIVATIONS[type(module)], **slope}]
    raise ValueError(f"{name}: wanted layers that the page can run (see widgets.networks.pack), got {module}")


def _bias(module: nn.Module, n: int) -> Tensor:
    bias = getattr(module, "bias", None)
    return torch.zeros(n) if bias is None else bias


def _is_plain(layer: nn.Conv2d) -> bool:
    square = all(len(set(pair)) == 1 for pair in (layer.kernel_size, layer.stride, layer.padding))
    return square and layer.groups == 1 and set(layer.dilation) == {1} and layer.padding_mode == "zeros"


def _run(layers: list[dict], dtype: Stored, x: Tensor) -> Tensor:
    for layer in layers:
        weight, bias = (torch.from_numpy(decode(layer.get(key, ""), dtype)) for key in ("weight", "bias"))
        match layer["kind"]:
            case "sum":
                x = torch.stack([_run(way, dtype, x.flatten(1)) for way in layer["ways"]]).sum(0)
            case "linear":
                x = F.linear(x.flatten(1), weight.view(len(bias), -1), bias)
            case "convolution":
                weight = weight.view(len(bias), -1, layer["size"], layer["size"])
                x = F.conv2d(x, weight, bias, layer["stride"], layer["padding"])
            case "scale":
                shape = (-1, *[1] * (x.ndim - 2))
                x = x * weight.view(shape) + bias.view(shape)
            case "leaky":
                x = F.leaky_relu(x, layer["slope"])
            case kind:
                x = {"gelu": F.gelu, "tanh": torch.tanh}[kind](x)
    return x.flatten(1)
