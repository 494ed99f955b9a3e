// Pin two patches of a picture: every patch lights up by its similarity to the first, one panel a window size, and
// the two stand side by side with their number. The vectors come as 8-bit numbers; PatchSimilarity.values computes
// the same in Python. The vectors of the reader's own picture are computed here.

const MEASURES = ["cosine", "probability"];
const PINS = ["first", "second"];
const OWN = "your own picture";
const AROUND = [3, 0.2]; // what is seen of another image: so many windows a side, or more: such a share of the image

const percent = (share) => `${100 * share}%`;
const spot = ([row, column]) => `row ${row + 1}, column ${column + 1}`;

/** A grid of patches, its vectors unpacked, with their squared lengths. */
function unpackGrid(grid) {
  return squared({ ...grid, vectors: new Int8Array(bytes(grid.vectors).buffer) });
}

function squared(grid) {
  const count = grid.rows * grid.columns;
  const dim = grid.vectors.length / count;
  const squares = Float64Array.from({ length: count }, (_, i) => dot(grid.vectors, i, grid.vectors, i, dim));
  return { ...grid, count, dim, squares };
}

function dot(vectors, i, others, j, dim) {
  let sum = 0;
  for (let k = 0; k < dim; k++) sum += vectors[i * dim + k] * others[j * dim + k];
  return sum;
}

/** Of patch i of a grid and patch j of another, or of the same; 0 where a vector has no length. */
function cosineOf(grid, i, other, j) {
  const length = Math.sqrt(grid.squares[i] * other.squares[j]);
  return length > 0 ? dot(grid.vectors, i, other.vectors, j, grid.dim) / length : 0;
}

/** Similarity of every patch to the chosen one: its cosine, or sigmoid(slope · cosine + offset). */
function similarities(grid, chosen, logit) {
  return Float64Array.from({ length: grid.count }, (_, i) => {
    const cosine = cosineOf(grid, i, grid, chosen);
    return logit ? 1 / (1 + Math.exp(-(logit[0] * cosine + logit[1]))) : cosine;
  });
}

/** Whether no patch around patch i is more similar, or as similar and before it. */
function isPeak({ rows, columns }, values, i) {
  const [row, column] = [Math.floor(i / columns), i % columns];
  for (let r = Math.max(0, row - 1); r <= Math.min(rows - 1, row + 1); r++) {
    for (let c = Math.max(0, column - 1); c <= Math.min(columns - 1, column + 1); c++) {
      const j = r * columns + c;
      if (values[j] > values[i] || (values[j] === values[i] && j < i)) return false;
    }
  }
  return true;
}

/** Of all grids but one the patches most similar to a patch of that one, best first: {which, at, cosine}. Peaks only. */
function mostSimilarElsewhere(grids, own, chosen, count) {
  const best = [];
  grids.forEach((grid, which) => {
    if (!grid || which === own) return;
    const values = Float64Array.from({ length: grid.count }, (_, i) => cosineOf(grid, i, grids[own], chosen));
    values.forEach((cosine, i) => {
      if ((best.length === count && cosine <= best[count - 1].cosine) || !isPeak(grid, values, i)) return;
      const before = best.findIndex((other) => cosine > other.cosine);
      const at = [Math.floor(i / grid.columns), i % grid.columns];
      best.splice(before < 0 ? best.length : before, 0, { which, at, cosine });
      best.length = Math.min(best.length, count);
    });
  });
  return best;
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
    const caption = make("figcaption", {}, make("span", {}, name), this.value);
    this.figure = make("figure", {}, make("div", { class: "hssl-scroll" }, this.frame), caption);
    this.outlines = [];
  }

  show({ url, alt, width, height }, grid) {
    this.frame.style.aspectRatio = `${width} / ${height}`;
    this.frame.style.setProperty("--columns", grid.columns); // wide enough for a finger
    this.picture.style.backgroundImage = `url("${url}")`;
    this.picture.setAttribute("aria-label", alt);
    this.outlines.splice(0).forEach((box) => box.remove());
  }

  outline(pin, grid, [row, column]) {
    const box = make("div", { class: `hssl-outline hssl-${pin}` });
    const [width, height] = grid.window.map(percent);
    Object.assign(box.style, { left: percent(column * grid.cell[0]), top: percent(row * grid.cell[1]), width, height });
    this.frame.append(box);
    this.outlines.push(box);
  }

  /** Scrolls a patch into sight, where the frame is wider than its place. */
  reveal(grid, [, column]) {
    const { parentNode: place, clientWidth } = this.frame;
    const from = (column + 0.5) * grid.cell[0] * clientWidth - place.scrollLeft;
    if (from < 0 || from > place.clientWidth) place.scrollLeft += from - place.clientWidth / 2;
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

/** A button that shows a pinned patch enlarged; pressed, clicks and arrow keys move this one. */
class Pin {
  constructor(name, onclick) {
    this.tile = make("span", { class: `hssl-tile hssl-${name}` });
    this.words = make("span");
    this.button = make("button", { type: "button", class: "hssl-pin" }, this.tile, make("b", {}, name), " ", this.words);
    this.button.addEventListener("click", onclick);
  }

  show(picture, grid, at, active) {
    const [left, top] = [at[1] * grid.cell[0], at[0] * grid.cell[1]];
    enlarge(this.tile, picture, { left, top, width: grid.window[0], height: grid.window[1] });
    this.words.textContent = spot(at);
    set(this.button, { "aria-pressed": active });
  }
}

/** A button that shows a patch of another image with what is around it; a click goes there. */
class Hit {
  constructor(onclick) {
    this.box = make("span", { class: "hssl-outline hssl-first" });
    this.tile = make("span", { class: "hssl-tile" }, this.box);
    this.name = make("span");
    this.value = make("data");
    this.button = make("button", { type: "button", class: "hssl-pin" }, this.tile, this.name, " ", this.value);
    this.button.addEventListener("click", () => onclick(this.to));
    this.item = make("li", {}, this.button);
  }

  show(hit, picture, grid) {
    this.to = hit;
    this.item.hidden = !hit;
    if (!hit) return;
    const times = Math.max(AROUND[0], AROUND[1] / Math.max(...grid.window));
    const wide = grid.window.map((share) => Math.min(1, times * share));
    const from = [1, 0].map((axis, k) => hit.at[axis] * grid.cell[k]);
    const [left, top] = from.map((start, k) => clamp(start + (grid.window[k] - wide[k]) / 2, 0, 1 - wide[k]));
    enlarge(this.tile, picture, { left, top, width: wide[0], height: wide[1] });
    const [width, height] = grid.window.map((share, k) => percent(share / wide[k]));
    const at = [(from[0] - left) / wide[0], (from[1] - top) / wide[1]].map(percent);
    Object.assign(this.box.style, { left: at[0], top: at[1], width, height });
    this.name.textContent = picture.name;
    this.value.value = hit.cosine;
    this.value.textContent = shown(hit.cosine);
    set(this.button, { "aria-label": `${isolated(picture.name)}, ${spot(hit.at)}, similarity ${shown(hit.cosine)}` });
  }
}

/** A picture's channels, one after the other, from 0 to 1: red, green and blue, or grey where only one is wanted. */
function channelsOf({ data }, count) {
  const area = data.length / 4;
  const of = (i, k) => data[4 * i + k] / 255;
  const grey = (i) => 0.299 * of(i, 0) + 0.587 * of(i, 1) + 0.114 * of(i, 2);
  return Float64Array.from({ length: count * area }, (_, i) =>
    count === 1 ? grey(i) : of(i % area, Math.floor(i / area)),
  );
}

/** The grid of a picture's patches, embedded by a network, in 8-bit numbers as those that come with the page. */
function embedPatches(pixels, { network, size, channels }) {
  const { width, height } = pixels;
  const [rows, columns, area] = [Math.floor(height / size), Math.floor(width / size), size * size];
  const values = channelsOf(pixels, channels);
  const patches = new Float64Array(columns * channels * area);
  const vectors = Array.from({ length: rows }, (_, row) => {
    for (let i = 0; i < patches.length; i++) {
      const channel = Math.floor(i / area) % channels;
      const column = Math.floor(i / (area * channels)) * size + (i % size);
      patches[i] = values[(channel * height + row * size + (Math.floor(i / size) % size)) * width + column];
    }
    const embedded = forward(network, patches, columns);
    const dim = embedded.length / columns;
    return embedded.map((value, i) => {
      const own = embedded.subarray(i - (i % dim), i - (i % dim) + dim);
      return Math.round((127 * value) / (own.reduce((most, other) => Math.max(most, Math.abs(other)), 0) || 1));
    });
  });
  const cell = [size / width, size / height];
  return squared({ rows, columns, cell, window: cell, vectors: Int8Array.from(vectors.flatMap((row) => [...row])) });
}

class Patches {
  constructor(model, el) {
    const { pictures, levels, maps, measures, networks, across } = model.get("data");
    Object.assign(this, { model, levels, measures, across, pictures: [...pictures], active: "first" });
    this.listening = new AbortController(); // to `el`, which outlives this view
    this.grids = maps.map((ofPicture) => ofPicture.map(unpackGrid));
    this.networks = networks.map((of) => of && { ...of, network: unpackNetwork(of) });
    this.ramps = Object.fromEntries(Object.entries(measures).map(([name, scale]) => [name, ramp(scale.colours)]));
    this.status = new Status();
    const keys = "arrow keys move the patch, Enter takes the other one.";
    this.original = new Panel("picture", `The picture: ${keys}`);
    this.panels = levels.map((level) => new Panel(level, `Windows of ${isolated(level)}: ${keys}`));
    this.everything = [this.original, ...this.panels];
    this.listen(this.original, () => this.selection().level);
    this.panels.forEach((panel, i) => this.listen(panel, () => levels[i]));
    const parts = [this.makeControls(el), this.makePair(), this.makeGallery(), ...(across ? [this.makeAcross()] : [])];
    el.replaceChildren(...parts, this.status.node);
    this.draw();
  }

  makeControls(el) {
    this.names = MEASURES.filter((name) => name in this.measures);
    this.picture = make("select");
    this.picture.addEventListener("change", () => this.changePicture(this.picture.selectedIndex));
    this.measure = makeSelect(
      this.names.map((name) => this.measures[name].name),
      () => change(this.model, "measure", this.names[this.measure.selectedIndex]),
    );
    this.bar = make("div", { class: "hssl-bar" });
    const labels = [make("label", {}, "picture ", this.picture), make("label", {}, "colour ", this.measure)];
    const own = this.networks.some(Boolean) ? [this.makeFile(el)] : [];
    labels[0].hidden = this.pictures.length < 2 && !own.length;
    labels[1].hidden = this.names.length < 2;
    this.nameEach();
    return make("div", { class: "hssl-controls" }, ...labels, this.bar, ...own);
  }

  nameEach() {
    const named = ({ name, note }) => make("option", {}, note ? `${isolated(name)} (${note})` : name);
    this.picture.replaceChildren(...this.pictures.map(named));
  }

  /** The reader's own picture, chosen or dropped anywhere on the control; it stays in the page. */
  makeFile(el) {
    const file = make("input", { type: "file", accept: "image/*" });
    file.addEventListener("change", () => file.files[0] && this.analyse(file.files[0]));
    const over = (inside) => (event) => {
      if (inside && ![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      el.classList.toggle("hssl-dropping", inside);
    };
    const drop = (event) => {
      over(false)(event);
      if (event.dataTransfer.files[0]) this.analyse(event.dataTransfer.files[0]);
    };
    const calls = { dragover: over(true), dragleave: over(false), drop };
    for (const [event, call] of Object.entries(calls)) el.addEventListener(event, call, this.listening);
    return make("label", { class: "hssl-own" }, `${OWN}, chosen or dropped here (it stays in this page) `, file);
  }

  stop = () => this.listening.abort();

  /** Embeds a picture of the reader's, reduced to the size of the others, and shows it, unless another one came. */
  async analyse(file) {
    this.latest = file;
    const isLate = () => file !== this.latest || this.listening.signal.aborted;
    this.status.now("The picture is being analysed …");
    const bitmap = await createImageBitmap(file).catch(() => undefined);
    if (isLate()) return;
    if (!bitmap) return this.status.now(`The browser cannot read ${isolated(file.name)} as an image.`);
    const most = Math.max(...this.networks.map((of) => of?.size ?? 0));
    const scale = this.model.get("data").longest / Math.max(bitmap.width, bitmap.height);
    const fitted = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.floor((side * scale) / most)) * most);
    const [width, height] = fitted;
    const canvas = make("canvas", { width, height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const zoom = Math.max(width / bitmap.width, height / bitmap.height);
    const [wide, high] = [bitmap.width * zoom, bitmap.height * zoom];
    context.fillStyle = "white"; // behind what is transparent
    context.fillRect(0, 0, width, height);
    context.drawImage(bitmap, (width - wide) / 2, (height - high) / 2, wide, high);
    const grids = [];
    for (const of of this.networks) {
      grids.push(of && embedPatches(context.getImageData(0, 0, width, height), of));
      await new Promise((done) => setTimeout(done)); // the page stays alive
      if (isLate()) return;
    }
    const [others, of] = [this.model.get("data").pictures.length, { url: canvas.toDataURL(), width, height }];
    this.pictures[others] = { name: OWN, alt: OWN, ...of };
    this.grids[others] = grids;
    this.nameEach();
    this.changePicture(others);
  }

  makePair() {
    this.pins = PINS.map((name) => new Pin(name, () => this.activate(name)));
    this.title = make("p", { class: "hssl-question" });
    this.bars = this.levels.map((level) => new Bar(level, { hasSign: true }));
    const nearest = make("button", { type: "button" }, "second: the most similar one");
    nearest.addEventListener("click", () => {
      const { image, level, row, column } = this.selection();
      this.choose({ image, level, row, column });
    });
    const answers = make("div", { class: "hssl-answers" }, ...this.bars.flatMap((bar) => bar.cells));
    const side = make("div", { class: "hssl-side" }, this.title, answers, nearest);
    return make("div", { class: "hssl-pair" }, ...this.pins.map((pin) => pin.button), side);
  }

  makeGallery() {
    const count = this.everything.length;
    const gallery = make("div", { class: "hssl-panels" }, ...this.everything.map((panel) => panel.figure));
    gallery.style.setProperty("--panels", count === 4 ? 2 : Math.min(count, 3));
    return gallery;
  }

  /** The patches of the other images that are most similar to the first one. */
  makeAcross() {
    this.level = makeSelect(this.levels, (level) => this.changeLevel(level));
    this.heading = make("p", { class: "hssl-question" });
    this.hits = Array.from({ length: this.across }, () => new Hit((to) => this.go(to)));
    const head = make("div", { class: "hssl-controls" }, this.heading, make("label", {}, "windows of ", this.level));
    return make("div", { class: "hssl-across" }, head, make("ol", {}, ...this.hits.map((hit) => hit.item)));
  }

  drawAcross(level, chosen) {
    const grids = this.grids.map((ofPicture) => ofPicture[level]);
    this.found = mostSimilarElsewhere(grids, this.which(), chosen, this.across);
    this.hits.forEach((hit, k) => {
      const to = this.found[k];
      hit.show(to, to && this.pictures[to.which], to && grids[to.which]);
    });
    this.level.selectedIndex = level;
    this.heading.textContent = "Most similar to the first, in the other images";
  }

  go({ which, at: [row, column] }) {
    this.choose({ image: this.pictures[which].name, level: this.selection().level, row, column });
  }

  /** Asks about windows of another size; both patches stay where they are. */
  changeLevel(level) {
    const there = this.shownAt(level);
    if (!there) return this.draw();
    const [row, column] = there.pins.first;
    const second = this.selection().second && { second: there.pins.second };
    this.choose({ image: this.selection().image, level, row, column, ...second });
  }

  /** A click, a key or the pointer over a panel; `level` gives the window size that it is about. */
  listen({ frame }, level) {
    const place = (event) => {
      const box = frame.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    const pin = (at, level) => this.move(level, locate(this.shownAt(level).grid, at));
    frame.addEventListener("click", (event) => pin(place(event), level()));
    frame.addEventListener("keydown", (event) => {
      const arrow = arrowOf(event);
      const { grid, pins } = this.shownAt(level());
      const from = pins[this.active];
      if (arrow) {
        this.move(level(), [clamp(from[0] + arrow[1], 0, grid.rows - 1), clamp(from[1] + arrow[0], 0, grid.columns - 1)]);
      } else if (event.key === "Enter") this.activate(PINS[1 - PINS.indexOf(this.active)]);
    });
    frame.addEventListener("pointermove", (event) => event.pointerType === "mouse" && this.read(place(event)));
    frame.addEventListener("pointerleave", () => this.read());
  }

  /** What is chosen; of the reader's own picture only the page knows. */
  selection = () => this.own ?? this.model.get("selection");
  which = () => this.pictures.findIndex((picture) => picture.name === this.selection().image);
  shownAt = (level) => this.shown[this.levels.indexOf(level)];

  choose(selection) {
    this.own = selection.image === OWN ? selection : undefined;
    if (this.own) this.draw();
    else change(this.model, "selection", selection);
  }

  activate(name) {
    this.active = name;
    this.draw();
  }

  /** Pins the active patch to a place; the other one stays where it is, at the same window size. */
  move(level, to) {
    const { grid, pins } = this.shownAt(level);
    const { second } = this.selection();
    const [first, other] = this.active === "first" ? [to, second && pins.second] : [pins.first, to];
    const [row, column] = first;
    this.choose({ image: this.selection().image, level, row, column, ...(other && { second: other }) });
  }

  changePicture(which) {
    const { level: before } = this.selection();
    const { grid, pins } = this.shownAt(before);
    const level = this.grids[which][this.levels.indexOf(before)]
      ? before
      : this.levels.find((_, i) => this.grids[which][i]);
    const there = this.grids[which][this.levels.indexOf(level)];
    const [row, column] = locate(there, middleOf(grid, pins.first));
    this.choose({ image: this.pictures[which].name, level, row, column });
  }

  draw() {
    const { level, row, column, second } = this.selection();
    const measure = this.model.get("measure");
    const which = this.which();
    const picture = this.pictures[which];
    const own = this.levels.indexOf(level);
    const grid = this.grids[which][own];
    const scale = { ...this.measures[measure], colours: this.ramps[measure] };
    const pin = (of, at) => (of === grid ? at : locate(of, middleOf(grid, at)));
    const valuesOf = (of, i) => {
      const [r, c] = pin(of, [row, column]);
      return similarities(of, r * of.columns + c, scale.logits?.[i]);
    };
    const values = this.grids[which].map((of, i) => of && valuesOf(of, i));
    const other = second ?? mostSimilar(grid, values[own], row * grid.columns + column);
    this.picture.selectedIndex = which;
    this.measure.selectedIndex = this.names.indexOf(measure);
    this.everything.forEach((panel) => panel.show(picture, grid));
    this.shown = this.grids[which].map((of, i) => {
      this.panels[i].figure.hidden = !of;
      this.bars[i].cells.forEach((cell) => (cell.hidden = !of));
      if (!of) return undefined;
      const pins = { first: pin(of, [row, column]), second: pin(of, other) };
      this.panels[i].show(picture, of);
      this.panels[i].paint(of, values[i], scale, pins.first[0] * of.columns + pins.first[1]);
      PINS.forEach((name) => this.panels[i].outline(name, of, pins[name]));
      this.bars[i].hasSign = scale.low < 0;
      this.bars[i].show(values[i][pins.second[0] * of.columns + pins.second[1]]);
      return { grid: of, values: values[i], pins };
    });
    this.original.value.textContent = picture.note ?? "";
    this.pins.forEach((tile, k) => {
      const at = this.shown[own].pins[PINS[k]];
      this.original.outline(PINS[k], grid, at);
      tile.show(picture, grid, at, this.active === PINS[k]);
    });
    this.shown.forEach((of, i) => of && this.panels[i].reveal(of.grid, of.pins[this.active]));
    this.original.reveal(grid, this.shown[own].pins[this.active]);
    this.title.textContent = scale.name;
    this.drawBar(scale, this.measures[measure].colours);
    if (this.across) this.drawAcross(own, row * grid.columns + column);
    this.read();
    this.status.say(() => this.words());
  }

  drawBar({ low, high }, colours) {
    const ticks = [low, (low + high) / 2, high].map((tick) => make("span", {}, shown(tick)));
    const scale = make("div", { class: "hssl-colours" });
    scale.style.backgroundImage = `linear-gradient(to right, ${colours.join(", ")})`;
    this.bar.replaceChildren(scale, make("div", { class: "hssl-ticks" }, ...ticks));
  }

  /** Below each panel, the value under the pointer; without one, that of the two patches. */
  read(place) {
    this.shown.forEach((of, i) => {
      if (!of) return;
      const at = place ? locate(of.grid, place) : of.pins.second;
      const { value: below } = this.panels[i];
      below.value = of.values[at[0] * of.grid.columns + at[1]];
      below.textContent = `${place ? spot(at) : "first, second"}: ${shown(+below.value)}`;
    });
  }

  words() {
    const { image, level } = this.selection();
    const { values, grid, pins } = this.shownAt(level);
    const value = shown(values[pins.second[0] * grid.columns + pins.second[1]]);
    const { name } = this.measures[this.model.get("measure")];
    const here = `${isolated(image)}, ${isolated(level)}. First: ${spot(pins.first)}; second: ${spot(pins.second)}; ${name} ${value}.`;
    const [best] = this.across ? this.found : [];
    if (!best) return here;
    const there = `${isolated(this.pictures[best.which].name)}, ${spot(best.at)}, similarity ${shown(best.cosine)}`;
    return `${here} Most similar elsewhere: ${there}.`;
  }
}

/** The patch, [row, column], whose value is highest but for the chosen one, which is taken where it is alone. */
function mostSimilar(grid, values, chosen) {
  let most = chosen;
  values.forEach((value, k) => {
    if (k !== chosen && (most === chosen || value > values[most])) most = k;
  });
  return [Math.floor(most / grid.columns), most % grid.columns];
}

export default widget(Patches, ["selection", "measure"]);
// end of patch_similarity.js
