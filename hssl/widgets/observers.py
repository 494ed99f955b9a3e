"""How likely two strokes continue each other: a small network's answer, and the exact one of a law of contours.

The widget computes the same in the page. How the network is trained is left to losses.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import expit, gammaln, i0e, softmax
from scipy.stats import gamma
from torch import nn

from hssl.widgets.networks import pack, run

LAW = ("kappa_bend", "kappa_turn", "shape", "mean", "smallest", "largest", "correlation")
FIELD = 64  # places along each side of the association field
Matchings = Sequence[Sequence[tuple[int, int]]]  # each a set of pairs that continue each other


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


def complete_law(law: dict[str, float]) -> dict[str, float]:
    """The numbers of a law of contours, checked, with the sum of all that does not depend on the strokes.

    Raises:
        ValueError: a number is missing, unknown or out of range.

    >>> law = dict(kappa_bend=8, kappa_turn=8, shape=2, mean=1.5, smallest=0.5, largest=5, correlation=0.6)
    >>> set(complete_law(law)) - set(law)
    {'constant'}
    """
    if set(law) != set(LAW):
        raise ValueError(f"law: wanted {', '.join(LAW)}, got {', '.join(law)}")
    law = {name: float(law[name]) for name in LAW}
    if not (all(0 < law[name] < np.inf for name in LAW[:-1]) and abs(law["correlation"]) < 1):
        raise ValueError(f"law: wanted numbers > 0, and a correlation between -1 and 1, got {law}")
    near, far, shape, scale = law["smallest"], law["largest"], law["shape"], law["mean"] / law["shape"]
    if near >= far:
        raise ValueError(f"law: wanted smallest < largest, got {near} and {far}")
    kept = np.diff(gamma.cdf([near, far], shape, scale=scale))[0]
    distance = np.log((far**2 - near**2) / 2) - shape * np.log(scale) - gammaln(shape) - np.log(kept)
    angles = sum(np.log(i0e(law[name])) + law[name] for name in ("kappa_bend", "kappa_turn"))
    contrasts = np.log(1 - law["correlation"] ** 2) / 2
    return law | {"constant": float(distance - angles - contrasts)}


def relate(first: np.ndarray, second: np.ndarray, law: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance, azimuth φ and turn ψ of the second of two strokes in the frame of the first, shape (n,) each.

    Args:
        first, second: shape (n, 3): x and y of the middle, and the direction in radians.
        law: the distance is taken as the nearest one between its "smallest" and its "largest".

    >>> first, second = np.array([[0.0, 0.0, 0.0]]), np.array([[0.0, 9.0, 1.0]])
    >>> [value.round(2).tolist() for value in relate(first, second, {"smallest": 0.5, "largest": 5.0})]
    [[5.0], [1.57], [1.0]]
    """
    x, y, turn = (second - first).T
    return np.clip(np.hypot(x, y), law["smallest"], law["largest"]), np.arctan2(y, x) - first[:, 2], turn


def learned_logits(data: dict, distance, azimuth, turn, contrasts=(0.0, 0.0)) -> np.ndarray:
    """Log-odds that pairs of strokes belong to one contour, by the network, shape (n,).

    >>> data = {"critic": read_critic(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1)))}
    >>> learned_logits(data | {"rate": 1.0, "shift": 0.0, "floor": 1e-3}, *np.ones((3, 7))).shape
    (7,)
    """
    place = [distance * np.cos(azimuth), distance * np.sin(azimuth), np.cos(2 * turn), np.sin(2 * turn)]
    x = np.stack([*place, *(np.full_like(distance, contrast) for contrast in contrasts)], 1)
    ratio = (np.exp(run(data["critic"], x)[:, 0] + data["shift"]) - (1 - data["rate"])) / data["rate"]
    return np.log(np.maximum(ratio, data["floor"]))


def ideal_logits(law: dict, distance, azimuth, turn, contrasts=(0.0, 0.0)) -> np.ndarray:
    """The same by the law's log-likelihood ratio, against strokes at uniform positions and orientations.

    >>> law = dict(kappa_bend=8, kappa_turn=8, shape=2, mean=1.5, smallest=0.5, largest=5, correlation=0.6)
    >>> ahead, beside = ideal_logits(complete_law(law), np.ones(2), np.array([0, np.pi / 2]), np.array([0, np.pi]))
    >>> bool(ahead > 0 > beside)
    True
    """
    r, (first, second) = law["correlation"], contrasts
    far = (law["shape"] - 2) * np.log(distance) - distance * law["shape"] / law["mean"]
    bend = _log_cosh(law["kappa_bend"] * np.cos(azimuth)) + _log_cosh(law["kappa_turn"] * np.cos(turn - 2 * azimuth))
    light = (2 * r * first * second - r**2 * (first**2 + second**2)) / (2 * (1 - r**2))
    return far + bend + light + law["constant"]


def both_logits(data: dict, distance, azimuth, turn, contrasts=(0.0, 0.0)) -> dict[str, np.ndarray]:
    """The "learned" and the "ideal" ones, shape (n,) each.

    >>> law = dict(kappa_bend=8, kappa_turn=8, shape=2, mean=1.5, smallest=0.5, largest=5, correlation=0.6)
    >>> data = {"critic": read_critic(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1)))}
    >>> data |= {"rate": 1.0, "shift": 0.0, "floor": 1e-3, "law": complete_law(law)}
    >>> {name: logits.shape for name, logits in both_logits(data, *np.ones((3, 7))).items()}
    {'learned': (7,), 'ideal': (7,)}
    """
    pairs = (distance, azimuth, turn, contrasts)
    return {"learned": learned_logits(data, *pairs), "ideal": ideal_logits(data["law"], *pairs)}


def association_field(data: dict, turn: float, contrasts=(0.0, 0.0)) -> np.ndarray:
    """Probability, as learned, that a stroke at each place continues one at the origin, shape (FIELD, FIELD).

    It has this turn and these contrasts at every place. Rows go from the lowest y up; beyond the largest distance of
    the law there is 0.

    >>> law = dict(kappa_bend=8, kappa_turn=8, shape=2, mean=1.5, smallest=0.5, largest=5, correlation=0.6)
    >>> data = {"critic": read_critic(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1)))}
    >>> association_field(data | {"rate": 1.0, "shift": 0.0, "floor": 1e-3, "law": complete_law(law)}, 0.3).shape
    (64, 64)
    """
    far = data["law"]["largest"]
    at = ((np.arange(FIELD) + 0.5) / FIELD * 2 - 1) * far
    places = np.stack([*(grid.ravel() for grid in np.meshgrid(at, at)), np.full(FIELD**2, turn)], 1)
    between = relate(np.zeros_like(places), places, data["law"])
    inside = np.hypot(places[:, 0], places[:, 1]) <= far
    return (inside * expit(learned_logits(data, *between, contrasts))).reshape(FIELD, FIELD)


def weigh(logits: Mapping[tuple[int, int], float], hypotheses: Mapping[str, Matchings]) -> dict[str, float]:
    """Probability of each hypothesis about several strokes, by the log-odds of their pairs.

    A matching says which strokes continue each other; it weighs exp(sum of its pairs' log-odds), an empty one 1. All
    matchings are equally likely beforehand, and a hypothesis is one or more of them.

    >>> weigh({(0, 1): np.log(3)}, {"one line": [[(0, 1)]], "two": [[]]})
    {'one line': 0.75, 'two': 0.25}
    """
    sums = [[sum(logits[pair] for pair in matching) for matching in of] for of in hypotheses.values()]
    weights = iter(softmax([total for of in sums for total in of]))
    return {name: float(sum(next(weights) for _ in of)) for name, of in hypotheses.items()}


def _log_cosh(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(x, -x) - np.log(2)
