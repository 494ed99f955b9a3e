"""How likely two strokes continue each other: a small network's answer, and the exact one of `Contours`.

The widget computes the same in the page. How the network is trained is left to losses.
"""

from dataclasses import asdict

import numpy as np
import torch
from scipy.special import erf
from torch import nn

from hssl.widgets.mounting import as_numbers, decode, encode
from hssl.worlds.contours import Contours, Relations

FIELD = 64  # places along each side of the association field
ACTIVATIONS = {  # by the name of torch's module, in small letters
    "gelu": lambda x: x / 2 * (1 + erf(x / np.sqrt(2))),
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
}


def read_network(critic: nn.Sequential) -> dict:
    """Layers and activation of a network from 6 numbers to 1, as the page takes them.

    Raises:
        ValueError: it is not `Linear` layers with one kind of activation between, or its weights are not finite.

    >>> read_network(nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 1)))["activation"]
    'gelu'
    """
    modules = list(critic)
    linear, between = modules[::2], modules[1::2]
    kinds = {type(module).__name__.lower() for module in between}
    exact = all(getattr(module, "approximate", "none") == "none" for module in between)
    if (
        not exact
        or len(kinds) != 1
        or not kinds <= set(ACTIVATIONS)
        or {type(module) for module in linear} != {nn.Linear}
    ):
        raise ValueError(f"critic: wanted Linear layers with one of GELU (exact), ReLU, Tanh between, got {critic}")
    if len(linear) == len(between) or linear[0].in_features != 6 or linear[-1].out_features != 1:
        raise ValueError(f"critic: wanted 6 numbers in and 1 out, got {critic}")
    layers = []
    for module in linear:
        weight = as_numbers("critic", module.weight, 2, "(out, in)")
        bias = np.zeros(len(weight)) if module.bias is None else as_numbers("critic", module.bias, 1, "(out,)")
        layers.append({"weight": encode(weight, "<f4"), "bias": encode(bias, "<f4")})
    return {"layers": layers, "activation": kinds.pop()}


def settings_of(contours: Contours) -> dict[str, float]:
    """The numbers of a model of contours, with the sum of all in its ratio that does not depend on the strokes.

    >>> set(settings_of(Contours())) - set(asdict(Contours()))
    {'constant'}
    """
    settings = {name: float(value) for name, value in asdict(contours).items()}
    ratio = ideal_logits(settings, *np.array([[1.0], [0.0], [0.0]]))[0]
    peaks = _log_cosh(contours.kappa_bend) + _log_cosh(contours.kappa_turn)
    return settings | {"constant": float(ratio + contours.shape / contours.mean - peaks)}


def relate(first: np.ndarray, second: np.ndarray, settings: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance, azimuth φ and turn ψ of the second of two strokes in the frame of the first, shape (n,) each.

    Args:
        first, second: shape (n, 3): x and y of the middle, and the direction in radians.
        settings: the distance is taken as the nearest one between its "smallest" and its "largest".

    >>> first, second = np.array([[0.0, 0.0, 0.0]]), np.array([[0.0, 9.0, 1.0]])
    >>> [value.round(2).tolist() for value in relate(first, second, {"smallest": 0.5, "largest": 5.0})]
    [[5.0], [1.57], [1.0]]
    """
    x, y, turn = (second - first).T
    return np.clip(np.hypot(x, y), settings["smallest"], settings["largest"]), np.arctan2(y, x) - first[:, 2], turn


def learned_logits(data: dict, distance, azimuth, turn, contrasts=(0.0, 0.0)) -> np.ndarray:
    """Log-odds that pairs of strokes belong to one contour, by the network, shape (n,).

    >>> data = read_network(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1)))
    >>> learned_logits(data | {"rate": 1.0, "shift": 0.0, "floor": 1e-3}, *np.ones((3, 7))).shape
    (7,)
    """
    place = [distance * np.cos(azimuth), distance * np.sin(azimuth), np.cos(2 * turn), np.sin(2 * turn)]
    x = np.stack([*place, *(np.full_like(distance, contrast) for contrast in contrasts)], 1)
    for i, layer in enumerate(data["layers"]):
        bias = decode(layer["bias"], "<f4")
        x = (ACTIVATIONS[data["activation"]](x) if i else x) @ decode(layer["weight"], "<f4").reshape(len(bias), -1).T
        x = x + bias
    ratio = (np.exp(x[:, 0] + data["shift"]) - (1 - data["rate"])) / data["rate"]
    return np.log(np.maximum(ratio, data["floor"]))


def ideal_logits(settings: dict, distance, azimuth, turn, contrasts=(0.0, 0.0)) -> np.ndarray:
    """The same by the log-likelihood ratio of `Contours`, against strokes at uniform positions and orientations.

    >>> settings = settings_of(Contours())
    >>> ahead, beside = ideal_logits(settings, np.ones(2), np.array([0, np.pi / 2]), np.array([0, np.pi]))
    >>> bool(ahead > 0 > beside)
    True
    """
    model = Contours(**{name: settings[name] for name in Contours.__dataclass_fields__})
    fields = np.broadcast_arrays(distance, azimuth, turn, *contrasts)
    return model.log_likelihood_ratio(
        Relations(*(torch.tensor(field, dtype=torch.float64) for field in fields))
    ).numpy()


def both_logits(data: dict, distance, azimuth, turn, contrasts=(0.0, 0.0)) -> dict[str, np.ndarray]:
    """The "learned" and the "ideal" ones, shape (n,) each.

    >>> data = read_network(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1)))
    >>> data |= {"rate": 1.0, "shift": 0.0, "floor": 1e-3, "law": settings_of(Contours())}
    >>> {name: logits.shape for name, logits in both_logits(data, *np.ones((3, 7))).items()}
    {'learned': (7,), 'ideal': (7,)}
    """
    pairs = (distance, azimuth, turn, contrasts)
    return {"learned": learned_logits(data, *pairs), "ideal": ideal_logits(data["law"], *pairs)}


def association_fields(data: dict) -> dict[str, str]:
    """Probability that a stroke continues one at the origin, learned and ideal, as bytes for a square of places.

    At each place it is turned as a circle through both would have it (ψ = 2φ). Rows go from the lowest y up.

    >>> data = read_network(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1)))
    >>> fields = association_fields(data | {"rate": 1.0, "shift": 0.0, "floor": 1e-3, "law": settings_of(Contours())})
    >>> decode(fields["ideal"], "u1").shape == (FIELD**2,)
    True
    """
    far = data["law"]["largest"]
    at = ((np.arange(FIELD) + 0.5) / FIELD * 2 - 1) * far
    places = np.stack([*(grid.ravel() for grid in np.meshgrid(at, at)), np.zeros(FIELD**2)], 1)
    distance, azimuth, _ = relate(np.zeros_like(places), places, data["law"])
    inside = np.hypot(places[:, 0], places[:, 1]) <= far
    logits = both_logits(data, distance, azimuth, 2 * azimuth)
    return {name: encode(np.round(255 * inside / (1 + np.exp(-logit))), "u1") for name, logit in logits.items()}


def _log_cosh(x: np.ndarray | float) -> np.ndarray | float:
    return np.logaddexp(x, -x) - np.log(2)
