// Choose a strip of images and slide along it: the image, and a bar for each of its measures.

class Flipbook {
  constructor(model, el) {
    const { strips, choose, slide, at, bars, width, height } = (this.data = model.get("data"));
    this.model = model;
    this.status = new Status({ class: "hssl-unseen" });
    this.picture = make("div", { class: "hssl-picture", role: "img" });
    this.picture.style.backgroundSize = `${100 * at.length}% 100%`;
    const frame = make("div", { class: "hssl-frame" }, this.picture);
    Object.assign(frame.style, { aspectRatio: `${width} / ${height}`, cursor: "auto" });
    this.choice = makeSelect(
      strips.map((strip) => strip.name),
      (name) => change(model, "strip", name),
    );
    this.slider = make("input", { type: "range", min: 0, max: at.length - 1, step: 1 });
    this.slider.addEventListener("input", () => change(model, "frame", +this.slider.value));
    this.value = make("data");
    this.bars = bars.map((name) => new Bar(name));
    const chosen = make("label", {}, `${choose} `, this.choice);
    chosen.hidden = strips.length < 2;
    const slid = make("label", { class: "hssl-slide" }, make("span", {}, slide), this.value, this.slider);
    const table = make("div", { class: "hssl-answers" }, ...this.bars.flatMap((bar) => bar.cells));
    const side = make("div", { class: "hssl-side" }, chosen, slid, table);
    el.replaceChildren(make("div", { class: "hssl-stage" }, frame, side), this.status.node);
    this.draw();
  }

  draw() {
    const { label, choose, slide, strips, at, bars } = this.data;
    const k = this.model.get("frame");
    const which = strips.findIndex((strip) => strip.name === this.model.get("strip"));
    const { name, url, values } = strips[which];
    this.choice.selectedIndex = which;
    set(this.slider, { "aria-valuetext": at[k] });
    this.slider.value = k;
    this.value.value = k;
    this.value.textContent = at[k];
    this.picture.style.backgroundImage = `url("${url}")`;
    this.picture.style.backgroundPosition = `${(100 * k) / Math.max(1, at.length - 1)}% 0`;
    const where = `${isolated(choose)} ${isolated(name)}, ${isolated(slide)} ${isolated(at[k])}`;
    set(this.picture, { "aria-label": `${isolated(label)}; ${where}` });
    this.bars.forEach((bar, i) => bar.show(values[i][k]));
    this.status.say(() => {
      const numbers = bars.map((bar, i) => `${isolated(bar)} ${shown(values[i][k])}`);
      return [where, ...numbers].join(", ");
    });
  }
}

export default widget(Flipbook, ["strip", "frame"]);
// end of flipbook.js
