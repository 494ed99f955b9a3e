// What all widgets need from the page: elements, numbers as text, keys, and the life of a view.

const PAUSE = 500; // milliseconds of rest before something is announced
// [right, down]; without a prototype, as all tables here that are looked up by name: `constructor` is in none
const ARROWS = { __proto__: null, ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

/** A number with so many decimals, and a true minus sign. */
const shown = (value, decimals = 2) => value.toFixed(decimals).replace("-", "−");
const signed = (value, decimals) => (value < 0 ? "" : "+") + shown(value, decimals);

/** Text within a sentence: where it runs from right to left, what stands around it keeps its order. */
const RIGHT_TO_LEFT = /[\u0590-\u08ff\u200f\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
const isolated = (text) => (RIGHT_TO_LEFT.test(text) ? `\u2068${text}\u2069` : text);

/** An element, of SVG where the name says so, with attributes and children; text becomes text, never HTML. */
function make(tag, attributes = {}, ...children) {
  const drawn = /^(svg|g|line|circle|image|text)$/.test(tag);
  const node = drawn ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  set(node, attributes);
  node.append(...children);
  return node;
}

function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
}

/** Shows a part of a picture in an element; left, top, width and height are shares of the picture. */
function enlarge(tile, { url, width, height }, part) {
  const along = (start, share) => `${share < 1 ? (100 * start) / (1 - share) : 0}%`;
  Object.assign(tile.style, {
    aspectRatio: `${part.width * width} / ${part.height * height}`,
    backgroundImage: `url("${url}")`,
    backgroundPosition: `${along(part.left, part.width)} ${along(part.top, part.height)}`,
    backgroundSize: `${100 / part.width}% ${100 / part.height}%`,
  });
}

/** A list of names to choose from. */
function makeSelect(names, onchange) {
  const select = make("select", {}, ...names.map((name) => make("option", {}, name)));
  select.addEventListener("change", () => onchange(names[select.selectedIndex]));
  return select;
}

/** A name, a bar from 0 to 1, or from −1 to 1 where the number has a sign, and the number. */
class Bar {
  constructor(name, { decimals = 2, hasSign = false, kind = "learned" } = {}) {
    Object.assign(this, { decimals, hasSign, fill: make("div"), value: make("data") });
    const bar = make("div", { class: `hssl-answer hssl-${kind}` }, this.fill);
    this.cells = [make("span", {}, name), bar, this.value];
  }
  show(number) {
    const [from, to] = this.hasSign ? [0.5 + Math.min(0, number) / 2, 0.5 + Math.max(0, number) / 2] : [0, number];
    Object.assign(this.fill.style, { left: `${100 * from}%`, width: `${100 * (to - from)}%` });
    this.value.value = number;
    this.value.textContent = (this.hasSign ? signed : shown)(number, this.decimals);
  }
}

/** Sets a trait, here and in the kernel where there is one. */
function change(model, trait, value) {
  model.set(trait, value);
  model.save_changes();
}

/** The arrow key of an event as [right, down], unless it is a shortcut of the browser's. */
function arrowOf(event) {
  const arrow = ARROWS[event.key];
  if (!arrow || event.ctrlKey || event.metaKey || event.altKey) return undefined;
  event.preventDefault();
  return arrow;
}

/** A status line that screen readers hear once the numbers have come to rest. */
class Status {
  constructor(attributes = {}) {
    this.node = make("p", { role: "status", ...attributes });
  }
  say(words) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (this.node.textContent = words()), PAUSE);
  }
  now(words) {
    clearTimeout(this.timer);
    this.node.textContent = words;
  }
  stop() {
    clearTimeout(this.timer);
  }
}

/** An anywidget module: a view is made anew for other data, and drawn anew when one of `traits` changes. */
function widget(View, traits) {
  function render({ model, el }) {
    el.classList.add(el.closest(".hssl-widget") ? "hssl-live" : "hssl-widget");
    let view = new View(model, el);
    const redraw = () => view.draw();
    const stop = () => {
      view.status.stop();
      view.stop?.();
    };
    const renew = () => {
      stop();
      view = new View(model, el);
    };
    const calls = [["change:data", renew], ...traits.map((trait) => [`change:${trait}`, redraw])];
    for (const [event, call] of calls) model.on(event, call);
    return () => {
      stop();
      for (const [event, call] of calls) model.off(event, call);
    };
  }
  return { render };
}
// end of page.js
