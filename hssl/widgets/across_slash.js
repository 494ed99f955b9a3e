// Choose a patch of an icon on either side of its slash: does one stroke continue? A critic runs here; an exact model's
// answers come with the page. AcrossSlash.probabilities computes the same in Python.

const QUESTION = "Probability that one stroke continues";
const SIDES = ["first", "second"];

class Icon {
  constructor(model, el) {
    this.data = model.get("data");
    this.model = model;
    this.judge = unpackNetwork(this.data.judge);
    this.status = new Status({ class: "hssl-unseen" });
    this.seen = this.embedAll();
    const { alt, url, width, height } = this.data;
    const picture = make("div", { class: "hssl-picture", role: "img", "aria-label": alt });
    picture.style.backgroundImage = `url("${url}")`;
    this.line = make("line", { class: "hssl-link" });
    this.boxes = SIDES.map(() => make("div", { class: "hssl-outline" }));
    const drawing = make("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, this.line);
    const frame = make("form", { class: "hssl-frame" }, picture, drawing, ...this.boxes, ...this.makeChoices());
    frame.style.aspectRatio = `${width} / ${height}`;
    frame.addEventListener("submit", (event) => event.preventDefault());
    this.tiles = SIDES.map(() => make("span", { class: "hssl-tile" }));
    const named = SIDES.map((name, k) => make("figure", {}, this.tiles[k], make("figcaption", {}, `${name} patch`)));
    this.bars = [new Bar("learned", { kind: "learned" })];
    if (this.data.exact) this.bars.push(new Bar("exact model", { kind: "ideal" }));
    const answers = make("div", { class: "hssl-answers" }, ...this.bars.flatMap((bar) => bar.cells));
    const question = make("p", { class: "hssl-question" }, QUESTION);
    const side = make("div", { class: "hssl-side" }, make("div", { class: "hssl-pair" }, ...named), question, answers);
    el.replaceChildren(make("div", { class: "hssl-stage" }, frame, side), this.status.node);
    this.draw();
  }

  /** Embeddings of all patches, by side. */
  embedAll() {
    const { ink, width, window, sides, turned } = this.data;
    const network = unpackNetwork(this.data.embed);
    this.inks = SIDES.map((_, k) => bytes(ink[k % ink.length]));
    const patch = (pixels, [x, y]) =>
      Float64Array.from(
        { length: window * window },
        (_, i) => pixels[(y + Math.floor(i / window)) * width + x + (i % window)] / 255,
      );
    const given = (patch, k) => (turned && k ? patch.reverse() : patch); // of one channel: a half turn
    return SIDES.map((name, k) =>
      sides[name].corners.map((corner) => forward(network, given(patch(this.inks[k], corner), k))),
    );
  }

  /** A radio button at every patch: arrow keys go along one side. */
  makeChoices() {
    const { sides, width, height } = this.data;
    this.choices = SIDES.map((name) =>
      sides[name].centres.map(([x, y], k) => {
        const label = `${name} side, patch ${k + 1} of ${sides[name].centres.length}`;
        const radio = make("input", { type: "radio", name, class: "hssl-choice", "aria-label": label });
        Object.assign(radio.style, { left: `${(100 * x) / width}%`, top: `${(100 * y) / height}%` });
        radio.addEventListener("change", () => change(this.model, name, k));
        return radio;
      }),
    );
    return this.choices.flat();
  }

  probability([i, j]) {
    const { sides, window, waves, logit } = this.data;
    const [from, to] = [sides.first.centres[i], sides.second.centres[j]];
    const offset = [0, 1].map((axis) => (to[axis] - from[axis]) / window);
    const angles = offset.flatMap((along) => waves.map((wave) => along * wave));
    const row = [...this.seen[0][i], ...this.seen[1][j], ...offset, ...angles.map(Math.sin), ...angles.map(Math.cos)];
    const [f] = forward(this.judge, Float64Array.from(row));
    return 1 / (1 + Math.exp(-(logit[0] * f + logit[1])));
  }

  draw() {
    const { sides, width, height, window, exact } = this.data;
    const pair = SIDES.map((name) => this.model.get(name));
    const [[x1, y1], [x2, y2]] = SIDES.map((name, k) => sides[name].centres[pair[k]]);
    set(this.line, { x1, y1, x2, y2, "stroke-width": width / 60 });
    SIDES.forEach((name, k) => {
      this.choices[k].forEach((radio, at) => (radio.checked = at === pair[k]));
      const [x, y] = sides[name].corners[pair[k]];
      const box = { left: x / width, top: y / height, width: window / width, height: window / height };
      for (const [side, share] of Object.entries(box)) this.boxes[k].style[side] = `${100 * share}%`;
      enlarge(this.tiles[k], { ...this.data, url: this.inkUrl(k) }, box);
    });
    const numbers = [this.probability(pair), ...(exact ? [exact[pair[0]][pair[1]]] : [])];
    numbers.forEach((number, k) => this.bars[k].show(number));
    this.status.say(() => {
      const said = numbers.map((number, k) => `${["learned", "exact model"][k]} ${shown(number)}`).join(", ");
      return `Patches ${pair[0] + 1} and ${pair[1] + 1}. ${QUESTION}: ${said}.`;
    });
  }

  /** What the patches of a side are cut from, as a picture. */
  inkUrl(side) {
    this.urls ??= this.inks.map((ink) => {
      const { width, height } = this.data;
      const pixels = new ImageData(width, height);
      ink.forEach((value, i) => pixels.data.set([255 - value, 255 - value, 255 - value, 255], 4 * i));
      const canvas = make("canvas", { width, height });
      canvas.getContext("2d").putImageData(pixels, 0, 0);
      return canvas.toDataURL();
    });
    return this.urls[side];
  }
}

export default widget(Icon, SIDES);
// end of across_slash.js
