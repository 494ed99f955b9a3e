// How likely two strokes continue each other, by a small network and by the law of contours; observers.py says more
// and computes the same.

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const logCosh = (x) => Math.abs(x) + Math.log1p(Math.exp(-2 * Math.abs(x))) - Math.LN2;

/** Distance, azimuth φ and turn ψ of a stroke {x, y, angle} in the frame of another. */
function relate(first, second, law) {
  const x = second.x - first.x;
  const y = second.y - first.y;
  const far = Math.hypot(x, y);
  const distance = clamp(far, law.smallest, law.largest);
  return { far, distance, azimuth: Math.atan2(y, x) - first.angle, turn: second.angle - first.angle };
}

function learnedLogit({ critic, rate, shift, floor }, { distance, azimuth, turn }, contrasts) {
  const place = [distance * Math.cos(azimuth), distance * Math.sin(azimuth)];
  const [f] = forward(critic, Float64Array.of(...place, Math.cos(2 * turn), Math.sin(2 * turn), ...contrasts));
  return Math.log(Math.max((Math.exp(f + shift) - (1 - rate)) / rate, floor));
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
