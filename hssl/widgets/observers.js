// How likely two strokes continue each other, by a small network and by the law of contours; observers.py says more
// and computes the same.

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const logCosh = (x) => Math.abs(x) + Math.log1p(Math.exp(-2 * Math.abs(x))) - Math.LN2;

/** The error function to double precision: a series whose terms are all of one sign. */
function erf(x) {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

const ACTIVATIONS = {
  gelu: (x) => (x / 2) * (1 + erf(x * Math.SQRT1_2)),
  relu: (x) => Math.max(x, 0),
  tanh: Math.tanh,
};

function unpackNetwork(data) {
  const floats = (text) => new Float32Array(bytes(text).buffer);
  const layers = data.layers.map(({ weight, bias }) => ({ weight: floats(weight), bias: floats(bias) }));
  return { ...data, layers, activate: ACTIVATIONS[data.activation] };
}

/** Distance, azimuth φ and turn ψ of a stroke {x, y, angle} in the frame of another. */
function relate(first, second, law) {
  const x = second.x - first.x;
  const y = second.y - first.y;
  const far = Math.hypot(x, y);
  const distance = clamp(far, law.smallest, law.largest);
  return { far, distance, azimuth: Math.atan2(y, x) - first.angle, turn: second.angle - first.angle };
}

function learnedLogit({ layers, activate, rate, shift, floor }, { distance, azimuth, turn }, contrasts) {
  const place = [distance * Math.cos(azimuth), distance * Math.sin(azimuth)];
  let x = [...place, Math.cos(2 * turn), Math.sin(2 * turn), ...contrasts];
  layers.forEach(({ weight, bias }, n) => {
    const input = n ? x.map(activate) : x;
    x = Array.from(bias, (sum, i) => {
      for (let k = 0; k < input.length; k++) sum += weight[i * input.length + k] * input[k];
      return sum;
    });
  });
  return Math.log(Math.max((Math.exp(x[0] + shift) - (1 - rate)) / rate, floor));
}

function idealLogit({ law }, { distance, azimuth, turn }, [first, second]) {
  const r = law.correlation;
  const far = (law.shape - 2) * Math.log(distance) - (distance * law.shape) / law.mean;
  const bend = logCosh(law.kappa_bend * Math.cos(azimuth)) + logCosh(law.kappa_turn * Math.cos(turn - 2 * azimuth));
  const light = (2 * r * first * second - r * r * (first ** 2 + second ** 2)) / (2 * (1 - r * r));
  return far + bend + light + law.constant;
}

/** The probability asked for: of one contour, or of the first pairing of four arms; and the distances on the way. */
function observe(data, strokes, contrasts) {
  const arms = strokes.length === 4;
  const pairs = arms ? data.pairings.flat() : [[0, 1]];
  const between = pairs.map(([i, j]) => relate(strokes[i], strokes[j], data.law));
  const judge = (logit) => {
    const logits = between.map((pair) => logit(data, pair, arms ? [0, 0] : contrasts));
    if (!arms) return sigmoid(logits[0]);
    const against = (k) => Math.exp(logits[2 * k] + logits[2 * k + 1] - logits[0] - logits[1]);
    return 1 / (1 + against(1) + against(2));
  };
  const learned = judge(learnedLogit);
  const ideal = judge(idealLogit);
  return { learned, ideal, difference: learned - ideal, distances: between.map((pair) => pair.far) };
}
