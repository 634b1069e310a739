// Two dimensions out of dissimilarities (classical scaling), turned onto a plane that people gave (Procrustes).

const SWEEPS = 60;

const eigenvector = (matrix, away) => {
  const n = matrix.length;
  let vector = Array.from({ length: n }, (_, at) => Math.sin(1 + at * 1.7));
  let value = 0;
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    for (const other of away) {
      const along = vector.reduce((sum, one, at) => sum + one * other[at], 0);
      vector = vector.map((one, at) => one - along * other[at]);
    }
    const next = matrix.map((row) => row.reduce((sum, one, at) => sum + one * vector[at], 0));
    value = Math.hypot(...next);
    if (!value) return { vector, value: 0 };
    vector = next.map((one) => one / value);
  }
  return { vector, value };
};

/** Return the two main dimensions `[n, 2]` of a square of dissimilarities without gaps (Torgerson 1952). */
export const scaled = (square) => {
  const n = square.length;
  const squared = square.map((row) => row.map((value) => value * value));
  const rows = squared.map((row) => row.reduce((sum, value) => sum + value, 0) / n);
  const all = rows.reduce((sum, value) => sum + value, 0) / n;
  const centred = squared.map((row, i) => row.map((value, j) => -0.5 * (value - rows[i] - rows[j] + all)));
  const first = eigenvector(centred, []);
  const second = eigenvector(centred, [first.vector]);
  return centred.map((_, at) => [first, second].map(({ vector, value }) => vector[at] * Math.sqrt(value)));
};

/** Return points turned, mirrored and scaled as a whole onto `target`; rows of `target` may be null, and do not count. */
export const turnedOnto = (points, target) => {
  const held = points.map((_, at) => at).filter((at) => target[at]);
  if (held.length < 3) return points;
  const mean = (rows) => [0, 1].map((axis) => held.reduce((sum, at) => sum + rows[at][axis], 0) / held.length);
  const [from, to] = [mean(points), mean(target)];
  const cross = [0, 1].map((a) => [0, 1].map((b) => held.reduce((sum, at) => sum + (points[at][a] - from[a]) * (target[at][b] - to[b]), 0)));
  const [[p, q], [r, u]] = cross;
  // A plane is turned by the better of a rotation and a reflection; each has a closed form in two dimensions.
  const turn = [p + u, q - r];
  const flip = [p - u, q + r];
  const mirrored = Math.hypot(...flip) > Math.hypot(...turn);
  const [cosine, sine] = (mirrored ? flip : turn).map((one) => one / (Math.hypot(...(mirrored ? flip : turn)) || 1));
  const rotate = ([x, y]) => (mirrored ? [cosine * x + sine * y, sine * x - cosine * y] : [cosine * x - sine * y, sine * x + cosine * y]);
  const length = held.reduce((sum, at) => sum + (points[at][0] - from[0]) ** 2 + (points[at][1] - from[1]) ** 2, 0);
  const wide = held.reduce((sum, at) => sum + (target[at][0] - to[0]) ** 2 + (target[at][1] - to[1]) ** 2, 0);
  const size = Math.sqrt(wide / (length || 1));
  return points.map(([x, y]) => rotate([(x - from[0]) * size, (y - from[1]) * size]).map((value, axis) => value + to[axis]));
};
