"""Pin two patches of a picture: all light up by their similarity to the first, one panel a window size.

What is computed stands in `grids`; the page does the same.
"""

import itertools
import operator
from collections.abc import Collection, Mapping

import numpy as np
import scipy
import traitlets
from PIL import Image, ImageDraw

from hssl.checks import Count, Whole, checked
from hssl.encoders import ConvNet
from hssl.widgets.grids import as_grid, as_picture, as_scale, check_names, cosines, draw_map, locate
from hssl.widgets.mounting import Widget, as_numbers, check_texts, data_url, decode, isolated, module
from hssl.widgets.networks import pack

STILL = 200  # pixels, longer side of each panel in the still picture
TILE = 96  # pixels, longer side of what is seen there of another image
OWN = "your own picture"  # what the page calls the reader's
AROUND = 3, 0.2  # that is so many windows a side, or more: such a share of the image


class PatchSimilarity(Widget):
    """Pin two patches by click, touch or arrow keys; every patch lights up by its similarity to the first.

    Both stand side by side, enlarged, with their number at every window size.

    Args:
        images: by name, shape (height, width, 3) or (height, width), uint8 or floating-point numbers in [0, 1].
        vectors: by name of the image, then by window size ("16 px"), shape (rows, columns, dim): an embedding a
            patch; the patches tile the image. They are sent as 8-bit numbers, each scaled by itself, since the cosine
            knows no length.
        logits: by window size, (slope, offset): P = sigmoid(slope · cosine + offset), as fitted on images that the
            encoder has not seen (`hssl.calibration`). None: there is a similarity, and no probability.
        probability_of: what the probability is of, in words.
        networks: by window size, the encoder of the vectors. The reader's own picture, chosen or dropped, is embedded
            by them in the page, at those window sizes; it is sent nowhere. None: no picture is asked for.
        held_out: images that the encoder has not seen; if there are any, all are marked as held out or seen.
        alt: by name of the image, what it shows, for those who cannot see it. Its name where there is none.
        image_size: longer side of the pictures that are sent, in pixels; larger ones are reduced.
        across: how many patches of the other images to show below: those most similar to the first patch, and more so
            than those around them.
        limit: bytes of HTML that it may weigh; None means `SIZE_LIMIT`.
    Raises:
        ValueError: no image, a wrong shape, values that are not finite, names or window sizes that differ, a network
            that the page cannot run, or more bytes than `limit`; a single image to search across, or vectors of one
            window size whose lengths differ.

    Python may observe and set `selection`, {"image", "level", "row", "column"} of the first patch, with rows and
    columns from 0; where "second", [row, column], is missing, the second patch is the most similar one. And `measure`,
    "cosine" or "probability". Anything else raises a `traitlets.TraitError`. Of the reader's own picture only the page
    knows.

    >>> images = {"stripes": torch.eye(8)}
    >>> widget = PatchSimilarity(images, {"stripes": {"4 px": torch.eye(4).view(2, 2, 4)}})
    >>> widget.selection = {"image": "stripes", "level": "4 px", "row": 0, "column": 1}
    >>> widget.values("4 px").tolist()  # cosines of orthogonal vectors
    [[0.0, 1.0], [0.0, 0.0]]
    """

    _esm = module("page.js", "network.js", "patch_similarity.js")
    _state = ("data", "selection", "measure")
    _advice = "show fewer images, smaller ones (image_size), fewer window sizes, patches, dimensions or networks"

    selection = traitlets.Dict(help="image, level, row and column of the first patch, and the second").tag(sync=True)
    measure = traitlets.Unicode("cosine", help="what lights the patches up").tag(sync=True)

    @checked
    def __init__(
        self,
        images: dict,
        vectors: dict,
        *,
        logits: dict | None = None,
        probability_of: str = "one boundary",
        networks: Mapping[str, ConvNet] | None = None,
        held_out: Collection[str] = (),
        alt: dict | None = None,
        image_size: Count = 320,
        across: Whole = 0,
        limit: Count | None = None,
    ):
        if not images:
            raise ValueError("images: wanted at least one")
        check_texts("images", images)
        if OWN in images:
            raise ValueError(f"images: wanted another name than {OWN!r}, which is the reader's")
        check_texts("alt", (alt or {}).values(), empty=True)
        check_texts("probability_of", [probability_of])
        if image_size < 16:
            raise ValueError(f"image_size: wanted at least 16 pixels, got {image_size}")
        if not set(held_out) <= set(images):
            raise ValueError(f"held_out: wanted some of {list(images)}, got {list(held_out)}")
        if across and len(images) < 2:
            raise ValueError("across: wanted at least two images to search across, got one")
        self._across, self._limit = across, limit
        self._shown = {name: as_picture(f"images[{name!r}]", image) for name, image in images.items()}
        self._alt, self._of = alt or {}, probability_of
        self._note = {name: "held out" if name in held_out else "seen in training" for name in images if held_out}
        self._longest = max(max(picture.size) for picture in self._shown.values())
        for picture in self._shown.values():
            picture.thumbnail((image_size, image_size), Image.Resampling.LANCZOS)
        super().__init__()
        self.update(vectors, logits=logits, networks=networks)

    @checked
    def update(
        self, vectors: dict, *, logits: dict | None = None, networks: Mapping[str, ConvNet] | None = None
    ) -> None:
        """Show other vectors of the same images, say of an encoder that has just been trained; see the class.

        The pinned patches and the measure stay, where there still are such.
        """
        check_names("vectors", vectors, self._shown)
        levels = list(vectors[next(iter(self._shown))])
        if not levels:
            raise ValueError("vectors: wanted at least one window size")
        check_texts("vectors", levels)
        check_names("logits", levels if logits is None else logits, levels)
        pictures, maps = [], []
        for name, picture in self._shown.items():
            check_names(f"vectors[{name!r}]", vectors[name], levels)
            maps.append([as_grid(f"vectors[{name!r}][{level!r}]", vectors[name][level]) for level in levels])
            shown = {"name": name, "alt": self._alt.get(name, name), "url": data_url(picture)}
            shown |= {"note": self._note[name]} if self._note else {}
            pictures.append(shown | {"width": picture.width, "height": picture.height})
        if self._across:
            _check_widths(levels, maps)
        data = {"pictures": pictures, "levels": levels, "maps": maps, "longest": self._longest, "across": self._across}
        data["measures"] = _measures(levels, logits, self._of)
        data["networks"] = _networks(levels, networks or {})
        choice = self.selection
        if not _as_selection(data, choice):
            row, column = maps[0][0]["rows"] // 2, maps[0][0]["columns"] // 2
            choice = {"image": next(iter(self._shown)), "level": levels[0], "row": row, "column": column}
        measure = self.measure if self.measure in data["measures"] else "cosine"
        self._replace_data(data, selection=choice, measure=measure)

    def patch(self, level: str) -> tuple[int, int]:
        """Row and column, at a window size, of the patch at the middle of the first one.

        Raises:
            ValueError: no such window size.
        """
        chosen = self.selection
        return locate(self._grid(level), self._grid(chosen["level"]), chosen["row"], chosen["column"])

    def second(self, level: str) -> tuple[int, int]:
        """Row and column, at a window size, of the patch at the middle of the second one.

        Raises:
            ValueError: no such window size.
        """
        chosen = self.selection
        grid, values = self._grid(chosen["level"]), self.values(chosen["level"])
        if values.size > 1:
            values[chosen["row"], chosen["column"]] = -np.inf
        row, column = chosen.get("second") or np.unravel_index(values.argmax(), values.shape)
        return locate(self._grid(level), grid, int(row), int(column))

    def elsewhere(self) -> list[tuple[str, int, int, float]]:
        """The patches of the other images most similar to the first patch, best first: image, row, column, cosine.

        Each is more similar than those around it, so that what is found lies apart.
        """
        chosen, level = self.selection, self.selection["level"]
        grids = {of["name"]: _find(self.data, of["name"], level) for of in self.data["pictures"]}
        mine = grids.pop(chosen["image"])
        found = {name: cosines(grid, chosen["row"], chosen["column"], mine) for name, grid in grids.items()}
        peaks = [(name, int(r), int(c)) for name, values in found.items() for r, c in np.argwhere(_peaks(values))]
        hits = [(name, row, column, float(found[name][row, column])) for name, row, column in peaks]
        return sorted(hits, key=lambda hit: -hit[3])[: self._across]

    def values(self, level: str) -> np.ndarray:
        """What the page shows at a window size, shape (rows, columns): similarity of each patch to the first one.

        Raises:
            ValueError: no such window size.
        """
        found = cosines(self._grid(level), *self.patch(level))
        logits = self.data["measures"][self.measure].get("logits")
        if logits is None:
            return found
        slope, offset = logits[self.data["levels"].index(level)]
        return scipy.special.expit(slope * found + offset)

    @traitlets.validate("selection")
    def _check_selection(self, proposal):
        chosen = _as_selection(self.data, proposal["value"]) if self.data else proposal["value"]
        if chosen is None:
            wanted = "selection: wanted image, level, row and column of a patch"
            raise traitlets.TraitError(f"{wanted}, got {proposal['value']}")
        return chosen

    @traitlets.validate("measure")
    def _check_measure(self, proposal):
        if self.data and proposal["value"] not in self.data["measures"]:
            wanted = ", ".join(self.data["measures"])
            raise traitlets.TraitError(f"measure: wanted one of {wanted}, got {proposal['value']!r}")
        return proposal["value"]

    def _grid(self, level: str) -> dict:
        """The patches of the chosen image at a window size."""
        if level not in self.data["levels"]:
            raise ValueError(f"level: wanted one of {self.data['levels']}, got {level!r}")
        return _find(self.data, self.selection["image"], level)

    def _picture(self) -> Image.Image:
        picture = self._shown[self.selection["image"]]
        picture = picture.resize([max(8, round(side * STILL / max(picture.size))) for side in picture.size])
        step = picture.width + 8
        still = Image.new("RGB", (step * (len(self.data["levels"]) + 1) - 8, picture.height), "white")
        still.paste(picture)
        for i, level in enumerate(self.data["levels"], 1):
            pins = self.patch(level), self.second(level)
            panel = draw_map(picture, self._grid(level), self.values(level), self.measure, pins)
            still.paste(panel, (i * step, 0))
        return _below(still, [self._around(*hit[:3]) for hit in self.elsewhere()] if self._across else [])

    def _around(self, name: str, row: int, column: int) -> Image.Image:
        """A patch of an image with what is around it, and a frame about the patch."""
        picture, grid = self._shown[name], _find(self.data, name, self.selection["level"])
        window = np.array(grid["window"]) * picture.size
        corner = np.array([column, row]) * grid["cell"] * picture.size
        times = max(AROUND[0], AROUND[1] / max(grid["window"]))
        wide = np.minimum(times * window, picture.size)
        start = np.clip(corner + (window - wide) / 2, 0, picture.size - wide)
        scale = TILE / wide.max()
        size = [max(1, round(side * scale)) for side in wide]
        tile = picture.resize(size, box=(*start, *(start + wide)))
        frame = np.round(np.concatenate([corner - start, corner - start + window]) * scale)
        ImageDraw.Draw(tile).rectangle(tuple(frame), outline="white", width=2)
        return tile

    def _words(self) -> str:
        chosen, level = self.selection, self.selection["level"]
        (row, column), (row_2, column_2) = self.patch(level), self.second(level)
        value = _shown(self.values(level)[row_2, column_2])
        words = (
            f"{isolated(chosen['image'])} with two patches of {isolated(level)}, row {row + 1}, column {column + 1} "
            f"and row {row_2 + 1}, column {column_2 + 1}, {self.data['measures'][self.measure]['name']} {value}; "
            f"one panel a window size ({', '.join(map(isolated, self.data['levels']))}) "
            "lights all patches up by theirs to the first"
        )
        if not self._across:
            return words
        hits = [f"{isolated(of)}, row {r + 1}, column {c + 1}, {_shown(value)}" for of, r, c, value in self.elsewhere()]
        return f"{words}. Below, the most similar patches of the other images: {'; '.join(hits)}"


def _shown(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _peaks(values: np.ndarray) -> np.ndarray:
    """Where no value around is larger, or as large and before it, shape (rows, columns), bool.

    >>> _peaks(np.array([[1, 2, 2, 1, 3]])).tolist()
    [[False, True, False, False, True]]
    """
    (rows, columns), around = values.shape, np.pad(values.astype(float), 1, constant_values=-np.inf)
    found = np.ones(values.shape, bool)
    for down, right in itertools.product((-1, 0, 1), repeat=2):
        other = around[1 + down : 1 + down + rows, 1 + right : 1 + right + columns]
        found &= (other < values) | ((other == values) & ((down, right) >= (0, 0)))
    return found


def _check_widths(levels: list[str], maps: list[list[dict]]) -> None:
    """All images must have vectors of one length at each window size, so that they can be compared."""
    for k, level in enumerate(levels):
        sizes = {decode(of[k]["vectors"], "i1").size // (of[k]["rows"] * of[k]["columns"]) for of in maps}
        if len(sizes) > 1:
            raise ValueError(f"vectors: wanted one length at {level} to search across, got {sorted(sizes)}")


def _below(still: Image.Image, tiles: list[Image.Image]) -> Image.Image:
    """A still picture with tiles under it, in rows."""
    if not tiles:
        return still
    in_row = max(1, (still.width + 8) // (TILE + 8))
    rows = -(-len(tiles) // in_row)
    whole = Image.new("RGB", (max(still.width, TILE), still.height + rows * (TILE + 8)), "white")
    whole.paste(still)
    for k, tile in enumerate(tiles):
        whole.paste(tile, (k % in_row * (TILE + 8), still.height + 8 + k // in_row * (TILE + 8)))
    return whole


def _networks(levels: list[str], networks: Mapping[str, ConvNet]) -> list[dict | None]:
    """By window size, what embeds the reader's own picture there."""
    if not set(networks) <= set(levels):
        raise ValueError(f"networks: wanted some of the window sizes {levels}, got {list(networks)}")
    packed: list[dict | None] = [None] * len(levels)
    for level, network in networks.items():
        if network.n_in not in (1, 3):
            raise ValueError(f"networks[{level!r}]: wanted 1 or 3 channels, got {network.n_in}")
        shape = {"size": network.size, "channels": network.n_in}
        packed[levels.index(level)] = pack(network, dtype="<f2", name=f"networks[{level!r}]") | shape
    return packed


def _measures(levels: list[str], logits: dict | None, of: str) -> dict:
    measures = {"cosine": as_scale("cosine") | {"name": "similarity"}}
    if logits is not None:
        slopes = [as_numbers(f"logits[{level!r}]", logits[level], 1, "(slope, offset)").tolist() for level in levels]
        if any(len(logit) != 2 for logit in slopes):
            raise ValueError(f"logits: wanted (slope, offset) a window size, got {slopes}")
        measures["probability"] = as_scale("probability") | {"logits": slopes, "name": f"probability of {of}"}
    return measures


def _find(data: dict, image: str, level: str) -> dict:
    """The grid of an image at a window size; a ValueError where there is none."""
    names = [picture["name"] for picture in data["pictures"]]
    return data["maps"][names.index(image)][data["levels"].index(level)]


def _as_selection(data: dict, chosen: dict) -> dict | None:
    """What is chosen, its numbers as whole ones; None where there are no such patches."""
    known = {"image", "level", "row", "column"}
    try:
        grid = _find(data, chosen["image"], chosen["level"])
        pins = [(chosen["row"], chosen["column"]), *([chosen["second"]] if chosen.get("second") is not None else [])]
        pins = [tuple(int(operator.index(at)) for at in pin) for pin in pins]
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    inside = all(len(pin) == 2 and 0 <= pin[0] < grid["rows"] and 0 <= pin[1] < grid["columns"] for pin in pins)
    if not inside or not known <= set(chosen) <= known | {"second"}:
        return None
    first = {"image": chosen["image"], "level": chosen["level"], "row": pins[0][0], "column": pins[0][1]}
    return first | ({"second": list(pins[1])} if len(pins) > 1 else {})
