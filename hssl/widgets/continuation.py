"""Drag two strokes, or four arms: how likely they continue each other, as learned and as an ideal observer has it.

What both observers compute stands in `observers`; the page does the same.
"""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import scipy
import traitlets
from PIL import Image, ImageDraw
from torch import nn

from hssl.calibration import FLOOR
from hssl.checks import Finite, checked
from hssl.widgets import observers
from hssl.widgets.mounting import Widget, check_texts, isolated, module
from hssl.widgets.observers import Matchings
from hssl.worlds.contours import Contours

LENGTH = 0.9  # of a stroke, in the model's units
MOST = 10  # contrast of a stroke, in standard deviations
VIEWS = {"strokes": 4.0, "arms": 2.4}  # from the middle of the frame to its edge, in the model's units
#: What four arms may be: by name, the matchings that say which arms continue each other.
HYPOTHESES = {
    "two crossing lines": [[(0, 2), (1, 3)]],
    "two bends that meet": [[(0, 1), (2, 3)], [(0, 3), (1, 2)]],
    "one line, two that end there": [[pair] for pair in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))],
    "four lines that end there": [[]],
}
POINTS = {
    "strokes": [[-1.35, -0.55], [-0.45, -0.55], [0.7, 0.0], [1.35, 0.62]],
    "arms": [[1.28, 0.43], [0.43, 1.28], [-1.28, -0.43], [-0.43, -1.28]],
}
WARM = (213, 94, 0)  # the colour of a probability of one


class Continuation(Widget):
    """Drag two strokes, or four arms, and read how likely they continue each other, as learned and ideally.

    The critic F sees (dx, dy, cos 2ψ, sin 2ψ, b₁, b₂): where the second stroke's middle lies in the frame of the first,
    which points from its first end to its second, how the second is turned against it, and both contrasts. Its
    logit is log((exp(F + shift) − (1 − rate)) / rate), held above `calibration.FLOOR`; the ideal observer's is the
    model's log-likelihood ratio. A distance beyond the model's range is taken as the nearest within, for both. Two
    strokes belong together with probability sigmoid(logit). The field behind the first stroke is this probability
    wherever the second might lie, turned and as bright as it is. Of the four arms' matchings, each weighs exp(sum of
    its logits).

    Args:
        critic: from 6 numbers to 1, of layers that `widgets.networks.pack` knows.
        contours: the model of the ideal observer.
        rate: fraction ρ of pairs of one contour among the critic's positives, in (0, 1].
        shift: what is added to F, nats.
        hypotheses: what four arms may be: by name, matchings, each a list of pairs of arms (0 to 3) that continue each
            other; an arm is in one pair at most. All matchings are equally likely beforehand. None: `HYPOTHESES`.
    Raises:
        ValueError: another kind of network, rate or shift out of range, a hypothesis that pairs an arm twice, or more
            than `SIZE_LIMIT` bytes in all.

    Python may observe and set `mode` ("strokes" or "arms"), `points` (for either mode four ends [x, y]; an arm points
    away from the middle and has its stroke's length) and `contrasts` of the two strokes. Anything else raises a
    `traitlets.TraitError`.

    >>> widget = Continuation(nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 1)), Contours(), rate=0.5)
    >>> widget.points = widget.points | {"strokes": [[-2, 0], [-1, 0], [0, 0], [1, 0]]}  # one behind the other
    >>> widget.probabilities()["ideal"] > 0.9
    True
    """

    _esm = module("page.js", "network.js", "observers.js", "continuation.js")
    _state = ("data", "mode", "points", "contrasts")
    _advice = "take a narrower critic, or fewer layers"

    mode = traitlets.Enum(list(POINTS), default_value="strokes", help="what is dragged").tag(sync=True)
    points = traitlets.Dict(help="four ends for either mode").tag(sync=True)
    contrasts = traitlets.List(help="of both strokes, in standard deviations").tag(sync=True)

    @checked
    def __init__(
        self,
        critic: nn.Module,
        contours: Contours,
        *,
        rate: float = 1,
        shift: Finite = 0,
        hypotheses: Mapping[str, Matchings] | None = None,
    ):
        super().__init__(points=POINTS, contrasts=[0.0, 0.0])
        self._hypotheses = _check_hypotheses(HYPOTHESES if hypotheses is None else hypotheses)
        self.update(critic, contours, rate=rate, shift=shift)

    @checked
    def update(self, critic: nn.Module, contours: Contours, *, rate: float = 1, shift: Finite = 0) -> None:
        """Show another critic, say one that has just been trained; strokes stay where they are. See the class."""
        if not 0 < rate <= 1:
            raise ValueError(f"rate: wanted 0 < rate ≤ 1, got {rate}")
        data = {"rate": float(rate), "shift": float(shift), "floor": float(np.exp(FLOOR))}
        data |= {"critic": observers.read_critic(critic), "contours": observers.settings_of(contours)}
        hypotheses = [{"name": name, "matchings": of} for name, of in self._hypotheses.items()]
        self._replace_data(data | {"length": LENGTH, "views": VIEWS, "hypotheses": hypotheses})

    def probabilities(self) -> dict[str, float]:
        """What the page shows: "learned", "ideal" and their "difference", learned − ideal.

        Of two strokes that they belong to one contour, with even odds beforehand; of four arms the first hypothesis.
        """
        if self.mode == "arms":
            found = dict(next(iter(self.hypotheses().values())))
        else:
            found = {
                name: float(scipy.special.expit(logits[0]))
                for name, logits in self._logits([(0, 1)], self.contrasts).items()
            }
        return found | {"difference": found["learned"] - found["ideal"]}

    def hypotheses(self) -> dict[str, dict[str, float]]:
        """Of the four arms, as they lie now in the mode "arms": by hypothesis, its "learned" and "ideal" probability.

        Raises:
            ValueError: the mode is "strokes".
        """
        if self.mode != "arms":
            raise ValueError(f"mode: wanted 'arms', got {self.mode!r}")
        pairs = list(combinations(range(4), 2))
        logits = {name: dict(zip(pairs, of, strict=True)) for name, of in self._logits(pairs, (0.0, 0.0)).items()}
        found = {name: observers.weigh(of, self._hypotheses) for name, of in logits.items()}
        return {name: {observer: of[name] for observer, of in found.items()} for name in self._hypotheses}

    def _logits(self, pairs: list[tuple[int, int]], contrasts) -> dict[str, np.ndarray]:
        """Log-odds of pairs of strokes, or of arms, by observer."""
        first, second = np.array(pairs).T
        strokes = self._strokes()
        between = observers.relate(strokes[first], strokes[second], self.data["contours"])
        return observers.both_logits(self.data, *between, contrasts)

    @traitlets.validate("points")
    def _check_points(self, proposal):
        points = proposal["value"]
        try:
            ends = {mode: np.array(points[mode], float) for mode in VIEWS}
        except (KeyError, OverflowError, TypeError, ValueError):
            ends = {}
        fits = bool(ends) and all(ends[mode].shape == (4, 2) for mode in VIEWS)
        fits = fits and all((np.abs(ends[mode]) <= VIEWS[mode]).all() for mode in VIEWS)
        fits = fits and (np.hypot(*(ends["strokes"][1::2] - ends["strokes"][::2]).T) > 0).all()
        if not fits or (np.hypot(*ends["arms"].T) < LENGTH).any():
            raise traitlets.TraitError(f"points: wanted four ends in view for each of {list(VIEWS)}, got {points}")
        return {mode: of.tolist() for mode, of in ends.items()}

    @traitlets.validate("contrasts")
    def _check_contrasts(self, proposal):
        contrasts = proposal["value"]
        if len(contrasts) != 2 or not all(isinstance(c, int | float) and abs(c) <= MOST for c in contrasts):
            raise traitlets.TraitError(f"contrasts: wanted two numbers from −{MOST} to {MOST}, got {contrasts}")
        return [float(contrast) for contrast in contrasts]

    def _strokes(self) -> np.ndarray:
        """Middle (x, y) and direction of each stroke, shape (2, 3), or of each arm, shape (4, 3)."""
        ends = np.array(self.points[self.mode], float)
        if self.mode == "arms":
            starts = ends * (1 - LENGTH / np.hypot(*ends.T))[:, None]
        else:
            starts, ends = ends[::2], ends[1::2]
        along = ends - starts
        return np.column_stack([(starts + ends) / 2, np.arctan2(along[:, 1], along[:, 0])])

    def _picture(self) -> Image.Image:
        """Strokes or arms, and the learned field behind the first stroke."""
        side, view, strokes = 320, VIEWS[self.mode], self._strokes()
        at = ((np.arange(side) + 0.5) / side * 2 - 1) * view
        x, y = np.meshgrid(at - strokes[0, 0], -at - strokes[0, 1])
        cos, sin = np.cos(strokes[0, 2]), np.sin(strokes[0, 2])
        place = np.stack([y * cos - x * sin, x * cos + y * sin]) / self.data["contours"]["largest"]
        row, column = np.clip((place + 1) / 2 * observers.FIELD, 0, observers.FIELD - 1).astype(int)
        field = np.zeros((observers.FIELD, observers.FIELD))
        if self.mode == "strokes":
            field = observers.association_field(self.data, strokes[1, 2] - strokes[0, 2], self.contrasts)
        share = 0.8 * field[row, column, None]
        still = Image.fromarray(np.uint8(255 * (1 - share) + np.array(WARM) * share))
        for x, y, angle in strokes:
            half = LENGTH / 2 * np.array([np.cos(angle), np.sin(angle)])
            line = [tuple(((x, y) + sign * half) * (1, -1) * side / (2 * view) + side / 2) for sign in (-1, 1)]
            ImageDraw.Draw(still).line(line, fill="black", width=5)
        return still

    def _words(self) -> str:
        if self.mode == "arms":
            found = (
                f"{isolated(name)} {of['learned']:.2f} ({of['ideal']:.2f})" for name, of in self.hypotheses().items()
            )
            return f"Four arms, and how probable it is, learned (ideal), that they are: {', '.join(found)}"
        found = self.probabilities()
        numbers = f"{found['learned']:.2f} (learned), {found['ideal']:.2f} (ideal)"
        return f"Two strokes: they belong to one contour, with probability {numbers}"


def _check_hypotheses(hypotheses: Mapping[str, Matchings]) -> dict[str, list[list[tuple[int, int]]]]:
    """They with each pair in order; a ValueError where they are none, or pair an arm twice."""
    checked = {}
    check_texts("hypotheses", hypotheses)
    for name, matchings in hypotheses.items():
        checked[name] = [[(min(pair), max(pair)) for pair in matching] for matching in matchings]
        arms = [sorted(arm for pair in matching for arm in pair) for matching in checked[name]]
        if not arms or any(len(set(of)) != len(of) or not set(of) <= set(range(4)) for of in arms):
            raise ValueError(f"hypotheses[{name!r}]: wanted matchings of the arms 0 to 3, got {matchings}")
    if not checked:
        raise ValueError("hypotheses: wanted at least one")
    return checked
