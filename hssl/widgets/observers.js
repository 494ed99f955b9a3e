// How likely two strokes continue each other, by a small network and by the model of contours; observers.py says more
// and computes the same.

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const logCosh = (x) => Math.abs(x) + Math.log1p(Math.exp(-2 * Math.abs(x))) - Math.LN2;

/** Distance, azimuth φ and turn ψ of a stroke {x, y, angle} in the frame of another. */
function relate(first, second, model) {
  const x = second.x - first.x;
  const y = second.y - first.y;
  const far = Math.hypot(x, y);
  const distance = clamp(far, model.smallest, model.largest);
  return { far, distance, azimuth: Math.atan2(y, x) - first.angle, turn: second.angle - first.angle };
}

/** Log-odds of many pairs, by the network. */
function learnedLogits({ critic, rate, shift, floor }, pairs, contrasts) {
  const inputs = pairs.map(({ distance, azimuth, turn }) => {
    const place = [distance * Math.cos(azimuth), distance * Math.sin(azimuth)];
    return [...place, Math.cos(2 * turn), Math.sin(2 * turn), ...contrasts];
  });
  const ratio = (f) => (Math.exp(f + shift) - (1 - rate)) / rate;
  return forward(critic, Float64Array.from(inputs.flat()), pairs.length).map((f) =>
    Math.log(Math.max(ratio(f), floor)),
  );
}

function idealLogit({ contours: model }, { distance, azimuth, turn }, [first, second]) {
  const r = model.correlation;
  const far = (model.shape - 2) * Math.log(distance) - (distance * model.shape) / model.mean;
  const bend = logCosh(model.kappa_bend * Math.cos(azimuth)) + logCosh(model.kappa_turn * Math.cos(turn - 2 * azimuth));
  const light = (2 * r * first * second - r * r * (first ** 2 + second ** 2)) / (2 * (1 - r * r));
  return far + bend + light + model.constant;
}

const idealLogits = (data, pairs, contrasts) => pairs.map((pair) => idealLogit(data, pair, contrasts));
const OBSERVERS = { __proto__: null, learned: learnedLogits, ideal: idealLogits };

/** Probability that two strokes are of one contour, by each observer, and how far apart they are. */
function observeStrokes(data, [first, second], contrasts) {
  const pair = relate(first, second, data.contours);
  const [learned, ideal] = Object.values(OBSERVERS).map((logits) => sigmoid(logits(data, [pair], contrasts)[0]));
  return { learned, ideal, difference: learned - ideal, distances: [pair.far] };
}

/** Probability of each hypothesis about the arms, by each observer: its matchings weigh exp(sum of log-odds). */
function observeArms(data, arms) {
  const names = arms.flatMap((_, j) => arms.slice(0, j).map((_, i) => [i, j]));
  const pairs = names.map(([i, j]) => relate(arms[i], arms[j], data.contours));
  const judge = (logits) => {
    const found = logits(data, pairs, [0, 0]);
    const of = ([i, j]) => found[names.findIndex(([k, l]) => k === Math.min(i, j) && l === Math.max(i, j))];
    const weigh = (matching) => Math.exp(matching.reduce((sum, pair) => sum + of(pair), 0));
    const weights = data.hypotheses.map(({ matchings }) => matchings.reduce((sum, one) => sum + weigh(one), 0));
    const total = weights.reduce((sum, weight) => sum + weight);
    return weights.map((weight) => weight / total);
  };
  const [learned, ideal] = Object.values(OBSERVERS).map(judge);
  return { learned, ideal, distances: pairs.map((pair) => pair.far) };
}

/** Probabilities at the places of some rows of a square field around the first stroke; 0 beyond the model. */
function fieldRows(logits, data, turn, contrasts, side, from, to) {
  const far = data.contours.largest;
  const at = (k) => ((k + 0.5) / side) * 2 * far - far;
  const places = Array.from({ length: side * (to - from) }, (_, i) => ({
    x: at(i % side),
    y: at(from + Math.floor(i / side)),
    angle: turn,
  }));
  const pairs = places.map((place) => relate({ x: 0, y: 0, angle: 0 }, place, data.contours));
  const inside = pairs.filter((pair) => pair.far <= far);
  const found = logits(data, inside, contrasts).values();
  return pairs.map((pair) => (pair.far <= far ? sigmoid(found.next().value) : 0));
}
// end of observers.js
