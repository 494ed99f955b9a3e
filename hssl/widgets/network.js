// A small network of torch, run in the page; networks.py packs it, and computes the same.

const FLOATS = {
  __proto__: null,
  "<f4": (raw) => Float64Array.from(new Float32Array(raw.buffer)),
  "<f2": (raw) => Float64Array.from(new Uint16Array(raw.buffer), fromHalf),
};

function fromHalf(bits) {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024);
  return bits >> 15 ? -size : size;
}

function unpackNetwork({ dtype, layers }) {
  const floats = (text) => FLOATS[dtype](bytes(text));
  const unpack = (layer) => {
    if (layer.ways) return { ...layer, ways: layer.ways.map((way) => way.map(unpack)) };
    return "bias" in layer ? { ...layer, weight: floats(layer.weight), bias: floats(layer.bias) } : layer;
  };
  return layers.map(unpack);
}

/** What a network makes of n inputs that lie one behind the other in an array; images by channel, row and column. */
const forward = (layers, x, n = 1) => layers.reduce((input, layer) => LAYERS[layer.kind](input, n, layer), x);

const LAYERS = {
  __proto__: null,

  linear(x, n, { weight, bias }) {
    const width = x.length / n;
    const y = new Float64Array(n * bias.length);
    for (let i = 0; i < n; i++)
      for (let o = 0; o < bias.length; o++)
        y[i * bias.length + o] = bias[o] + product(weight, o * width, x, i * width, width);
    return y;
  },

  /** Of square images; what lies beside them is 0. */
  convolution(x, n, { weight, bias, size, stride, padding }) {
    const across = weight.length / bias.length; // channels · size · size
    const area = (x.length * size * size) / (n * across);
    const side = Math.round(Math.sqrt(area));
    const out = Math.floor((side + 2 * padding - size) / stride) + 1;
    const y = new Float64Array(n * bias.length * out * out);
    const window = new Float64Array(across);
    for (let i = 0; i < n; i++)
      for (let at = 0; at < out * out; at++) {
        const top = Math.floor(at / out) * stride - padding;
        const left = (at % out) * stride - padding;
        for (let k = 0; k < across; k++) {
          const row = top + (Math.floor(k / size) % size);
          const column = left + (k % size);
          const inside = row >= 0 && row < side && column >= 0 && column < side;
          const channel = Math.floor(k / (size * size)) + (i * across) / (size * size);
          window[k] = inside ? x[channel * area + row * side + column] : 0;
        }
        for (let o = 0; o < bias.length; o++)
          y[(i * bias.length + o) * out * out + at] = bias[o] + product(weight, o * across, window, 0, across);
      }
    return y;
  },

  scale(x, n, { weight, bias }) {
    const each = x.length / (n * bias.length);
    return x.map((value, i) => {
      const channel = Math.floor(i / each) % bias.length;
      return value * weight[channel] + bias[channel];
    });
  },

  sum: (x, n, { ways }) =>
    ways.map((way) => forward(way, x, n)).reduce((total, part) => total.map((value, i) => value + part[i])),
  leaky: (x, n, { slope }) => x.map((value) => (value < 0 ? slope * value : value)),
  gelu: (x) => x.map((value) => (value / 2) * (1 + erf(value * Math.SQRT1_2))),
  tanh: (x) => x.map(Math.tanh),
};

function product(a, i, b, j, length) {
  let sum = 0;
  for (let k = 0; k < length; k++) sum += a[i + k] * b[j + k];
  return sum;
}

const GRID = 256; // steps a unit in the table of erf
const SLOPE = 2 / Math.sqrt(Math.PI);
let table, slopes;

/** The error function to 1e-11: cubic between the steps of a table, whose values and slopes are exact. */
function erf(x) {
  const far = Math.abs(x);
  if (far >= 6) return Math.sign(x);
  if (!table) {
    table = Float64Array.from({ length: 6 * GRID + 2 }, (_, k) => erfSeries(k / GRID));
    slopes = table.map((_, k) => (SLOPE * Math.exp(-((k / GRID) ** 2))) / GRID);
  }
  const k = Math.floor(far * GRID);
  const t = far * GRID - k;
  const [a, b] = [table[k], table[k + 1]];
  const [up, down] = [slopes[k], slopes[k + 1]];
  const value = a + t * (up + t * (3 * (b - a) - 2 * up - down + t * (2 * (a - b) + up + down)));
  return x < 0 ? -value : value;
}

function erfSeries(x) {
  let [term, sum] = [x, x]; // the terms of this series are all of one sign
  for (let n = 1; term > 1e-17 * sum; n++) sum += term *= (2 * x * x) / (2 * n + 1);
  return SLOPE * Math.exp(-x * x) * sum;
}
// end of network.js
