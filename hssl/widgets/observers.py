"""How likely two strokes continue each other: a small network's answer, and the exact one of `Contours`.

The widget computes the same in the page. How the network is trained is left to losses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated

import numpy as np
import scipy
import torch
from beartype.vale import Is
from jaxtyping import Float, Real
from torch import nn

from hssl.checks import WORDS, ArgumentError, Finite, explained
from hssl.widgets.networks import pack, run
from hssl.worlds.contours import Contours, Relations

FIELD = 64  # places along each side of the association field
Numbers = Real[np.ndarray, " n"]
Two = Annotated[Sequence[float], Is[lambda values: len(values) == 2]]
WORDS[Two] = "two numbers"
Matchings = Sequence[Sequence[tuple[int, int]]]  # each a set of pairs that continue each other


@explained
def read_critic(critic: nn.Module) -> dict:
    """A network from 6 numbers to 1, as the page takes it.

    Raises:
        ValueError: a layer that the page cannot run, weights that are not finite, or other widths.

    >>> read_critic(nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 1)))["layers"][1]
    {'kind': 'gelu'}
    """
    packed = pack(critic, name="critic")
    try:
        fits = run(packed, np.zeros((1, 6))).shape == (1, 1)
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(f"critic: wanted 6 numbers in and 1 out, got {critic}")
    return packed


@explained
def settings_of(contours: Contours) -> dict[str, float]:
    """The numbers of a model of contours, with the sum of all in its ratio that does not depend on the strokes.

    >>> set(settings_of(Contours())) - set(asdict(Contours()))
    {'constant'}
    """
    settings = {name: float(value) for name, value in asdict(contours).items()}
    ratio = ideal_logits(settings, *np.array([[1.0], [0.0], [0.0]]))[0]
    peaks = _log_cosh(contours.kappa_bend) + _log_cosh(contours.kappa_turn)
    return settings | {"constant": float(ratio + contours.shape / contours.mean - peaks)}


@explained
def relate(
    first: Float[np.ndarray, "n 3"], second: Float[np.ndarray, "n 3"], settings: Mapping[str, float]
) -> tuple[Numbers, Numbers, Numbers]:
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


@explained
def learned_logits(
    data: dict, distance: Numbers, azimuth: Numbers, turn: Numbers, contrasts: Two = (0.0, 0.0)
) -> Numbers:
    """Log-odds that pairs of strokes belong to one contour, by the network, shape (n,).

    >>> data = {"critic": read_critic(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1)))}
    >>> learned_logits(data | {"rate": 1.0, "shift": 0.0, "floor": 1e-3}, *np.ones((3, 7))).shape
    (7,)
    """
    place = [distance * np.cos(azimuth), distance * np.sin(azimuth), np.cos(2 * turn), np.sin(2 * turn)]
    x = np.stack([*place, *(np.full_like(distance, contrast) for contrast in contrasts)], 1)
    ratio = (np.exp(run(data["critic"], x)[:, 0] + data["shift"]) - (1 - data["rate"])) / data["rate"]
    return np.log(np.maximum(ratio, data["floor"]))


@explained
def ideal_logits(
    settings: Mapping[str, float], distance: Numbers, azimuth: Numbers, turn: Numbers, contrasts: Two = (0.0, 0.0)
) -> Numbers:
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


@explained
def both_logits(
    data: dict, distance: Numbers, azimuth: Numbers, turn: Numbers, contrasts: Two = (0.0, 0.0)
) -> dict[str, Numbers]:
    """The "learned" and the "ideal" ones, shape (n,) each.

    >>> data = {"critic": read_critic(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1)))}
    >>> data |= {"rate": 1.0, "shift": 0.0, "floor": 1e-3, "contours": settings_of(Contours())}
    >>> {name: logits.shape for name, logits in both_logits(data, *np.ones((3, 7))).items()}
    {'learned': (7,), 'ideal': (7,)}
    """
    pairs = (distance, azimuth, turn, contrasts)
    return {"learned": learned_logits(data, *pairs), "ideal": ideal_logits(data["contours"], *pairs)}


@explained
def association_field(data: dict, turn: Finite, contrasts: Two = (0.0, 0.0)) -> Float[np.ndarray, "rows cols"]:
    """Probability, as learned, that a stroke at each place continues one at the origin, shape (FIELD, FIELD).

    It has this turn and these contrasts at every place. Rows go from the lowest y up; beyond the largest distance of
    the model there is 0.

    >>> data = {"critic": read_critic(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1)))}
    >>> data |= {"rate": 1.0, "shift": 0.0, "floor": 1e-3, "contours": settings_of(Contours())}
    >>> association_field(data, 0.3).shape
    (64, 64)
    """
    far = data["contours"]["largest"]
    at = ((np.arange(FIELD) + 0.5) / FIELD * 2 - 1) * far
    places = np.stack([*(grid.ravel() for grid in np.meshgrid(at, at)), np.full(FIELD**2, turn)], 1)
    between = relate(np.zeros_like(places), places, data["contours"])
    inside = np.hypot(places[:, 0], places[:, 1]) <= far
    return (inside * scipy.special.expit(learned_logits(data, *between, contrasts))).reshape(FIELD, FIELD)


@explained
def weigh(logits: Mapping[tuple[int, int], float], hypotheses: Mapping[str, Matchings]) -> dict[str, float]:
    """Probability of each hypothesis about several strokes, by the log-odds of their pairs.

    A matching says which strokes continue each other; it weighs exp(sum of its pairs' log-odds), an empty one 1. All
    matchings are equally likely beforehand, and a hypothesis is one or more of them.

    >>> weigh({(0, 1): np.log(3)}, {"one line": [[(0, 1)]], "two": [[]]})
    {'one line': 0.75, 'two': 0.25}
    """
    if not hypotheses or not all(hypotheses.values()):
        raise ArgumentError(f"hypotheses: wanted at least one, of one matching or more, got {hypotheses}")
    sums = [[sum(logits[pair] for pair in matching) for matching in of] for of in hypotheses.values()]
    weights = iter(scipy.special.softmax([total for of in sums for total in of]))
    return {name: float(sum(next(weights) for _ in of)) for name, of in hypotheses.items()}


def _log_cosh(x: np.ndarray | float) -> np.ndarray | float:
    return np.logaddexp(x, -x) - np.log(2)
