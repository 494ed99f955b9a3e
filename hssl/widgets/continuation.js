// Drag the ends of two strokes, or of four arms: do they continue each other? A network answers, and an ideal
// observer beside it (observers.js). Continuation.probabilities computes the same in Python.

const STEP = 0.1; // of an arrow key, in the model's units; five times that with shift
const QUESTIONS = { strokes: "Probability of one contour", arms: "Probability that the four arms are" };
const ANSWERS = ["learned", "ideal", "difference"];
const WARM = [213, 94, 0];
const COLD = [0, 114, 178];
const COARSE = 12; // places along each side of the field while something moves ...
const FINE = 64; // ... and once it rests
const ROWS = 2; // of the fine field, computed at a time

const place = (x, y) => `translate(${x} ${y})`;
const degrees = (angle) => (angle * 180) / Math.PI;

/** The point at a distance beyond an end, seen from a start. */
function beyond(start, end, distance) {
  const [x, y] = [end[0] - start[0], end[1] - start[1]];
  const share = distance / (Math.hypot(x, y) || 1);
  return [end[0] + x * share, end[1] + y * share];
}

/** Ends, middle and direction of both strokes, or of all four arms, which point away from the middle. */
function strokesOf(mode, points, length) {
  const strokes = [points.slice(0, 2), points.slice(2)];
  const arms = points.map((end) => [beyond([0, 0], end, -length), end]);
  return (mode === "arms" ? arms : strokes).map(([a, b]) => {
    const angle = Math.atan2(b[1] - a[1], b[0] - a[0]);
    return { ends: [a, b], x: (a[0] + b[0]) / 2, y: (a[1] + b[1]) / 2, angle };
  });
}

/** The arms after an end was dragged; each is at least as far from the middle as it is long. */
function moveArm(points, k, to, { length, views }) {
  const end = to.map((at) => clamp(at, -views.arms, views.arms));
  const far = Math.hypot(...end);
  if (far === 0) return points;
  return points.with(k, far < length ? beyond([0, 0], end, length - far) : end);
}

/** The strokes after one was dragged: by an end, it follows like a rod that is towed; by its middle, as a whole. */
function moveStroke(points, k, part, to, { length, views }) {
  const edge = views.strokes;
  let stroke = points.slice(2 * k, 2 * k + 2);
  if (part === "whole") {
    const shift = [0, 1].map((axis) => to[axis] - (stroke[0][axis] + stroke[1][axis]) / 2);
    stroke = stroke.map((end) => [end[0] + shift[0], end[1] + shift[1]]);
  } else {
    const end = to.map((at) => clamp(at, -edge, edge));
    const other = stroke[1 - part];
    if (Math.hypot(end[0] - other[0], end[1] - other[1]) === 0) return points;
    stroke = [end, beyond(other, end, -length)];
    if (part === 1) stroke.reverse();
  }
  const back = [0, 1].map((axis) => {
    const along = stroke.map((end) => end[axis]);
    return Math.min(0, edge - Math.max(...along)) + Math.max(0, -edge - Math.min(...along));
  });
  stroke = stroke.map((end) => end.map((at, axis) => clamp(at + back[axis], -edge, edge))); // both ends stay in view
  return points.toSpliced(2 * k, 2, ...stroke);
}

/** The field behind the first stroke: wherever the second one might lie, as it is turned, and as bright as it is. */
class Field {
  constructor(data) {
    this.data = data;
    this.canvas = make("canvas", { class: "hssl-field", "aria-hidden": "true" });
    this.scale = make("div", { class: "hssl-colours" });
    this.ticks = make("div", { class: "hssl-ticks" });
    const names = ["learned", "ideal", "learned − ideal"];
    [this.name] = names;
    const select = makeSelect(names, (name) => {
      this.name = name;
      this.key = undefined;
      this.draw(...this.last);
    });
    this.legend = make("div", { class: "hssl-legend" }, make("label", {}, "field behind A ", select));
    this.legend.append(this.scale, this.ticks);
  }

  /** Of strokes {x, y, angle} in a frame that reaches `view` from its middle. */
  draw([first, second], contrasts, view) {
    this.last = [[first, second], contrasts, view];
    const size = `${(100 * this.data.contours.largest) / view}%`;
    const [left, top] = [`${50 + (50 * first.x) / view}%`, `${50 - (50 * first.y) / view}%`];
    const transform = `translate(-50%, -50%) rotate(${-degrees(first.angle)}deg) scaleY(-1)`;
    Object.assign(this.canvas.style, { width: size, height: size, left, top, transform });
    const turn = second.angle - first.angle;
    const key = JSON.stringify([this.name, turn.toFixed(9), contrasts]);
    if (key === this.key) return;
    this.key = key;
    this.stop();
    this.paint(this.rows(turn, contrasts, COARSE, 0, COARSE), COARSE);
    const fine = [];
    const refine = () => {
      const from = fine.length / FINE;
      fine.push(...this.rows(turn, contrasts, FINE, from, from + ROWS));
      if (from + ROWS < FINE) this.timer = setTimeout(refine);
      else this.paint(fine, FINE);
    };
    this.timer = setTimeout(refine, 60);
  }

  rows(turn, contrasts, side, from, to) {
    const of = (logits) => fieldRows(logits, this.data, turn, contrasts, side, from, to);
    if (this.name in OBSERVERS) return of(OBSERVERS[this.name]);
    const ideal = of(idealLogits);
    return of(learnedLogits).map((value, i) => value - ideal[i]);
  }

  paint(values, side) {
    const signed = !(this.name in OBSERVERS);
    const most = signed ? Math.max(0.01, ...values.map(Math.abs)) : 1;
    const pixels = new ImageData(side, side);
    values.forEach((value, i) => {
      pixels.data.set([...(value < 0 ? COLD : WARM), Math.round((204 * Math.abs(value)) / most)], 4 * i);
    });
    set(this.canvas, { width: side, height: side });
    this.canvas.getContext("2d").putImageData(pixels, 0, 0);
    const rgba = (colour, alpha) => `rgba(${colour}, ${alpha})`;
    const cold = [rgba(COLD, 0.8), `${rgba(COLD, 0)} 50%`, `${rgba(WARM, 0)} 50%`];
    const colours = [...(signed ? cold : [rgba(WARM, 0)]), rgba(WARM, 0.8)];
    this.scale.style.backgroundImage = `linear-gradient(to right, ${colours.join(", ")})`;
    const ticks = signed ? [`−${shown(most)}`, "0", `+${shown(most)}`] : ["0", "0.5", "1"];
    this.ticks.replaceChildren(...ticks.map((tick) => make("span", {}, tick)));
  }

  stop = () => clearTimeout(this.timer);
}

/** What four arms may be: a name, and a bar for each observer. */
class Hypothesis {
  constructor(name) {
    this.bars = Object.keys(OBSERVERS).map((kind) => new Bar(kind, { decimals: 3, kind }));
    this.cells = [make("span", { class: "hssl-hypothesis" }, name), ...this.bars.flatMap((bar) => bar.cells)];
  }
}

class Strokes {
  constructor(model, el) {
    this.model = model;
    this.data = { ...model.get("data"), critic: unpackNetwork(model.get("data").critic) };
    this.field = new Field(this.data);
    this.status = new Status({ class: "hssl-unseen" });
    this.world = make("g", { transform: "scale(1 -1)", "stroke-linecap": "round" }); // y upwards, in the model's units
    this.svg = make("svg", { role: "group" }, this.world);
    this.question = make("p", { class: "hssl-question" });
    this.answers = ANSWERS.map((kind) => new Bar(kind, { decimals: 3, kind, hasSign: kind === "difference" }));
    this.note = make("p", { class: "hssl-note" });
    this.hypotheses = this.data.hypotheses.map(({ name }) => new Hypothesis(name));
    const table = (name, rows) => make("div", { class: `hssl-answers ${name}` }, ...rows.flatMap((row) => row.cells));
    this.tables = { strokes: table("", this.answers), arms: table("hssl-hypotheses", this.hypotheses) };
    const tables = [this.question, this.tables.strokes, this.tables.arms, this.note];
    const parts = [this.makeModes(), ...tables, this.makeSliders(), this.field.legend];
    const frame = make("div", { class: "hssl-frame" }, this.field.canvas, this.svg);
    const stage = make("div", { class: "hssl-stage" }, frame, make("div", { class: "hssl-side" }, ...parts));
    this.svg.addEventListener("pointermove", (event) => event.pointerType === "mouse" && this.point(event));
    this.svg.addEventListener("pointerleave", () => this.point());
    el.replaceChildren(stage, this.status.node);
    this.draw();
  }

  makeModes() {
    this.modes = Object.keys(QUESTIONS).map((name) => make("input", { type: "radio", name: "mode", value: name }));
    const labels = ["two strokes", "four arms"].map((words, i) => make("label", {}, this.modes[i], ` ${words}`));
    for (const radio of this.modes) radio.addEventListener("change", () => change(this.model, "mode", radio.value));
    const form = make("form", { class: "hssl-controls" }, ...labels);
    form.addEventListener("submit", (event) => event.preventDefault());
    return form;
  }

  makeSliders() {
    this.sliders = [0, 1].map(() => make("input", { type: "range", min: -2, max: 2, step: 0.1 }));
    this.outputs = [make("data"), make("data")];
    const labels = this.sliders.map((slider, k) => {
      slider.addEventListener("input", () =>
        change(this.model, "contrasts", this.model.get("contrasts").with(k, +slider.value)),
      );
      return make("label", {}, make("span", {}, `contrast of ${"AB"[k]}`), slider, this.outputs[k]);
    });
    this.contrasts = make("div", { class: "hssl-sliders" }, ...labels);
    return this.contrasts;
  }

  /** Lines, letters and handles of the mode. */
  prepare(mode) {
    this.mode = mode;
    const view = this.data.views[mode];
    const names = mode === "arms" ? ["Arm A", "Arm B", "Arm C", "Arm D"] : ["Stroke A", "Stroke B"];
    const letter = { "font-size": view / 8, "text-anchor": "middle", "aria-hidden": "true" };
    this.lines = names.map(() => make("line", { stroke: "currentColor", "stroke-width": view / 28 }));
    this.letters = names.map((name) => make("text", letter, name.at(-1)));
    this.wholes = mode === "arms" ? [] : names.map((name, k) => this.makeWhole(k, name, view / 8));
    const ends = mode === "arms" ? ["outer end"] : ["first end", "second end"];
    this.dots = names.flatMap((name, k) =>
      ends.map((end, part) => this.makeDot(k, part, `${name}, ${end}`, view / 27)),
    );
    const count = ends.length;
    const handles = names.flatMap((_, k) => [
      ...this.wholes.slice(k, k + 1),
      ...this.dots.slice(count * k, count * (k + 1)),
    ]);
    this.world.replaceChildren(...this.lines, ...this.letters, ...handles);
    this.svg.setAttribute("viewBox", `${-view} ${-view} ${2 * view} ${2 * view}`);
    this.svg.setAttribute("aria-label", mode === "arms" ? "Four arms" : "Two strokes");
    this.question.textContent = QUESTIONS[mode];
    for (const [name, table] of Object.entries(this.tables)) table.hidden = name !== mode;
    for (const part of [this.contrasts, this.field.legend, this.field.canvas]) part.hidden = mode === "arms";
    for (const radio of this.modes) radio.checked = radio.value === mode;
  }

  makeDot(k, part, label, radius) {
    const target = make("circle", { r: 2 * radius, class: "hssl-target" });
    const dot = make("g", {}, target, make("circle", { r: radius, "stroke-width": radius / 3 }));
    const index = this.mode === "arms" ? k : 2 * k + part;
    return this.makeHandle(
      dot,
      label,
      () => this.points()[index],
      (to) => this.move(k, part, to),
    );
  }

  makeWhole(k, name, thickness) {
    const bar = make("line", { "stroke-width": thickness, class: "hssl-target" });
    const where = () => [this.strokes()[k].x, this.strokes()[k].y];
    return this.makeHandle(bar, `${name}, as a whole`, where, (to) => this.move(k, "whole", to));
  }

  /** Makes a shape draggable, by pointer and by arrow keys. */
  makeHandle(node, label, where, go) {
    const range = { "aria-valuemin": -180, "aria-valuemax": 180 };
    set(node, {
      class: `${node.getAttribute("class") ?? ""} hssl-handle`,
      tabindex: 0,
      role: "slider",
      "aria-label": label,
      ...range,
    });
    let grip;
    node.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false }); // or the page scrolls
    node.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      node.setPointerCapture(event.pointerId);
      const { x, y } = this.under(event);
      grip = [where()[0] - x, where()[1] - y];
    });
    node.addEventListener("pointermove", (event) => {
      if (!node.hasPointerCapture(event.pointerId)) return;
      const { x, y } = this.under(event);
      go([x + grip[0], y + grip[1]]);
    });
    node.addEventListener("keydown", (event) => {
      const arrow = arrowOf(event);
      const step = event.shiftKey ? 5 * STEP : STEP;
      if (arrow) go([where()[0] + arrow[0] * step, where()[1] - arrow[1] * step]);
    });
    return node;
  }

  stop = () => this.field.stop();
  points = () => this.model.get("points")[this.mode];
  strokes = () => strokesOf(this.mode, this.points(), this.data.length);

  move(k, part, to) {
    const arms = this.mode === "arms";
    const moved = arms ? moveArm(this.points(), k, to, this.data) : moveStroke(this.points(), k, part, to, this.data);
    change(this.model, "points", { ...this.model.get("points"), [this.mode]: moved });
  }

  /** Where an event is, in the model's units. */
  under = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(this.world.getScreenCTM().inverse());

  draw() {
    if (this.model.get("mode") !== this.mode) this.prepare(this.model.get("mode"));
    const contrasts = this.model.get("contrasts");
    const strokes = this.strokes();
    strokes.forEach((stroke, k) => this.drawStroke(stroke, k, this.mode === "arms" ? 2 : contrasts[k]));
    this.sliders.forEach((slider, k) => {
      slider.value = contrasts[k];
      this.outputs[k].textContent = shown(contrasts[k], 1);
    });
    if (this.mode === "arms") this.drawArms(strokes);
    else this.drawAnswers(strokes, contrasts);
  }

  drawAnswers(strokes, contrasts) {
    const seen = observeStrokes(this.data, strokes, contrasts);
    this.field.draw(strokes, contrasts, this.data.views.strokes);
    this.answers.forEach((answer, k) => answer.show(seen[ANSWERS[k]]));
    this.rest = this.describe(seen.distances);
    this.note.textContent = this.rest;
    this.status.say(() => {
      const numbers = `learned ${shown(seen.learned, 3)}, ideal ${shown(seen.ideal, 3)}`;
      return `${QUESTIONS.strokes}: ${numbers}, difference ${signed(seen.difference, 3)}.`;
    });
  }

  drawArms(arms) {
    const seen = observeArms(this.data, arms);
    const each = (say) => this.data.hypotheses.map(({ name }, k) => say(name, seen.learned[k], seen.ideal[k]));
    this.hypotheses.forEach(({ bars }, k) => bars.forEach((bar, i) => bar.show([seen.learned, seen.ideal][i][k])));
    this.rest = this.describe(seen.distances);
    this.note.textContent = this.rest;
    this.status.say(() => {
      const words = each((name, learned, ideal) => `${isolated(name)}: learned ${shown(learned, 3)}, ideal ${shown(ideal, 3)}`);
      return `${QUESTIONS.arms}: ${words.join("; ")}.`;
    });
  }

  /** Under the pointer, what the field says there: were the second stroke to lie there. */
  point(event) {
    const pressed = event?.buttons;
    if (!event || pressed || this.mode === "arms") {
      this.note.textContent = this.rest;
      return;
    }
    const [first, second] = this.strokes();
    const { x, y } = this.under(event);
    const seen = observeStrokes(this.data, [first, { ...second, x, y }], this.model.get("contrasts"));
    const numbers = `learned ${shown(seen.learned)}, ideal ${shown(seen.ideal)}`;
    this.note.textContent = `with B at the pointer: ${numbers}`;
  }

  drawStroke({ ends: [a, b], x, y, angle }, k, contrast) {
    const line = { x1: a[0], y1: a[1], x2: b[0], y2: b[1] };
    const far = this.data.views[this.mode] / 9;
    const beside = [x - far * Math.sin(angle), y + far * Math.cos(angle)];
    const [left, up] = this.mode === "arms" ? beyond(a, b, far) : beside;
    set(this.lines[k], { ...line, "stroke-opacity": 0.25 + 0.75 * sigmoid(1.5 * contrast + 2) });
    set(this.letters[k], { transform: `${place(left, up - 0.4 * far)} scale(1 -1)` });
    if (this.wholes.length) set(this.wholes[k], line);
    const dots =
      this.mode === "arms"
        ? [[this.dots[k], b]]
        : [
            [this.dots[2 * k], a],
            [this.dots[2 * k + 1], b],
          ];
    dots.forEach(([dot, end]) => set(dot, { transform: place(...end) }));
    const heading = Math.round(degrees(angle));
    for (const [handle, at] of [...dots, ...(this.wholes[k] ? [[this.wholes[k], [x, y]]] : [])]) {
      const words = `x ${shown(at[0], 1)}, y ${shown(at[1], 1)}, direction ${heading} degrees`;
      set(handle, { "aria-valuenow": heading, "aria-valuetext": words });
    }
  }

  /** How far apart the strokes are, and whether that is beyond the model. */
  describe(distances) {
    const { smallest, largest } = this.data.contours;
    const [least, most] = [Math.min(...distances), Math.max(...distances)];
    const range = this.mode === "arms" ? `distances ${shown(least)} to ${shown(most)}` : `distance ${shown(least)}`;
    if (least < smallest) return `${range}: the model begins at ${smallest}, which is taken instead`;
    if (most > largest) return `${range}: the model ends at ${largest}, which is taken instead`;
    return range;
  }
}

export default widget(Strokes, ["mode", "points", "contrasts"]);
// end of continuation.js
