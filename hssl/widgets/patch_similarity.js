// Choose a patch of a picture: every other one lights up by its similarity, one panel a window size.
// The vectors come as 8-bit numbers; PatchSimilarity.values computes the same in Python.

const MEASURES = ["cosine", "probability"];

const percent = (share) => `${100 * share}%`;
const spot = ([row, column]) => `row ${row + 1}, column ${column + 1}`;

/** A grid of patches, its vectors unpacked, with their squared lengths. */
function unpackGrid(grid) {
  const vectors = new Int8Array(bytes(grid.vectors).buffer);
  const count = grid.rows * grid.columns;
  const dim = vectors.length / count;
  const squares = Float64Array.from({ length: count }, (_, i) => dot(vectors, dim, i, i));
  return { ...grid, vectors, count, dim, squares };
}

function dot(vectors, dim, i, j) {
  let sum = 0;
  for (let k = 0; k < dim; k++) sum += vectors[i * dim + k] * vectors[j * dim + k];
  return sum;
}

/** Similarity of every patch to the chosen one: its cosine, or sigmoid(slope · cosine + offset). */
function similarities(grid, chosen, logit) {
  return Float64Array.from({ length: grid.count }, (_, i) => {
    const length = Math.sqrt(grid.squares[i] * grid.squares[chosen]);
    const cosine = length > 0 ? dot(grid.vectors, grid.dim, i, chosen) / length : 0;
    return logit ? 1 / (1 + Math.exp(-(logit[0] * cosine + logit[1]))) : cosine;
  });
}

/** Where the first cell begins: windows may be larger than the step between them. */
const edgeOf = (grid) => [0, 1].map((axis) => (grid.window[axis] - grid.cell[axis]) / 2);

/** The patch, [row, column], whose cell holds a place; x and y as shares of the picture. */
function locate(grid, [x, y]) {
  const edge = edgeOf(grid);
  const row = Math.floor((y - edge[1]) / grid.cell[1] + 1e-9);
  const column = Math.floor((x - edge[0]) / grid.cell[0] + 1e-9);
  return [clamp(row, 0, grid.rows - 1), clamp(column, 0, grid.columns - 1)];
}

function middleOf(grid, [row, column]) {
  return [column * grid.cell[0] + grid.window[0] / 2, row * grid.cell[1] + grid.window[1] / 2];
}

/** Red, green and blue of 256 steps between the lowest and the highest value. */
function ramp(colours) {
  const stops = colours.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  return Array.from({ length: 256 }, (_, i) => {
    const at = (i / 255) * (stops.length - 1);
    const left = Math.min(Math.floor(at), stops.length - 2);
    return stops[left].map((start, k) => start + (at - left) * (stops[left + 1][k] - start));
  });
}

/** A picture in a frame that takes clicks and keys, a map over it, outlines of patches, and a value below. */
class Panel {
  constructor(name, label) {
    this.picture = make("div", { class: "hssl-picture", role: "img" });
    this.map = make("canvas", { class: "hssl-map", "aria-hidden": "true" });
    this.frame = make("div", { class: "hssl-frame", tabindex: 0, role: "application", "aria-label": label });
    this.frame.append(this.picture, this.map);
    this.value = make("data");
    this.figure = make("figure", {}, this.frame, make("figcaption", {}, make("span", {}, name), this.value));
    this.outlines = [];
  }

  show({ url, alt, width, height }) {
    this.frame.style.aspectRatio = `${width} / ${height}`;
    this.picture.style.backgroundImage = `url("${url}")`;
    this.picture.setAttribute("aria-label", alt);
    this.outlines.splice(0).forEach((box) => box.remove());
  }

  outline(kind, grid, [row, column]) {
    const box = make("div", { class: `hssl-outline hssl-${kind}` });
    const [width, height] = grid.window.map(percent);
    Object.assign(box.style, { left: percent(column * grid.cell[0]), top: percent(row * grid.cell[1]), width, height });
    this.frame.append(box);
    this.outlines.push(box);
  }

  paint(grid, values, { low, high, colours }, chosen) {
    const pixels = new ImageData(grid.columns, grid.rows);
    values.forEach((value, i) => {
      const step = clamp(Math.round((255 * (value - low)) / (high - low)), 0, 255);
      pixels.data.set([...colours[step], i === chosen ? 0 : 255], 4 * i);
    });
    const [left, top] = edgeOf(grid).map(percent);
    const [width, height] = [percent(grid.columns * grid.cell[0]), percent(grid.rows * grid.cell[1])];
    Object.assign(this.map, { width: grid.columns, height: grid.rows });
    Object.assign(this.map.style, { left, top, width, height });
    this.map.getContext("2d").putImageData(pixels, 0, 0);
  }
}

class Patches {
  constructor(model, el) {
    const { pictures, levels, maps, measures } = model.get("data");
    Object.assign(this, { model, pictures, levels, measures });
    this.grids = maps.map((ofPicture) => ofPicture.map(unpackGrid));
    this.ramps = Object.fromEntries(Object.entries(measures).map(([name, scale]) => [name, ramp(scale.colours)]));
    this.status = new Status();
    this.original = new Panel("chosen patch", "The picture: arrow keys choose a patch.");
    this.original.value.textContent = "dashed: most similar";
    this.panels = levels.map((level) => new Panel(level, `Windows of ${level}: arrow keys choose a patch.`));
    this.everything = [this.original, ...this.panels];
    this.listen(this.original, () => model.get("selection").level);
    this.panels.forEach((panel, i) => this.listen(panel, () => levels[i]));
    el.replaceChildren(this.makeControls(), this.makeGallery(), this.status.node);
    this.draw();
  }

  makeControls() {
    const names = MEASURES.filter((name) => name in this.measures);
    this.picture = makeSelect(this.names(), (name) => this.changePicture(name));
    this.measure = makeSelect(names, (name) => change(this.model, "measure", name));
    this.bar = make("div", { class: "hssl-bar" });
    const labels = [make("label", {}, "picture ", this.picture), make("label", {}, "similarity ", this.measure)];
    labels[0].hidden = this.pictures.length < 2;
    labels[1].hidden = names.length < 2;
    return make("div", { class: "hssl-controls" }, ...labels, this.bar);
  }

  makeGallery() {
    const count = this.everything.length;
    const gallery = make("div", { class: "hssl-panels" }, ...this.everything.map((panel) => panel.figure));
    gallery.style.setProperty("--columns", count === 4 ? 2 : Math.min(count, 3));
    return gallery;
  }

  /** A click, a key or the pointer over a panel; `level` gives the window size that it is about. */
  listen({ frame }, level) {
    const place = (event) => {
      const box = frame.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    frame.addEventListener("click", (event) => this.choose(level(), locate(this.shownAt(level()).grid, place(event))));
    frame.addEventListener("keydown", (event) => {
      const arrow = arrowOf(event);
      if (!arrow) return;
      const { grid, chosen } = this.shownAt(level());
      const to = [clamp(chosen[0] + arrow[1], 0, grid.rows - 1), clamp(chosen[1] + arrow[0], 0, grid.columns - 1)];
      this.choose(level(), to);
    });
    frame.addEventListener("pointermove", (event) => this.read(place(event)));
    frame.addEventListener("pointerleave", () => this.read());
  }

  names = () => this.pictures.map((picture) => picture.name);
  shownAt = (level) => this.shown[this.levels.indexOf(level)];

  choose(level, [row, column], image = this.model.get("selection").image) {
    change(this.model, "selection", { image, level, row, column });
  }

  changePicture(name) {
    const { level } = this.model.get("selection");
    const { grid, chosen } = this.shownAt(level);
    const there = this.grids[this.names().indexOf(name)][this.levels.indexOf(level)];
    this.choose(level, locate(there, middleOf(grid, chosen)), name);
  }

  draw() {
    const { image, level, row, column } = this.model.get("selection");
    const measure = this.model.get("measure");
    const which = this.names().indexOf(image);
    const own = this.levels.indexOf(level);
    const place = middleOf(this.grids[which][own], [row, column]);
    this.picture.selectedIndex = which;
    this.measure.value = measure;
    this.everything.forEach((panel) => panel.show(this.pictures[which]));
    this.shown = this.grids[which].map((grid, i) => {
      const chosen = i === own ? [row, column] : locate(grid, place);
      return this.drawLevel(i, grid, chosen, measure, i === own ? "chosen" : "also");
    });
    this.drawBar(this.measures[measure]);
    this.read();
    this.status.say(() => this.words());
  }

  drawLevel(i, grid, chosen, measure, kind) {
    const index = chosen[0] * grid.columns + chosen[1];
    const scale = this.measures[measure];
    const values = similarities(grid, index, scale.logits?.[i]);
    let most = -1;
    values.forEach((value, k) => {
      if (k !== index && (most < 0 || value > values[most])) most = k;
    });
    const best = most < 0 ? undefined : [Math.floor(most / grid.columns), most % grid.columns];
    this.panels[i].paint(grid, values, { ...scale, colours: this.ramps[measure] }, index);
    if (best) this.panels[i].outline("best", grid, best);
    this.panels[i].outline("chosen", grid, chosen);
    this.original.outline(kind, grid, chosen);
    return { grid, values, chosen, best };
  }

  drawBar({ low, high, colours }) {
    const ticks = [low, (low + high) / 2, high].map((tick) => make("span", {}, shown(tick)));
    const scale = make("div", { class: "hssl-colours" });
    scale.style.backgroundImage = `linear-gradient(to right, ${colours.join(", ")})`;
    this.bar.replaceChildren(scale, make("div", { class: "hssl-ticks" }, ...ticks));
  }

  /** Below each panel, the value under the pointer; without one, the highest among the other patches. */
  read(place) {
    this.shown.forEach(({ grid, values, best }, i) => {
      const at = place ? locate(grid, place) : best;
      const { value: below } = this.panels[i];
      below.value = at ? values[at[0] * grid.columns + at[1]] : "";
      below.textContent = at ? `${place ? `${spot(at)}:` : "highest"} ${shown(+below.value)}` : "";
    });
  }

  words() {
    const { image, level } = this.model.get("selection");
    const { grid, values, chosen, best } = this.shownAt(level);
    const start = `${image}, ${level}, ${spot(chosen)}.`;
    if (!best) return `${start} There is no other patch.`;
    const value = shown(values[best[0] * grid.columns + best[1]]);
    return `${start} Most similar: ${spot(best)}, ${this.model.get("measure")} ${value}.`;
  }
}

export default widget(Patches, ["selection", "measure"]);
