"""Choose a patch of an icon on either side of its slash, and read how likely one stroke continues beneath it."""

from collections.abc import Sequence

import numpy as np
import scipy
import traitlets
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor, nn

from hssl.checks import Count, Finite, checked
from hssl.widgets.grids import as_picture
from hssl.widgets.mounting import Widget, as_numbers, check_texts, data_url, encode, isolated, module
from hssl.widgets.networks import pack, run

SIDES = ("first", "second")
STILL = 240  # pixels, longer side of the still picture


class AcrossSlash(Widget):
    """Choose a patch on either side of an icon's slash; a critic and an exact model say whether one stroke continues.

    The critic is F = judge([embed(x), embed(y), Δ, sin(waves · Δ), cos(waves · Δ)]), with x and y the two patches and
    Δ = (Δx, Δy) from the first centre to the second, in windows; sines and cosines of Δx come before those of Δy. The
    probability is sigmoid(slope · F + offset).

    Args:
        ink: what the patches are cut from, shape (height, width), from 0 to 1, 1 is ink; or shape (2, height, width),
            where patches on the first side are cut from the first image and those on the second from the second.
        first, second: centres of the patches on either side, shape (m, 2) and (n, 2), x and y in pixels of `ink`.
        window: side length of a patch, in pixels of `ink`.
        embed: from a patch, shape (1, window, window) or flattened, to its embedding. judge: from both and Δ to F.
        turned: the critic is given the second patch turned by a half, so that both come from the same side.
        waves: frequencies of the sines and cosines; none for a critic that is given Δ alone.
        logit: (slope, offset), as calibrated.
        exact: by pair, shape (m, n), the probability of an exact model. None: there is none.
        shown: the icon as it is seen, say with its slash, in the same frame at any resolution. None: `ink`.
        alt: what the icon shows, for those who cannot see it.
    Raises:
        ValueError: a wrong shape or range, centres whose patch is not within the image, networks that do not fit, or
            more than `SIZE_LIMIT` bytes in all.

    Python may observe and set `first` and `second`, the numbers of the chosen patches, from 0. Anything else raises a
    `traitlets.TraitError`.

    >>> ink, embed, judge = np.eye(16), nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), nn.Linear(6 + 2 + 12, 1)
    >>> widget = AcrossSlash(ink, [[4, 4]], [[12, 12], [12, 4]], window=8, embed=embed, judge=judge, alt="a line")
    >>> widget.second = 1
    >>> widget.probabilities().shape
    (1, 2)
    """

    _esm = module("page.js", "network.js", "across_slash.js")
    _state = ("data", "first", "second")
    _advice = "take narrower networks"

    first = traitlets.Int(help="number of the chosen patch on the first side").tag(sync=True)
    second = traitlets.Int(help="number of the chosen patch on the second side").tag(sync=True)

    @checked
    def __init__(
        self,
        ink: Float[np.ndarray, "*sides height width"] | Float[Tensor, "*sides height width"],
        first: Sequence | np.ndarray | Tensor,
        second: Sequence | np.ndarray | Tensor,
        *,
        window: Count,
        embed: nn.Module,
        judge: nn.Module,
        turned: bool = False,
        waves: Sequence[float] = (1.0, 2.0, 4.0),
        logit: tuple[Finite, Finite] = (1.0, 0.0),
        exact: Sequence | np.ndarray | Tensor | None = None,
        shown: np.ndarray | Tensor | None = None,
        alt: str,
    ):
        super().__init__()
        check_texts("alt", [alt], empty=True)
        inks = ink if ink.ndim == 3 else [ink, ink]
        if len(inks) != 2 or ink.ndim > 3:
            raise ValueError(f"ink: wanted shape (height, width) or (2, height, width), got {tuple(ink.shape)}")
        self._ink = np.stack([np.asarray(as_picture("ink", of).convert("L")) for of in inks])
        seen = self._ink.max(0) / 255 if shown is None else shown
        self._shown = as_picture("shown", 1 - as_numbers("shown", seen, 2, "(height, width)"))
        _, height, width = self._ink.shape
        sides = {}
        for name, centres in zip(SIDES, (first, second), strict=True):
            centres = as_numbers(name, centres, 2, "(patches, 2)")
            corners = np.floor(centres - window / 2 + 0.5).astype(int)
            if centres.shape[1] != 2 or (corners < 0).any() or (corners + window > [width, height]).any():
                raise ValueError(f"{name}: wanted centres (x, y) of windows within the image, got {centres.tolist()}")
            sides[name] = {"centres": centres.tolist(), "corners": corners.tolist()}
        data = {"alt": alt, "url": data_url(self._shown), "sides": sides}
        data["ink"] = [encode(of, "u1") for of in (self._ink if ink.ndim == 3 else self._ink[:1])]
        data |= {"width": width, "height": height, "window": window, "turned": turned}
        data |= {"waves": list(waves), "logit": list(logit)}
        data |= {"embed": pack(embed, dtype="<f2", name="embed"), "judge": pack(judge, dtype="<f2", name="judge")}
        data["exact"] = None if exact is None else self._check_exact(exact, sides)
        self._check_networks(data)
        self._replace_data(data)

    def probabilities(self) -> np.ndarray:
        """That one stroke continues, for every pair of patches, shape (m, n), as the page computes it."""
        return _probabilities(self.data, self._ink)

    @traitlets.validate(*SIDES)
    def _check_choice(self, proposal):
        name, value = proposal["trait"].name, proposal["value"]
        if self.data and not 0 <= value < len(self.data["sides"][name]["centres"]):
            most = len(self.data["sides"][name]["centres"]) - 1
            raise traitlets.TraitError(f"{name}: wanted 0 to {most}, got {value}")
        return int(value)

    def _check_networks(self, data: dict) -> None:
        try:
            fits = _probabilities(data, self._ink).ndim == 2
        except (RuntimeError, ValueError):
            fits = False
        if not fits:
            n = 2 + 4 * len(data["waves"])
            raise ValueError(f"embed, judge: wanted networks from a patch to k numbers, and from 2 k + {n} to 1")

    @staticmethod
    def _check_exact(exact, sides: dict) -> list[list[float]]:
        exact = as_numbers("exact", exact, 2, "(first, second)")
        shape = tuple(len(sides[name]["centres"]) for name in SIDES)
        if exact.shape != shape or exact.min() < 0 or exact.max() > 1:
            raise ValueError(f"exact: wanted probabilities of shape {shape}, got shape {exact.shape}")
        return exact.round(4).tolist()

    def _picture(self) -> Image.Image:
        scale = STILL / max(self.data["width"], self.data["height"])
        still = self._shown.resize((round(self.data["width"] * scale), round(self.data["height"] * scale)))
        sides, pen = self.data["sides"], ImageDraw.Draw(still)
        chosen = [sides[name]["corners"][getattr(self, name)] for name in SIDES]
        for x, y in chosen:
            frame = np.round([x, y, x + self.data["window"], y + self.data["window"]])
            pen.rectangle(tuple(frame * scale), outline="#0072b2", width=3)
        centres = [sides[name]["centres"][getattr(self, name)] for name in SIDES]
        pen.line([tuple(np.array(centre) * scale) for centre in centres], fill="#d55e00", width=3)
        return still

    def _words(self) -> str:
        data, pair = self.data, (self.first, self.second)
        words = (
            f"{isolated(data['alt'])}: probability that one stroke continues, learned {self.probabilities()[pair]:.2f}"
        )
        return words if data["exact"] is None else f"{words}, exact {data['exact'][pair[0]][pair[1]]:.2f}"


def _probabilities(data: dict, ink: np.ndarray) -> np.ndarray:
    embedded, centres = [], []
    for name, seen in zip(SIDES, ink, strict=True):
        corners, window = data["sides"][name]["corners"], data["window"]
        patches = [seen[None, y : y + window, x : x + window] / 255 for x, y in corners]
        turned = np.flip if data["turned"] and name == "second" else np.asarray
        embedded.append(run(data["embed"], np.stack([turned(patch) for patch in patches])))
        centres.append(np.array(data["sides"][name]["centres"]))
    offset = (centres[1][None] - centres[0][:, None]) / data["window"]  # (m, n, 2)
    angles = (offset[..., None] * np.array(data["waves"])).reshape(*offset.shape[:2], -1)
    m, n, _ = offset.shape
    rows = [
        np.repeat(embedded[0][:, None], n, 1),
        np.repeat(embedded[1][None], m, 0),
        offset,
        np.sin(angles),
        np.cos(angles),
    ]
    slope, shift = data["logit"]
    return scipy.special.expit(
        slope * run(data["judge"], np.concatenate(rows, 2).reshape(m * n, -1)).reshape(m, n) + shift
    )
